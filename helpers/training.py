"""The training loop of the series. `train_epoch` is taught in 01_autoencoder; `fit` calls it once an epoch, shows
the progress, records the losses and explains errors. `run_grid` runs a function for many settings."""

import io
import operator
import os
import sys
import time
import traceback
import warnings
from contextlib import closing, contextmanager, redirect_stdout
from typing import NamedTuple

import numpy as np
import torch
from joblib import Parallel, delayed
from torch import nn
from torch.utils.data import TensorDataset
from tqdm import tqdm

from helpers.claims import say
from helpers.data import batches

warnings.filterwarnings("ignore", "A worker stopped while some jobs")  # loky replaces it; no run is lost


class History(NamedTuple):
    """The mean of each term after each epoch, in nats per image: `history.test["loss"][-1]`.

    A train term is the mean over the epoch, while the model was learning; a test term is measured at its end.
    """

    train: dict[str, list[float]]
    test: dict[str, list[float]]


def train_epoch(model, loss_fn, images, optimizers, batch_size=128, schedulers=(), max_grad_norm=None):
    """Take one optimiser step per batch, in a fresh random order; return the mean of each term, nats per image.

    `images` is a tensor (N, ...) or a tuple of such; `loss_fn(model, x)` returns the loss and a dict of terms.
    Raises ValueError if a term is not one number, and FloatingPointError at the end of the epoch if the loss of
    a step was not finite: nothing waits for the device before.
    """
    log = []
    for x in batches(images, batch_size):
        loss, terms = loss_fn(model, x)  # nats per image
        add_terms(log, loss, terms, x)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        if max_grad_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
        for optimizer in optimizers:
            optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return mean_terms(log)


@torch.no_grad()
def evaluate(model, loss_fn, images, batch_size=1000):
    """Return the mean of each term over `images` (N, ...), nats per image, in eval mode and without gradients.

    Every submodule is in its former mode afterwards. Raises ValueError if a term is not one number.
    """
    log = []
    with eval_mode(model):
        for x in batches(images, batch_size, shuffle=False):
            loss, terms = loss_fn(model, x)
            add_terms(log, loss, terms, x)
    return mean_terms(log, allow_nan=True)


