"""Every claim of every notebook holds, and fails if its cause is broken."""

import runpy

import nbformat
import pytest
from claim_runner import report
from notebook_files import NOTEBOOKS, ROOT, claims, code_cells


def breaks_of(path):
    table = ROOT / "tests" / "breaks" / f"b{path.stem}.py"
    return runpy.run_path(str(table))["BREAKS"] if table.exists() else {}


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
    found = report(path, breaks)
    assert found["claims"] == dict.fromkeys(claims(path), True)
    assert found["broken"] == dict.fromkeys(breaks, "fails")


def write_toy(path, *sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def test_a_claim_that_its_break_does_not_refute_is_told_from_one_that_fails(tmp_path):
    write_toy(
        tmp_path / "00_toy.ipynb",
        "from helpers.claims import claim\nx = 1",
        "claim('x is one', x == 1)\nclaim('one is one', 1 == 1)\nclaim('two', x + 1 == 2)",
    )
    breaks = {
        "x is one": ("x = 1", "x = 2"),
        "one is one": ("x = 1", "x = 3"),
        "two": ("x = 1", "x = y"),
        "three": ("x = 1", "x = 4"),
    }
    found = report(tmp_path / "00_toy.ipynb", breaks)
    assert found["claims"] == {"x is one": True, "one is one": True, "two": True}
    assert found["broken"] == {
        "x is one": "fails",
        "one is one": "still holds",
        "two": "NameError: name 'y' is not defined",
        "three": "never made",
    }


def test_a_cell_that_raises_is_not_taken_for_claims_that_hold(tmp_path):
    write_toy(tmp_path / "00_toy.ipynb", "1 / 0")
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        report(tmp_path / "00_toy.ipynb", {})
