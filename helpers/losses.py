"""Losses in nats per image: summed over pixels and latents, averaged over the batch.

Taught in 01_autoencoder (`squared_error`, `reconstruction_loss`),
02_variational_inference (`kl_to_standard_normal`, `gaussian_nll`),
03_vae (`bernoulli_nll`, `negative_elbo`, `log_weights`, `importance_weighted_nll`),
04_training_a_vae (`free_bits`),
06_beta_vae (`capacity_loss`, `total_correlation_split`).
"""

import math

import torch
from torch.nn import functional as F

from helpers.models import reparameterize


def squared_error(x, x_mean):
    """Return ½‖x − x_mean‖² for each image: two tensors (B, ...) → (B,), nats.

    It is the negative log-likelihood of a Gaussian with variance 1, up to a constant.
    Raises ValueError if the shapes differ: the subtraction would broadcast them.
    """
    if x.shape != x_mean.shape:
        raise ValueError(f"x_mean is {tuple(x_mean.shape)}, x {tuple(x.shape)}: decode to the shape of x")
    return 0.5 * ((x - x_mean) ** 2).flatten(1).sum(dim=1)


def reconstruction_loss(model, x):
    """Return the autoencoder's loss on a batch (B, C, H, W) of pixels in [0, 1]: → loss, terms, nats per image.

    Raises ValueError if a pixel is outside [0, 1], which no sigmoid can reach.
    """
    x = check_pixels(x)
    x_mean = torch.sigmoid(model(x))  # (B, C, H, W)
    loss = squared_error(x, x_mean).mean()
    return loss, {"reconstruction": loss.detach()}


def check_pixels(x):
    """Return x (B, ...) if all pixels are in [0, 1].

    On the CPU other values raise ValueError. Elsewhere an image that has one becomes NaN, since a comparison
    would make every training step wait for the device; `fit` then reports the loss that is not finite.
    """
    if x.device.type == "cpu":
        low, high = x.aminmax()
        if not (low >= 0 and high <= 1):  # NaN fails both
            raise ValueError(f"x has pixels from {low:.3g} to {high:.3g}; expected [0, 1]: rescale x")
        return x
    return torch.where((x >= 0) & (x <= 1), x, torch.nan)


def kl_per_latent(mu, logvar):
    """Return KL(N(mu, σ²) ‖ N(0, 1)) of each latent, logvar = log σ²: two tensors of one shape → that shape, nats.

    Raises ValueError if the shapes differ. Kingma & Welling 2014, appendix B.
    """
    if mu.shape != logvar.shape:
        raise ValueError(f"mu is {tuple(mu.shape)}, logvar {tuple(logvar.shape)}: give both the shape (B, D)")
    return 0.5 * (mu**2 + logvar.exp() - logvar - 1)


def kl_to_standard_normal(mu, logvar):
    """Return KL(N(mu, diag σ²) ‖ N(0, I)) of each image, logvar = log σ²: two (B, ...) → (B,), nats.

    All latents of an image are summed: (B, D), or (B, C, H, W) of a convolutional code.
    Raises ValueError if the shapes differ. Kingma & Welling 2014, appendix B.
    """
    return kl_per_latent(mu, logvar).flatten(1).sum(dim=1)


def gaussian_nll(x, x_mean, logvar):
    """Return −log N(x; x_mean, σ²) for each image, logvar = log σ²: two (B, ...) → (B,), nats.

    logvar is one number for all pixels, or has the shape of x; all constants are included.
    Raises ValueError for other shapes.
    """
    if x.shape != x_mean.shape:
        raise ValueError(f"x_mean is {tuple(x_mean.shape)}, x {tuple(x.shape)}: decode to the shape of x")
    logvar = torch.as_tensor(logvar)
    if logvar.ndim and logvar.shape != x.shape:
        raise ValueError(
            f"logvar is {tuple(logvar.shape)}, x {tuple(x.shape)}: one number, or the shape of x"
        )
    return 0.5 * (math.log(2 * math.pi) + logvar + (x - x_mean) ** 2 / logvar.exp()).flatten(1).sum(dim=1)


def bernoulli_nll(x, x_logits):
    """Return −log p(x|z) of each image, its pixels independent with logits x_logits: two (B, ...) → (B,), nats.

    Raises ValueError if the shapes differ or a pixel of x is outside [0, 1] (see `check_pixels`).
    """
    if x.shape != x_logits.shape:
        raise ValueError(f"x_logits is {tuple(x_logits.shape)}, x {tuple(x.shape)}: decode to the shape of x")
    x = check_pixels(x)
    return F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").flatten(1).sum(dim=1)


def check_per_image(nats, x):
    """Raise ValueError unless `nats`, what nll(x, x_out) returned, holds one number for each image of x."""
    if nats.shape != x.shape[:1]:
        raise ValueError(
            f"nll returned the shape {tuple(nats.shape)}; expected ({len(x)},), the nats of each image, as from "
            "bernoulli_nll: sum over the pixels, do not average, and mind the order, nll(x, x_out)"
        )


