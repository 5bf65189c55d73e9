# `make` lists what there is to do. Every target that needs the environment makes it first, once.

PYTHON ?= python3
PROFILE ?= quick
NAMES ?=
WHEELHOUSE ?=
REPO ?=

IN_VENV := .venv/bin/python
INSTALLED := .venv/.installed
PIP := $(IN_VENV) -m pip --disable-pip-version-check
FROM := $(if $(WHEELHOUSE),--no-index --find-links "$(WHEELHOUSE)")

# If PYTHON is given and its version is not that of .venv, .venv is made anew.
MINOR := -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
ifneq ($(origin PYTHON),file)
  ifneq ($(shell "$(PYTHON)" $(MINOR)),$(shell $(IN_VENV) $(MINOR)))
    OTHER_PYTHON := other-python
  endif
endif

.PHONY: help setup run lab test lint notebooks figures experiments readme bench seeds mutants wheelhouse publish

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'Variables: PYTHON=python3.12, PROFILE=quick|full (run), NAMES="01 03" (run, notebooks, experiments, seeds), WHEELHOUSE=folder (setup)'

setup: $(INSTALLED)  ## make .venv with the exact versions of requirements.txt

other-python:

# The stamp comes last, so an interrupted setup goes on where it stopped; a .venv without pip is made anew.
$(INSTALLED): requirements.txt pyproject.toml $(OTHER_PYTHON)
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'This needs Python 3.11 or newer, and $(PYTHON) is not: make setup PYTHON=python3.12' >&2; exit 1; }
	@$(if $(OTHER_PYTHON),false,$(PIP) --version >/dev/null 2>&1) || "$(PYTHON)" -m venv --clear .venv
	$(PIP) install $(FROM) -r requirements.txt
	$(PIP) install $(FROM) --no-deps -e .
	@touch $@

run: setup  ## execute the notebooks; pages and executed copies go to build/
	$(IN_VENV) tools/run.py --profile $(PROFILE) $(NAMES)

lab: setup  ## open the first notebook in JupyterLab
	$(IN_VENV) -m jupyterlab notebooks/00_check_your_setup.ipynb

test: lint  ## run everything that CI runs
	TUTORIAL_PROFILE=quick OMP_NUM_THREADS=1 $(IN_VENV) -m pytest -n 2 --dist loadfile --no-loadscope-reorder \
	  --nbval-lax --nbval-current-env --nbval-cell-timeout=300

lint: setup  ## check the style of Python files and notebooks
	$(IN_VENV) -m ruff check
	$(IN_VENV) -m ruff format --check

notebooks: setup  ## execute the notebooks in the full profile and store their outputs in them
	$(IN_VENV) tools/run.py --profile full --in-place $(NAMES)
	$(IN_VENV) tools/front_page.py

figures: setup  ## write the pictures of figures/ from the outputs that are stored in the notebooks
	$(IN_VENV) tools/figures.py
	$(IN_VENV) tools/front_page.py

experiments: setup  ## run the long trainings (hours; goes on where it stopped) and write figures/results.json
	$(IN_VENV) -m experiments $(NAMES)
	$(IN_VENV) tools/front_page.py

readme: setup  ## renew the tables and the gallery of README.md
	$(IN_VENV) tools/front_page.py

bench: setup  ## print how fast the helpers are, as ratios, and draw figures/bench_growth.png
	PYTHONPATH=tests $(IN_VENV) tools/bench.py
	$(IN_VENV) tools/front_page.py

seeds: setup  ## check every claim for ten seeds in the quick profile, and print the table
	$(IN_VENV) tools/seeds.py $(NAMES)

mutants: setup  ## change the helpers' code in two thousand ways, and list the changes that no test notices
	$(PIP) install -q mutmut==3.8.1
	OMP_NUM_THREADS=1 $(IN_VENV) tools/mutants.py

wheelhouse: setup  ## collect wheels and digits in build/wheelhouse, for installing without a network
	$(PIP) wheel --wheel-dir build/wheelhouse -r requirements.txt 'setuptools>=77'
	$(IN_VENV) -m helpers.download build/wheelhouse/data

publish: setup  ## write the repository's address (REPO=owner/name) wherever it is needed
	$(IN_VENV) tools/publish.py $(REPO)
