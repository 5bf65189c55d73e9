"""The exercises of 04_training_a_vae: solutions, what is measured, and the mistakes with their own hints."""

import torch

from helpers.exercises import Exercise
from helpers.losses import kl_per_latent, kl_to_standard_normal

# ---- repaired


def _batch(function):
    x, x_mean = torch.rand(6, 1, 7, 5), torch.rand(6, 1, 7, 5)
    mu, logvar = torch.randn(6, 4), torch.randn(6, 4)
    return [function(x, x_mean, mu, logvar, variance) for variance in (1.0, 0.3)]


def _squares(x, x_mean):
    return ((x - x_mean) ** 2).flatten(1)


def _repaired(x, x_mean, mu, logvar, variance):
    error = _squares(x, x_mean).sum(dim=1) / (2 * variance)
    return (error + kl_to_standard_normal(mu, logvar)).mean()


def _from_parts(error, kl):
    """A loss from functions of (x, x_mean, variance) and of (mu, logvar)."""
    return lambda x, x_mean, mu, logvar, variance: error(x, x_mean, variance) + kl(mu, logvar)


def _error(x, x_mean, variance):
    return _squares(x, x_mean).sum(dim=1).mean() / (2 * variance)


def _kl(mu, logvar):
    return kl_to_standard_normal(mu, logvar).mean()


repaired = Exercise(
    solution=_repaired,
    measure=_batch,
    mistakes={
        "the error is still averaged over the pixels: sum it over them, then average over the images": (
            _from_parts(lambda x, m, v: _squares(x, m).mean() / (2 * v), _kl)
        ),
        "the KL is still averaged over the latents: sum it over them, then average over the images": (
            _from_parts(_error, lambda mu, logvar: _kl(mu, logvar) / mu.shape[1])
        ),
        "both terms are still averaged over everything: sum over pixels and latents, average over images": (
            _from_parts(
                lambda x, m, v: _squares(x, m).mean() / (2 * v),
                lambda mu, logvar: _kl(mu, logvar) / mu.shape[1],
            )
        ),
        "the ½ of the Gaussian is missing: the error is divided by 2σ²": (
            _from_parts(lambda x, m, v: 2 * _error(x, m, v), _kl)
        ),
        "you divided by σ: the error is divided by 2σ², and variance is σ²": (
            _from_parts(lambda x, m, v: _error(x, m, v**0.5), _kl)
        ),
        "variance is σ² already: do not square it": _from_parts(lambda x, m, v: _error(x, m, v**2), _kl),
        "σ² is left out: the error is divided by 2σ²": _from_parts(lambda x, m, v: _error(x, m, 1.0), _kl),
        "β is right, but the loss is scaled by 2σ²: divide the error instead of weighing the KL": (
            lambda x, m, mu, logvar, v: 2 * v * _repaired(x, m, mu, logvar, v)
        ),
        "β is right, but the loss is scaled by σ²: divide the error instead of weighing the KL": (
            lambda x, m, mu, logvar, v: v * _repaired(x, m, mu, logvar, v)
        ),
        "you summed over the batch too: average over the images": lambda x, *rest: (
            len(x) * _repaired(x, *rest)
        ),
        "one term is summed over the batch, the other is not: average both over the images": (
            lambda x, m, mu, logvar, v: len(x) * _error(x, m, v) + _kl(mu, logvar)
        ),
        "this is one number per image: average over the images": lambda x, m, mu, logvar, v: (
            _squares(x, m).sum(dim=1) / (2 * v) + kl_to_standard_normal(mu, logvar)
        ),
        "the KL has the wrong sign: the loss adds it": _from_parts(
            _error, lambda mu, logvar: -_kl(mu, logvar)
        ),
    },
)


# ---- diagnose

DIAGNOSES = ("healthy", "rate too high", "collapse", "over-fitting")


