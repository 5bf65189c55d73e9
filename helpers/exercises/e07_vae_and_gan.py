"""The exercises of 07_vae_and_gan: solutions, what is measured, and the mistakes that get their own hint."""

import torch
from torch.nn import functional as F

from helpers.exercises import Exercise


def _densities(function):
    p, q = 3 * torch.rand(9), torch.rand(9)
    p[0], q[1] = 0.0, 0.0  # what only one of the two ever makes
    return [function(p, q)]


optimal_discriminator = Exercise(
    solution=lambda p, q: p / (p + q),
    measure=_densities,
    mistakes={
        "p and q are exchanged: D is the probability that a sample is real": lambda p, q: q / (p + q),
        "this is the ratio p/q: a probability divides by p + q": lambda p, q: p / q,
        "this is D's logit, log p − log q: take its sigmoid": lambda p, q: p.log() - q.log(),
        "this is a decision: return the probability": lambda p, q: (p > q).float(),
        "this is p weighed by its own share alone: divide at each point, not by a sum over the points": (
            lambda p, q: p / (p + q).sum()
        ),
    },
)


def _logits(function):
    logits = 2 * torch.randn(7)
    return [function(logits), function(100 * logits)]


non_saturating_loss = Exercise(
    solution=lambda logits: F.softplus(-logits).mean(),
    measure=_logits,
    mistakes={
        "this is minimax, log(1 − D): its slope vanishes where D is sure that a sample is fake": lambda a: (
            -F.softplus(a).mean()
        ),
        "this is D's loss for fakes: G wants them to pass as real": lambda a: F.softplus(a).mean(),
        "the sign is wrong: this is log D, the loss is its negative": lambda a: F.logsigmoid(a).mean(),
        "log of a sigmoid overflows for logits like −200: softplus(−a) is the stable way": lambda a: (
            -torch.sigmoid(a).log().mean()
        ),
        "the sigmoid is taken twice: softplus expects the logits themselves": lambda a: F.softplus(
            -torch.sigmoid(a)
        ).mean(),
        "you summed over the batch: take the mean": lambda a: F.softplus(-a).sum(),
    },
)


def _moments(function):
    return [function(torch.randn(6), 3 * torch.rand(6), torch.randn(6), torch.rand(6))]


def _frechet_diagonal(mu_a, var_a, mu_b, var_b):
    return ((mu_a - mu_b) ** 2).sum() + ((var_a.sqrt() - var_b.sqrt()) ** 2).sum()


def _kl(mu_a, var_a, mu_b, var_b):
    return 0.5 * (var_a / var_b + (mu_a - mu_b) ** 2 / var_b - 1 - (var_a / var_b).log()).sum()


frechet_diagonal = Exercise(
    solution=_frechet_diagonal,
    measure=_moments,
    mistakes={
        "the means' part is not squared": lambda m, v, n, w: (
            (m - n).norm() + ((v.sqrt() - w.sqrt()) ** 2).sum()
        ),
        "the means' part is missing": lambda m, v, n, w: ((v.sqrt() - w.sqrt()) ** 2).sum(),
        "you compared variances: compare standard deviations": lambda m, v, n, w: (
            ((m - n) ** 2).sum() + ((v - w) ** 2).sum()
        ),
        "the cross term −2·σa·σb is missing: equal sets would not be at distance 0": lambda m, v, n, w: (
            ((m - n) ** 2).sum() + (v + w).sum()
        ),
        "the cross term needs its factor 2": lambda m, v, n, w: (
            ((m - n) ** 2).sum() + (v + w - (v * w).sqrt()).sum()
        ),
        "you averaged over the features: sum over them": lambda m, v, n, w: _frechet_diagonal(m, v, n, w) / 6,
        "this is the root: the Fréchet distance is used squared": lambda m, v, n, w: _frechet_diagonal(
            m, v, n, w
        ).sqrt(),
        "this is the KL divergence, which is not symmetric": _kl,
    },
)


