"""The bug hunt: each planted bug is found by its check, each right fix passes, no other bug's fix does."""

import ast
import contextlib
import io
import math
from itertools import pairwise

import pytest
import torch
from notebook_files import NOTEBOOKS, code_cells
from torch import nn
from torch.nn import functional as F

from helpers.exercises import Exercise, e08_bug_hunt as hunt, verdict
from helpers.losses import bernoulli_nll, gaussian_nll, kl_to_standard_normal, negative_elbo
from helpers.models import VAE

BUGS = {name: value for name, value in vars(hunt).items() if isinstance(value, Exercise)}
DRAWN = ["noise", "batches", "sample", "draw", "bound"]  # what is measured of these is random
(PATH,) = (path for path in NOTEBOOKS if path.stem == "08_bug_hunt")


# ---- right fixes, written in another way than the solution


class TwoHeads(nn.Module):
    def __init__(self, x_dim, latent_dim):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(x_dim, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
        self.mu, self.logvar = nn.Linear(64, latent_dim), nn.Linear(64, latent_dim)

    def forward(self, x):
        h = self.body(x)
        return torch.cat([self.mu(h), self.logvar(h)], dim=-1)


def layers(*sizes):
    network = nn.Sequential()
    for width_in, width_out in pairwise(sizes):
        network.append(nn.Linear(width_in, width_out)).append(nn.ReLU())
    return network[:-1]


def rows_and_networks(images, latent_dim):
    pixels = math.prod(images.shape[1:])
    x_train = images.reshape(-1, pixels)
    return x_train, layers(pixels, 128, 64, latent_dim), layers(latent_dim, 64, 128, pixels)


def two_heads(images, latent_dim):
    x_train = images.view(len(images), -1)
    x_dim = x_train.size(1)
    return [x_train, TwoHeads(x_dim, latent_dim), layers(latent_dim, 64, 128, x_dim)]


def one_by_one(x_train, batch_size):
    order = sorted(range(len(x_train)), key=lambda _: torch.rand(()).item())
    for i in range(0, len(order), batch_size):
        yield torch.stack([x_train[j] for j in order[i : i + batch_size]])


def library_kl(mu, logvar):
    q = torch.distributions.Normal(mu, logvar.mul(0.5).exp())
    return torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(-1)


def library_loss(x, x_logits, mu, logvar):
    nll = F.binary_cross_entropy_with_logits(x_logits, x, reduction="sum")
    return (nll + library_kl(mu, logvar).sum()) / len(x)


def rsample(mu, logvar, training=True):
    return torch.distributions.Normal(mu, torch.sqrt(torch.exp(logvar))).rsample()


def probabilities(network, x, z):
    p = torch.sigmoid(network(z))
    return -(x * p.log() + (1 - x) * (1 - p).log()).sum(dim=(1, 2, 3))


class LogitsFirst(nn.Module):
    def __init__(self, latent_dim):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(latent_dim, 64), nn.Linear(64, 128), nn.Linear(128, 784)])

    def forward(self, z):
        first, second, third = self.layers
        return third(second(first(z).relu()).relu())


def written_out(model, images):
    x = torch.bernoulli(images)
    mu, logvar = model.encode(x)
    z = mu + torch.randn_like(mu) * (logvar / 2).exp()
    return bernoulli_nll(x, model.decode(z)).mean() + library_kl(mu, logvar).mean()


def through_a_file(old, old_optimizer, new, new_optimizer):
    file = io.BytesIO()
    torch.save([part.state_dict() for part in (old, old_optimizer)], file)
    file.seek(0)
    for part, state in zip((new, new_optimizer), torch.load(file), strict=True):
        part.load_state_dict(state)
    return new, new_optimizer


def piece_by_piece(old, old_optimizer, new, new_optimizer):
    with torch.no_grad():
        for name, value in old.state_dict().items():
            new.state_dict()[name].copy_(value)
    for mine, yours in zip(old.parameters(), new.parameters(), strict=True):
        new_optimizer.state[yours] = {k: v.clone() for k, v in old_optimizer.state[mine].items()}
    return True


RIGHT = {
    "build": [rows_and_networks],
    "build_both": [two_heads],
    "noise": [
        lambda mu: torch.normal(torch.zeros(mu.shape), torch.ones(mu.shape)),
        lambda mu: torch.distributions.Normal(0.0, 1.0).sample(mu.shape),
    ],
    "batches": [one_by_one, lambda x, size: torch.utils.data.DataLoader(x, size, shuffle=True)],
    "kl": [library_kl, lambda mu, s: -0.5 * torch.sum(1 + s - mu.pow(2) - s.exp(), 1)],
    "objective": [lambda r, k, beta: torch.mean(r) + torch.mean(k) * beta],
    "reconstruction": [
        lambda x, m: F.mse_loss(m, x, reduction="none").sum(-1) / 2,
        lambda x, m: gaussian_nll(x, m, 0.0) - x.shape[1] / 2 * math.log(2 * math.pi),
    ],
    "statements": [lambda: {letter: letter in "gh" for letter in reversed("abcdefgh")}],
    "loss_in_nats": [library_loss],
    "sample": [rsample, lambda mu, logvar: mu - (0.5 * logvar).exp() * torch.randn(mu.shape)],
    "draw": [rsample],
    "pixel_nll": [
        probabilities,
        lambda network, x, z: F.binary_cross_entropy(network(z).sigmoid(), x, reduction="none").sum(
            (1, 2, 3)
        ),
    ],
    "sighted_decoder": [
        LogitsFirst,
        lambda d: nn.Sequential(nn.Linear(d, 64), nn.Tanh(), nn.Linear(64, 784)),
    ],
    "bound": [written_out, lambda model, images: negative_elbo(model, images.bernoulli())[0].item()],
    "hand_over": [through_a_file, piece_by_piece],
}


