"""Losses in nats per image: summed over pixels and latents, averaged over the batch.

Taught in 01_autoencoder (`squared_error`, `reconstruction_loss`),
02_variational_inference (`kl_to_standard_normal`, `gaussian_nll`).
"""

import math

import torch


def squared_error(x, x_mean):
    """½‖x − x_mean‖² of each image: images (B, 1, H, W) → (B,), nats.

    It is the negative log-likelihood of a Gaussian with variance 1, up to a constant.
    """
    return 0.5 * ((x - x_mean) ** 2).flatten(1).sum(dim=1)


def reconstruction_loss(model, x):
    """The autoencoder's loss on a batch (B, 1, 28, 28): → loss, terms, both in nats per image."""
    x_mean = torch.sigmoid(model(x))  # (B, 1, 28, 28)
    loss = squared_error(x, x_mean).mean()
    return loss, {"reconstruction": loss.detach()}


def kl_to_standard_normal(mu, logvar):
    """KL(N(mu, diag σ²) ‖ N(0, I)) of each image, logvar = log σ²: two (B, D) → (B,), nats.

    Raises ValueError where the shapes differ. Kingma & Welling 2014, appendix B.
    """
    if mu.shape != logvar.shape:
        raise ValueError(f"mu is {tuple(mu.shape)}, logvar {tuple(logvar.shape)}: give both the shape (B, D)")
    return 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(dim=1)


def gaussian_nll(x, x_mean, logvar):
    """−log N(x; x_mean, σ²I) of each image, logvar = log σ² (a scalar, or one for each pixel): → (B,), nats.

    x, x_mean (B, ...); all constants are included. Raises ValueError where their shapes differ.
    """
    if x.shape != x_mean.shape:
        raise ValueError(f"x_mean is {tuple(x_mean.shape)}, x {tuple(x.shape)}: decode to the shape of x")
    logvar = torch.as_tensor(logvar)
    return 0.5 * (math.log(2 * math.pi) + logvar + (x - x_mean) ** 2 / logvar.exp()).flatten(1).sum(dim=1)
