"""The notebooks themselves: anatomy, stored outputs, links, and taught code that equals `helpers`."""

import ast
import base64
import importlib
import inspect
import re
import shutil
import subprocess
import sys
from itertools import pairwise

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from notebook_files import NOTEBOOKS, ROOT, called, code_cells, markdown_cells, read

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
CELLS = {"00_check_your_setup": (8, 25), "04_training_a_vae": (25, 70), "08_bug_hunt": (25, 70)}
ENDING = ["## Takeaways", "## Exercises", "## References", "## Next"]


# ---- anatomy


@each_notebook
def test_it_opens_with_title_question_needs_and_minutes(path):
    opening = read(path).cells[0].source
    assert re.match(rf"# {path.stem[:2]} · \S", opening)
    for mark in ("**Question.**", "**You need.**", "**Time.**"):
        assert mark in opening
    assert re.search(
        r"Reading: \d+ min · Running: \d+ (s|min) \(full\), \d+ s \(quick\), on two CPU cores", opening
    )


@each_notebook
def test_it_ends_with_takeaways_exercises_references_next(path):
    headings = [h for cell in markdown_cells(path) for h in re.findall(r"^##? .*$", cell.source, re.M)]
    ending = [h for h in ENDING if h != "## Exercises" or path.stem[:2] != "00"]
    assert headings[-len(ending) :] == ending
    text = "\n".join(cell.source for cell in markdown_cells(path))
    takeaways = text.split("## Takeaways")[1].split("\n## ")[0]
    assert len(re.findall(r"^(?:[-*]|\d\.) ", takeaways, re.M)) == 3


@each_notebook
def test_its_headings_do_not_skip_a_level(path):
    text = "\n".join(re.sub(r"```.*?```", "", cell.source, flags=re.S) for cell in markdown_cells(path))
    levels = [len(marks) for marks in re.findall(r"^(#+) ", text, re.M)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))


@each_notebook
def test_its_size_is_that_of_one_sitting(path):
    fewest, most = CELLS.get(path.stem, (25, 50))
    cells = [cell for cell in read(path).cells if cell.id != "bootstrap"]
    before_exercises = next((i for i, c in enumerate(cells) if "## Exercises" in c.source), len(cells))
    assert fewest <= before_exercises <= most


@each_notebook
def test_no_cell_is_long(path):
    for cell in code_cells(path):
        limit = 35 if re.search(r"^class ", cell.source, re.M) else 22
        assert code_lines(cell.source) <= limit, cell.source


def code_lines(source):
    """Lines of code: no blank lines, no comments, no docstrings."""
    docstrings = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            docstrings |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(source.splitlines(), start=1)
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and n not in docstrings for n, line in lines
    )


@each_notebook
def test_each_picture_is_followed_by_what_to_see(path):
    cells = read(path).cells
    for index, cell in enumerate(cells):
        if pictures(cell):
            after = next(c for c in cells[index + 1 :] if c.cell_type == "markdown")
            assert "**What to see.**" in after.source, cell.source


# ---- stored outputs


def pictures(cell):
    return [o.data["image/png"] for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]


@each_notebook
def test_outputs_come_from_one_clean_run_of_the_full_profile_on_60_000_digits(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    text = "".join(o.get("text", "") for o in outputs)
    assert "profile full" in text
    assert "load_mnist" not in "".join(c.source for c in cells) or "60,000" in text


@each_notebook
def test_outputs_hold_no_carriage_return(path):
    for cell in code_cells(path):
        assert not [o for o in cell.outputs if "\r" in o.get("text", "")]


@each_notebook
def test_pictures_are_png_and_small(path):
    cells = code_cells(path)
    assert path.stat().st_size <= 1_400_000  # base64 makes a megabyte of pictures a third larger
    assert sum(len(base64.b64decode(p)) for cell in cells for p in pictures(cell)) <= 1_000_000
    kinds = {kind for cell in cells for o in cell.outputs for kind in o.get("data", {})}
    assert not kinds & {"image/svg+xml", "image/jpeg", "application/javascript"}


# ---- claims


@each_notebook
def test_claims_and_checks_are_compared_with_their_stored_output(path):
    for cell in code_cells(path):
        claimed = called(cell.source, "claim")
        if "predict(" in cell.source:
            assert "nbval-check-output" in cell.metadata.get("tags", []), cell.source
            assert cell.outputs[-1].text.endswith("○ not answered\n"), (
                "a stored prediction gives the answer away"
            )
        if claimed or called(cell.source, "check"):
            assert "nbval-check-output" in cell.metadata.get("tags", []), cell.source
            assert cell.execution_count, "nbval never compares a cell that was not executed"
            printed = [o for o in cell.outputs if "image/png" not in o.get("data", {})]  # nbval skips them
            lines = "".join(o.get("text", "?") for o in printed).splitlines()
            assert lines and all(line.startswith(("✓ ", "○ ")) for line in lines), lines
            assert sum(line.startswith("✓ ") for line in lines) == len(claimed)


@each_notebook
def test_something_is_claimed(path):
    assert any(called(cell.source, "claim") for cell in code_cells(path))


# ---- text


@each_notebook
def test_every_markdown_picture_has_alternative_text(path):
    for cell in markdown_cells(path):
        assert not re.search(r"!\[\s*\]\(", cell.source)
        assert all(re.search(r'alt="[^"]+"', tag) for tag in re.findall(r"<img[^>]*>", cell.source))


@pytest.mark.parametrize(
    "path", [*NOTEBOOKS, *ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda path: path.name
)
def test_links_to_files_lead_somewhere(path):
    text = (
        "\n".join(c.source for c in markdown_cells(path))
        if path.suffix == ".ipynb"
        else path.read_text("utf-8")
    )
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.S)):
        if not re.match(r"https?:|mailto:|#", target):
            assert (path.parent / target.split("#")[0]).exists(), target


