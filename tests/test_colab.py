"""Each notebook on its own, as on Colab: in an empty folder, with torch and without `helpers`.

The first notebook runs completely; of the others, the first cell and all imports. (test_claims.py runs all their
code in an empty folder.) The environment is fresh. Like Colab's machine it has its own packages: those of this
environment without `helpers`. pip cannot use an index, so the first cell must leave torch and numpy as they are.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sysconfig
import tomllib
import venv
from pathlib import Path

import nbformat
import pytest
from notebook_files import NOTEBOOKS, ROOT, code_cells, read

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OWN = re.compile(r"__editable__|helpers|vae_checked|__pycache__")
RUN = '''
import json, sys
from datetime import datetime

import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
where = """
import helpers, json, numpy, torch
with open("where", "w") as file:
    json.dump([module.__file__ for module in (helpers, numpy, torch)], file)
"""
notebook.cells.append(nbformat.v4.new_code_cell(where))
client = NotebookClient(notebook, timeout=300, kernel_name="python3")
client.create_kernel_manager().kernel_spec_manager.kernel_dirs = []  # the kernel is this very Python
client.execute()
first = next(cell for cell in notebook.cells if cell.cell_type == "code")
started, ended = (
    datetime.fromisoformat(first.metadata["execution"][event].replace("Z", "+00:00"))
    for event in ("iopub.execute_input", "shell.execute_reply")
)
said = "".join(output.get("text", "?") for output in first.outputs)
print(json.dumps([said, (ended - started).total_seconds()]))
'''


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A clone of this repository with its present files, at the tag that the first cells name."""
    clone = tmp_path_factory.mktemp("repository")
    shutil.copytree(ROOT / "helpers", clone / "helpers", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "as it is"]):
        subprocess.run(["git", *command], cwd=clone, check=True)
    subprocess.run(["git", "tag", f"v{PROJECT['version']}"], cwd=clone, check=True)
    return clone


@pytest.fixture(scope="module")
def machine(tmp_path_factory, repository):
    """The environment's Python and the variables of a shell in it: git reads the address from the clone."""
    root = tmp_path_factory.mktemp("machine")
    given = root / "given"  # the packages of this environment, without our own
    given.mkdir()
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(folder).iterdir():
            if not OWN.match(entry.name) and not (given / entry.name).exists():
                (given / entry.name).symlink_to(entry)
    venv.create(root / "env", symlinks=True)
    python = root / "env" / "bin" / "python"
    sites = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
    )
    (Path(sites.stdout.strip()) / "given.pth").write_text(f"{given}\n")
    (root / "gitconfig").write_text(
        f'[url "file://{repository}"]\n\tinsteadOf = {PROJECT["urls"]["Repository"]}\n'
    )
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_", "TUTORIAL_"))}
    variables |= {
        "HOME": str(root),
        "GIT_CONFIG_GLOBAL": str(root / "gitconfig"),
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say: build with the setuptools that is there
        "TUTORIAL_PROFILE": "quick",
        "OMP_NUM_THREADS": "1",
    }
    return python, variables


@pytest.fixture
def alone(tmp_path, machine):
    """Run a notebook in an empty directory: → what its first cell said, its seconds, the modules' files."""
    python, variables = machine

    def run(path):
        shutil.copy(path, tmp_path)
        ended = subprocess.run(
            [python, "-I", "-c", RUN, path.name],
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return *json.loads(ended.stdout.splitlines()[-1]), json.loads((tmp_path / "where").read_text())

    return run


def pip(machine, *arguments):
    python, variables = machine
    return subprocess.run(
        [python, "-m", "pip", *arguments], env=variables, capture_output=True, text=True, check=True
    ).stdout


def test_the_machine_has_torch_and_not_helpers(machine):
    python, variables = machine
    look = "import importlib.util as u; print(bool(u.find_spec('torch')), bool(u.find_spec('helpers')))"
    found = subprocess.run([python, "-c", look], env=variables, cwd="/", capture_output=True, text=True)
    assert found.stdout.split() == ["True", "False"]


def test_without_an_installation_the_first_cell_makes_one_and_says_so(machine, alone):
    before = pip(machine, "list")
    said, seconds, places = alone(NOTEBOOKS[0])
    assert seconds < 60
    assert re.fullmatch(r"Installing the helpers from git\+https://\S+@v[\d.]+\n", said)
    site = machine[0].parent.parent / "lib"
    helpers, numpy, torch = map(Path, places)
    assert helpers.is_relative_to(site)
    assert not numpy.is_relative_to(site) and not torch.is_relative_to(site)
    after = pip(machine, "list")
    assert [line.split()[0] for line in after.splitlines() if line not in before.splitlines()] == [
        PROJECT["name"]
    ]


@pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=lambda path: path.stem)
def test_each_notebook_finds_what_it_imports(alone, machine, path, tmp_path_factory):
    notebook = read(path)
    first, *others = code_cells(path)
    statements = [node for cell in others for node in ast.walk(ast.parse(cell.source))]
    imports = [ast.unparse(node) for node in statements if isinstance(node, (ast.Import, ast.ImportFrom))]
    notebook.cells = [first, nbformat.v4.new_code_cell("\n".join(imports))]
    nbformat.write(notebook, shorter := tmp_path_factory.mktemp("shorter") / path.name)
    said, _, places = alone(shorter)
    assert said == "" or said.startswith("Installing the helpers")  # one installation serves all
    assert Path(places[0]).is_relative_to(machine[0].parent.parent / "lib")