def _runs():
    """Twelve runs of thirty epochs that leave no doubt: train and test −ELBO, and test KL, each (30,)."""
    epochs = torch.arange(30.0)
    for floor, rise, speed, gap in ((100.0, 22.0, 0.2, 3), (85.0, 26.0, 0.5, 4), (140.0, 12.0, 0.08, 0)):
        falling = floor + 110 * (-speed * epochs).exp()
        kl = rise * (1 - (-speed * epochs).exp()) + 2
        wiggle = 0.3 * torch.randn(3, 30)
        yield falling + wiggle[0], falling + gap + wiggle[1], kl
        jumps = falling + 400 * (torch.arange(30) % 7 == 3) * torch.rand(30).add(0.5)
        yield jumps, jumps + 3 + wiggle[1], kl + wiggle[2].abs()
        flat = 206 + 300 * (-3 * speed * epochs).exp()
        yield flat + 0.1 * wiggle[0], flat + 1 + 0.1 * wiggle[1], 0.01 + 0.5 * (-epochs).exp()
        turned = falling + 60 * (epochs / 30) ** 2 + 8
        yield falling - 25 * epochs / 30, turned + wiggle[1], kl + 5


def _diagnoses(function):
    answers = []
    for run in _runs():
        answer = function(*run)
        if answer not in DIAGNOSES:
            raise ValueError(f"{answer!r} is none of {', '.join(DIAGNOSES)}")
        answers.append(DIAGNOSES.index(answer))
    return [torch.tensor(answers)]


def _diagnose(train, test, kl):
    if not train.isfinite().all() or train.diff().max() > 50:
        return "rate too high"
    if kl[-1] < 0.1:
        return "collapse"
    if test[-1] > test.min() + 5:
        return "over-fitting"
    return "healthy"


def _without(diagnosis):
    """The rule, blind to one of the diagnoses."""

    def function(train, test, kl):
        answer = _diagnose(train, test, kl)
        return "healthy" if answer == diagnosis else answer

    return function


def _swapped(a, b):
    names = {a: b, b: a}

    def function(train, test, kl):
        answer = _diagnose(train, test, kl)
        return names.get(answer, answer)

    return function


def _over_fitting_is_any_gap(train, test, kl):
    answer = _diagnose(train, test, kl)
    return "over-fitting" if answer == "healthy" and test[-1] > train[-1] + 1 else answer


def _rising_kl_is_bad(train, test, kl):
    answer = _diagnose(train, test, kl)
    return "over-fitting" if answer == "healthy" and kl[-1] > kl[0] else answer


def _flat_is_collapse(train, test, kl):
    answer = _diagnose(train, test, kl)
    return "collapse" if answer == "healthy" and train[-5] - train[-1] < 1 else answer


diagnose = Exercise(
    solution=_diagnose,
    measure=_diagnoses,
    mistakes={
        "your rule sees no rate that is too high: there the train loss itself jumps up": _without(
            "rate too high"
        ),
        "your rule sees no collapse: look at the KL at the end": _without("collapse"),
        "your rule sees no over-fitting: the test loss rises while the train loss falls": (
            _without("over-fitting")
        ),
        "healthy runs count as over-fitted: a small constant gap is normal, a rising test loss is not": (
            _over_fitting_is_any_gap
        ),
        "healthy runs count as over-fitted: a KL that rises is how a VAE learns": _rising_kl_is_bad,
        "a healthy run that has settled counts as collapsed: look at its KL": _flat_is_collapse,
        "over-fitting and a rate that is too high are exchanged": _swapped("over-fitting", "rate too high"),
        "collapse and over-fitting are exchanged": _swapped("collapse", "over-fitting"),
        "everything counts as healthy": lambda train, test, kl: "healthy",
    },
)


# ---- beta_at


def _schedule(function):
    cases = [(10, 20, 1.0), (0, 5, 4.0), (7, 30, 0.5)]  # delay, ramp, beta
    return [torch.tensor([float(function(step, *case)) for step in range(60)]) for case in cases]


def _share(step, delay, ramp):
    return max(0.0, min(1.0, (step - delay) / ramp))


