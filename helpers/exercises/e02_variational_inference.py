"""The exercises of 02_variational_inference: answers, hidden inputs and common mistakes."""

import math

import torch

from helpers.exercises import Exercise
from helpers.losses import kl_to_standard_normal

# ---- 1 · the KL by hand


def _measure_kl(kl):
    logvar = torch.rand(6, 5) + 0.2  # positive, so that a logarithm of it is a number too
    return [kl(torch.randn(6, 5), logvar), kl(torch.randn(1, 3), torch.tensor([[0.3, 1.2, 2.0]]))]


kl_by_hand = Exercise(
    kl_to_standard_normal,
    _measure_kl,
    {
        "you took the mean over the latents: independent latents add up, so sum over dim 1": (
            lambda mu, logvar: kl_to_standard_normal(mu, logvar) / mu.shape[1]
        ),
        "you averaged over the batch too: return one KL per image, (B,)": (
            lambda mu, logvar: kl_to_standard_normal(mu, logvar).mean()
        ),
        "you did not sum over the latents: return (B,), not (B, D)": (
            lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - logvar - 1)
        ),
        "you read logvar as σ²; it is log σ², so that σ² = exp(logvar)": (
            lambda mu, logvar: 0.5 * (mu**2 + logvar - logvar.log() - 1).sum(dim=1)
        ),
        "you read logvar as log σ; it is log σ², so that σ² = exp(logvar)": (
            lambda mu, logvar: 0.5 * (mu**2 + (2 * logvar).exp() - 2 * logvar - 1).sum(dim=1)
        ),
        "the sign is flipped: a KL is never negative": lambda mu, logvar: -kl_to_standard_normal(mu, logvar),
        "the factor ½ is missing": lambda mu, logvar: 2 * kl_to_standard_normal(mu, logvar),
        "the −1 is missing: at mu = 0, logvar = 0 the KL must be 0": (
            lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - logvar).sum(dim=1)
        ),
    },
)


# ---- 2 · a draw with a gradient


def _draw_solution(mu, logvar):
    return mu + (0.5 * logvar).exp() * torch.randn_like(mu)


def _draw_with_one_noise(mu, logvar):
    return mu + (0.5 * logvar).exp() * torch.randn(mu.shape, generator=torch.Generator().manual_seed(0))


def _gradient(output, argument):
    if not output.requires_grad:
        return torch.zeros_like(argument)
    (gradient,) = torch.autograd.grad(output.sum(), argument, retain_graph=True, allow_unused=True)
    return torch.zeros_like(argument) if gradient is None else gradient


def _measure_draws(draw):
    """Mean, spread and freshness of the draws in the batch, and the gradients, (7, 3) in all."""
    n = 40_000
    mu = torch.tensor([1.0, -2.0, 0.5]).repeat(n, 1).requires_grad_()
    logvar = torch.tensor([-1.0, 0.6, 1.4]).repeat(n, 1).requires_grad_()
    first, second = draw(mu, logvar), draw(mu, logvar)
    if not isinstance(first, torch.Tensor) or first.shape != mu.shape:
        return [first, torch.zeros(7, 3)]
    noise = (first - mu).detach()
    numbers = [first.mean(dim=0), first.std(dim=0), (first - second).std(dim=0)]
    numbers += [(first - second).abs().mean(dim=0), (noise[:, :1] * noise).mean(dim=0)]
    numbers += [_gradient(first, mu).mean(dim=0), (_gradient(first, logvar) * noise).mean(dim=0)]
    return [torch.zeros_like(first), torch.stack(numbers).detach()]


draw_z = Exercise(
    _draw_solution,
    _measure_draws,
    {
        "there is no noise: z = mu is not a draw": lambda mu, logvar: mu + 0 * logvar,
        "you used exp(logvar), which is σ², where σ belongs: σ = exp(½ logvar)": (
            lambda mu, logvar: mu + logvar.exp() * torch.randn_like(mu)
        ),
        "you used logvar itself as σ; it is log σ²: σ = exp(½ logvar)": (
            lambda mu, logvar: mu + logvar * torch.randn_like(mu)
        ),
        "the noise is drawn once and used again: draw it afresh in every call": _draw_with_one_noise,
        "all images of the batch share one noise: draw it in the shape (B, D) of mu": (
            lambda mu, logvar: mu + (0.5 * logvar).exp() * torch.randn(mu.shape[1])
        ),
        "all latents of an image share one noise: draw it in the shape (B, D) of mu": (
            lambda mu, logvar: mu + (0.5 * logvar).exp() * torch.randn(len(mu), 1)
        ),
        "the noise is uniform (rand): the prior and q are normal, so use randn": (
            lambda mu, logvar: mu + (0.5 * logvar).exp() * torch.rand_like(mu)
        ),
        "the draws are right, but no gradient reaches mu and logvar: compute z as mu + σ·ε": (
            lambda mu, logvar: _draw_solution(mu, logvar).detach()
        ),
    },
    tolerance=0.05,
)


