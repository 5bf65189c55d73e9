"""`make setup`, CI and the workflows install what was asked for: which Python, which packages, which versions."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
from notebook_files import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PYTHON = """#!/bin/sh
case "$*" in
*"print("*) echo {version} ;;
*sys.exit*) exit {refused} ;;
*"-m venv"*) rm -rf .venv && mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
esac
"""  # answers like a Python of that version, and makes environments that hold only itself


def script(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return path


# ---- make setup


@pytest.fixture
def folder(tmp_path):
    """A copy of what `make setup` reads, with two fake Pythons and one that is too old."""
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for version, refused in {"3.10": 1, "3.11": 0, "3.12": 0}.items():
        script(tmp_path / f"python{version}", PYTHON.format(version=version, refused=refused))
    return tmp_path


def make_setup(folder, version=None):
    """Run `make setup`, with PYTHON=… if a version is given; return its exit status."""
    own = {"PYTHON", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"}  # of a `make test` around this
    variables = {name: value for name, value in os.environ.items() if name not in own}
    wish = [f"PYTHON={folder}/python{version}"] if version else []
    return subprocess.run(["make", "setup", *wish], cwd=folder, env=variables, timeout=60).returncode


def installed(folder):
    """The version of the environment's Python; None if its installation did not end."""
    if not (folder / ".venv" / ".installed").exists():
        return None
    asked = [folder / ".venv" / "bin" / "python", "-c", "print()"]
    return subprocess.run(asked, capture_output=True, text=True, timeout=60).stdout.strip()


def test_asking_for_another_python_makes_the_environment_anew(folder):
    for version in ("3.11", "3.12", "3.11"):
        assert make_setup(folder, version) == 0
        assert installed(folder) == version


@pytest.mark.parametrize("version", ["3.12", None])
def test_an_environment_stays_if_no_other_python_is_asked_for(folder, version):
    make_setup(folder, "3.12")
    (folder / ".venv" / "something").touch()
    assert make_setup(folder, version) == 0
    assert (folder / ".venv" / "something").exists()


def test_a_python_that_is_too_old_leaves_the_environment_as_it_is(folder):
    make_setup(folder, "3.12")
    assert make_setup(folder, "3.10") != 0
    assert installed(folder) == "3.12"


# ---- .ci/run


@pytest.mark.parametrize(("user", "expected"), [(0, []), (1000, ["sudo"])])
def test_ci_installs_missing_packages_for_root_and_for_a_user_who_has_sudo(tmp_path, user, expected):
    fakes = {
        "id": f"echo {user}",
        "dpkg": "exit 1",
        "sudo": 'echo sudo >> called; exec "$@"',
        "apt-get": 'echo "apt-get $1" >> called',
        "make": 'echo "make $1" >> called',
    }
    for name, body in fakes.items():
        script(tmp_path / name, f"#!/bin/sh\nset -e\n{body}\n")
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    variables = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["bash", tmp_path / ".ci" / "run"], env=variables, check=True, timeout=60)
    called = (tmp_path / "called").read_text().split("\n")[:-1]
    assert called == [*expected, "apt-get update", *expected, "apt-get install", "make test"]


# ---- workflows


def test_the_supported_pythons_are_the_same_everywhere():
    versions = [name.split(" :: ")[-1] for name in PROJECT["classifiers"] if ":: Python ::" in name]
    oldest, newest = versions[0], versions[-1]
    after = f"3.{int(newest.split('.')[1]) + 1}"
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8")
    assert json.loads(re.search(r"python: (\[.+\])", workflow)[1]) == versions
    assert PROJECT["requires-python"] == f">={oldest}"
    assert f"python>={oldest},<{after}\n" in (ROOT / "environment.yml").read_text("utf-8")
    assert f"Python {oldest} to {newest}" in (ROOT / "README.md").read_text("utf-8")
    assert f"Python {oldest} 至 {newest}" in (ROOT / "README.zh.md").read_text("utf-8")


def test_the_constraints_of_the_nightly_job_admit_only_the_oldest_version_of_each_dependency():
    shown = subprocess.run(
        [sys.executable, ROOT / "tools" / "floors.py"], capture_output=True, text=True, check=True
    )
    floors = dict(line.split("==") for line in shown.stdout.splitlines())
    assert floors == dict(dependency.split(">=") for dependency in PROJECT["dependencies"])


@pytest.mark.parametrize(
    ("already", "expected"), [("", ["issue list", "issue create"]), ("7", ["issue list"])]
)
def test_a_failing_night_opens_one_issue_and_not_one_every_night(tmp_path, already, expected):
    answer = f"[ \"$2\" = create ] || echo '{already}'"
    script(tmp_path / "gh", f'#!/bin/sh\necho "$1 $2" >> {tmp_path}/called\n{answer}\n')
    run = {"GITHUB_SERVER_URL": "https://a.b", "GITHUB_REPOSITORY": "c/d", "GITHUB_RUN_ID": "1"}
    variables = os.environ | run | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(
        ["bash", ROOT / ".github" / "open_issue", "It fails"], env=variables, check=True, timeout=60
    )
    assert (tmp_path / "called").read_text().splitlines() == expected