beta_at = Exercise(
    solution=lambda step, delay, ramp, beta: beta * _share(step, delay, ramp),
    measure=_schedule,
    mistakes={
        "the ramp starts at step 0: it must wait for `delay` steps": lambda step, delay, ramp, beta: (
            beta * _share(step, 0, ramp)
        ),
        "after the ramp β goes on rising: it must stay at `beta`": lambda step, delay, ramp, beta: (
            beta * max(0.0, (step - delay) / ramp)
        ),
        "before the delay is over β is negative: it must be 0": lambda step, delay, ramp, beta: (
            beta * min(1.0, (step - delay) / ramp)
        ),
        "the ramp ends at 1: it must end at `beta`": lambda step, delay, ramp, beta: _share(
            step, delay, ramp
        ),
        "the slope is one per `ramp` steps and the cap is `beta`: the ramp must take `ramp` steps": (
            lambda step, delay, ramp, beta: max(0.0, min(beta, (step - delay) / ramp))
        ),
        "β jumps: between 0 and `beta` it must rise a little each step": lambda step, delay, ramp, beta: (
            beta * (step >= delay + ramp)
        ),
        "β jumps at the end of the delay: it must rise over `ramp` steps": lambda step, delay, ramp, beta: (
            beta * (step >= delay)
        ),
        "the ramp ends at step `ramp`: it must take `ramp` steps, counted from the end of the delay": (
            lambda step, delay, ramp, beta: beta * _share(step, delay, ramp - delay)
        ),
        "β falls: it must rise from 0 to `beta`": lambda step, delay, ramp, beta: (
            beta * (1 - _share(step, delay, ramp))
        ),
        "β starts again after each ramp: this schedule has one ramp only": lambda step, delay, ramp, beta: (
            beta * (max(0.0, (step - delay) / ramp) % 1)
        ),
    },
)


# ---- grouped_free_bits


def _groups(function):
    strength = torch.tensor([1.5, 0.1, 0.2, 0.05, 0.8, 0.4])
    mu, logvar = strength * torch.randn(9, 6), -strength * torch.rand(9, 6)
    return [function(mu, logvar, floor, size) for floor, size in ((0.3, 2), (0.6, 3), (0.05, 1), (20.0, 2))]


def _by_group(mu, logvar, size):
    return kl_per_latent(mu, logvar).unflatten(1, (-1, size)).sum(dim=2)  # (B, groups)


def _grouped(mu, logvar, floor, size):
    return _by_group(mu, logvar, size).mean(dim=0).clamp(min=floor).sum()


def _neighbours_apart(mu, logvar, floor, size):
    return kl_per_latent(mu, logvar).unflatten(1, (size, -1)).sum(dim=1).mean(dim=0).clamp(min=floor).sum()


grouped_free_bits = Exercise(
    solution=_grouped,
    measure=_groups,
    mistakes={
        "this takes the smaller of the two: a group costs at least `floor`": lambda mu, logvar, floor, size: (
            _by_group(mu, logvar, size).mean(dim=0).clamp(max=floor).sum()
        ),
        "the floor is applied to each image: average over the batch first": lambda mu, logvar, floor, size: (
            _by_group(mu, logvar, size).clamp(min=floor).sum(dim=1).mean()
        ),
        "the floor is applied to each latent: add up the KL of a group first": (
            lambda mu, logvar, floor, size: _grouped(mu, logvar, floor, 1)
        ),
        "the floor is applied to the whole KL: each group has its own": lambda mu, logvar, floor, size: (
            kl_per_latent(mu, logvar).sum(dim=1).mean().clamp(min=floor)
        ),
        "the floor is multiplied by the group's size: it is meant for the whole group": (
            lambda mu, logvar, floor, size: _grouped(mu, logvar, floor * size, size)
        ),
        "there is no floor at all: this is the plain KL": lambda mu, logvar, floor, size: (
            kl_per_latent(mu, logvar).sum(dim=1).mean()
        ),
        "this is max(0, KL − λ): its gradient is right, but the formula asks for max(λ, KL)": (
            lambda mu, logvar, floor, size: (
                (_by_group(mu, logvar, size).mean(dim=0) - floor).clamp(min=0).sum()
            )
        ),
        "you averaged over the groups: add them up": lambda mu, logvar, floor, size: (
            _by_group(mu, logvar, size).mean(dim=0).clamp(min=floor).mean()
        ),
        "you averaged inside a group: the KL of a group is a sum": lambda mu, logvar, floor, size: (
            (_by_group(mu, logvar, size) / size).mean(dim=0).clamp(min=floor).sum()
        ),
        "you summed over the batch: take the mean over the images": lambda mu, logvar, floor, size: (
            _by_group(mu, logvar, size).sum(dim=0).clamp(min=floor).sum()
        ),
        "the groups hold latents that are far apart: neighbours belong together": _neighbours_apart,
        "logvar is used as if it were σ: it is log σ²": lambda mu, logvar, floor, size: (
            (0.5 * (mu**2 + logvar**2 - (logvar**2).log() - 1))
            .unflatten(1, (-1, size))
            .sum(dim=2)
            .mean(dim=0)
            .clamp(min=floor)
            .sum()
        ),
    },
)
