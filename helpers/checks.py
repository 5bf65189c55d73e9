"""How the series keeps its word: claims that can fail, and exercises that tell which mistake was made."""

from collections.abc import Callable
from typing import NamedTuple

import torch


def claim(text, holds):
    """Print `✓ text` where `holds` is true; raise AssertionError with `✗ text` where it is not."""
    if not bool(holds):
        raise AssertionError(f"✗ {text}")
    print(f"✓ {text}")


class Exercise(NamedTuple):
    """A reader's task: `measure(function)` gives the numbers, as tensors, by which an answer is judged.

    `measure` calls the function on inputs that the notebook does not show. `mistakes` maps a hint to a
    function that makes that mistake: an attempt that measures like it gets its hint.
    """

    solution: Callable
    measure: Callable[[Callable], list[torch.Tensor]]
    mistakes: dict[str, Callable]
    tolerance: float = 1e-4  # relative, and absolute for numbers below one


def check(exercise, attempt):
    """Run the reader's `attempt` and print `○ not attempted`, `✓` or `✗` with a hint; return that line.

    The attempt is run, never read, so that two differently written right answers both pass.
    """
    line = _verdict(exercise, attempt)
    print(line)
    return line


def _verdict(exercise, attempt):
    try:
        measured = _measure(exercise, attempt)
    except NotImplementedError:
        return "○ not attempted"
    except Exception as error:
        return f"✗ your function stopped with {type(error).__name__}: {error}"
    expected = _measure(exercise, exercise.solution)
    if _agree(measured, expected, exercise.tolerance):
        return "✓ correct"
    for hint, mistaken in exercise.mistakes.items():
        if _agree(measured, _measure(exercise, mistaken), exercise.tolerance):
            return f"✗ {hint}"
    return f"✗ {_difference(measured, expected)}"


def _measure(exercise, function):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return exercise.measure(function)


def _agree(measured, expected, tolerance):
    return all(
        isinstance(m, torch.Tensor)
        and m.shape == e.shape
        and torch.allclose(m.double(), e.double(), rtol=tolerance, atol=tolerance)
        for m, e in zip(measured, expected, strict=True)
    )


def _difference(measured, expected):
    for m, e in zip(measured, expected, strict=True):
        if m is None:
            return "your function returned None: is its return statement missing?"
        if not isinstance(m, torch.Tensor):
            return f"your function returned a {type(m).__name__}; expected a tensor"
        if m.shape != e.shape:
            return f"your function returned the shape {tuple(m.shape)}; expected {tuple(e.shape)}"
    worst = max((m.double() - e.double()).abs().max().item() for m, e in zip(measured, expected, strict=True))
    return f"the shape is right, the numbers are not: they are off by up to {worst:.3g}"
