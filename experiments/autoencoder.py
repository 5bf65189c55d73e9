"""The autoencoder with the network, the data and the steps of `likelihood`: its fair rival in notebook 03."""

import torch

from experiments.likelihood import NETWORK, first, train
from experiments.runs import as_stored, training_seconds
from helpers.data import binarize, load_mnist, load_test_digits
from helpers.losses import bernoulli_nll
from helpers.session import start
from helpers.trained import build
from helpers.training import evaluate


def run(state, seed, epochs=160, images=60_000, test_images=10_000):
    """Train on freshly binarized digits and measure the reconstructions: → numbers, models, data."""
    session = start(seed)
    digits = load_mnist(session.device)
    train_images = first(digits.train_images, images)
    model = build("Autoencoder", NETWORK).to(session.device)
    model = as_stored(train(state, model, cross_entropy, train_images, epochs))
    numbers = evaluate(model, cross_entropy, first(digits.test_images, test_images))
    numbers = {"reconstruction nll": numbers["loss"], "training seconds": training_seconds(state)}
    return numbers, {"autoencoder": (model, NETWORK)} if seed == 0 else {}, digits.source


def cross_entropy(model, x):
    """−log p(x|z) of freshly binarized images at their own codes: → loss, terms, nats per image."""
    x = binarize(x)
    with torch.autocast(x.device.type, torch.bfloat16):
        x_logits = model(x)
    loss = bernoulli_nll(x, x_logits.float()).mean()
    return loss, {"reconstruction": loss.detach()}


def check(model):
    """A cheap number for the model's card: the reconstruction of the 1,000 test digits of the package."""
    torch.manual_seed(0)
    x = binarize(load_test_digits()[0])
    with torch.no_grad():
        return {"reconstruction nll": bernoulli_nll(x, model(x)).mean()}
