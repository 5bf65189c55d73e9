"""−log p(x) with the network and the test of Burda, Grosse & Salakhutdinov 2016, one stochastic layer, k = 1."""

import math

import torch
from torch import nn

from experiments.runs import as_stored, rounds, training_seconds
from helpers.data import batches, binarize, load_mnist, load_test_digits
from helpers.losses import bernoulli_nll, log_weights
from helpers.models import reparameterize
from helpers.session import start
from helpers.trained import build
from helpers.training import train_epoch

NETWORK = {"latent_dim": 50, "hidden": (200, 200), "activation": "Tanh"}
RATES = (0.02, 0.04, 0.02, 0.02, 0.04, 0.12)  # encoder, then decoder; the last matrix draws the pixels


def run(state, seed, epochs=160, images=60_000, test_images=10_000, draws=5_000):
    """Train on freshly binarized digits and estimate −log p(x): → numbers, models, data."""
    session = start(seed)
    digits = load_mnist(session.device)
    train_images = first(digits.train_images, images)
    model = build("VAE", NETWORK).to(session.device)
    model = as_stored(train(state, model, sticking_elbo, train_images, epochs))
    x = binarize(first(digits.test_images, test_images))
    numbers = judge(model, x, draws) | {"training seconds": training_seconds(state)}
    return numbers, {"likelihood": (model, NETWORK)} if seed == 0 else {}, digits.source


def first(digits, n):
    """The first n of the digits (N, 1, 28, 28). Raises ValueError if there are fewer."""
    if n > len(digits):
        advice = "TUTORIAL_PROFILE=full has all, --set images=… asks for fewer"
        raise ValueError(f"{n:,} digits were asked for, {len(digits):,} are here: {advice}")
    return digits[:n]


def train(state, model, loss_fn, images, epochs, rates=RATES, batch_size=512):
    """Train with Muon for the matrices and Adam for the biases, all rates falling linearly to 0: → the model.

    `rates` are Muon's, one per matrix. They were chosen by runs of 20 and 60 epochs that held out 2,000 of the
    training images.
    """
    matrices = [p for p in model.parameters() if p.ndim == 2]
    biases = [p for p in model.parameters() if p.ndim == 1]
    for matrix in matrices:
        nn.init.xavier_uniform_(matrix)
    for bias in biases:
        nn.init.zeros_(bias)
    pixel_means = images.mean(dim=0).flatten().clamp(0.001, 0.999)
    model.decoder[-1].bias.data = torch.logit(pixel_means)  # as in the paper
    groups = [{"params": [matrix], "lr": lr} for matrix, lr in zip(matrices, rates, strict=True)]
    muon = torch.optim.Muon(groups, weight_decay=0, momentum=0.97, ns_steps=3)
    adam = torch.optim.Adam(biases, lr=1e-2, fused=True)
    steps = epochs * math.ceil(len(images) / batch_size)
    muon_decay = torch.optim.lr_scheduler.LambdaLR(muon, lambda step: 1 - step / steps)
    adam_decay = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: 1 - step / steps)
    parts = {"model": model, "muon": muon, "adam": adam, "muon_decay": muon_decay, "adam_decay": adam_decay}
    for _ in rounds(epochs, state, **parts):
        train_epoch(model, loss_fn, images, [muon, adam], batch_size, [muon_decay, adam_decay])
    return model


def sticking_elbo(model, x):
    """−ELBO of freshly binarized grey images: → loss, terms, nats per image.

    log q(z|x) − log p(z) at the draw stands for the KL divergence, with mu and logvar held fixed in log q:
    the gradient keeps its mean, and has no noise where q is exact. Roeder, Wu & Duvenaud 2017.
    Matrix products are in bfloat16.
    """
    x = binarize(x)
    with torch.autocast(x.device.type, torch.bfloat16):
        mu, logvar = (part.float() for part in model.encode(x))
        z = reparameterize(mu, logvar)
        x_logits = model.decode(z)
    log_q = -0.5 * ((z - mu.detach()) ** 2 / logvar.detach().exp() + logvar.detach()).sum(dim=1)
    rate = (log_q + 0.5 * (z**2).sum(dim=1)).mean()
    distortion = bernoulli_nll(x, x_logits.float()).mean()
    return distortion + rate, {"nll": distortion.detach(), "kl": rate.detach()}


@torch.no_grad()
def judge(model, x, draws):
    """−log p(x), −ELBO and active units on binarized images: → name → number."""
    log_w = [log_weights(model, batch, draws) for batch in batches(x, 500, shuffle=False)]  # (draws, B) each
    nll = torch.cat([math.log(draws) - w.logsumexp(dim=0) for w in log_w])  # (N,)
    elbo = torch.cat([w.mean(dim=0) for w in log_w])  # (N,)
    active = model.encode(x)[0].var(dim=0) > 0.01  # (D,)
    return {"nll": nll.mean(), "-elbo": -elbo.mean(), "active units": active.sum()}


def check(model):
    """A cheap number for the model's card: −log p(x) of the 1,000 test digits of the package with 20 draws."""
    torch.manual_seed(0)
    return judge(model, binarize(load_test_digits()[0]), draws=20)
