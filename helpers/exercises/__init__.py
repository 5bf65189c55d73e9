"""Exercises that recognise which mistake was made, and questions to answer before the cell that decides them.

The module of each notebook has its solutions, the hidden inputs, the common mistakes and the questions.
"""

import functools
import linecache
import traceback
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from helpers.claims import say


class Exercise(NamedTuple):
    """A task: `measure(function)` returns the numbers, as tensors, by which an attempt is judged.

    `measure` calls the function on inputs that the notebook does not show. `mistakes` maps a hint to a
    function that makes that mistake: an attempt that measures like it gets its hint.
    """

    solution: Callable
    measure: Callable[[Callable], list[torch.Tensor]]
    mistakes: dict[str, Callable]
    tolerance: float = 1e-4  # relative, and absolute for numbers below one


class Question(NamedTuple):
    """What a reader predicts before a cell is run. `refuted` maps each wrong choice to the cell that refutes it."""

    text: str
    choices: dict[str, str]
    answer: str
    refuted: dict[str, str]


def predict(questions, name, choice=None):
    """Print the question `name` and its choices; with a `choice`, whether it is right.

    `questions` maps names to `Question`. Each exercise module binds its own, so a notebook calls
    `predict("widths")`, or `predict("widths", "b")` to answer. Raises ValueError for an unknown name or choice.
    """
    if name not in questions:
        raise ValueError(f"there is no question {name!r}; expected one of: {', '.join(questions)}")
    question = questions[name]
    if choice is None:
        say(question.text)
        for letter, text in question.choices.items():
            say(f"  {letter}  {text}")
        say("○ not answered")
    elif choice not in question.choices:
        raise ValueError(f"choice is {choice!r}; expected one of: {', '.join(question.choices)}")
    elif choice == question.answer:
        say(f"✓ {choice}: {question.choices[choice]}")
    else:
        say(f"✗ {choice}: {question.choices[choice]}. What refutes it: {question.refuted[choice]}")


class _CannotJudge(Exception):
    """The attempt returned nothing to compare; the text says what it did instead."""


def check(exercise, attempt):
    """Run the reader's `attempt`; print `○ not attempted`, `✓ correct`, or `✗` and a hint."""
    say(verdict(exercise, attempt))


def verdict(exercise, attempt):
    """The line that `check` prints. The attempt is run and never read, so every right answer passes."""
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
    """The attempt, with its own errors told apart from errors in measuring what it returned."""

    @functools.wraps(attempt)
    def call(*args, **kwargs):
        try:
            answer = attempt(*args, **kwargs)
        except Exception as error:
            if isinstance(error, NotImplementedError) and not error.args:  # the stub's, not one of torch's
                raise
            place = _last_line(error, attempt)
            message = f"your function stopped with {type(error).__name__}: {error}{place}"
            raise _CannotJudge(message) from error
        if answer is None:
            raise _CannotJudge("your function returned None: is its return statement missing?")
        return answer

    return call


def _last_line(error, attempt):
    """Where in the reader's own cell the error arose: the last line of its traceback that lies in that cell."""
    cell = getattr(getattr(attempt, "__code__", None), "co_filename", None)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == cell]
    if not frames:
        return ""
    number = frames[-1].lineno
    return f"\n  line {number} of your cell: {linecache.getline(cell, number).strip()}"


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