def negative_elbo(model, x, beta=1.0, nll=bernoulli_nll):
    """Return −ELBO of a batch x with one draw of z per image: → loss, terms, nats per image.

    `nll(x, x_out)` returns −log p(x|z) of each image, (B,), from the decoder's output. Raises ValueError if it
    returns another shape. Kingma & Welling 2014, eq. 10; β: Higgins et al. 2017.
    """
    x_out, mu, logvar = model(x)
    nats = nll(x, x_out)  # (B,)
    check_per_image(nats, x)
    reconstruction = nats.mean()
    kl = kl_to_standard_normal(mu, logvar).mean()
    return reconstruction + beta * kl, {"nll": reconstruction.detach(), "kl": kl.detach()}


def log_weights(model, x, k, nll=bernoulli_nll):
    """Return log w = log p(x|z) + log p(z) − log q(z|x) for k draws z ~ q(z|x) of each image: → (k, B), nats.

    x (B, ...). Burda, Grosse & Salakhutdinov 2016, §3.
    """
    mu, logvar = model.encode(x)  # once, for all draws
    log_w = mu.new_empty(k, len(x))  # a list of k small tensors would scatter them over gigabytes
    for draw in range(k):
        z = reparameterize(mu, logvar)
        log_q = -0.5 * (logvar + (z - mu) ** 2 / logvar.exp()).flatten(1).sum(dim=1)
        log_prior = -0.5 * (z**2).flatten(1).sum(dim=1)  # both without log 2π, which cancels below
        nats = nll(x, model.decode(z))  # (B,)
        check_per_image(nats, x)
        log_w[draw] = log_prior - log_q - nats
    return log_w


@torch.no_grad()
def importance_weighted_nll(model, x, k, nll=bernoulli_nll):
    """Return an upper bound on −log p(x) for each image, −log (1/k) Σ w: x (B, ...) → (B,), nats.

    It is a bound in expectation and falls towards −log p(x) as k grows. The draws are decoded one at a time, so
    memory grows only by the (k, B) weights. Raises ValueError if k < 1.
    Burda, Grosse & Salakhutdinov 2016, eq. 8.
    """
    if k < 1:
        raise ValueError(f"k is {k}; expected at least one draw per image")
    return math.log(k) - log_weights(model, x, k, nll).logsumexp(dim=0)


def free_bits(model, x, floor, nll=bernoulli_nll):
    """Return nll + Σ_j max(floor, KL_j), KL_j the batch mean of latent j's KL: → loss, terms, nats per image.

    Below `floor` nats the KL of a latent has no gradient, so the loss does not push it down. Kingma et al. 2016
    with one group per latent. Raises ValueError if the floor is negative or nll does not return (B,).
    """
    if floor < 0:
        raise ValueError(f"floor is {floor}; expected 0 or more nats for each latent")
    x_out, mu, logvar = model(x)
    nats = nll(x, x_out)  # (B,)
    check_per_image(nats, x)
    reconstruction = nats.mean()
    kl = kl_per_latent(mu, logvar).mean(dim=0)  # (D,), or the shape of a feature map
    loss = reconstruction + kl.clamp(min=floor).sum()
    return loss, {"nll": reconstruction.detach(), "kl": kl.sum().detach()}


def capacity_loss(model, x, capacity, gamma=100.0, nll=bernoulli_nll):
    """Return D + γ|R − C|, which pulls the rate R to `capacity` nats C: → loss, terms, nats per image.

    Raises ValueError if the capacity is negative or nll does not return (B,). Burgess et al. 2018, eq. 8, where
    the capacity grows during training and γ is 1000.
    """
    if capacity < 0:
        raise ValueError(f"capacity is {capacity}; expected 0 or more nats per image")
    x_out, mu, logvar = model(x)
    nats = nll(x, x_out)  # (B,)
    check_per_image(nats, x)
    reconstruction = nats.mean()
    kl = kl_to_standard_normal(mu, logvar).mean()
    return reconstruction + gamma * (kl - capacity).abs(), {"nll": reconstruction.detach(), "kl": kl.detach()}


def total_correlation_split(z, mu, logvar, n):
    """Split the KL of one draw z into three parts, from a batch out of n images: (B, D) each → three (B,), nats.

    The parts are the information about the image, the total correlation of the latents, and the KL of each
    latent's marginal to the prior; their sum is log q(z|x) − log p(z). The estimate of q(z) is unbiased, its
    logarithm too small for B < n. Raises ValueError unless 2 ≤ B ≤ n. Chen et al. 2018, §3.
    """
    if z.ndim != 2:
        raise ValueError(f"z has the shape {tuple(z.shape)}; expected (B, D): use flatten(1) on all three")
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
