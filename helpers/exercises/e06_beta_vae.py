"""The exercises of 06_beta_vae: solutions, what is measured, and the mistakes that get their own hint."""

import torch

from helpers.exercises import Exercise
from helpers.losses import kl_to_standard_normal


def _parts(function):
    nll, mu, logvar = 50 * torch.rand(6), torch.randn(6, 4), torch.randn(6, 4)
    return [function(nll, mu, logvar, beta) for beta in (1.0, 4.0)]


def _beta_loss(nll, mu, logvar, beta):
    return (nll + beta * kl_to_standard_normal(mu, logvar)).mean()


def _sigma_for_logvar(nll, mu, logvar, beta):
    kl = 0.5 * (mu**2 + logvar**2 - (logvar**2).log() - 1).sum(dim=1)
    return (nll + beta * kl).mean()


beta_loss = Exercise(
    solution=_beta_loss,
    measure=_parts,
    mistakes={
        "β is missing: it weighs the KL": lambda nll, mu, logvar, beta: _beta_loss(nll, mu, logvar, 1.0),
        "β is on the wrong term: it weighs the KL": lambda nll, mu, logvar, beta: (
            beta * nll + kl_to_standard_normal(mu, logvar)
        ).mean(),
        "the KL has the wrong sign: the loss adds it": lambda nll, mu, logvar, beta: _beta_loss(
            nll, mu, logvar, -beta
        ),
        "the KL is averaged over the latents: sum them, or β is silently divided by D": (
            lambda nll, mu, logvar, beta: _beta_loss(nll, mu, logvar, beta / mu.shape[1])
        ),
        "the ½ of the KL is missing": lambda nll, mu, logvar, beta: _beta_loss(nll, mu, logvar, 2 * beta),
        "logvar is used as if it were σ: it is log σ², so σ² = logvar.exp()": _sigma_for_logvar,
        "you summed over the batch: take the mean over the images": lambda nll, mu, logvar, beta: (
            len(nll) * _beta_loss(nll, mu, logvar, beta)
        ),
        "this is one loss for each image: take the mean over the batch": lambda nll, mu, logvar, beta: (
            nll + beta * kl_to_standard_normal(mu, logvar)
        ),
    },
)


def _tours(function):
    codes = torch.randn(60, 5) * torch.tensor([0.1, 1.0, 2.0, 0.5, 3.0]) + torch.arange(5)
    return [function(codes.clone(), image, latent, 4) for image, latent in ((7, 1), (30, 4))]


def _traverse(codes, image, latent, steps, low=0.05, high=0.95):
    ends = [codes[:, latent].quantile(q).item() for q in (low, high)]
    return _tour(codes[image], latent, torch.linspace(*ends, steps))


def _tour(z, latent, values):
    tour = z.repeat(len(values), 1)
    tour[:, latent] = values
    return tour


def _added(codes, image, latent, steps):
    tour = _traverse(codes, image, latent, steps)
    tour[:, latent] += codes[image, latent]
    return tour


def _all_latents(codes, image, latent, steps):
    return _traverse(codes, image, latent, steps)[:, [latent]].repeat(1, codes.shape[1])


def _over_all(codes, image, latent, steps):
    return _tour(
        codes[image], latent, torch.linspace(*(codes.quantile(q).item() for q in (0.05, 0.95)), steps)
    )


traverse = Exercise(
    solution=_traverse,
    measure=_tours,
    mistakes={
        "from the smallest to the largest code: one odd image decides; take the quantiles": (
            lambda codes, image, latent, steps: _traverse(codes, image, latent, steps, 0.0, 1.0)
        ),
        "from −3 to 3, whatever the codes are: take their quantiles": lambda codes, image, latent, steps: (
            _tour(codes[image], latent, torch.linspace(-3, 3, steps))
        ),
        "these are the quantiles over all latents: take those of the one that moves": _over_all,
        "it runs backwards: begin at the 5 % quantile": lambda codes, image, latent, steps: _traverse(
            codes, image, latent, steps, 0.95, 0.05
        ),
        "you added the values to the latent: it takes them": _added,
        "all latents move: the others keep the image's values": _all_latents,
        "the others are 0: they keep the image's values": lambda codes, image, latent, steps: _tour(
            torch.zeros(codes.shape[1]), latent, _traverse(codes, image, latent, steps)[:, latent]
        ),
        "every row is the last one: rows that share one z change together, copy z for each row": (
            lambda codes, image, latent, steps: _traverse(codes, image, latent, steps)[-1:].repeat(steps, 1)
        ),
        "the table is on its side: a row is a code, (steps, D)": lambda codes, image, latent, steps: (
            _traverse(codes, image, latent, steps).T
        ),
    },
)


