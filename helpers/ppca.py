"""Probabilistic PCA and the linear β-VAE in closed form. Used from 02_variational_inference on.

The model is z ~ N(0, I), x ~ N(Wz + b, σ²I) with `latent_dim` latents; `variance` is σ². `eigenvalues` (d,)
are those of the data's covariance (divided by N), in any order. All functions but `linear_log_likelihood`
describe the optimum of the model; likelihoods and KL are in nats per data point.

Sources: Tipping & Bishop, Probabilistic Principal Component Analysis, JRSS B 61(3), 1999; Lucas, Tucker,
Grosse & Norouzi, Don't Blame the ELBO! A Linear VAE Perspective on Posterior Collapse, NeurIPS 2019.
"""

import math

import torch


def linear_log_likelihood(x, weight, bias, variance):
    """Return log N(x; bias, WWᵀ + σ²I), the evidence of a linear model: x (B, d), weight (d, D), bias (d,) → (B,).

    Tipping & Bishop 1999, §3.1. Raises ValueError if shapes do not fit or the variance is not positive.
    """
    if x.ndim != 2 or weight.ndim != 2 or weight.shape[0] != x.shape[1]:
        raise ValueError(f"x is {tuple(x.shape)}, weight {tuple(weight.shape)}; expected (B, d) and (d, D)")
    _check_positive(variance=variance)
    covariance = weight @ weight.T + variance * torch.eye(len(weight), dtype=x.dtype, device=x.device)
    return torch.distributions.MultivariateNormal(bias, covariance).log_prob(x)


def ppca_log_likelihood(eigenvalues, latent_dim, variance):
    """Return the largest mean log-likelihood of pPCA with a fixed σ²: a 0-dim tensor.

    −½[d ln 2π + Σ_active(ln λ + 1) + Σ_inactive(ln σ² + λ/σ²)], a latent being active if λ > σ².
    Tipping & Bishop 1999, equation 8 with σ² held fixed. Raises ValueError for bad arguments.
    """
    eigenvalues = _sorted(eigenvalues, latent_dim)
    _check_positive(variance=variance)
    active = _active(eigenvalues, latent_dim, variance)
    terms = torch.where(active, eigenvalues.log() + 1, math.log(variance) + eigenvalues / variance)
    return -0.5 * (len(eigenvalues) * math.log(2 * math.pi) + terms.sum())


def linear_vae_kl(eigenvalues, latent_dim, variance, beta=1.0):
    """Return the mean KL of each latent, largest first: ½ ln(λ/(βσ²)) if λ > βσ², else 0: → (latent_dim,).

    This is reverse water-filling with the water level βσ². Lucas et al. 2019, §4, with σ² → βσ² in the encoder.
    Raises ValueError for bad arguments.
    """
    eigenvalues = _sorted(eigenvalues, latent_dim)
    _check_positive(variance=variance, beta=beta)
    return 0.5 * (eigenvalues[:latent_dim] / (beta * variance)).log().clamp(min=0)


def linear_vae_distortion(eigenvalues, latent_dim, variance, beta=1.0):
    """Return E‖x − x̂‖² with x̂ decoded from a sampled z: βσ² per active latent, λ per other direction.

    The result is a 0-dim tensor, in squared units of x. Same sources and errors as `linear_vae_kl`.
    """
    eigenvalues = _sorted(eigenvalues, latent_dim)
    _check_positive(variance=variance, beta=beta)
    water = torch.full_like(eigenvalues, beta * variance)
    return torch.where(_active(eigenvalues, latent_dim, beta * variance), water, eigenvalues).sum()


def linear_vae_variance(eigenvalues, latent_dim, beta=1.0):
    """Return the σ² that a linear VAE learns, a float: at β = 1 the mean of the discarded eigenvalues.

    With n active latents the loss is stationary at σ² = Σ_discarded λ/(d − βn). The smallest of these values is
    the minimum, since the slope of the loss has the sign of max_n (d − βn)σ² − Σ_discarded λ. Tipping & Bishop 1999,
    equation 8, for β = 1. Raises ValueError for bad arguments, and if latent_dim = d discards nothing.
    """
    eigenvalues = _sorted(eigenvalues, latent_dim)
    _check_positive(beta=beta, discarded=eigenvalues[latent_dim:].sum())
    degrees = [(n, len(eigenvalues) - beta * n) for n in range(latent_dim + 1)]
    return min(float(eigenvalues[n:].sum()) / left for n, left in degrees if left > 0)


def _active(eigenvalues, latent_dim, water):
    return (eigenvalues > water) & (torch.arange(len(eigenvalues), device=eigenvalues.device) < latent_dim)


def _sorted(eigenvalues, latent_dim):
    eigenvalues = torch.as_tensor(eigenvalues)
    if eigenvalues.ndim != 1 or not (eigenvalues > 0).all():
        raise ValueError(f"eigenvalues is {eigenvalues}; expected a tensor (d,) of positive numbers")
    if not 1 <= latent_dim <= len(eigenvalues):
        raise ValueError(f"latent_dim is {latent_dim}; expected 1 to {len(eigenvalues)}, one an eigenvalue")
    return eigenvalues.sort(descending=True).values


def _check_positive(**arguments):
    for name, value in arguments.items():
        if not value > 0:
            raise ValueError(f"{name} is {value}; expected a positive number")