def _samples(function):
    real, fake = torch.randn(40, 3), 1.5 * torch.randn(50, 3) + 0.7
    return [torch.as_tensor(function(real, fake, k)) for k in (1, 4)]


def _precision_recall(real, fake, k, skip=1, inside=torch.any):
    real_radius, fake_radius = (torch.cdist(x, x).sort(dim=1).values[:, k - 1 + skip] for x in (real, fake))
    distance = torch.cdist(real, fake)  # (N, M)
    precision = inside(distance < real_radius[:, None], dim=0).float().mean()
    return torch.stack([precision, inside(distance < fake_radius, dim=1).float().mean()])


def _only_nearest(real, fake, k):
    """Ask only whether a sample lies in the ball of the picture nearest to it."""
    real_radius, fake_radius = (torch.cdist(x, x).kthvalue(k + 1).values for x in (real, fake))
    near_real, near_fake = torch.cdist(fake, real).min(dim=1), torch.cdist(real, fake).min(dim=1)
    precision = (near_real.values < real_radius[near_real.indices]).float().mean()
    return torch.stack([precision, (near_fake.values < fake_radius[near_fake.indices]).float().mean()])


def _own_radius(real, fake, k):
    """Give each sample a ball of its own where a real picture's was asked for."""
    return _precision_recall(fake, real, k)


precision_recall = Exercise(
    solution=_precision_recall,
    measure=_samples,
    mistakes={
        "precision and recall are exchanged: precision asks whether fakes lie in real balls": _own_radius,
        "a sample is no neighbour of itself: its distance to itself, 0, must not count": lambda r, f, k: (
            _precision_recall(r, f, k, skip=0)
        ),
        "one ball is enough: ask for any, not for all": lambda r, f, k: _precision_recall(
            r, f, k, inside=torch.all
        ),
        "only the nearest ball was asked: a larger one farther away may hold the sample, too": _only_nearest,
    },
)


def _penalties(function):
    weight, x = torch.randn(12, 5, requires_grad=True), torch.randn(4, 1, 3, 4)
    penalty = function(lambda x: torch.tanh(x.flatten(1) @ weight).sum(dim=1), x, 3.0)
    if not penalty.requires_grad:  # nothing that D could learn from
        return [penalty, torch.zeros_like(weight)]
    return [penalty, *torch.autograd.grad(penalty, weight)]


def _slope(D, x, create_graph=True):
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(D(x).sum(), x, create_graph=create_graph)
    return slope.flatten(1)  # (B, pixels)


r1_penalty = Exercise(
    solution=lambda D, x, gamma: gamma / 2 * (_slope(D, x) ** 2).sum(dim=1).mean(),
    measure=_penalties,
    mistakes={
        "without create_graph=True the penalty is a constant: D cannot learn from it": lambda D, x, gamma: (
            gamma / 2 * (_slope(D, x, create_graph=False) ** 2).sum(dim=1).mean()
        ),
        "the factor ½ is missing": lambda D, x, gamma: gamma * (_slope(D, x) ** 2).sum(dim=1).mean(),
        "γ is missing": lambda D, x, gamma: 0.5 * (_slope(D, x) ** 2).sum(dim=1).mean(),
        "the norm is not squared": lambda D, x, gamma: gamma / 2 * _slope(D, x).norm(dim=1).mean(),
        "you averaged over the pixels: a squared norm is their sum": lambda D, x, gamma: (
            gamma / 2 * (_slope(D, x) ** 2).mean()
        ),
        "you summed over the images: take their mean": lambda D, x, gamma: (
            gamma / 2 * (_slope(D, x) ** 2).sum()
        ),
        "this is WGAN-GP's penalty, (norm − 1)²: R1 wants the slope at 0": lambda D, x, gamma: (
            gamma / 2 * ((_slope(D, x).norm(dim=1) - 1) ** 2).mean()
        ),
    },
)