@pytest.mark.parametrize("name", BUGS)
def test_differently_written_right_fixes_pass(name):
    for fix in [BUGS[name].solution, *RIGHT[name]]:
        assert verdict(BUGS[name], fix) == "✓ correct"


@pytest.mark.parametrize("name", DRAWN)
def test_a_right_fix_that_draws_other_numbers_always_passes(name):
    exercise = BUGS[name]
    for burnt in range(1, 13):

        def other_draws(*args, burnt=burnt):
            torch.rand(burnt)
            return exercise.solution(*args)

        assert verdict(exercise, other_draws) == "✓ correct", burnt


# ---- wrong ones


@pytest.mark.parametrize("name", BUGS)
def test_every_other_bugs_fix_fails(name):
    for other in BUGS.keys() - {name}:
        for fix in [BUGS[other].solution, *RIGHT[other]]:
            if fix not in RIGHT[name]:  # a draw that takes (mu, logvar) and ignores a third argument is both
                assert verdict(BUGS[name], fix).startswith("✗ "), other


def planted():
    """The bugs as the notebook plants them: name → a function that its check can run."""
    wanted = {"Program", "file_order", "as_printed", "quarter_loss", "draw_z", "moody_draw", "squashed_nll"}
    wanted |= {"OffByOne", "model_alone"}
    namespace = {}
    for cell in code_cells(PATH):
        for node in ast.parse(cell.source).body:
            target = getattr(node, "targets", [node])[0]
            name = getattr(target, "name", getattr(target, "id", None))
            if isinstance(node, ast.Import | ast.ImportFrom) or name in wanted:
                exec(compile(ast.Module([node], []), "<bug>", "exec"), namespace)
    quarter, blind = namespace["quarter_loss"], namespace["OffByOne"]

    def blind_decoder(latent_dim):
        model = blind(latent_dim)
        return lambda z: model.decode(z).flatten(1)

    parts = ("noise", "batches", "kl", "objective", "reconstruction")
    return {part: getattr(namespace["as_printed"], part) for part in parts} | {
        "build_both": BUGS["build"].solution,
        "loss_in_nats": lambda x, x_logits, mu, logvar: quarter(lambda _: (x_logits, mu, logvar), x)[0],
        "sample": namespace["draw_z"],
        "draw": namespace["moody_draw"],
        "pixel_nll": namespace["squashed_nll"],
        "sighted_decoder": blind_decoder,
        "bound": lambda model, images: negative_elbo(model, images)[0],
        "hand_over": namespace["model_alone"],
    }


@pytest.mark.parametrize(("name", "bug"), planted().items())
def test_each_planted_bug_is_named_by_its_check(name, bug):
    assert verdict(BUGS[name], bug) == f"✗ {next(iter(BUGS[name].mistakes))}"


def test_every_bug_but_the_first_and_the_questions_is_planted():
    assert planted().keys() == BUGS.keys() - {"build", "statements"}


def test_questions_are_judged_one_by_one():
    answers = dict.fromkeys("abcdefgh")
    assert verdict(hunt.statements, lambda: dict(answers)) == "○ not attempted"
    assert "still missing for b, c, d, e, f, g, h" in verdict(hunt.statements, lambda: answers | {"a": False})
    right = hunt.statements.solution()
    assert verdict(hunt.statements, lambda: right | {"a": True, "h": False}) == "✗ look again at a, h"
    assert "a" in verdict(hunt.statements, lambda: right | {"a": "False"})


# ---- the score


def score(attempts):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        hunt.scoreboard(attempts)
    return printed.getvalue().splitlines()


def kl(mu, logvar):
    raise NotImplementedError


def noise(mu):
    return torch.zeros_like(mu)


def objective(reconstruction, kl, beta):
    return (reconstruction + beta * kl).mean()


def test_the_score_of_an_untouched_notebook_is_that_nothing_was_attempted():
    assert score([kl]) == ["○  1 kl              not attempted", "○ nothing attempted yet"]


def test_the_score_tells_found_attempted_and_open():
    lines = score([kl, noise, objective])
    assert [line[0] for line in lines] == ["○", "✗", "✓", "1"]
    assert "without noise" in lines[1] and lines[-1] == "1 of 3 found, 2 attempted"


# ---- the mended program


def test_the_mended_parts_make_the_loss_of_notebook_03():
    torch.manual_seed(0)
    images = torch.rand(12, 1, 28, 28)
    x, encoder, decoder = hunt.build_both.solution(images, 20)
    mu, logvar = encoder(x).chunk(2, dim=1)
    x_mean = torch.sigmoid(decoder(mu + (0.5 * logvar).exp() * hunt.noise.solution(mu)))
    loss = hunt.objective.solution(
        hunt.reconstruction.solution(x, x_mean), hunt.kl.solution(mu, logvar), beta=1.0
    )
    torch.manual_seed(0)
    torch.rand(12, 1, 28, 28)
    vae = VAE()  # the same parameters, from the same seed

    def half_squares(x, x_logits):
        return 0.5 * (x - x_logits.sigmoid()).square().flatten(1).sum(dim=1)

    expected, terms = negative_elbo(vae, images, nll=half_squares)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(kl_to_standard_normal(mu, logvar).mean(), terms["kl"])