# ---- taught code


def taught(path):
    """{(module, name): syntax tree} of the definitions that a notebook teaches and `helpers` keeps."""
    found = {}
    for cell in code_cells(path):
        if home := re.match(r"# helpers/(\w+)\.py\s*$", cell.source.splitlines()[0]):
            definitions = [
                n for n in ast.parse(cell.source).body if isinstance(n, ast.FunctionDef | ast.ClassDef)
            ]
            assert definitions, cell.source
            found |= {(home[1], node.name): node for node in definitions}
    return found


def is_check(value):
    """Whether an expression calls a check of arguments: check_pixels(x)."""
    return isinstance(value, ast.Call) and getattr(value.func, "id", "").startswith("check_")


def essence(node):
    """The syntax tree without docstrings, one-line argument checks and calls of check_…, as text."""

    class Strip(ast.NodeTransformer):
        def visit_If(self, node):
            one_check = len(node.body) == 1 and isinstance(node.body[0], ast.Raise) and not node.orelse
            return None if one_check else self.generic_visit(node)

        def visit_Expr(self, node):
            text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
            return None if text or is_check(node.value) else node

        def visit_Assign(self, node):
            return None if is_check(node.value) else node

    return ast.dump(Strip().visit(node))


@each_notebook
def test_taught_code_equals_helpers(path):
    for (module, name), node in taught(path).items():
        kept = getattr(importlib.import_module(f"helpers.{module}"), name)
        assert essence(node) == essence(ast.parse(inspect.getsource(kept)).body[0]), (
            f"helpers/{module}.py: {name}"
        )


def test_each_public_name_is_taught_once():
    names = [key for path in NOTEBOOKS for key in taught(path)]
    assert len(names) == len(set(names)), "taught twice"
    kept = {("training", "train_epoch")}
    for module in ("models", "losses"):
        members = vars(importlib.import_module(f"helpers.{module}"))
        kept |= {
            (module, name)
            for name, value in members.items()
            if getattr(value, "__module__", None) == f"helpers.{module}"
            and not name.startswith(("_", "check_"))
        }
    assert kept - set(names) == set(), "kept in helpers and taught nowhere"


def test_each_module_says_where_it_is_taught():
    for path in NOTEBOOKS:
        for module, name in taught(path):
            doc = importlib.import_module(f"helpers.{module}").__doc__
            assert path.stem in doc, f"helpers/{module}.py does not name {path.stem}, which teaches {name}"


# ---- the length of `helpers`


def test_every_public_function_says_what_it_does():
    for path in (ROOT / "helpers").glob("*.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


# ---- nbval


def test_nbval_says_how_many_cells_it_compared(tmp_path):
    compared = new_code_cell("print(1)", execution_count=1, metadata={"tags": ["nbval-check-output"]})
    compared.outputs = [new_output("stream", text="1\n")]
    nbformat.write(
        new_notebook(cells=[compared, new_code_cell("print(2)", execution_count=2)]), tmp_path / "a.ipynb"
    )
    shutil.copy(ROOT / "conftest.py", tmp_path)
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-n", "1", "a.ipynb"]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120).stdout
    assert "2 cells of notebooks ran, 1 of them compared with their stored output" in printed
