"""Exercises of 01_autoencoder."""

from functools import partial

import torch
from torch.nn import functional as F

from helpers.exercises import Exercise, Question, predict as _predict
from helpers.models import Autoencoder

# ---- the absolute error of each image


def _absolute_error(x, x_mean):
    return (x - x_mean).abs().flatten(1).sum(dim=1)


absolute_error = Exercise(
    solution=_absolute_error,
    measure=lambda f: [f(torch.rand(5, 1, 28, 28), torch.rand(5, 1, 28, 28))],
    mistakes={
        "you averaged over the pixels; sum over them, so that the unit is nats per image": (
            lambda x, x_mean: (x - x_mean).abs().flatten(1).mean(dim=1)
        ),
        "you returned one number for the batch; leave the images apart, (B,): flatten(1).sum(dim=1)": (
            lambda x, x_mean: (x - x_mean).abs().sum()
        ),
        "you averaged over the batch as well; leave the images apart, (B,)": (
            lambda x, x_mean: _absolute_error(x, x_mean).mean()
        ),
        "you returned the mean over everything; sum over the pixels and leave the images apart, (B,)": (
            lambda x, x_mean: (x - x_mean).abs().mean()
        ),
        "errors of opposite sign cancel in your sum; take .abs() first": (
            lambda x, x_mean: (x - x_mean).flatten(1).sum(dim=1)
        ),
        "you took .abs() of the sum; errors of opposite sign cancel before it": (
            lambda x, x_mean: (x - x_mean).flatten(1).sum(dim=1).abs()
        ),
        "the ½ belongs to the squared error; Laplace's density has none in its exponent": (
            lambda x, x_mean: 0.5 * _absolute_error(x, x_mean)
        ),
        "you squared the differences; take their absolute values": (
            lambda x, x_mean: ((x - x_mean) ** 2).flatten(1).sum(dim=1)
        ),
    },
)


# ---- PCA by hand


def _pca_reconstruct(x, dims, centre=True, add_mean=True, last=False):
    mean = x.mean(dim=0) if centre else torch.zeros_like(x[0])
    components = torch.linalg.svd(x - mean, full_matrices=False).Vh
    components = components[-dims:] if last else components[:dims]
    return (x - mean) @ components.T @ components + (mean if add_mean else 0)


pca_reconstruct = Exercise(
    solution=_pca_reconstruct,
    measure=lambda f: [f(torch.randn(40, 6) * torch.tensor([4.0, 3, 2, 1.5, 1, 0.5]) + 2, 3)],
    tolerance=1e-3,
    mistakes={
        "you did not centre the data; take the mean away before the SVD and add it at the end": (
            lambda x, dims: _pca_reconstruct(x, dims, centre=False)
        ),
        "you took the mean away and did not add it again at the end": (
            lambda x, dims: _pca_reconstruct(x, dims, add_mean=False)
        ),
        "you kept the last components; the singular values fall, so the first rows of Vh come first": (
            lambda x, dims: _pca_reconstruct(x, dims, last=True)
        ),
    },
)


# ---- erased pixels


def _erase_pixels(x, share):
    return x * (torch.rand_like(x) >= share)


def _measure_erase(f):
    """Shares that do not depend on how the random numbers are drawn, from 2,000 images of 400 pixels."""
    x = torch.full((2000, 1, 20, 20), 0.5)
    erased, again = f(x, 0.3), f(x, 0.3)
    kept = (erased != 0).double()
    return [
        torch.tensor(erased.shape),
        erased.max(),
        kept.mean(),
        kept.mean(dim=(1, 2, 3)).std(),  # over images
        kept.mean(dim=0).std(),  # over pixels
        ((again != 0) == (erased != 0)).double().mean(),  # how often two calls agree
    ]


def _once(x, share):
    generator = torch.Generator().manual_seed(0)
    return x * (torch.rand(x.shape, generator=generator) >= share)


erase_pixels = Exercise(
    solution=_erase_pixels,
    measure=_measure_erase,
    tolerance=0.01,
    mistakes={
        "you erased the pixels that should stay: `share` is the probability of becoming 0": (
            lambda x, share: x * (torch.rand_like(x) < share)
        ),
        "the pixels that stay were enlarged, as dropout does; leave them as they are": (
            lambda x, share: F.dropout(x, share)
        ),
        "one mask served the whole batch; draw one for each image: torch.rand_like(x)": (
            lambda x, share: x * (torch.rand_like(x[:1]) >= share)
        ),
        "whole images were erased; draw a number for each pixel: torch.rand_like(x)": (
            lambda x, share: x * (torch.rand(len(x), 1, 1, 1) >= share)
        ),
        "two calls erased the same pixels; draw afresh at each call": _once,
        "you used normal numbers; P(randn < share) is not share: use torch.rand_like": (
            lambda x, share: x * (torch.randn_like(x) >= share)
        ),
    },
)


# ---- a walk between two codes


def _walk_between(model, x_a, x_b, steps):
    return torch.sigmoid(_walk_logits(model, x_a, x_b, torch.linspace(0, 1, steps)))


def _walk_logits(model, x_a, x_b, t):
    z_a, z_b = model.encode(x_a), model.encode(x_b)
    return model.decode(z_a + t[:, None] * (z_b - z_a))


def _walk_pixels(model, x_a, x_b, steps):
    t = torch.linspace(0, 1, steps).view(-1, 1, 1, 1)
    return x_a + t * (x_b - x_a)


def _measure_walk(f):
    model = Autoencoder(3, hidden=(16,))
    for p in model.parameters():
        p.data *= 3  # codes far apart and pixels that differ
    return [f(model, *torch.rand(2, 1, 1, 28, 28), 5)]


walk_between = Exercise(
    solution=_walk_between,
    measure=_measure_walk,
    mistakes={
        "you mixed the pixels; mix the codes and decode the mixture": _walk_pixels,
        "you mixed the pixels and then reconstructed; mix the codes instead": (
            lambda model, x_a, x_b, steps: torch.sigmoid(model(_walk_pixels(model, x_a, x_b, steps)))
        ),
        "you returned logits; pixels are their sigmoid": (
            lambda model, x_a, x_b, steps: _walk_logits(model, x_a, x_b, torch.linspace(0, 1, steps))
        ),
        "the walk stops before the second image; torch.linspace(0, 1, steps) holds both ends": (
            lambda model, x_a, x_b, steps: torch.sigmoid(
                _walk_logits(model, x_a, x_b, torch.arange(steps) / steps)
            )
        ),
        "the walk goes from the second image to the first; swap them": (
            lambda model, x_a, x_b, steps: _walk_between(model, x_b, x_a, steps)
        ),
    },
)


# ---- questions

predict = partial(
    _predict,
    {
        "widths": Question(
            "An autoencoder has two latents. How many components does PCA need for the same error on test digits?",
            {"a": "two", "b": "about five", "c": "about ten"},
            "c",
            {
                "a": "the table below, row of 2 numbers: the error of PCA is far above that of the autoencoder",
                "b": "the table below, row of 5 numbers: PCA is still worse than the autoencoder with 2",
            },
        ),
    },
)
