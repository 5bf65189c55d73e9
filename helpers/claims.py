"""Claims: statements in a notebook that are checked where they stand, and stop it if they are false."""

import sys

import numpy as np
import torch


def claim(text, condition, **numbers):
    """Print `✓ text` if `condition` is true; raise AssertionError with `✗ text` and the numbers if it is false.

    `condition` is True or False, or a tensor or array of one such value; anything else raises ValueError.
    `numbers` are what the condition compares, for whoever reads the error: claim("…", error < 0.1, error=error).
    """
    if not isinstance(text, str):
        raise ValueError(
            f"text is a {type(text).__name__}; expected a sentence first: claim(text, condition)"
        )
    answer = np.asarray(condition.cpu() if isinstance(condition, torch.Tensor) else condition)
    if answer.dtype != bool or answer.size != 1:
        raise ValueError(
            f"condition is {condition!r}; expected one True or False: compare numbers, as in error < 0.1, "
            "and join several answers with .all()"
        )
    if not answer.item():
        shown = ", ".join(f"{name} = {_number(value)}" for name, value in numbers.items())
        raise AssertionError(f"✗ {text}" + (f" ({shown})" if shown else ""))
    say(f"✓ {text}")


def say(text):
    """Print `text`; a console that lacks one of its characters shows ? instead of stopping the program."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding))


def _number(value):
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    value = value.item() if getattr(value, "size", 0) == 1 else value
    return f"{value:.4g}" if isinstance(value, float) else str(value)
