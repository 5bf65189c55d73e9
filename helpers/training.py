"""The one training loop of the series. `train_epoch` is taught in 01_autoencoder; `fit` adds what is not
the lesson: progress, history, a checkpoint, errors that say where and what to do. `run_grid`: many runs."""

import io
import os
import sys
import time
import warnings
from collections import Counter
from contextlib import closing, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import torch
from joblib import Parallel, delayed
from torch import nn
from tqdm import tqdm

from helpers import checkpoint as checkpoints
from helpers.data import batches

warnings.filterwarnings("ignore", "A worker stopped while some jobs")  # loky replaces it; no run is lost
_in_grid = False  # whether a run of `run_grid` is under way: Ctrl-C must stop the grid, not only its `fit`


class History(NamedTuple):
    """The mean of each term after each epoch, in nats per image: `history.test["loss"][-1]`.

    A train term is the mean over the epoch, while the model was learning; a test term is measured at its end.
    """

    train: dict[str, list[float]]
    test: dict[str, list[float]]


def train_epoch(model, loss_fn, images, optimizers, batch_size=128, schedulers=(), max_grad_norm=None):
    """Take one optimiser step per batch, in a fresh random order: → the mean of each term, nats per image.

    `images` is a tensor (N, ...) or a tuple of such; `loss_fn(model, x)` gives the loss and a dict of terms.
    Raises ValueError where a term is not one number, FloatingPointError where the loss is not finite.
    """
    totals = Counter()
    for step, x in enumerate(batches(images, batch_size), start=1):
        loss, terms = loss_fn(model, x)  # nats per image
        check_loss(loss, terms, step)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        if max_grad_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
        for optimizer in optimizers:
            optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
        add_terms(totals, loss, terms, x)
    return mean_terms(totals)


@torch.no_grad()
def evaluate(model, loss_fn, images, batch_size=1000):
    """The mean of each term over `images` (N, ...), in nats per image, in eval mode and without gradients."""
    totals, training = Counter(), model.training
    model.eval()
    try:
        for x in batches(images, batch_size, shuffle=False):
            add_terms(totals, *loss_fn(model, x), x)
    finally:
        model.train(training)
    return mean_terms(totals)


def fit(
    model,
    loss_fn,
    train,
    test=None,
    *,
    optimizers,
    epochs,
    batch_size=128,
    schedulers=(),
    max_grad_norm=None,
    checkpoint=None,
    title="fit",
):
    """Train until `epochs` epochs are done, print one line and return the `History`.

    `loss_fn(model, x)` gives the loss and a dict of terms, each one number. Schedulers step once a batch.
    `checkpoint` names a file, written after each epoch, from which a later call goes on with the very
    numbers of an uninterrupted run. It knows its model, optimisers, schedulers and sizes, but not the loss,
    the data and the seed: give each of those its own file. Ctrl-C keeps what was trained so far.
    Raises ValueError for a bad argument or a checkpoint of another run, and FloatingPointError where the
    loss is not finite; the parameters are then as they were before that step.
    """
    check_arguments(model, train, test, optimizers, schedulers, epochs)
    history, note, start = History({}, {}), "", time.perf_counter()
    if checkpoint is not None:
        Path(checkpoint).parent.mkdir(parents=True, exist_ok=True)  # an error now, not after an epoch
        sizes = {"train images": count(train), "test images": 0 if test is None else count(test)}
        run = (model, optimizers, schedulers)
        settings = checkpoints.describe(*run, **sizes, batch_size=batch_size, max_grad_norm=max_grad_norm)
        if Path(checkpoint).exists():
            history = History(**checkpoints.load(checkpoint, *run, settings, epochs))
            note = f" · {epochs_in(history)} epochs from {checkpoint}"
    done = epochs_in(history)
    try:
        with tqdm(range(done, epochs), title, epochs, leave=False, file=sys.stdout, initial=done) as bar:
            for _ in bar:
                means = train_epoch(model, loss_fn, train, optimizers, batch_size, schedulers, max_grad_norm)
                test_means = {} if test is None else evaluate(model, loss_fn, test)
                record(history.train, means)
                record(history.test, test_means)
                if checkpoint is not None:
                    checkpoints.save(checkpoint, *run, settings, history._asdict())
                bar.set_postfix({name: f"{value:.1f}" for name, value in (test_means or means).items()})
    except FloatingPointError as error:
        where = f"{title}: epoch {epochs_in(history) + 1}"
        raise FloatingPointError(f"{where}, {error}. {advice(model)}") from None
    except KeyboardInterrupt:
        if _in_grid:
            raise
        note += f" · stopped by hand in epoch {epochs_in(history) + 1} of {epochs}"
    losses = [f" · {name} loss {terms['loss'][-1]:.2f}" for name, terms in history._asdict().items() if terms]
    seconds = time.perf_counter() - start
    print(f"{title}: {epochs_in(history)} epochs, {seconds:.0f} s{''.join(losses)}{note}")
    return history


