"""The packages that are declared, pinned and imported are the same, and README names what exists."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from notebook_files import NOTEBOOKS, ROOT, code_cells

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
README = (ROOT / "README.md").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def requirements(lines, pattern):
    """{package: version} of lines such as `torch==2.13.0`; a line of another form is an error."""
    found = {}
    for line in lines:
        match = re.fullmatch(pattern, line)
        assert match, f"{line!r} is not of the form {pattern}"
        found[match[1]] = tuple(map(int, match[2].split(".")))
    return found


def pins():
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    return requirements([line for line in lines if line and not line.startswith("#")], r"([\w-]+)==([\d.]+)")


def floors(*groups):
    """{package: version} of these groups; of all, if none is named."""
    lists = {"run": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    return requirements([line for group in groups or lists for line in lists[group]], r"([\w-]+)>=([\d.]+)")


# ---- versions


def test_requirements_pin_exactly_the_packages_of_pyproject():
    assert pins().keys() == floors().keys()


def test_no_floor_lies_above_its_pin():
    assert not {name: floor for name, floor in floors().items() if floor > pins()[name]}


def test_conda_installs_python_and_the_same_requirements():
    lines = (ROOT / "environment.yml").read_text("utf-8").split("dependencies:\n")[1].split("\n")
    listed = [line.strip().removeprefix("- ") for line in lines if line.strip()]
    assert [re.sub("python>=.*", "python", entry) for entry in listed] == [
        "python",
        "pip",
        "pip:",
        "-r requirements.txt",
        "-e .",
    ]
    assert listed[0].startswith(f"python{PROJECT['requires-python']}")


def test_the_distribution_is_not_called_like_its_package():
    assert PROJECT["name"] != "helpers"  # on PyPI that name is another's


# ---- imports

FOLDERS = ("helpers", "experiments", "tools", "tests")
PROGRAMS = [path for folder in FOLDERS for path in ROOT.glob(f"{folder}/**/*.py")]
OWN = {*FOLDERS, *(path.stem for path in PROGRAMS if path.parent.name in ("tools", "tests", "pretend"))}
PACKAGES = packages_distributions()  # module → distributions


def imported(source):
    """The names of the top-level modules that a piece of source imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", [*NOTEBOOKS, *PROGRAMS], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_import_is_declared(path):
    notebook = path.suffix == ".ipynb"
    sources = [cell.source for cell in code_cells(path)] if notebook else [path.read_text("utf-8")]
    modules = {name for source in sources for name in imported(source)} - OWN - set(sys.stdlib_module_names)
    reader = notebook or path.is_relative_to(ROOT / "helpers")
    declared = floors("run") if reader else floors()
    for module in modules:
        names = {name.lower().replace("_", "-") for name in PACKAGES.get(module, [])}
        kind = "dependency" if reader else "dependency or extra"
        assert names & declared.keys(), f"{module} is in no {kind}"


# ---- README


def targets():
    return set(re.search(r"\.PHONY: (.+)", MAKEFILE)[1].split())


def commands():
    """The lines of README's fenced blocks and the code between its backticks."""
    blocks = re.findall(r"```\w*\n(.*?)```", README, re.S)
    return [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", README)


def test_readme_names_only_targets_and_scripts_that_exist():
    named = {word for line in commands() for word in re.findall(r"\bmake ([a-z]+)", line)}
    assert {"run", "test"} <= named <= targets()
    scripts = [word for line in commands() for word in line.split() if word.endswith((".py", ".txt", ".yml"))]
    assert scripts and all((ROOT / script).exists() for script in scripts)
