"""The exercises of 03_vae: solutions, what is measured, and the mistakes that get their own hint."""

import math

import torch
from torch.nn import functional as F

from helpers.exercises import Exercise
from helpers.losses import bernoulli_nll, kl_per_latent, kl_to_standard_normal


def images_and_logits():
    """Six images of coins, and logits for them: (6, 1, 7, 5) each."""
    x = torch.bernoulli(torch.rand(6, 1, 7, 5))
    return x, 3 * torch.randn_like(x)


def _coins(function):
    x, x_logits = images_and_logits()
    return [function(x, x_logits), function(x, 40 * x_logits)]


def _coin_terms(x, x_logits):
    return F.softplus(x_logits) - x * x_logits


def _coin_nll(x, x_logits):
    return _coin_terms(x, x_logits).flatten(1).sum(dim=1)


coin_nll = Exercise(
    solution=_coin_nll,
    measure=_coins,
    mistakes={
        "you took the mean over the pixels: the log of a product is a sum, so sum them": lambda x, a: (
            _coin_terms(x, a).flatten(1).mean(dim=1)
        ),
        "the sign is wrong: this is log p(x|z), the loss is its negative": lambda x, a: -_coin_nll(x, a),
        "x and 1 − x are exchanged: a pixel of 1 must be cheap where its logit is large": lambda x, a: (
            _coin_nll(1 - x, a)
        ),
        "the sigmoid is taken twice: softplus and x·a expect the logits themselves": lambda x, a: _coin_nll(
            x, a.sigmoid()
        ),
        "you summed over the batch too: keep one number per image, with flatten(1).sum(dim=1)": lambda x, a: (
            _coin_terms(x, a).sum()
        ),
        "you averaged over the batch: keep one number per image": lambda x, a: _coin_nll(x, a).mean(),
    },
)


def _parts(function):
    x, x_logits = images_and_logits()
    mu, logvar = torch.randn(6, 4), torch.randn(6, 4)
    return [function(x, x_logits, mu, logvar, beta) for beta in (1.0, 2.5)]


def _beta_loss(x, x_logits, mu, logvar, beta):
    return (bernoulli_nll(x, x_logits) + beta * kl_to_standard_normal(mu, logvar)).mean()


def _beta_on_the_nll(x, x_logits, mu, logvar, beta):
    return (beta * bernoulli_nll(x, x_logits) + kl_to_standard_normal(mu, logvar)).mean()


def _mean_over_latents(x, x_logits, mu, logvar, beta):
    return (bernoulli_nll(x, x_logits) + beta * kl_per_latent(mu, logvar).mean(dim=1)).mean()


def _mean_over_pixels(x, x_logits, mu, logvar, beta):
    nll = F.binary_cross_entropy_with_logits(x_logits, x)
    return nll + beta * kl_to_standard_normal(mu, logvar).mean()


def _sigma_for_logvar(x, x_logits, mu, logvar, beta):
    kl = 0.5 * (mu**2 + logvar**2 - (logvar**2).log() - 1).sum(dim=1)
    return (bernoulli_nll(x, x_logits) + beta * kl).mean()


beta_loss = Exercise(
    solution=_beta_loss,
    measure=_parts,
    mistakes={
        "β is on the wrong term: it weighs the KL": _beta_on_the_nll,
        "β is missing: it weighs the KL": lambda x, a, mu, logvar, beta: _beta_loss(x, a, mu, logvar, 1.0),
        "the KL has the wrong sign: the loss adds it, the ELBO subtracts it": lambda x, a, mu, logvar, beta: (
            _beta_loss(x, a, mu, logvar, -beta)
        ),
        "this is the ELBO: the loss is its negative": lambda x, a, mu, logvar, beta: (
            -_beta_loss(x, a, mu, logvar, beta)
        ),
        "the KL is averaged over the latents: sum them, or β is silently divided by D": _mean_over_latents,
        "the likelihood is averaged over the pixels: sum them, or the KL drowns it": _mean_over_pixels,
        "the ½ of the KL is missing": lambda x, a, mu, logvar, beta: _beta_loss(x, a, mu, logvar, 2 * beta),
        "logvar is used as if it were σ: it is log σ², so σ² = logvar.exp()": _sigma_for_logvar,
        "you summed over the batch: take the mean over the images": lambda x, a, mu, logvar, beta: (
            len(x) * _beta_loss(x, a, mu, logvar, beta)
        ),
    },
)


def _codes(function):
    mu, logvar = 2 * torch.randn(7, 3) + 1, torch.randn(7, 3) - 1
    return [function(mu, logvar)]


code_variance = Exercise(
    solution=lambda mu, logvar: mu.var(dim=0, correction=0) + logvar.exp().mean(dim=0),
    measure=_codes,
    mistakes={
        "this is the variance of the means alone: each code has its own noise σ² too": lambda mu, logvar: (
            mu.var(dim=0, correction=0)
        ),
        "this is the noise alone: the means differ from image to image too": lambda mu, logvar: (
            logvar.exp().mean(dim=0)
        ),
        "you added σ, not σ²: the variance is logvar.exp()": lambda mu, logvar: (
            mu.var(dim=0, correction=0) + (0.5 * logvar).exp().mean(dim=0)
        ),
        "you added log σ², not σ²: the variance is logvar.exp()": lambda mu, logvar: (
            mu.var(dim=0, correction=0) + logvar.mean(dim=0)
        ),
        "the mean of the logs is not the log of the mean: average σ², not log σ²": lambda mu, logvar: (
            mu.var(dim=0, correction=0) + logvar.mean(dim=0).exp()
        ),
        "this is E[μ²] + E[σ²]: subtract the square of the mean of μ": lambda mu, logvar: (
            (mu**2).mean(dim=0) + logvar.exp().mean(dim=0)
        ),
        "your variance divides by N − 1: use correction=0": lambda mu, logvar: (
            mu.var(dim=0) + logvar.exp().mean(dim=0)
        ),
    },
)


def _weights(function):
    return [function(torch.randn(8, 5) - 2), function(30 * torch.randn(8, 5) - 500)]


log_evidence = Exercise(
    solution=lambda log_w: log_w.logsumexp(dim=0) - math.log(len(log_w)),
    measure=_weights,
    mistakes={
        "this is the mean of the logs, the ELBO: take the log of the mean of the weights": lambda log_w: (
            log_w.mean(dim=0)
        ),
        "the log k is missing: the sum of k weights is not their mean": lambda log_w: log_w.logsumexp(dim=0),
        "the log k has the wrong sign: subtract it": lambda log_w: (
            log_w.logsumexp(dim=0) + math.log(len(log_w))
        ),
        "you divided the log weights by k: to divide the weights, subtract log k": lambda log_w: (
            log_w / len(log_w)
        ).logsumexp(dim=0),
        "exp under- or overflows: log_w.logsumexp(dim=0) is the stable way": lambda log_w: (
            log_w.exp().mean(dim=0).log()
        ),
        "this is the NLL: return log p(x), its negative": lambda log_w: (
            math.log(len(log_w)) - log_w.logsumexp(dim=0)
        ),
        "you averaged over the images: dimension 0 holds the draws": lambda log_w: (
            log_w.logsumexp(dim=1) - math.log(log_w.shape[1])
        ),
        "only the largest weight is kept: average all of them": lambda log_w: log_w.max(dim=0).values,
    },
)
