"""Claims that can fail: every claim of every notebook holds, and fails when its cause is broken."""

import json
import os
import runpy
import subprocess
import sys
from tempfile import TemporaryDirectory

import pytest
from notebook_files import NOTEBOOKS, ROOT, claims, code_cells


def breaks_of(path):
    table = ROOT / "tests" / "breaks" / f"b{path.stem}.py"
    return runpy.run_path(str(table))["BREAKS"] if table.exists() else {}


def run(path, breaks, seed=0):
    """The report of claim_runner.py on one notebook in the quick profile, alone in an empty directory."""
    env = os.environ | {"TUTORIAL_PROFILE": "quick", "TUTORIAL_SEED": str(seed), "OMP_NUM_THREADS": "1"}
    with TemporaryDirectory() as empty:
        done = subprocess.run(
            [sys.executable, ROOT / "tests" / "claim_runner.py", path],
            input=json.dumps(breaks), capture_output=True, text=True, env=env, cwd=empty,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_claim_has_a_break_in_the_table(path):
    made, table = claims(path), breaks_of(path)
    assert None not in made, "a claim's text must be a literal string"
    assert sorted(made) == sorted(set(made)), "two claims with one text"
    assert set(made) == set(table)
    source = "\n".join(cell.source for cell in code_cells(path))
    for text, (old, new) in table.items():
        assert source.count(old) == 1, f"{old!r} must occur exactly once (claim {text!r})"
        assert old != new


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_claim_holds_and_fails_when_its_cause_is_broken(path):
    breaks = breaks_of(path)
    report = run(path, breaks)
    assert report["claims"] == dict.fromkeys(claims(path), True)
    assert report["broken"] == dict.fromkeys(breaks, "fails")


def test_the_runner_tells_a_claim_that_nothing_breaks(tmp_path):
    import nbformat

    nb = nbformat.v4.new_notebook()
    nb.cells = [
        nbformat.v4.new_code_cell(source)
        for source in (
            "from helpers.claims import claim\nx = 1",
            "claim('x is one', x == 1)\nclaim('one is one', 1 == 1)\nclaim('two', x + 1 == 2)",
        )
    ]
    nbformat.write(nb, tmp_path / "00_toy.ipynb")
    breaks = {
        "x is one": ("x = 1", "x = 2"),
        "one is one": ("x = 1", "x = 3"),
        "two": ("x = 1", "x = y"),
        "three": ("x = 1", "x = 4"),
    }
    report = run(tmp_path / "00_toy.ipynb", breaks)
    assert report["claims"] == {"x is one": True, "one is one": True, "two": True}
    assert report["broken"] == {
        "x is one": "fails",
        "one is one": "still holds",
        "two": "NameError: name 'y' is not defined",
        "three": "never made",
    }
