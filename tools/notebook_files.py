"""Read the series' notebooks as plain data: what every test of the notebooks starts from."""

import ast
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    """The notebook's code cells, in order, empty ones left out."""
    return [cell for cell in read(path).cells if cell.cell_type == "code" and cell.source.strip()]


def markdown_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "markdown"]


def called(source, function):
    """The calls of `function` in a piece of source, as syntax trees."""
    return [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function
    ]


def claims(path):
    """The texts of all claims of a notebook; a claim whose text is no literal string counts as None."""
    calls = [call for cell in code_cells(path) for call in called(cell.source, "claim")]
    return [call.args[0].value if isinstance(call.args[0], ast.Constant) else None for call in calls]
