"""The network of `likelihood`, trained on the importance-weighted bound with k draws of each image."""

import torch

from experiments.likelihood import NETWORK, check, first, judge, train  # noqa: F401
from experiments.runs import as_stored, training_seconds
from helpers.data import binarize, load_mnist
from helpers.losses import bernoulli_nll
from helpers.session import start
from helpers.trained import build


def run(state, seed, k=5, epochs=160, images=60_000, test_images=10_000, draws=5_000):
    """Train on freshly binarized digits and estimate −log p(x): → numbers, models, data."""
    session = start(seed)
    digits = load_mnist(session.device)
    train_images = first(digits.train_images, images)
    model = build("VAE", NETWORK).to(session.device)
    model = as_stored(train(state, model, lambda model, x: bound(model, x, k), train_images, epochs))
    x = binarize(first(digits.test_images, test_images))
    numbers = judge(model, x, draws) | {"training seconds": training_seconds(state)}
    return numbers, {"importance_weighted": (model, NETWORK)} if seed == 0 else {}, digits.source


def bound(model, x, k):
    """−log (1/k) Σ w of freshly binarized grey images, one number: → loss, terms, nats per image.

    The gradient is doubly reparameterized: log q sees mu and logvar only through z, and the gradient that
    reaches z is weighted once more by the normalised weights. It has the same mean as the plain gradient and
    less noise. Burda, Grosse & Salakhutdinov 2016, eq. 8; Tucker, Lawson, Gu & Maddison 2019, eq. 8.
    """
    x = binarize(x)
    with torch.autocast(x.device.type, torch.bfloat16):
        mu, logvar = (part.float() for part in model.encode(x))  # (B, D)
        z = mu + (0.5 * logvar).exp() * torch.randn(k, *mu.shape, device=x.device)  # (k, B, D)
        x_logits = model.decode(z.flatten(0, 1))  # (k · B, 1, 28, 28)
    log_q = -0.5 * ((z - mu.detach()) ** 2 / logvar.detach().exp() + logvar.detach()).sum(dim=2)  # (k, B)
    log_prior = -0.5 * (z**2).sum(dim=2)  # both without log 2π, which cancels
    x_copies = x.expand(k, *x.shape).flatten(0, 1)
    log_w = log_prior - log_q - bernoulli_nll(x_copies, x_logits.float()).view(k, -1)  # (k, B)
    weight = log_w.detach().softmax(dim=0)  # (k, B)
    if z.requires_grad:
        z.register_hook(lambda gradient: weight[:, :, None] * gradient)
    surrogate = -(weight * log_w).sum(dim=0).mean()  # its gradient is the bound's
    value = (torch.tensor(k).log() - log_w.detach().logsumexp(dim=0)).mean()
    return surrogate - surrogate.detach() + value, {"bound": value}