@contextmanager
def eval_mode(model):
    """Put the model in eval mode; afterwards put each submodule back into the mode that it had."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


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
    title="fit",
):
    """Train for `epochs` epochs, print one line and return the `History`.

    `train` and `test` are a tensor (N, ...), a tuple of tensors, a NumPy array or a TensorDataset.
    `loss_fn(model, x)` returns the loss and a dict of terms, each one number. Schedulers step once per batch.
    A model in eval mode is put in train mode. Parameters that belong to no optimiser are named at the end.
    Raises ValueError for a bad argument, and FloatingPointError at the end of an epoch in which the loss was
    not finite. After an error or Ctrl-C the model is trained in part and there is no `History`.
    """
    train = as_tensors(train, "train", model)
    test = None if test is None else as_tensors(test, "test", model)
    epochs = check_arguments(model, optimizers, schedulers, epochs)
    if not model.training:
        model.train()
    history, start = History({}, {}), time.perf_counter()
    try:
        with tqdm(range(epochs), title, leave=False, file=sys.stdout) as bar:
            for _ in bar:
                means = train_epoch(model, loss_fn, train, optimizers, batch_size, schedulers, max_grad_norm)
                test_means = {} if test is None else evaluate(model, loss_fn, test)
                record(history.train, means)
                record(history.test, test_means)
                bar.set_postfix({name: f"{value:.1f}" for name, value in (test_means or means).items()})
    except FloatingPointError as error:
        epoch = len(history.train.get("loss", [])) + 1
        raise FloatingPointError(f"{title}: epoch {epoch}, {error}. {advice(train)}") from None
    losses = [f" · {name} loss {terms['loss'][-1]:.2f}" for name, terms in history._asdict().items() if terms]
    seconds = time.perf_counter() - start
    say(f"{title}: {epochs} epochs, {seconds:.0f} s{''.join(losses)}{untrained(model, optimizers)}")
    return history


def as_tensors(images, name, model):
    """The images as a tensor or a tuple of tensors that `fit` can train with; ValueError with the conversion."""
    if isinstance(images, np.ndarray):
        images = torch.from_numpy(images)
        if images.is_floating_point():  # NumPy's own numbers are float64
            images = images.to(next(model.parameters()))  # its dtype and its device
    if isinstance(images, TensorDataset):
        images = images.tensors if len(images.tensors) > 1 else images.tensors[0]
    tensors = images if isinstance(images, tuple) else (images,)
    if not tensors or not all(isinstance(tensor, torch.Tensor) for tensor in tensors):
        raise ValueError(
            f"{name} is a {type(images).__name__}; expected one tensor (N, C, H, W). From a DataLoader or another "
            "dataset: torch.cat([x for x, *_ in loader]); from a list of images: torch.stack(images)"
        )
    first = tensors[0]  # the images; labels may follow
    if len(first) == 0:
        raise ValueError(f"{name} holds no images; expected at least one")
    if first.dtype == torch.uint8:
        raise ValueError(
            f"{name} is uint8; expected float32 in [0, 1]: torch.as_tensor({name}).float() / 255"
        )
    if first.dtype == torch.float64 and next(model.parameters()).dtype == torch.float32:
        raise ValueError(f"{name} is float64 and the model float32: {name}.float(), or model.double()")
    here = next(model.parameters()).device
    if here.type != first.device.type:
        raise ValueError(
            f"{name} is on {first.device}, the model on {here}; expected one device: model.to('{first.device}')"
        )
    return images


def check_arguments(model, optimizers, schedulers, epochs):
    """Raise ValueError if `fit` was given something that it cannot train with; return `epochs` as an int."""
    for name, value in {"optimizers": optimizers, "schedulers": schedulers}.items():
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{name} is one {type(value).__name__}; expected a list: write {name}=[...]")
    if not optimizers:
        raise ValueError("optimizers is empty, so nothing would be trained; give at least one")
    mine = set(model.parameters())
    for i, optimizer in enumerate(optimizers):
        if mine.isdisjoint(p for group in optimizer.param_groups for p in group["params"]):
            kind = type(optimizer).__name__
            raise ValueError(
                f"optimizers[{i}] ({kind}) has no parameter of this model; create it for this model"
            )
    try:
        whole = operator.index(epochs)  # NumPy's integers, too
    except TypeError:
        whole = 0
    if whole < 1:
        raise ValueError(f"epochs is {epochs!r}; expected a whole number, 1 or more")
    return whole


def untrained(model, optimizers):
    """The end of `fit`'s line: which parameters no optimiser moves, if there are any."""
    owned = {p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    left = [name for name, p in model.named_parameters() if p.requires_grad and p not in owned]
    more = f" and {len(left) - 2} more" if len(left) > 2 else ""
    return f" · in no optimizer, so not trained: {', '.join(left[:2])}{more}" if left else ""


def advice(train):
    """What to try after a loss that is not finite."""
    images = train[0] if isinstance(train, tuple) else train
    low, high = (bound.item() for bound in images.aminmax())
    if not (low >= 0 and high <= 1):  # NaN fails both
        return f"train has values from {low:.3g} to {high:.3g}: a Bernoulli likelihood needs [0, 1]"
    return "Try a lower learning rate, max_grad_norm=1.0, or a bound: logvar.clamp(-10, 10)"


def count(x):
    """The number of images in a tensor, or in a tuple of tensors."""
    return len(x[0]) if isinstance(x, tuple) else len(x)


def add_terms(log, loss, terms, x):
    """Append the batch's number of images, its loss and its terms to `log`, without waiting for the device.

    Raises ValueError if one of them is not one number.
    """
    values = {"loss": loss, **terms}
    for name, value in values.items():
        if isinstance(value, torch.Tensor) and value.ndim:
            raise ValueError(f"{name} has the shape {tuple(value.shape)}; expected one number: use .mean()")
    log.append((count(x), {name: torch.as_tensor(value).detach() for name, value in values.items()}))


def mean_terms(log, allow_nan=False):
    """The mean over all images of each term in `log`: term → float. The only place that waits for the device.

    Raises FloatingPointError with the first step whose loss is not finite, and its terms, unless `allow_nan`.
    """
    images = torch.tensor([n for n, _ in log], dtype=torch.float64)
    table = {name: torch.stack([terms[name] for _, terms in log]).cpu().double() for name in log[0][1]}
    bad = ~table["loss"].isfinite()
    if bad.any() and not allow_nan:
        step = bad.int().argmax().item()
        names = [name for name, values in table.items() if not values[step].isfinite()]
        raise FloatingPointError(f"step {step + 1}: not finite: {', '.join(names)}")
    return {name: (values @ images / images.sum()).item() for name, values in table.items()}


def record(terms, means):
    """Append each mean to its term's list."""
    for name, value in means.items():
        terms.setdefault(name, []).append(value)


# ---- Many runs


def run_grid(function, grid, title="runs", jobs=1):
    """Call `function(**run)` for each dict in the list `grid`, print one line and return the results in order.

    With `jobs` above 1, that many processes of one torch thread each share the runs; within
    `joblib.parallel_config("dask")`, the cluster does. What a run prints is not shown. If runs fail, the others
    still finish; then RuntimeError gives the parameters and the traceback of the first, and its attribute
    `results` has what finished, None elsewhere. Raises ValueError for a bad grid. Ctrl-C stops everything.
    """
    if not isinstance(grid, list) or not all(isinstance(run, dict) for run in grid):
        raise ValueError(f"grid is {grid!r:.60}; expected a list of dicts: [{{'lr': 0.1}}, {{'lr': 0.2}}]")
    results, failures, start = [None] * len(grid), {}, time.perf_counter()
    calls = (delayed(_attempt)(function, i, run, os.getpid()) for i, run in enumerate(grid))
    with (
        tqdm(total=len(grid), desc=title, leave=False, file=sys.stdout) as bar,
        closing(Parallel(jobs, return_as="generator_unordered")(calls)) as ended,
    ):
        for i, result, failure in ended:
            results[i] = result
            if failure:
                failures[i] = failure
            bar.update()
    if failures:
        i, failure = min(failures.items())
        run = ", ".join(f"{name}={value!r:.60}" for name, value in grid[i].items())
        error = RuntimeError(f"{title}: {len(failures)} of {len(grid)} runs failed. With {run}:\n\n{failure}")
        error.results = results
        raise error
    say(f"{title}: {len(grid)} runs, {time.perf_counter() - start:.0f} s")
    return results


def _attempt(function, i, run, parent):
    """One run, in whichever process: its place in the grid, its result, and its traceback or None."""
    if os.getpid() != parent:
        torch.set_num_threads(1)
    try:
        with redirect_stdout(io.StringIO()):
            return i, function(**run), None
    except Exception:
        return i, None, traceback.format_exc()
