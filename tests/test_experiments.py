"""The long trainings in miniature: what they record, how they go on after an interruption, what they store."""

import importlib
import json
import os
import subprocess
import sys
from itertools import pairwise

import pytest
import torch
from notebook_files import ROOT

from experiments import runs, sprites, tables
from experiments.__main__ import PROTOCOLS, setting
from experiments.importance_weighted import bound
from experiments.likelihood import first
from experiments.time_to_number import estimate_nll
from helpers.data import binarize, load_test_digits
from helpers.losses import importance_weighted_nll
from helpers.models import VAE
from helpers.trained import cards, load_trained

MINIATURES = {
    "likelihood": "epochs=1 images=300 test_images=20 draws=5",
    "autoencoder": "epochs=1 images=300 test_images=20",
    "importance_weighted": "epochs=1 images=300 test_images=20 draws=5",
    "latents": "epochs=1 images=300 test_images=20 draws=5",
    "sprites": "fall=2 hold=2 points=60",
    "time_to_number": "adam=2 ours=4 images=300 test_images=60 few=2 draws=4",
}
STORED = {name: {name} for name in ("likelihood", "autoencoder", "importance_weighted")}
STORED["sprites"] = {f"sprites_{path}_beta{beta}" for path in ("held", "fast", "slow") for beta in (1, 4)}
ROW = {
    "protocol": "p",
    "settings": {},
    "seed": 0,
    "profile": "full",
    "device": "CPU",
    "versions": {},
    "sources": "a",
}
ROW |= {"data": "60,000 digits", "threads": 2, "numbers": {"nll": 1.0}, "seconds": 5, "date": "2026-01-01"}
ROW |= {"command": "python -m experiments p --seeds 0"}


def call(folder, *arguments):
    places = {"runs": "runs.jsonl", "states": "states", "trained": "trained", "results": "results.json"}
    options = [part for name, path in places.items() for part in (f"--{name}", str(folder / path))]
    environment = {
        **os.environ,
        "TUTORIAL_PROFILE": "quick",
        "OMP_NUM_THREADS": "1",
        "PYTHONIOENCODING": "utf-8",
    }
    command = [sys.executable, "-m", "experiments", *arguments, *options]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, env=environment, encoding="utf-8", timeout=300
    )


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_miniature_records_its_run_once_and_stores_a_model_that_loads(name, tmp_path):
    sizes = MINIATURES[name].split()
    once = call(tmp_path, name, "--seeds", "0", "--set", *sizes)
    assert once.returncode == 0, once.stdout + once.stderr
    again = call(tmp_path, name, "--seeds", "0", "--set", *sizes)
    assert "finished on" in again.stdout
    rows = runs.finished(tmp_path / "runs.jsonl")
    cases = getattr(importlib.import_module(f"experiments.{name}"), "CASES", [{}])
    assert len(rows) == len(cases) == len({runs.key(row) for row in rows})
    table = json.loads((tmp_path / "results.json").read_text("utf-8"))
    label = runs.label(name, rows[0]["settings"])
    for quantity, number in rows[0]["numbers"].items():
        assert table[f"{label}/{quantity}"]["values"] == [number]
    assert not list(tmp_path.glob("states/*.pt")), "a finished run leaves no state"
    stored = cards(tmp_path / "trained")
    assert stored.keys() == STORED.get(name, set())
    for model_name, card in list(stored.items())[:1]:
        check = importlib.import_module(f"experiments.{name}").check(
            load_trained(model_name, folder=tmp_path / "trained")
        )
        for quantity, value in card["check"].items():
            assert float(check[quantity]) == pytest.approx(value, abs=1e-3)


INTERRUPTED = """
import sys, torch
from pathlib import Path
from experiments import runs
runs.SAVE_EVERY = 0
model = torch.nn.Linear(3, 1)
adam = torch.optim.Adam(model.parameters(), lr=0.1)
for number in runs.rounds(6, Path(sys.argv[1]), model=model, adam=adam):
    loss = model(torch.randn(4, 3)).square().mean()
    adam.zero_grad()
    loss.backward()
    adam.step()
    if number == int(sys.argv[2]):
        raise SystemExit(9)
print(model.weight.tolist())
"""


def test_a_run_that_is_stopped_goes_on_to_the_weights_of_one_that_is_not(tmp_path):
    def play(state, stop):
        code = f"import torch; torch.manual_seed(0)\n{INTERRUPTED}"
        command = [sys.executable, "-c", code, str(tmp_path / state), str(stop)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)

    whole = play("whole.pt", -1)
    assert play("parts.pt", 3).returncode == 9
    assert play("parts.pt", -1).stdout.splitlines()[-1] == whole.stdout.splitlines()[-1]


def test_other_settings_code_or_versions_make_another_run():
    changes = [{"settings": {"epochs": 2}}, {"seed": 1}, {"sources": "b"}, {"versions": {"torch": "3"}}]
    keys = {runs.key(ROW | change) for change in [{}, *changes, {"date": "2027-01-01", "seconds": 9}]}
    assert len(keys) == 1 + len(changes)


