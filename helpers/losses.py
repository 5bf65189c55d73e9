"""Losses in nats per image: summed over pixels and latents, averaged over the batch.

Taught in 01_autoencoder (`squared_error`, `reconstruction_loss`).
"""

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
