"""The long protocols in miniature: what they write, how they go on, and what they leave alone."""

import json
import os
import re
import subprocess
import sys

import pytest
import results
import torch
from notebook_files import ROOT
from results import PROTOCOLS, PUBLISHED, entries, estimate_nll, first

from helpers.losses import importance_weighted_nll
from helpers.models import VAE

MINIATURES = {
    "likelihood": "epochs=1 images=300 test_images=20 draws=5",
    "time_to_number": "adam=2 ours=4 images=300 test_images=60 few=2 draws=4",
    "disentanglement": "steps=1 points=100 votes=4 trees=1",
}
LENGTHS = {  # how a protocol is called, and what stands beside it as published
    "likelihood": 86.76,
    "likelihood epochs=2000": 86.76,
    "likelihood epochs=2000 draws=5": None,
}


def call(tmp_path, *arguments):
    command = [sys.executable, str(ROOT / "notebooks" / "results.py"), *arguments]
    command += ["--output", str(tmp_path / "new" / "results.json"), "--folder", str(tmp_path / "seeds")]
    environment = {**os.environ, "TUTORIAL_PROFILE": "quick", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(command, capture_output=True, env=environment, encoding="utf-8", timeout=300)


def written(tmp_path):
    return json.loads((tmp_path / "new" / "results.json").read_text("utf-8"))


def test_every_protocol_has_a_miniature():
    assert MINIATURES.keys() == PROTOCOLS.keys()
    assert {name.split("/")[0] for name in PUBLISHED} <= PROTOCOLS.keys()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_miniature_writes_its_rows_goes_on_and_keeps_other_rows(name, tmp_path):
    sizes = MINIATURES[name].split()
    first = call(tmp_path, name, "--seeds", "1", "--sizes", *sizes)
    assert first.returncode == 0, first.stdout + first.stderr
    (tmp_path / "new" / "results.json").write_text(json.dumps(written(tmp_path) | {"another": {"mean": 1}}))
    second = call(tmp_path, name, "--seeds", "2", "--sizes", *sizes)
    assert second.returncode == 0, second.stdout + second.stderr
    assert re.search(r"2 of 2 runs, \d+ s · 1 from", second.stdout)
    rows = written(tmp_path)
    assert rows.pop("another") == {"mean": 1}
    assert rows
    for row, entry in rows.items():
        assert row.startswith(f"{name} {MINIATURES[name]}/")  # not mistaken for the protocol's own sizes
        assert entry["seeds"] == [0, 1]
        assert len(entry["values"]) == len(entry["seconds"]) == 2
        assert entry["mean"] == pytest.approx(sum(entry["values"]) / 2)
        assert entry["sd"] == pytest.approx(abs(entry["values"][0] - entry["values"][1]) / 2**0.5)
        assert (
            entry["command"] == f"python experiments/results.py {name} --seeds 2 --sizes {MINIATURES[name]}"
        )
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", entry["date"])
        assert entry["data"] and entry["device"]
        assert re.search(rf"^{re.escape(row)}: {entry['mean']:.2f} ± {entry['sd']:.2f}$", second.stdout, re.M)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["likelyhood"], f"no protocol is called likelyhood; there are: {', '.join(PROTOCOLS)}"),
        (["likelihood", "--sizes", "epochs"], "--sizes epochs; expected a name and a whole number"),
        (["likelihood", "--seeds", "1", "--sizes", "epoch=1"], "no seed is done, so nothing is written"),
        (["likelihood", "--seeds", "1"], "60,000 digits were asked for, 4,000 are here"),
    ],
)
def test_a_mistyped_command_is_a_clear_error(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TUTORIAL_PROFILE", "quick")
    paths = ["--output", str(tmp_path / "new" / "results.json"), "--folder", str(tmp_path / "seeds")]
    monkeypatch.setattr(sys, "argv", ["results.py", *arguments, *paths])
    with pytest.raises(SystemExit) as ended:
        results.main()
    assert message in f"{ended.value} {''.join(capsys.readouterr())}"
    assert not (tmp_path / "new").exists()


def test_a_longer_training_is_set_beside_the_same_published_number():
    result = {"numbers": {"nll": 1.0}, "data": "d", "device": "e", "seconds": 1, "date": "2026-01-01"}
    shown = {name: entries(name, "c", {0: result})[f"{name}/nll"]["published"] for name in LENGTHS}
    assert shown == LENGTHS


def test_few_draws_and_a_correction_estimate_what_many_draws_do():
    torch.manual_seed(0)
    model, x = VAE(5, hidden=(20,)).requires_grad_(False), torch.rand(1000, 1, 28, 28).round()
    estimate = estimate_nll(model, x, few=5, draws=500)
    exact = importance_weighted_nll(model, x, 500).mean()
    bound = importance_weighted_nll(model, x, 5).mean()
    assert abs(estimate - exact) < 0.5 * (bound - exact)


def test_too_few_digits_are_refused_before_anything_is_trained():
    assert len(first(torch.zeros(9, 1), 9)) == 9
    with pytest.raises(ValueError, match=r"60,000 digits were asked for, 4,000 are here: .*PROFILE=full"):
        first(torch.zeros(4000, 1), 60_000)
