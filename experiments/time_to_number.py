"""−log p(x) against the seconds of training: the network of `likelihood` with a common recipe and with ours."""

import math
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from experiments.likelihood import NETWORK, first, sticking_elbo, train
from experiments.runs import training_seconds
from helpers.data import batches, binarize, load_mnist
from helpers.losses import log_weights, negative_elbo
from helpers.session import start
from helpers.trained import build
from helpers.training import train_epoch


def run(state, seed, adam=80, ours=90, images=60_000, test_images=10_000, few=20, draws=2_000):
    """Estimate −log p(x) after more and more epochs of the two recipes: → numbers, models, data.

    Adam at a constant 1e-3 passes all its points in one run of `adam` epochs with batches of 128. Our rates fall
    to 0 at the end of a run, so each of our points is a run of its own, the longest of `ours` epochs.
    """
    session, numbers = start(seed), {}
    digits = load_mnist(session.device)
    train_images = first(digits.train_images, images)
    x = binarize(first(digits.test_images, test_images))
    model = build("VAE", NETWORK).to(session.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    points, seconds = {max(1, adam >> halvings) for halvings in range(5)}, 0.0
    for epoch in range(1, adam + 1):
        began = time.perf_counter()
        train_epoch(model, lambda model, x: negative_elbo(model, binarize(x)), train_images, [optimizer])
        seconds += time.perf_counter() - began
        if epoch in points:
            numbers[f"adam {epoch} epochs training seconds"] = seconds
            numbers[f"adam {epoch} epochs nll"] = estimate_nll(model, x, few, draws)
    for epochs in sorted({max(1, ours >> halvings) for halvings in (4, 2, 0)}):
        with TemporaryDirectory() as folder:
            timed = Path(folder, "state.pt")
            model = build("VAE", NETWORK).to(session.device)
            train(timed, model, sticking_elbo, train_images, epochs)
            numbers[f"ours {epochs} epochs training seconds"] = training_seconds(timed)
        numbers[f"ours {epochs} epochs nll"] = estimate_nll(model, x, few, draws)
    return numbers, {}, digits.source


@torch.no_grad()
def estimate_nll(model, x, few, draws):
    """Mean −log p(x) in nats: with a `few` draws for all images, less what more draws take off every 50th.

    That correction hardly differs between images, while −log p(x) itself has a spread of 24 nats.
    """

    def bound(log_w, k):  # (n · k, B), in groups of k draws
        return (math.log(k) - log_w.unflatten(0, (-1, k)).logsumexp(dim=1)).mean()

    parts = [log_weights(model, batch, few) for batch in batches(x, 500, shuffle=False)]
    some = log_weights(model, x[::50], draws)
    return bound(torch.cat(parts, dim=1), few) - bound(some, few) + bound(some, draws)
