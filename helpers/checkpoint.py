"""Runs in files, written whole or not at all: a training that is resumed exactly, and the result of a run.

Used by `fit` and `run_grid` of `helpers.training`; no lesson, so taught nowhere.
"""

import hashlib
import io
import os
import re
import zipfile
from numbers import Number
from pathlib import Path

import torch


def describe(model, optimizers, schedulers, **sizes):
    """What makes a run this run, as name → text, without what training itself moves."""
    found = dict(sizes)
    for name, value in model.state_dict().items():
        found[f"model {name}"] = f"{tuple(value.shape)} {value.dtype}"
    moved = {"lr", "betas", "momentum"} if schedulers else set()
    for i, optimizer in enumerate(optimizers):
        found[f"optimizers[{i}]"] = type(optimizer).__name__
        for j, group in enumerate(optimizer.param_groups):
            group = group | {"params": [tuple(p.shape) for p in group["params"]]}
            found |= {f"optimizers[{i}] group {j} {k}": v for k, v in group.items() if k not in moved}
    moved = {"last_epoch", "T_cur", "T_i"}
    for i, scheduler in enumerate(schedulers):
        found[f"schedulers[{i}]"] = type(scheduler).__name__
        options = {k: v for k, v in scheduler.state_dict().items() if k not in moved and k[0] != "_"}
        found |= {f"schedulers[{i}] {k}": v for k, v in options.items()}
    return {name: str(value) for name, value in found.items()}


def save(path, model, optimizers, schedulers, settings, history):
    """Write the run's state to `path`; whoever reads it finds the old file or the new one, whole."""
    state = {
        "settings": settings,
        "epoch": len(history["train"]["loss"]),
        "history": history,
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "schedulers": [scheduler.state_dict() for scheduler in schedulers],
        "random": {name: get() for name, (get, _) in _generators(model).items()},
    }
    _write(path, state)


def load(path, model, optimizers, schedulers, settings, epochs):
    """Put the run's state back and return its history, {"train": …, "test": …}.

    Runs no code that the file holds. Raises ValueError, before it changes anything, where the file is
    damaged, belongs to a run with other settings, or has more than `epochs` epochs.
    """
    advice = "delete the file, or name another"
    try:
        state = _read(path)
        found, epoch, history = dict(state.get("settings")), state["epoch"], dict(state["history"])
    except OSError:
        raise  # the file may be well: it could not be read
    except Exception as error:
        raise ValueError(f"{path} is damaged, or no checkpoint ({type(error).__name__}): {advice}") from None
    other = [
        f"{name} is {found.get(name, 'absent')} in the file, {settings.get(name, 'absent')} here"
        for name in settings | found
        if settings.get(name) != found.get(name)
    ]
    if other:
        more = f"; and {len(other) - 3} more" if len(other) > 3 else ""
        raise ValueError(f"{path} belongs to another run: {'; '.join(other[:3])}{more}: {advice}")
    if epoch > epochs:
        raise ValueError(
            f"{path} has {epoch} epochs, expected at most {epochs}: ask for more epochs, {advice}"
        )
    model.load_state_dict(state["model"])
    for part, saved in zip(
        [*optimizers, *schedulers], [*state["optimizers"], *state["schedulers"]], strict=True
    ):
        part.load_state_dict(saved)
    for name, (_, put) in _generators(model).items():
        if name in state["random"]:  # a run that moves to another device goes on, with other random numbers
            put(state["random"][name])
    return history


def _generators(model):
    """The random generators of the CPU and of the model's device: name → (get state, set state)."""
    found = {"cpu": (torch.get_rng_state, torch.set_rng_state)}
    kind = next(model.parameters()).device.type
    if kind != "cpu":
        device = torch.get_device_module(kind)
        found[kind] = (device.get_rng_state, device.set_rng_state)
    return found


# ---- Results of runs


def spell(value):
    """A parameter as text that is the same in every process, or None where it has no such text."""
    if isinstance(value, str):
        return repr(value)
    if value is None or isinstance(value, Number):
        return str(value)
    if isinstance(value, (list, tuple)):
        parts = [spell(part) for part in value]
        return None if None in parts else f"({', '.join(parts)})"
    name = getattr(value, "__name__", "<lambda>")
    return None if name == "<lambda>" else name


def spell_run(run):
    """The parameters of a run, dict name → value, as text: "lr=0.1, seed=3"."""
    return ", ".join(f"{name}={spell(value) or type(value).__name__}" for name, value in sorted(run.items()))


def result_path(folder, function, run):
    """The file for `function(**run)`: its name says which run it is, and ends in a hash of the whole text.

    Raises ValueError where the function or a parameter has no name that would be the same tomorrow.
    """
    for name, value in {"function": function, **run}.items():
        if spell(value) is None:
            raise ValueError(
                f"{name} is a {type(value).__name__} without a name, so no file can be named after it; with "
                "a folder, expected numbers, text, functions made by def, classes, or lists or tuples of them"
            )
    text = f"{function.__name__}({spell_run(run)})"
    readable = re.sub(r"[^\w.=-]+", "-", text, flags=re.ASCII)[:150].strip("-")
    return Path(folder) / f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.pt"


def save_result(path, result):
    """Write a run's result; return it as `load_result` will. Raises ValueError where that cannot be done."""
    try:
        torch.load(io.BytesIO(_bytes(result)), weights_only=True)
    except Exception as error:
        why = re.search(r"GLOBAL (\S+)", str(error))
        raise ValueError(
            f"the result for {path.name} cannot be stored ({why[1] if why else error}); with a folder, "
            "expected numbers, text and tensors, in lists, tuples and dicts"
        ) from None
    _write(path, {"result": result})
    return load_result(path)


def load_result(path):
    """A result that `save_result` wrote, tensors on the CPU. Runs no code that the file holds.

    Raises ValueError where the file is damaged.
    """
    try:
        return _read(path)["result"]
    except OSError:
        raise
    except Exception as error:
        raise ValueError(
            f"{path} is damaged ({type(error).__name__}): delete it, to do its run again"
        ) from None


# ---- Files


def _bytes(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _write(path, state):
    """Whoever reads `path` finds the old file or the new one, whole."""
    new = Path(f"{path}.new")  # in the same folder: os.replace cannot cross file systems
    new.parent.mkdir(parents=True, exist_ok=True)
    with open(new, "wb") as file:
        file.write(_bytes(state))
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


def _read(path):
    with zipfile.ZipFile(path) as file:
        if file.testzip() is not None:  # torch.load does not compare the checksums that torch.save wrote
            raise zipfile.BadZipFile
    return torch.load(path, map_location="cpu", weights_only=True)
