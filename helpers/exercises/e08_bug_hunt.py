"""The checks of 08_bug_hunt: the fixes, what is measured of them, and the mistakes that get their own hint.

A check runs a fix on inputs of its own. Where a fix draws random numbers, their statistics are measured, so
that any way of drawing them passes. The first mistake of each bug is the bug itself.
"""

import math
from functools import partial
from itertools import chain, combinations

import torch
from torch import nn
from torch.nn import functional as F

from helpers.data import binarize
from helpers.exercises import Exercise, verdict
from helpers.exercises.e03_vae import images_and_logits
from helpers.losses import bernoulli_nll, kl_per_latent, kl_to_standard_normal, negative_elbo, squared_error
from helpers.models import mlp, reparameterize


def scoreboard(attempts):
    """Print the verdict on each attempt, a function with the name of its exercise, and how many are right."""
    verdicts = [verdict(globals()[attempt.__name__], attempt) for attempt in attempts]
    for number, (attempt, line) in enumerate(zip(attempts, verdicts, strict=True), start=1):
        print(f"{line[0]} {number:2} {attempt.__name__:16}{line[2:]}")
    found = sum(line.startswith("✓") for line in verdicts)
    tried = sum(not line.startswith("○") for line in verdicts)
    print("○ nothing attempted yet" if not tried else f"{found} of {len(attempts)} found, {tried} attempted")


def _outputs(network, widths):
    """The width of the network's output for inputs of each width, −1 where it takes no such input."""
    answers = []
    for width in widths:
        try:
            answers.append(network(torch.rand(4, width)).shape[-1])
        except RuntimeError:
            answers.append(-1)
    return torch.tensor(answers)


def _per_image(right):
    """The mistakes of an answer that should be one number per image: right(...) → (B,)."""
    return {
        "you averaged over the images: keep one number per image": lambda *args: right(*args).mean(),
        "you summed over the images too: keep one number per image": lambda *args: right(*args).sum(),
    }


def _over_images(per_image):
    """The mistakes of an answer that should be the mean over the images: per_image(...) → (B,)."""
    return {
        "you summed over the images: take the mean": lambda *args: per_image(*args).sum(),
        "one number is wanted: take the mean over the images": per_image,
    }


# ---- the article's bugs


def _built(function):
    images = torch.rand(6, 1, 7, 5)
    x_train, encoder, decoder = function(images, 3)
    return [x_train, _outputs(encoder, (35, 784, 6, 1)), _outputs(decoder, (3, 6))]


def _build(images, latent_dim, x_dim=None, codes=1, inputs=1, extra=0):
    x_train = images.flatten(1)
    x_dim = x_train.shape[1] if x_dim is None else x_dim
    encoder = mlp(x_dim, 128, 64, codes * latent_dim + extra)
    return x_train, encoder, mlp(inputs * latent_dim, 64, 128, x_dim)


build = Exercise(
    solution=_build,
    measure=_built,
    mistakes={
        "x_dim is 784 for any images: read it from x_train, after x_train is there": partial(
            _build, x_dim=784
        ),
        "x_dim is the number of images: take the length of a row": lambda images, d: _build(
            images, d, x_dim=len(images)
        ),
        "x_dim is the number of channels: flatten the images first": partial(_build, x_dim=1),
        "x_train still has the shape of images: flatten each image to a row": lambda images, d: (
            images,
            *_build(images, d)[1:],
        ),
        "the encoder is twice as wide already: that mends bug 2; here only make it run": partial(
            _build, codes=2
        ),
    },
)

build_both = Exercise(
    solution=partial(_build, codes=2),
    measure=_built,
    mistakes={
        "the encoder still returns latent_dim numbers: there is a mean and no variance": build.solution,
        "one variance for all latents: each latent needs its own": partial(_build, extra=1),
        "the decoder takes mean and variance: it gets z, which is latent_dim wide": partial(
            _build, codes=2, inputs=2
        ),
        "only the decoder became wider: the encoder is what has to say two things": partial(_build, inputs=2),
    },
)


def _noises(function):
    mu = 3 + 2 * torch.randn(4000, 5)
    a, b = function(mu), function(mu)
    if a.is_meta:  # a shape without numbers
        a = b = torch.full(a.shape, math.nan)
    spread = [a.std(), a.std(dim=0).mean(), a.std(dim=-1).mean()]  # in all, over images, over latents
    return [torch.zeros(a.shape), a.mean(), *spread, (a * b).mean(), (a**4).mean()]


