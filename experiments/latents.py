"""−log p(x) and the latents in use against the number of latents: the network of `likelihood`, fewer epochs."""

from experiments.likelihood import NETWORK, first, judge, sticking_elbo, train
from experiments.runs import training_seconds
from helpers.data import binarize, load_mnist
from helpers.session import start
from helpers.trained import build

CASES = [{"latent_dim": latent_dim} for latent_dim in (2, 5, 10, 20, 50, 100)]


def run(state, seed, latent_dim, epochs=40, images=60_000, test_images=1_000, draws=1_000):
    """Train one width on freshly binarized digits and judge it on random test digits: → numbers, models, data."""
    session = start(seed)
    digits = load_mnist(session.device)
    model = build("VAE", NETWORK | {"latent_dim": latent_dim}).to(session.device)
    train(state, model, sticking_elbo, first(digits.train_images, images), epochs)
    x = binarize(first(digits.test_images, test_images))
    return judge(model, x, draws) | {"training seconds": training_seconds(state)}, {}, digits.source