# ---- 3 · the ELBO by Monte Carlo


LOG_2PI = math.log(2 * math.pi)


def _nll(x, x_mean, logvar_x, constant=LOG_2PI):
    return 0.5 * (constant + logvar_x + (x - x_mean) ** 2 / math.exp(logvar_x)).sum(dim=1)


def _mean_nll(x, mu, logvar, decode, logvar_x, n, draw=_draw_solution, **constant):
    return sum(_nll(x, decode(draw(mu, logvar)), logvar_x, **constant) for _ in range(n)) / n


def _elbo_solution(x, mu, logvar, decode, logvar_x, n):
    return -_mean_nll(x, mu, logvar, decode, logvar_x, n) - kl_to_standard_normal(mu, logvar)


def _measure_elbo(elbo):
    """The shape, and the mean over many copies of four images: less noise than four images would have."""
    images = [torch.randn(4, 3), torch.randn(4, 2), torch.rand(4, 2) - 1.5]
    x, mu, logvar = (rows.repeat(5000, 1) for rows in images)
    W = torch.tensor([[1.0, 0.5], [-0.7, 1.0], [0.3, -0.8]])
    estimates = elbo(x, mu, logvar, lambda z: torch.tanh(z @ W.T), torch.tensor(-0.7), 5)
    if not isinstance(estimates, torch.Tensor) or estimates.shape != (20_000,):
        return [estimates, torch.zeros(4)]
    return [torch.zeros_like(estimates), estimates.view(5000, 4).mean(dim=0)]


elbo_by_draws = Exercise(
    _elbo_solution,
    _measure_elbo,
    {
        "that is −ELBO, the loss: the bound is −NLL − KL": lambda *a: -_elbo_solution(*a),
        "the KL has the wrong sign: ELBO = −NLL − KL": (
            lambda x, mu, logvar, *a: -_mean_nll(x, mu, logvar, *a) + kl_to_standard_normal(mu, logvar)
        ),
        "the KL is missing: ELBO = −NLL − KL": lambda *a: -_mean_nll(*a),
        "you decoded mu and drew no z: the ELBO needs the expectation over z ~ q": (
            lambda x, mu, logvar, decode, logvar_x, n: (
                -_nll(x, decode(mu), logvar_x) - kl_to_standard_normal(mu, logvar)
            )
        ),
        "the constant ½ log 2π for each number in x is missing: without it this is no log-likelihood": (
            lambda x, mu, logvar, *a: (
                -_mean_nll(x, mu, logvar, *a, constant=0.0) - kl_to_standard_normal(mu, logvar)
            )
        ),
        "the sum of the draws was not divided by n": (
            lambda x, mu, logvar, decode, logvar_x, n: (
                -n * _mean_nll(x, mu, logvar, decode, logvar_x, n) - kl_to_standard_normal(mu, logvar)
            )
        ),
        "you took the mean over the numbers in x: sum over dim 1": (
            lambda x, mu, logvar, *a: (
                -_mean_nll(x, mu, logvar, *a) / x.shape[1] - kl_to_standard_normal(mu, logvar)
            )
        ),
        "z was drawn with σ², not with σ = exp(½ logvar)": (
            lambda x, mu, logvar, *a: (
                -_mean_nll(x, mu, logvar, *a, draw=lambda m, s: _draw_solution(m, 2 * s))
                - kl_to_standard_normal(mu, logvar)
            )
        ),
    },
    tolerance=0.03,
)


# ---- 4 · the score function


def _score_solution(f, z, mu, sigma):
    return f(z) * (z - mu) / sigma**2, f(z) * ((z - mu) ** 2 / sigma**3 - 1 / sigma)


def _changed(by_mu=lambda g, f, z, mu, sigma: g, by_sigma=lambda g, f, z, mu, sigma: g):
    """The solution with one or both of its gradients g replaced."""

    def attempt(*a):
        first, second = _score_solution(*a)
        return by_mu(first, *a), by_sigma(second, *a)

    return attempt


def _reparameterized(f, z, mu, sigma):
    z = z.clone().requires_grad_()
    (slope,) = torch.autograd.grad(f(z).sum(), z)
    return slope, slope * (z.detach() - mu) / sigma


def _unweighted(f, z, mu, sigma):
    return _score_solution(torch.ones_like, z, mu, sigma)


def _weighted_by_log_q(f, z, mu, sigma):
    log_q = torch.distributions.Normal(mu, sigma).log_prob(z)
    return f(z) * log_q, f(z) * log_q


def _measure_scores(gradients):
    answers = [
        gradients(torch.sin, 0.7 + 0.4 * torch.randn(20), 0.7, 0.4),
        gradients(lambda z: z**3, -1.0 + 2.5 * torch.randn(20), -1.0, 2.5),
    ]
    return [g for pair in answers for g in (pair if isinstance(pair, tuple | list) else [pair])]