noise = Exercise(
    solution=torch.randn_like,
    measure=_noises,
    mistakes={
        "a shape is not a number: the noise has no values yet": lambda mu: torch.empty_like(
            mu, device="meta"
        ),
        "without noise z is the mean: this is an autoencoder": torch.zeros_like,
        "this noise is uniform: ε is N(0, 1)": torch.rand_like,
        "every call gives the same noise: draw it afresh at every step": lambda mu: torch.randn(
            mu.shape, generator=torch.Generator().manual_seed(0)
        ),
        "all images of a batch share one noise: draw one for each": lambda mu: torch.randn_like(
            mu[:1]
        ).expand_as(mu),
        "all latents of an image share one noise: draw one for each": lambda mu: torch.randn_like(
            mu[:, :1]
        ).expand_as(mu),
        "this is a draw around mu: mu is added later, and σ is not known here": lambda mu: (
            mu + torch.randn_like(mu)
        ),
    },
    tolerance=0.1,
)


def _orders(function):
    x = torch.arange(130.0).unsqueeze(1).expand(130, 3).contiguous()
    epochs = [[b[:, 0] for b in function(x, 50)] for _ in range(2)]
    first, second = (torch.cat(epoch) for epoch in epochs)
    n = min(len(first), 130)
    in_place = (first[:n] == x[:n, 0]).float().mean()
    neighbours = (first.diff() == 1).float().mean()
    twice = float(torch.equal(first, second))
    counts = [len(first), len(first.unique()), max(map(len, epochs[0]))]
    return [*(torch.tensor(float(c)) for c in counts), in_place, neighbours, twice]


