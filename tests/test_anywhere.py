"""The series runs from any folder, under a path with a space and letters beyond ASCII, with Windows line endings,
and with a home that cannot be written to."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from notebook_files import NOTEBOOKS, ROOT


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The repository's files with Windows line endings, under an awkward path."""
    root = tmp_path_factory.mktemp("checkout") / "教程 päth"
    others = shutil.ignore_patterns("__pycache__", "0[1-9]*")
    for folder in ("helpers", "notebooks", "tools"):
        shutil.copytree(ROOT / folder, root / folder, ignore=others)
    for path in root.rglob("*.*"):
        if path.suffix in {".py", ".ipynb", ".md"}:
            path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    with open(root / "helpers" / "__init__.py", "a") as file:
        file.write("open(__file__ + '.imported', 'w').close()\r\n")
    return root


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home that nobody can write to, not even root."""
    if os.geteuid() == 0:
        return "/dev/null/home"
    folder = tmp_path_factory.mktemp("home")
    folder.chmod(0o500)
    return str(folder)


@pytest.fixture(scope="module")
def finished(checkout, home):
    """`tools/run.py 00`, started elsewhere, with the helpers of that checkout."""
    own = re.compile("XDG_|JUPYTER_|IPYTHON|MPL|TUTORIAL_")
    variables = {name: value for name, value in os.environ.items() if not own.match(name)}
    variables |= {"HOME": home, "PYTHONPATH": str(checkout), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, str(checkout / "tools" / "run.py"), "00"]
    return subprocess.run(command, cwd="/", env=variables, capture_output=True, text=True, timeout=300)


def test_the_home_cannot_be_written_to(home):
    with pytest.raises(OSError):
        os.makedirs(f"{home}/folder")


def test_the_first_notebook_runs(checkout, finished):
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert re.search(r"^00_check_your_setup +[\d.]+ +[1-9]\d*  ok\b", finished.stdout, re.M), finished.stdout
    assert (checkout / "build" / "00_check_your_setup.html").exists()


def test_it_imported_the_helpers_of_the_checkout(checkout, finished):
    assert (checkout / "helpers" / "__init__.py.imported").exists()


def test_git_gives_unix_line_endings_to_make_and_to_shells():
    paths = ["Makefile", ".ci/run", *(str(path.relative_to(ROOT)) for path in NOTEBOOKS)]
    shown = subprocess.run(
        ["git", "check-attr", "eol", "--", *paths], cwd=ROOT, capture_output=True, text=True
    )
    assert [line.split(": ")[-1] for line in shown.stdout.splitlines()] == ["lf"] * len(paths)
