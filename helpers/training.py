"""The one training loop of the series. `train_epoch` is taught in 01_autoencoder; `fit` adds what is not
the lesson: progress, history, checkpoint, and errors that say where."""

import math
import sys
from collections import Counter
from typing import NamedTuple

import torch
from torch import nn
from tqdm import tqdm

from helpers.data import batches


class History(NamedTuple):
    """The mean of each term after each epoch, in nats per image: `history.test["loss"][-1]`."""

    train: dict[str, list[float]]
    test: dict[str, list[float]]


def train_epoch(model, loss_fn, images, optimizers, batch_size=128, schedulers=(), max_grad_norm=None):
    """Take one optimiser step per batch, in a fresh random order; return the mean of each term."""
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
    """Mean of each term over `images`, in nats per image, without training."""
    totals = Counter()
    for x in batches(images, batch_size, shuffle=False):
        loss, terms = loss_fn(model, x)
        add_terms(totals, loss, terms, x)
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
    """FIRST DRAFT (checkpoint, Ctrl-C and errors are being written). Train for `epochs`; return a `History`."""
    history = History({}, {})
    bar = tqdm(range(epochs), desc=title, leave=False, file=sys.stdout)
    for _ in bar:
        record(
            history.train,
            train_epoch(model, loss_fn, train, optimizers, batch_size, schedulers, max_grad_norm),
        )
        if test is not None:
            record(history.test, evaluate(model, loss_fn, test))
        bar.set_postfix(loss=f"{history.train['loss'][-1]:.1f}")
    print(f"{title}: {epochs} epochs, train loss {history.train['loss'][-1]:.2f}")
    return history


def record(terms, means):
    for name, value in means.items():
        terms.setdefault(name, []).append(value)


def check_loss(loss, terms, step):
    """Raise ValueError where a term is not one number, FloatingPointError where the loss is not finite."""
    for name, value in {"loss": loss, **terms}.items():
        if torch.as_tensor(value).ndim != 0:
            raise ValueError(
                f"{name} has the shape {tuple(value.shape)}; expected one number: take its .mean()"
            )
    if not torch.isfinite(loss):
        bad = [name for name, value in terms.items() if not math.isfinite(value)]
        raise FloatingPointError(f"step {step}: not finite: {', '.join(['loss', *bad])}")


def add_terms(totals, loss, terms, x):
    n = len(x[0]) if isinstance(x, tuple) else len(x)
    totals["images"] += n
    for name, value in {"loss": loss, **terms}.items():
        totals[name] += n * value.detach()


def mean_terms(totals):
    return {name: float(total / totals["images"]) for name, total in totals.items() if name != "images"}