def _file_order(x, batch_size):
    return [x[i * batch_size : (i + 1) * batch_size] for i in range(len(x) // batch_size)]


def _shuffled(x, batch_size, generator=None):
    return x[torch.randperm(len(x), generator=generator)].split(batch_size)


def _shuffled_batches(x, batch_size):
    parts = x.split(batch_size)
    return [parts[i] for i in torch.randperm(len(parts))]


batches = Exercise(
    solution=_shuffled,
    measure=_orders,
    mistakes={
        "still in file order, and the last, partial batch is still dropped": _file_order,
        "the images are shuffled, but the last, partial batch is dropped": lambda x, size: _file_order(
            x[torch.randperm(len(x))], size
        ),
        "no image is dropped now, but they still come in file order": lambda x, size: x.split(size),
        "shuffled once: every epoch has the same order; draw it anew": lambda x, size: _shuffled(
            x, size, torch.Generator().manual_seed(0)
        ),
        "some images come twice and some not at all: permute, do not draw with repetition": lambda x, size: x[
            torch.randint(len(x), (len(x),))
        ].split(size),
        "only the order of the batches is random: within a batch the file's order stays": _shuffled_batches,
        "one batch holds them all: split it": lambda x, size: [x[torch.randperm(len(x))]],
    },
    tolerance=0.1,
)


def _codes(function):
    return [function(2 * torch.randn(6, 4), torch.randn(6, 4) - 1)]


kl = Exercise(
    solution=kl_to_standard_normal,
    measure=_codes,
    mistakes={
        "the term is still missing: 0 for every image": lambda mu, logvar: torch.zeros(len(mu)),
        "you took the mean over the latents: the KL of a product is a sum, or β is divided by D": (
            lambda mu, logvar: kl_per_latent(mu, logvar).mean(dim=1)
        ),
        "the sign is wrong: a KL is never negative": lambda mu, logvar: -kl_per_latent(mu, logvar).sum(dim=1),
        "the ½ is missing": lambda mu, logvar: 2 * kl_per_latent(mu, logvar).sum(dim=1),
        "logvar is used as σ: it is log σ², whatever the article's name says": lambda mu, logvar: (
            0.5 * (mu**2 + logvar**2 - (logvar**2).log() - 1).sum(dim=1)
        ),
        "logvar is used as log σ: σ² is logvar.exp()": lambda mu, logvar: kl_per_latent(mu, 2 * logvar).sum(
            dim=1
        ),
        "μ² is missing: the mean may not run away either": lambda mu, logvar: kl_per_latent(
            0 * mu, logvar
        ).sum(dim=1),
    }
    | _per_image(kl_to_standard_normal),
)


def _objectives(function):
    terms = 50 * torch.rand(6), 9 * torch.rand(6)
    return [function(*terms, beta) for beta in (1.0, 4.0)]


objective = Exercise(
    solution=lambda reconstruction, kl, beta: (reconstruction + beta * kl).mean(),
    measure=_objectives,
    mistakes={
        "still the article's sign: the loss adds β·KL": lambda r, k, beta: (r - beta * k).mean(),
        "this is the bound itself: the loss is its negative": lambda r, k, beta: -(r + beta * k).mean(),
        "both signs are turned: now the reconstruction gets worse": lambda r, k, beta: (beta * k - r).mean(),
        "β is missing": lambda r, k, beta: (r + k).mean(),
        "β is on the wrong term": lambda r, k, beta: (beta * r + k).mean(),
        "the KL is gone: that is bug 5 again": lambda r, k, beta: r.mean(),
    }
    | _over_images(lambda r, k, beta: r + beta * k),
)


def _rows(function):
    x = torch.rand(6, 35)
    return [function(x, torch.rand(6, 35))]


reconstruction = Exercise(
    solution=squared_error,
    measure=_rows,
    mistakes={
        "still the mean over the pixels": lambda x, x_mean: 2 * squared_error(x, x_mean) / 35,
        "half the mean over the pixels: the ½ is right, now sum": lambda x, x_mean: (
            squared_error(x, x_mean) / 35
        ),
        "the ½ is missing: −log N(x; x′, I) has it, and the article's own formula": lambda x, x_mean: (
            2 * squared_error(x, x_mean)
        ),
        "this is the distance, not its square": lambda x, x_mean: (x - x_mean).norm(dim=1),
        "this is the absolute error, not the square": lambda x, x_mean: (x - x_mean).abs().sum(dim=1),
    }
    | _per_image(squared_error),
)


# ---- the article's text

TRUE = {"a": False, "b": False, "c": False, "d": False, "e": False, "f": False, "g": True, "h": True}


def _answers(function):
    answers = function()
    if not any(answers.get(letter) is not None for letter in TRUE):
        raise NotImplementedError
    missing = [letter for letter in TRUE if not isinstance(answers.get(letter), bool)]
    if missing:
        raise ValueError(f"True or False is still missing for {', '.join(missing)}")
    return [torch.tensor([float(answers[letter]) for letter in TRUE])]


def _wrong_at(letters):
    return lambda: {letter: truth ^ (letter in letters) for letter, truth in TRUE.items()}


statements = Exercise(
    solution=lambda: dict(TRUE),
    measure=_answers,
    mistakes={
        f"look again at {', '.join(letters)}": _wrong_at(letters)
        for letters in chain.from_iterable(combinations(TRUE, n) for n in range(1, len(TRUE) + 1))
    },
)


# ---- seven more


def _losses(function):
    x, x_logits = images_and_logits()
    return [function(x, x_logits, torch.randn(6, 4), torch.randn(6, 4))]


def _mean_nll(x, x_logits):
    return F.binary_cross_entropy_with_logits(x_logits, x)


def _loss_in_nats(x, x_logits, mu, logvar):
    return (bernoulli_nll(x, x_logits) + kl_to_standard_normal(mu, logvar)).mean()


loss_in_nats = Exercise(
    solution=_loss_in_nats,
    measure=_losses,
    mistakes={
        "still two means: over the pixels, and over the latents": lambda x, a, mu, logvar: (
            _mean_nll(x, a) + kl_per_latent(mu, logvar).mean()
        ),
        "the likelihood is a sum now, the KL still a mean over the latents: β = 1/D": lambda x, a, mu, v: (
            bernoulli_nll(x, a).mean() + kl_per_latent(mu, v).mean()
        ),
        "the KL is a sum now, the likelihood still a mean over the pixels: the KL drowns it": (
            lambda x, a, mu, v: _mean_nll(x, a) + kl_to_standard_normal(mu, v).mean()
        ),
        "the ratio is right, the unit is not: this is the loss divided by the pixels": (
            lambda x, a, mu, v: _loss_in_nats(x, a, mu, v) / 35
        ),
        "the KL has the wrong sign": lambda x, a, mu, v: (
            bernoulli_nll(x, a) - kl_to_standard_normal(mu, v)
        ).mean(),
    }
    | _over_images(lambda x, a, mu, v: bernoulli_nll(x, a) + kl_to_standard_normal(mu, v)),
)


def _statistics(draw, mu, logvar):
    """What any way to draw z ~ N(mu, diag σ²) shares: mean, spread, fresh noise, gradients."""
    mu, logvar = mu.clone().requires_grad_(), logvar.clone().requires_grad_()
    z, again = draw(mu, logvar), draw(mu, logvar)
    e, f = z - mu, again - mu
    slopes = [None, None]
    if z.requires_grad:  # of Σ(z − μ)²: Σσ²ε² with respect to logvar; of Σz: 1 with respect to mu
        slopes = [
            *torch.autograd.grad(z.sum(), [mu], retain_graph=True, allow_unused=True),
            *torch.autograd.grad((z - mu.detach()).square().sum(), [logvar], allow_unused=True),
        ]
    slopes = [torch.zeros(mu.shape[1]) if slope is None else slope.mean(dim=0) for slope in slopes]
    alike = ((e - e.mean(dim=0)) * (f - f.mean(dim=0))).mean(dim=0) / (e.std(dim=0) * f.std(dim=0) + 1e-6)
    return [torch.zeros(z.shape), e.mean(dim=0), e.std(dim=0), alike, *slopes]


def _samples(function):
    logvar = torch.tensor([-2.0, 0.3, 1.5]).expand(8000, 3)
    return _statistics(function, torch.randn(8000, 3), logvar)


sample = Exercise(
    solution=reparameterize,
    measure=_samples,
    mistakes={
        "still logvar·ε: the spread is |logvar|": lambda mu, v: mu + v * torch.randn_like(mu),
        "logvar.exp() is σ²: take its root": lambda mu, v: mu + v.exp() * torch.randn_like(mu),
        "the root of |logvar|: no logarithm was undone": lambda mu, v: (
            mu + v.abs().sqrt() * torch.randn_like(mu)
        ),
        "the sign of the exponent is turned": lambda mu, v: mu + (-0.5 * v).exp() * torch.randn_like(mu),
        "σ is added without noise": lambda mu, v: mu + (0.5 * v).exp(),
        "no gradient reaches mu and logvar: use rsample, or μ + σε": lambda mu, v: reparameterize(
            mu, v
        ).detach(),
        "no gradient reaches logvar: do not detach it": lambda mu, v: reparameterize(mu, v.detach()),
        "without noise z is the mean": lambda mu, v: mu + 0 * v,
    },
    tolerance=0.15,
)


def _modes(function):
    mu, logvar = torch.randn(8000, 2), torch.tensor([-2.0, 0.3]).expand(8000, 2)
    return [
        *_statistics(lambda mu, logvar: function(mu, logvar, True), mu, logvar),
        *_statistics(lambda mu, logvar: function(mu, logvar, False), mu, logvar),
    ]


draw = Exercise(
    solution=lambda mu, logvar, training: reparameterize(mu, logvar),
    measure=_modes,
    mistakes={
        "still the mean where the model is in eval mode": lambda mu, v, training: (
            reparameterize(mu, v) if training else mu
        ),
        "never a draw: the ELBO averages over draws, in training too": lambda mu, v, training: mu + 0 * v,
        "the modes are exchanged": lambda mu, v, training: mu + 0 * v if training else reparameterize(mu, v),
        "in eval mode the noise is only smaller": lambda mu, v, training: reparameterize(
            mu, v if training else v - math.log(4)
        ),
    },
    tolerance=0.15,
)


def _pixels(function):
    x, _ = images_and_logits()
    layer = nn.Linear(4, 35)
    return [function(lambda z: layer(z).view(-1, 1, 7, 5), x, 2 * torch.randn(6, 4))]


def _pixel_nll(network, x, z):
    return bernoulli_nll(x, network(z))


pixel_nll = Exercise(
    solution=_pixel_nll,
    measure=_pixels,
    mistakes={
        "still twice: binary_cross_entropy_with_logits takes the sigmoid itself": lambda network, x, z: (
            bernoulli_nll(x, network(z).sigmoid())
        ),
        "now three times": lambda network, x, z: bernoulli_nll(x, network(z).sigmoid().sigmoid()),
        "you took the mean over the pixels: sum": lambda network, x, z: _pixel_nll(network, x, z) / 35,
        "the sign is wrong: a loss falls where the probability rises": lambda network, x, z: (
            -_pixel_nll(network, x, z)
        ),
        "this is the squared error: another likelihood": lambda network, x, z: squared_error(
            x, network(z).sigmoid()
        ),
    }
    | _per_image(_pixel_nll),
)


def _seen(function):
    answers = []
    for latent_dim in (3, 6):
        z = torch.randn(32, latent_dim, requires_grad=True)
        out = function(latent_dim)(z)
        slope = torch.autograd.grad(out.square().sum(), z)[0]
        answers += [torch.zeros(out.shape), (slope != 0).any(dim=0).float()]
    return answers


class Blind(nn.Module):
    """A decoder that is shown only the latents from `first` to `last`: z (B, D) → (B, 784)."""

    def __init__(self, latent_dim, first=1, last=None):
        super().__init__()
        self.shown = slice(first, last)
        self.network = mlp(len(range(latent_dim)[self.shown]), 64, 128, 784)

    def forward(self, z):
        return self.network(z[:, self.shown])


sighted_decoder = Exercise(
    solution=lambda latent_dim: mlp(latent_dim, 64, 128, 784),
    measure=_seen,
    mistakes={
        "the first latent still reaches no pixel": Blind,
        "now the last latent reaches no pixel": lambda d: Blind(d, 0, -1),
        "only the first latent is seen": lambda d: Blind(d, 0, 1),
        "only the last latent is seen": lambda d: Blind(d, -1),
        "neither the first nor the last latent is seen": lambda d: Blind(d, 1, -1),
    },
)


class _Copier(nn.Module):
    """A model that draws the image it was shown: certain of a 0 or 1, unsure where the input is grey."""

    def encode(self, x):
        mu = 30 * (2 * x.flatten(1) - 1)
        return mu, torch.full_like(mu, -4.0)

    def decode(self, z):
        return z.view(-1, 1, 4, 4)

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decode(reparameterize(mu, logvar)), mu, logvar


def _bounds(function):
    images = torch.rand(3000, 1, 4, 4) ** 2  # grey, and darker than a half on average
    copied, expected, again = (function(model, images) for model in (_Copier(), _White(), _White()))
    return [copied, expected, float(expected == again)]  # equal only where no pixel was drawn afresh


class _White(_Copier):
    """A model that ignores its input and expects all pixels to be 1, each with a certainty of its own."""

    def encode(self, x):
        mu = torch.zeros(len(x), 16)
        return mu, mu

    def decode(self, z):
        return torch.linspace(2, 5, 16).view(1, 1, 4, 4).expand(len(z), 1, 4, 4)


def _split_bound(model, seen, target):
    x_logits, mu, logvar = model(seen)
    return (bernoulli_nll(target, x_logits) + kl_to_standard_normal(mu, logvar)).mean()


bound = Exercise(
    solution=lambda model, images: negative_elbo(model, binarize(images))[0],
    measure=_bounds,
    mistakes={
        "still grey pixels: this is no likelihood of anything that is observed": lambda model, images: (
            negative_elbo(model, images)[0]
        ),
        "a threshold makes other data: one fixed picture for each image": lambda model, images: negative_elbo(
            model, (images > 0.5).float()
        )[0],
        "only the target is binarized: the encoder still sees grey": lambda model, images: _split_bound(
            model, images, binarize(images)
        ),
        "the encoder sees one draw and the target is another: binarize once": lambda model, images: (
            _split_bound(model, binarize(images), binarize(images))
        ),
        "only the encoder's input is binarized: the target is still grey": lambda model, images: _split_bound(
            model, binarize(images), images
        ),
        "the same binary images at every call: draw them afresh": lambda model, images: negative_elbo(
            model,
            torch.bernoulli(images, generator=torch.Generator().manual_seed(0)),
        )[0],
    },
    tolerance=0.01,
)


def _after_a_break(function):
    def make():
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        return model, torch.optim.Adam(model.parameters(), lr=0.1)

    def step(model, optimizer):
        optimizer.zero_grad()
        model(torch.randn(8, 3)).square().mean().backward()
        optimizer.step()

    old, new = make(), make()
    for _ in range(5):
        step(*old)
    function(*old, *new)
    step(*new)
    return list(new[0].state_dict().values())


def _hand_over(old, old_optimizer, new, new_optimizer):
    new.load_state_dict(old.state_dict())
    new_optimizer.load_state_dict(old_optimizer.state_dict())
    return new, new_optimizer


def _without_buffers(old, old_optimizer, new, new_optimizer):
    new_optimizer.load_state_dict(old_optimizer.state_dict())
    new.load_state_dict(dict(old.named_parameters()), strict=False)
    return new, new_optimizer


hand_over = Exercise(
    solution=_hand_over,
    measure=_after_a_break,
    mistakes={
        "still the model alone: Adam starts with no memory of its gradients": lambda old, o, new, n: (
            new.load_state_dict(old.state_dict())
        ),
        "the optimiser's state is there, the model's parameters are not": lambda old, o, new, n: (
            n.load_state_dict(o.state_dict()) or n
        ),
        "the parameters are not all of a model: BatchNorm's running means are buffers": _without_buffers,
        "nothing was handed over: change the new pair itself": lambda old, o, new, n: (old, o),
    },
)