score_gradients = Exercise(
    _score_solution,
    _measure_scores,
    {
        "you returned one gradient; return two: ∂/∂mu, ∂/∂sigma": lambda *a: _score_solution(*a)[0],
        "the two are in the wrong order: return ∂/∂mu first": lambda *a: _score_solution(*a)[::-1],
        "∂/∂mu: you divided by σ; ∇_μ log q(z) = (z − μ)/σ²": (
            _changed(by_mu=lambda g, f, z, mu, sigma: g * sigma)
        ),
        "∂/∂mu: the division by σ² is missing; ∇_μ log q(z) = (z − μ)/σ²": (
            _changed(by_mu=lambda g, f, z, mu, sigma: g * sigma**2)
        ),
        "∂/∂mu: the sign is flipped; log q holds −(z − μ)²/2σ², whose derivative by μ is +(z − μ)/σ²": (
            _changed(by_mu=lambda g, *a: -g)
        ),
        "∂/∂sigma: the −1/σ is missing; log q holds −log σ, because the density is divided by σ": (
            _changed(by_sigma=lambda g, f, z, mu, sigma: f(z) * (z - mu) ** 2 / sigma**3)
        ),
        "∂/∂sigma: the sign is flipped; a draw far from μ asks for a larger σ": (
            _changed(by_sigma=lambda g, *a: -g)
        ),
        "∂/∂sigma: you divided (z − μ)² by σ²; the derivative of −(z − μ)²/2σ² by σ is (z − μ)²/σ³": (
            _changed(by_sigma=lambda g, f, z, mu, sigma: f(z) * ((z - mu) ** 2 / sigma**2 - 1 / sigma))
        ),
        "∂/∂sigma: that is the derivative by σ²; by σ it is 2σ times as large": (
            _changed(by_sigma=lambda g, f, z, mu, sigma: g / (2 * sigma))
        ),
        "∂/∂sigma: that is the derivative by logvar = log σ²; by σ it is 2/σ times as large": (
            _changed(by_sigma=lambda g, f, z, mu, sigma: g * sigma / 2)
        ),
        "that is ∇ log q(z) alone: weight it by f(z)": _unweighted,
        "those are the reparameterized gradients, f′(z) and f′(z)·ε: the score function needs no f′": (
            _reparameterized
        ),
        "you weighted by log q(z); the estimator is f(z) times its gradient": _weighted_by_log_q,
        "you averaged over the draws: return one estimate for each, two (n,)": (
            lambda *a: tuple(g.mean() for g in _score_solution(*a))
        ),
    },
)


# ---- 5 · the exact likelihood of a linear model


def _gaussian(x, mean, covariance):
    return torch.distributions.MultivariateNormal(mean, covariance).log_prob(x)


def _evidence_solution(x, W, b, variance):
    return _gaussian(x, b, W @ W.T + variance * torch.eye(len(W)))


def _log_determinant(W, variance):
    return torch.logdet(W @ W.T + variance * torch.eye(len(W)))


def _measure_evidence(evidence):
    return [evidence(torch.randn(5, 4), torch.randn(4, 2), torch.randn(4) + 1, 0.3)]


linear_evidence = Exercise(
    _evidence_solution,
    _measure_evidence,
    {
        "you added σ = √variance to the diagonal; the noise adds its variance σ²": (
            lambda x, W, b, variance: _evidence_solution(x, W, b, variance**0.5)
        ),
        "you added variance²; `variance` is σ² already": (
            lambda x, W, b, variance: _evidence_solution(x, W, b, variance**2)
        ),
        "the mean b is missing: E[x] = W·0 + b": (
            lambda x, W, b, variance: _evidence_solution(x, W, torch.zeros_like(b), variance)
        ),
        "that is log p(x|z) at z = 0: the spread of z adds WWᵀ to the covariance": (
            lambda x, W, b, variance: _gaussian(x, b, variance * torch.eye(len(W)))
        ),
        "the log-determinant is missing: log p(x) holds −½ log|C|": (
            lambda x, W, b, variance: (
                _evidence_solution(x, W, b, variance) + 0.5 * _log_determinant(W, variance)
            )
        ),
        "the log-determinant lacks its ½: −½ log|C|": (
            lambda x, W, b, variance: (
                _evidence_solution(x, W, b, variance) - 0.5 * _log_determinant(W, variance)
            )
        ),
        "the constant −(d/2) log 2π is missing": (
            lambda x, W, b, variance: (
                _evidence_solution(x, W, b, variance) + 0.5 * len(W) * math.log(2 * math.pi)
            )
        ),
        "the sign is flipped: that is −log p(x)": lambda *a: -_evidence_solution(*a),
        "you averaged over the batch: return one number for each x, (B,)": (
            lambda *a: _evidence_solution(*a).mean()
        ),
    },
    tolerance=1e-3,
)