def test_comments_and_docstrings_do_not_change_the_hash_of_the_code(tmp_path):
    def hashed(text):
        path = tmp_path / "module.py"
        path.write_text(text)
        return runs.sources(type("module", (), {"__file__": str(path)}))

    plain = hashed("def f(x):\n    return x + 1\n")
    assert hashed('def f(x):\n    """Say."""\n    return x+1  # more\n') == plain
    assert hashed("def f(x):\n    return x + 2\n") != plain


def test_the_table_takes_the_latest_run_of_each_seed_and_keeps_other_rows(tmp_path):
    file, table = tmp_path / "runs.jsonl", tmp_path / "results.json"
    table.write_text(json.dumps({"another": {"mean": 1}}))
    for seed, value in ((0, 9.0), (1, 2.0), (0, 1.0)):
        runs.append(file, ROW | {"seed": seed, "numbers": {"nll": value}})
    tables.renew(file, table)
    rows = json.loads(table.read_text("utf-8"))
    assert rows["another"] == {"mean": 1}
    assert rows["p/nll"]["values"] == [1.0, 2.0]
    assert rows["p/nll"]["mean"] == 1.5 and rows["p/nll"]["sd"] == pytest.approx(0.5**0.5)
    assert rows["p/nll"]["command"] == "python -m experiments p --seeds 0 1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["likelyhood"], "there is no protocol likelyhood; expected one of: likelihood"),
        (
            ["likelihood", "--seeds", "0"],
            "60,000 digits were asked for, 5,000 are here: TUTORIAL_PROFILE=full",
        ),
        (["likelihood", "--seeds", "0", "--set", "epoch=1"], "unexpected keyword argument 'epoch'"),
    ],
)
def test_a_mistyped_command_says_what_is_wrong_and_records_nothing(arguments, message, tmp_path):
    ended = call(tmp_path, *arguments)
    assert ended.returncode != 0 and message in ended.stderr
    assert not (tmp_path / "runs.jsonl").exists()


def test_a_setting_is_a_number_if_it_looks_like_one():
    assert [setting("epochs=2"), setting("path=held"), setting("lr=1e-3")] == [
        ("epochs", 2),
        ("path", "held"),
        ("lr", 1e-3),
    ]


def test_a_path_falls_geometrically_to_beta_and_stays_there():
    slow = [sprites.price_at(step, "slow", 4, 100) for step in range(130)]
    assert slow[0] == sprites.HIGH and slow[100:] == [4] * 30
    ratios = [b / a for a, b in pairwise(slow[:101])]
    assert max(ratios) == pytest.approx(min(ratios)) and ratios[0] < 1
    assert [sprites.price_at(step, "fast", 4, 100) for step in (0, 10)] == [sprites.HIGH, 4]
    assert sprites.price_at(0, "held", 4, 100) == 4


def test_too_few_digits_are_refused():
    assert len(first(torch.zeros(9, 1), 9)) == 9
    with pytest.raises(ValueError, match="60,000 digits were asked for, 5,000 are here"):
        first(torch.zeros(5000, 1), 60_000)


def test_few_draws_and_a_correction_estimate_what_many_draws_do():
    torch.manual_seed(0)
    model, x = VAE(5, hidden=(20,)).requires_grad_(False), torch.rand(1000, 1, 28, 28).round()
    estimate = estimate_nll(model, x, few=5, draws=500)
    exact = importance_weighted_nll(model, x, 500).mean()
    upper = importance_weighted_nll(model, x, 5).mean()
    assert abs(estimate - exact) < 0.5 * (upper - exact)


def test_the_importance_weighted_gradient_agrees_with_the_plain_one_and_has_less_noise():
    torch.manual_seed(0)
    model, x = VAE(3, hidden=(16,)), binarize(load_test_digits()[0][:20])
    weight = model.encoder[-1].weight

    def plain(k):
        mu, logvar = model.encode(x)
        z = mu + (0.5 * logvar).exp() * torch.randn(k, *mu.shape)
        q, prior = torch.distributions.Normal(mu, (0.5 * logvar).exp()), torch.distributions.Normal(0.0, 1.0)
        x_logits = model.decode(z.flatten(0, 1)).view(k, *x.shape)
        log_p = -torch.nn.functional.binary_cross_entropy_with_logits(
            x_logits, x.expand_as(x_logits), reduction="none"
        )
        log_w = log_p.flatten(2).sum(2) + (prior.log_prob(z) - q.log_prob(z)).sum(2)
        return (torch.tensor(k).log() - log_w.logsumexp(dim=0)).mean()

    def gradients(loss, n=1500):
        return torch.stack([torch.autograd.grad(loss(), weight)[0] for _ in range(n)])  # (n, ...)

    ours, theirs = gradients(lambda: bound(model, x, 5)[0]), gradients(lambda: plain(5))
    error = ((ours.var(dim=0) + theirs.var(dim=0)) / len(ours)).sqrt()
    z_scores = (ours.mean(dim=0) - theirs.mean(dim=0)) / error
    assert z_scores.square().mean() < 1.5  # 1 if the two means are the same
    assert ours.var(dim=0).sum() < theirs.var(dim=0).sum()


def test_every_stored_model_meets_its_card():
    for name, card in cards().items():
        check = importlib.import_module(f"experiments.{card['protocol']}").check(load_trained(name))
        for quantity, value in card["check"].items():
            assert float(check[quantity]) == pytest.approx(value, rel=2e-3), (name, quantity)