def check_arguments(model, train, test, optimizers, schedulers, epochs):
    """Raise ValueError where `fit` was given something that it cannot train with."""
    for name, value in {"optimizers": optimizers, "schedulers": schedulers}.items():
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{name} is one {type(value).__name__}; expected a list: write {name}=[...]")
    if not optimizers:
        raise ValueError("optimizers is empty: nothing would be trained; give at least one")
    mine = set(model.parameters())
    for i, optimizer in enumerate(optimizers):
        if mine.isdisjoint(p for group in optimizer.param_groups for p in group["params"]):
            kind = type(optimizer).__name__
            raise ValueError(f"optimizers[{i}] ({kind}) owns no parameter of this model; make it anew for it")
    if not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"epochs is {epochs!r}; expected a whole number, 1 or more")
    here = next(iter(mine)).device
    for name, images in {"train": train, "test": test}.items():
        if images is None:
            continue
        if count(images) == 0:
            raise ValueError(f"{name} holds no images; expected at least one")
        there = (images[0] if isinstance(images, tuple) else images).device
        if here.type != there.type:
            raise ValueError(f"{name} is on {there}, the model on {here}; expected one: model.to('{there}')")


def check_loss(loss, terms, step):
    """Raise ValueError where a term is not one number, FloatingPointError where the loss is not finite."""
    for name, value in {"loss": loss, **terms}.items():
        if isinstance(value, torch.Tensor) and value.ndim:
            raise ValueError(f"{name} has the shape {tuple(value.shape)}; expected one number: use .mean()")
    if not torch.isfinite(loss):
        bad = [name for name, value in terms.items() if not torch.isfinite(torch.as_tensor(value))]
        raise FloatingPointError(f"step {step}: not finite: {', '.join(['loss', *bad])}")


def advice(model):
    """What to try after a loss that is not finite."""
    broken = [name for name, p in model.named_parameters() if not torch.isfinite(p).all()]
    before = f"The step before broke {broken[0]}. " if broken else ""
    return f"{before}Try a lower learning rate, max_grad_norm=1.0, or a bound: logvar.clamp(-10, 10)"


def count(x):
    """The number of images in a tensor, or in a tuple of tensors."""
    return len(x[0]) if isinstance(x, tuple) else len(x)


def add_terms(totals, loss, terms, x):
    """Add the loss and each term of a batch `x`, times its number of images, to a Counter."""
    totals["images"] += count(x)
    for name, value in {"loss": loss, **terms}.items():
        totals[name] += count(x) * (value.detach() if isinstance(value, torch.Tensor) else value)


def mean_terms(totals):
    """The mean over all images that were added: term → float."""
    return {name: float(total / totals["images"]) for name, total in totals.items() if name != "images"}


def record(terms, means):
    """Append each mean to its term's list."""
    for name, value in means.items():
        terms.setdefault(name, []).append(value)


def epochs_in(history):
    """How many epochs a history holds."""
    return len(history.train.get("loss", []))


# ---- Many runs


def run_grid(function, grid, folder=None, title="runs", jobs=1):
    """Call `function(**run)` for each dict in the list `grid`; print one line, return the results in order.

    With `jobs` above 1, so many processes of one torch thread each share the runs; within
    `joblib.parallel_config("dask")`, the cluster does. What a run prints is not shown; its error is, with its
    parameters, and its result is None.
    With `folder`, each result is a file as soon as it is there, and a later call goes on from those files.
    They are named by the function's name and the parameters, not by its code or its data: where these
    change, name another folder. Ctrl-C keeps what is done; the rest is None.
    Raises ValueError for a bad argument, a damaged file, and a result that no file can hold.
    """
    if not isinstance(grid, list) or not all(isinstance(run, dict) for run in grid):
        raise ValueError(f"grid is {grid!r:.60}; expected a list of dicts: [{{'lr': 0.1}}, {{'lr': 0.2}}]")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)  # an error now, not after a run
    paths = [folder and checkpoints.result_path(folder, function, run) for run in grid]
    results = [checkpoints.load_result(path) if path and path.exists() else None for path in paths]
    todo = [i for i, path in enumerate(paths) if not (path and path.exists())]
    start, done, failed, note = time.perf_counter(), len(grid) - len(todo), 0, ""
    if done:
        note = f" · {done} from {folder}"
    calls = (delayed(_attempt)(function, i, grid[i], os.getpid()) for i in todo)
    try:
        with (
            tqdm(total=len(grid), desc=title, initial=done, leave=False, file=sys.stdout) as bar,
            closing(Parallel(jobs, return_as="generator_unordered")(calls)) as ended,
        ):
            for i, result, error in ended:
                if error:
                    failed += 1
                    bar.write(f"{title}: failed with {checkpoints.spell_run(grid[i])}: {error}")
                else:
                    results[i] = checkpoints.save_result(paths[i], result) if folder else result
                    done += 1
                bar.update()
    except KeyboardInterrupt:
        note += " · stopped by hand"
    note += f" · {failed} failed" if failed else ""
    print(f"{title}: {done} of {len(grid)} runs, {time.perf_counter() - start:.0f} s{note}")
    return results


def _attempt(function, i, run, parent):
    """One run, in whichever process: → its place in the grid, its result, and the error or None."""
    global _in_grid
    if os.getpid() != parent:
        torch.set_num_threads(1)
    _in_grid = True
    try:
        with redirect_stdout(io.StringIO()):
            return i, function(**run), None
    except Exception as error:
        return i, None, " ".join(f"{type(error).__name__}: {error}".split())
    finally:
        _in_grid = False