def _tables(function):
    return [function(torch.rand(7, 5), 1 + torch.rand(5))]


def _sorted(information, dim=0):
    return information.sort(dim=dim, descending=True).values


def _gap(information, entropies):
    best = _sorted(information)
    return ((best[0] - best[1]) / entropies).mean()


gap_of_table = Exercise(
    solution=_gap,
    measure=_tables,
    mistakes={
        "divide each gap by its factor's entropy": lambda i, h: (_sorted(i)[0] - _sorted(i)[1]).mean(),
        "subtract the information of the second best latent": lambda i, h: (_sorted(i)[0] / h).mean(),
        "the gap is to the second best latent, not to the worst": lambda i, h: (
            (_sorted(i)[0] - _sorted(i)[-1]) / h
        ).mean(),
        "the gap is to the second best latent, not to the mean of all": lambda i, h: (
            (i.max(dim=0).values - i.mean(dim=0)) / h
        ).mean(),
        "sort the latents of each factor, dimension 0, not the factors of each latent": lambda i, h: (
            (_sorted(i, 1)[:, 0] - _sorted(i, 1)[:, 1]).mean() / h.mean()
        ),
        "divide before you average: each factor has its own entropy": lambda i, h: (
            (_sorted(i)[0] - _sorted(i)[1]).mean() / h.mean()
        ),
        "one number, please: the mean over the factors": lambda i, h: (_sorted(i)[0] - _sorted(i)[1]) / h,
    },
)


def _ballots(function):
    votes = []
    for _ in range(40):
        scale = torch.rand(6) * 3 + 0.1
        codes = torch.randn(16, 6) * scale * (0.3 + torch.rand(6)) + 3 * torch.randn(6)
        scale[:2] = 0.03  # two that are off, and vary even less in the batch
        codes[:, :2] = 0.001 * torch.randn(16, 2)
        votes.append(torch.as_tensor(function(codes, scale**2)))
    return [torch.stack(votes)]


def _vote(codes, variance, off=0.05**2):
    ratio = codes.var(dim=0) / variance
    ratio[variance < off] = float("inf")
    return ratio.argmin()


vote = Exercise(
    solution=_vote,
    measure=_ballots,
    mistakes={
        "latents that are off win: give them no vote": lambda codes, variance: _vote(codes, variance, 0.0),
        "0.05 is a deviation: compare like with like, its square is a variance": lambda codes, variance: (
            _vote(codes, variance, 0.05)
        ),
        "divide by the variance over the data: a latent may be small everywhere": lambda codes, variance: (
            _vote(codes * variance.sqrt(), variance)
        ),
        "the latent that varies least votes: argmin": lambda codes, variance: (
            codes.var(dim=0) / variance * (variance >= 0.05**2)
        ).argmax(),
        "that is a deviation over a variance: divide like by like": lambda codes, variance: (
            (codes.std(dim=0) / variance).where(variance >= 0.05**2, float("inf")).argmin()
        ),
        "this is the smallest ratio: return its index": lambda codes, variance: (codes.var(dim=0) / variance)[
            variance >= 0.05**2
        ].min(),
        "this index counts only the latents that are on: return it among all": lambda codes, variance: (
            codes.var(dim=0) / variance
        )[variance >= 0.05**2].argmin(),
        "a code far from 0 need not vary: use the variance, not the mean square": lambda codes, variance: (
            ((codes**2).mean(dim=0) / variance).where(variance >= 0.05**2, float("inf")).argmin()
        ),
    },
)
