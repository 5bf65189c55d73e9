"""How the series keeps its word: claims that can fail, and exercises that tell which mistake was made."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch


def claim(text, holds):
    """Print `✓ text` where `holds` is true; raise AssertionError with `✗ text` where it is not.

    `holds` is True or False, or a tensor or array of one such; anything else raises ValueError.
    """
    if not isinstance(text, str):
        raise ValueError(f"text is a {type(text).__name__}; expected a sentence first: claim(text, holds)")
    answer = np.asarray(holds.cpu() if isinstance(holds, torch.Tensor) else holds)
    if answer.dtype != bool or answer.size != 1:
        raise ValueError(
            f"holds is {holds!r}; expected one True or False: compare numbers, as in error < 0.1, "
            "and join several answers with .all()"
        )
    if not answer.item():
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


class _CannotJudge(Exception):
    """The attempt gave nothing to compare; the text says what it did instead."""


def check(exercise, attempt):
    """Run the reader's `attempt`; print `○ not attempted`, `✓ correct` or `✗` and a hint."""
    print(verdict(exercise, attempt))


def verdict(exercise, attempt):
    """The line that `check` prints. The attempt is run, never read: two different right answers both pass."""
    expected = _measure(exercise, exercise.solution)
    try:
        measured = _measure(exercise, _guarded(attempt))
    except NotImplementedError:
        return "○ not attempted"
    except _CannotJudge as problem:
        return f"✗ {problem}"
    except Exception as error:
        return f"✗ what your function returned does not fit: {type(error).__name__}: {error}"
    if _agree(measured, expected, exercise.tolerance):
        return "✓ correct"
    for hint, mistaken in exercise.mistakes.items():
        if _agree(measured, _measure(exercise, mistaken), exercise.tolerance):
            return f"✗ {hint}"
    return f"✗ {_difference(measured, expected)}"


def _guarded(attempt):
    """The attempt, with its own errors told apart from those of measuring what it returned."""

    @functools.wraps(attempt)
    def call(*args, **kwargs):
        try:
            answer = attempt(*args, **kwargs)
        except Exception as error:
            if isinstance(error, NotImplementedError) and not error.args:  # the stub's, not one of torch's
                raise
            raise _CannotJudge(f"your function stopped with {type(error).__name__}: {error}") from error
        if answer is None:
            raise _CannotJudge("your function returned None: is its return statement missing?")
        return answer

    return call


def _measure(exercise, function):
    """The numbers of `function` as CPU tensors, with the same random numbers for everyone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return [_as_tensor(value) for value in exercise.measure(function)]


def _as_tensor(value):
    """Plain numbers and NumPy arrays count as tensors; what does not is left as it is."""
    if isinstance(value, int | float | np.generic | np.ndarray):
        value = torch.as_tensor(value)
    return value.detach().cpu().double() if isinstance(value, torch.Tensor) else value


def _agree(measured, expected, tolerance):
    return len(measured) == len(expected) and all(
        isinstance(m, torch.Tensor)
        and m.shape == e.shape
        and torch.allclose(m, e, rtol=tolerance, atol=tolerance, equal_nan=True)
        for m, e in zip(measured, expected, strict=True)
    )


def _difference(measured, expected):
    """What is wrong with an attempt that makes none of the known mistakes."""
    if len(measured) != len(expected):
        return f"your function returned {len(measured)} values; expected {len(expected)}"
    for m, e in zip(measured, expected, strict=True):
        if not isinstance(m, torch.Tensor):
            return f"your function returned a {type(m).__name__}; expected a tensor of shape {tuple(e.shape)}"
        if m.shape != e.shape:
            return f"your function returned the shape {tuple(m.shape)}; expected {tuple(e.shape)}"
        if not m.isfinite().all() and e.isfinite().all():
            return "your function returned NaN or infinity"
    worst = max((m - e).abs().max().item() for m, e in zip(measured, expected, strict=True))
    return f"the shape is right, the numbers are not: they are off by up to {worst:.3g}"
