"""Exercises: a stub is "not attempted", the folded solution passes, each mistake gets its own hint."""

import ast
import importlib
import re

import pytest
from notebook_files import NOTEBOOKS, called, read

from helpers.exercises import Exercise, verdict

MODULES = {path.stem: f"helpers.exercises.e{path.stem}" for path in NOTEBOOKS}
LEAST = {"00_check_your_setup": 0, "01_autoencoder": 3}  # all others: four


def exercises_of(path):
    """[(name, stub source, solution source)] in the order of the notebook."""
    found, cells = [], read(path).cells
    for index, cell in enumerate(cells):
        if cell.cell_type != "code":
            continue
        for call in called(cell.source, "check"):
            name = call.args[1].id
            stub = next(c.source for c in reversed(cells[:index]) if f"def {name}(" in c.source)
            folded = next(c.source for c in cells[index:] if "<details>" in c.source)
            solution = re.search(r"```python\n(.*?)```", folded, re.S).group(1)
            found.append((name, stub, solution))
    return found


ALL = [(path, *exercise) for path in NOTEBOOKS for exercise in exercises_of(path)]


def defined(path, source, name):
    """The function `name` as `source` defines it, beside the notebook's imports and what `helpers` keeps."""
    namespace = {}
    for module in ("helpers.models", "helpers.losses"):
        namespace |= vars(importlib.import_module(module))
    for cell in read(path).cells:
        if cell.cell_type == "code":
            imports = [n for n in ast.parse(cell.source).body if isinstance(n, ast.Import | ast.ImportFrom)]
            exec(compile(ast.Module(imports, []), "<imports>", "exec"), namespace)
    exec(source, namespace)
    return namespace[name]


def exercise_named(path, name):
    return getattr(importlib.import_module(MODULES[path.stem]), name)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_exercises_and_uses_all_it_has(path):
    names = [name for name, _, _ in exercises_of(path)]
    assert len(names) >= LEAST.get(path.stem, 4)
    if names:
        module = importlib.import_module(MODULES[path.stem])
        assert {n for n, value in vars(module).items() if isinstance(value, Exercise)} == set(names)


@pytest.mark.parametrize(("path", "name", "stub", "solution"), ALL, ids=[f"{e[0].stem}-{e[1]}" for e in ALL])
def test_stub_solution_and_mistakes(path, name, stub, solution):
    exercise = exercise_named(path, name)
    assert verdict(exercise, defined(path, stub, name)) == "○ not attempted"
    assert verdict(exercise, defined(path, solution, name)).startswith("✓")
    assert exercise.mistakes, "an exercise names the common mistakes"
    for hint, mistaken in exercise.mistakes.items():
        assert verdict(exercise, mistaken) == f"✗ {hint}"
