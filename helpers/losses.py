"""Losses in nats per image: summed over pixels and latents, averaged over the batch.

Taught in 01_autoencoder (`squared_error`, `reconstruction_loss`),
02_variational_inference (`kl_to_standard_normal`, `gaussian_nll`),
03_vae (`bernoulli_nll`, `negative_elbo`, `log_weights`, `importance_weighted_nll`),
04_training_a_vae (`free_bits`),
05_beta_vae (`capacity_loss`, `total_correlation_split`).
"""

import math

import torch
from torch.nn import functional as F

from helpers.models import reparameterize


def squared_error(x, x_mean):
    """½‖x − x_mean‖² of each image: images (B, 1, H, W) → (B,), nats.

    It is the negative log-likelihood of a Gaussian with variance 1, up to a constant.
    Raises ValueError where the shapes differ: the subtraction would broadcast them.
    """
    if x.shape != x_mean.shape:
        raise ValueError(f"x_mean is {tuple(x_mean.shape)}, x {tuple(x.shape)}: decode to the shape of x")
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


def bernoulli_nll(x, x_logits):
    """−log p(x|z) of each image whose pixels are independent coins with logits x_logits: → (B,), nats.

    Both (B, ...). Raises ValueError where the shapes differ or a pixel of x is outside [0, 1].
    """
    if x.shape != x_logits.shape:
        raise ValueError(f"x_logits is {tuple(x_logits.shape)}, x {tuple(x.shape)}: decode to the shape of x")
    low, high = x.aminmax()
    if not (low >= 0 and high <= 1):  # NaN fails both
        raise ValueError(f"x has pixels from {low:.3g} to {high:.3g}; expected [0, 1]: rescale x")
    return F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").flatten(1).sum(dim=1)


def negative_elbo(model, x, beta=1.0, nll=bernoulli_nll):
    """−ELBO of a batch x with one draw of z per image: → loss, terms, nats per image.

    `nll(x, decoder's output)` is −log p(x|z) of each image. Kingma & Welling 2014, eq. 10; β: Higgins 2017.
    """
    x_out, mu, logvar = model(x)
    reconstruction = nll(x, x_out).mean()
    kl = kl_to_standard_normal(mu, logvar).mean()
    return reconstruction + beta * kl, {"nll": reconstruction.detach(), "kl": kl.detach()}


def log_weights(model, x, k, nll=bernoulli_nll):
    """log w = log p(x|z) + log p(z) − log q(z|x) for k draws z ~ q(z|x) of each image: → (k, B), nats.

    x (B, ...). Burda, Grosse & Salakhutdinov 2016, §3.
    """
    mu, logvar = model.encode(x)  # once, for all draws
    log_w = mu.new_empty(k, len(x))  # a list of k small tensors would scatter them over gigabytes
    for draw in range(k):
        z = reparameterize(mu, logvar)
        log_q = -0.5 * (logvar + (z - mu) ** 2 / logvar.exp()).sum(dim=1)
        log_prior = -0.5 * (z**2).sum(dim=1)  # both without log 2π, which cancels below
        log_w[draw] = log_prior - log_q - nll(x, model.decode(z))
    return log_w


@torch.no_grad()
def importance_weighted_nll(model, x, k, nll=bernoulli_nll):
    """−log p(x) of each image from above, −log (1/k) Σ w with k draws per image: x (B, ...) → (B,), nats.

    One draw at a time is decoded, so of all that grows with k only the (k, B) weights are kept. Raises
    ValueError where k < 1. Burda, Grosse & Salakhutdinov 2016, eq. 8.
    """
    if k < 1:
        raise ValueError(f"k is {k}; expected at least one draw per image")
    return math.log(k) - log_weights(model, x, k, nll).logsumexp(dim=0)


def free_bits(model, x, floor, nll=bernoulli_nll):
    """nll + Σ_j max(floor, KL_j), KL_j the mean KL of latent j over the batch: → loss, terms, nats per image.

    A latent's KL below `floor` nats has no gradient, so it costs nothing. Kingma et al. 2016, each latent a
    group of its own. Raises ValueError where the floor is negative.
    """
    if floor < 0:
        raise ValueError(f"floor is {floor}; expected 0 or more nats for each latent")
    x_out, mu, logvar = model(x)
    reconstruction = nll(x, x_out).mean()
    kl = 0.5 * (mu**2 + logvar.exp() - logvar - 1).mean(dim=0)  # (D,)
    loss = reconstruction + kl.clamp(min=floor).sum()
    return loss, {"nll": reconstruction.detach(), "kl": kl.sum().detach()}


def capacity_loss(model, x, capacity, gamma=100.0, nll=bernoulli_nll):
    """D + γ|R − C|: the rate is pulled towards `capacity` nats: → loss, terms, nats per image.

    Raises ValueError where the capacity is negative, which no rate can be. Burgess et al. 2018, eq. 8, where
    the capacity grows during training and γ is 1000.
    """
    if capacity < 0:
        raise ValueError(f"capacity is {capacity}; expected 0 or more nats per image")
    x_out, mu, logvar = model(x)
    reconstruction = nll(x, x_out).mean()
    kl = kl_to_standard_normal(mu, logvar).mean()
    return reconstruction + gamma * (kl - capacity).abs(), {"nll": reconstruction.detach(), "kl": kl.detach()}


def total_correlation_split(z, mu, logvar, n):
    """The KL of one draw z in three parts, from a batch out of n images: (B, D) each → three (B,), nats.

    Information, total correlation, and each latent alone; their sum is log q(z|x) − log p(z). The estimate of
    q(z) is unbiased, its logarithm too small for B < n. Raises ValueError unless 2 ≤ B ≤ n.
    The split: Chen et al. 2018, §3.
    """
    if not 2 <= len(z) <= n:
        raise ValueError(f"n is {n} for a batch of {len(z)}; expected 2 or more images, and no more than n")
    b = len(z)
    log_q = -0.5 * (math.log(2 * math.pi) + logvar + (z[:, None] - mu) ** 2 / logvar.exp())  # (B, B, D)
    others = math.log((n - 1) / n / (b - 1))
    log_weight = torch.full((b, b), others, device=z.device).fill_diagonal_(-math.log(n))
    log_qzx = log_q.sum(dim=2).diagonal()  # log q(z_i|x_i)
    log_qz = (log_weight + log_q.sum(dim=2)).logsumexp(dim=1)
    log_each = (log_weight[:, :, None] + log_q).logsumexp(dim=1).sum(dim=1)  # log Π_j q(z_j)
    log_prior = -gaussian_nll(z, torch.zeros_like(z), 0.0)
    return log_qzx - log_qz, log_qz - log_each, log_each - log_prior
