"""The loop against arithmetic by hand; checkpoints against kill -9; errors a reader would meet."""

import inspect
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import torch
from nbclient import NotebookClient
from notebook_files import ROOT
from torch import nn

from helpers import training
from helpers.training import evaluate, fit, train_epoch

IMAGES = torch.rand(50, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def network(latents=3):
    return nn.Sequential(nn.Flatten(), nn.Linear(16, latents), nn.Dropout(0.3), nn.Linear(latents, 16))


def noisy_loss(model, x):
    """A loss that draws random numbers, as a VAE's does."""
    nll = 0.5 * (model(x + 0.1 * torch.randn_like(x)) - x.flatten(1)).square().sum(dim=1).mean()
    penalty = sum(p.square().sum() for p in model.parameters())
    return nll + penalty, {"nll": nll.detach(), "penalty": penalty}


def mean_loss(model, x):
    """An optimum that is known: the mean of the images."""
    nll = 0.5 * (model.bias - x.flatten(1)).square().sum(dim=1).mean()
    return nll, {"nll": nll.detach(), "constant": 2.0}


def a_run(seed=0, optimizer=torch.optim.Adam, lr=0.01, latents=3, **options):
    """What `fit` needs for a run with a schedule; the same numbers for the same seed."""
    torch.manual_seed(seed)
    model = network(latents)
    made = optimizer(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(made, max_lr=0.05, total_steps=100)
    return dict(model=model, loss_fn=noisy_loss, train=IMAGES, test=IMAGES[:20], optimizers=[made]) | dict(
        schedulers=[schedule], max_grad_norm=1.0, batch_size=8, **options
    )


def parameters(run):
    return {name: value.clone() for name, value in run["model"].state_dict().items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# ---- the loop


def test_one_step_is_the_step_worked_out_by_hand():
    model = nn.Linear(1, 16)
    before, target = model.bias.detach().clone(), IMAGES.flatten(1).mean(dim=0)
    means = train_epoch(model, mean_loss, IMAGES, [torch.optim.SGD([model.bias], lr=0.1)], batch_size=50)
    assert torch.allclose(model.bias, before - 0.1 * (before - target), atol=1e-6)
    by_hand = 0.5 * (before - IMAGES.flatten(1)).square().sum(dim=1).mean().item()
    assert means == pytest.approx({"loss": by_hand, "nll": by_hand, "constant": 2.0}, rel=1e-5)


def test_means_are_over_images_also_where_the_last_batch_is_smaller():
    model = nn.Linear(1, 16)
    whole = mean_loss(model, IMAGES)[0].item()
    assert evaluate(model, mean_loss, IMAGES, batch_size=7)["loss"] == pytest.approx(whole, rel=1e-5)
    frozen = torch.optim.SGD(model.parameters(), lr=0)
    means = train_epoch(model, mean_loss, IMAGES, [frozen], batch_size=7)
    assert means["loss"] == pytest.approx(whole, rel=1e-5)


def test_schedulers_step_once_a_batch_and_gradients_are_clipped():
    model = nn.Linear(1, 16)
    before = model.bias.detach().clone()
    optimizer = torch.optim.SGD([model.bias], lr=1.0)
    halve = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    train_epoch(model, mean_loss, IMAGES + 9, [optimizer], 10, [halve], max_grad_norm=0.01)
    assert optimizer.param_groups[0]["lr"] == 0.5**5
    travelled = (model.bias - before).norm().item()  # all five steps go the same way, 0.01 long at rate 1
    assert travelled == pytest.approx(0.01 * (1 + 0.5 + 0.25 + 0.125 + 0.0625), rel=1e-2)


def test_a_tuple_may_hold_one_tensor():
    model = nn.Linear(1, 16)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    history = fit(model, lambda m, x: mean_loss(m, x[0]), (IMAGES,), optimizers=[sgd], epochs=2)
    assert history.train["loss"][1] < history.train["loss"][0]


def test_fit_clips_gradients_too():
    model = nn.Linear(1, 16)
    before, sgd = model.bias.detach().clone(), torch.optim.SGD([model.bias], lr=1.0)
    fit(model, mean_loss, IMAGES + 9, optimizers=[sgd], epochs=1, batch_size=10, max_grad_norm=0.01)
    assert (model.bias - before).norm().item() == pytest.approx(5 * 0.01, rel=1e-2)


def test_a_batch_may_be_a_tuple_and_there_may_be_several_optimizers():
    model = nn.Linear(16, 10)
    labels = torch.arange(50) % 10

    def classify(model, batch):
        x, y = batch
        return nn.functional.cross_entropy(model(x.flatten(1)), y), {}

    optimizers = [torch.optim.Adam([model.weight], lr=0.03), torch.optim.SGD([model.bias], lr=0.1)]
    weight, bias = model.weight.detach().clone(), model.bias.detach().clone()
    history = fit(model, classify, (IMAGES, labels), (IMAGES, labels), optimizers=optimizers, epochs=2)
    assert set(history.train) == set(history.test) == {"loss"}
    assert not torch.equal(model.weight, weight)
    assert not torch.equal(model.bias, bias)


def test_evaluate_neither_drops_units_nor_learns_nor_leaves_the_mode_changed():
    run = a_run()
    before = parameters(run)
    first, second = (evaluate(run["model"], lambda m, x: (m(x).sum(), {}), IMAGES) for _ in range(2))
    assert first == second
    assert run["model"].training
    assert equal(parameters(run), before)


def test_batches_hold_128_images_unless_asked_otherwise():
    for function in (train_epoch, fit):
        assert inspect.signature(function).parameters["batch_size"].default == 128


def test_a_mean_keeps_no_graph_in_memory():
    totals, loss = Counter(), torch.ones((), requires_grad=True) * 2
    training.add_terms(totals, loss, {}, torch.zeros(3, 1))
    assert totals == {"images": 3, "loss": 6} and not totals["loss"].requires_grad


def test_fit_records_every_epoch_and_prints_one_line(capsys):
    history = fit(**a_run(), epochs=3, title="toy")
    assert {term: len(values) for term, values in history.train.items()} == dict(loss=3, nll=3, penalty=3)
    assert history.test.keys() == history.train.keys()
    line = capsys.readouterr().out.split("\r")[-1]
    train, test = (terms["loss"][-1] for terms in history)
    assert re.fullmatch(rf"toy: 3 epochs, \d+ s · train loss {train:.2f} · test loss {test:.2f}\n", line)


def test_in_a_notebook_one_line_is_stored_and_nothing_on_stderr():
    cell = (
        "import torch; from helpers.training import fit\n"
        "model = torch.nn.Linear(1, 1)\n"
        "loss = lambda m, x: (m(x).square().mean(), {})\n"
        "options = dict(optimizers=[torch.optim.SGD(model.parameters(), lr=0.1)], epochs=4)\n"
        "history = fit(model, loss, torch.rand(9, 1), **options, title='toy')"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    resources = {"metadata": {"path": str(ROOT)}}
    NotebookClient(notebook, kernel_name="python3", coalesce_streams=True, resources=resources).execute()
    (output,) = notebook.cells[0].outputs
    assert output.name == "stdout"
    assert re.fullmatch(r"toy: 4 epochs, \d+ s · train loss \d\.\d\d\n", output.text)


# ---- checkpoints

CHILD = f"""
import os, signal, sys
sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]
signal.signal(signal.SIGINT, signal.default_int_handler)
import torch
from test_training import a_run, fit, noisy_loss
out, signal_name, calls = sys.argv[1], sys.argv[2], 0
def loss_fn(model, x):  # 7 training steps and 1 of testing an epoch: call 20 is the fourth of the third epoch
    global calls
    calls += 1
    if calls == 20:
        os.kill(os.getpid(), getattr(signal, signal_name))
    return noisy_loss(model, x)
run = a_run() | {{"loss_fn": loss_fn}}
history = fit(**run, epochs=5, checkpoint=out + ".pt")
torch.save({{"history": list(history), "parameters": run["model"].state_dict()}}, out)
"""


def in_a_child(out, signal_name):
    command = [sys.executable, "-c", CHILD, str(out), signal_name]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_run_that_is_killed_goes_on_with_the_numbers_of_one_that_is_not(tmp_path, capsys):
    killed = in_a_child(tmp_path / "killed", "SIGKILL")
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed").exists()
    resumed = a_run(seed=7)  # all that is not in the file starts out different
    history, then = fit(**resumed, epochs=5, checkpoint=tmp_path / "killed.pt"), torch.rand(3)
    assert "2 epochs from" in capsys.readouterr().out
    whole = a_run()
    assert history == fit(**whole, epochs=5)
    assert torch.equal(then, torch.rand(3))
    assert equal(parameters(resumed), parameters(whole))


def test_ctrl_c_keeps_what_was_trained(tmp_path):
    stopped = in_a_child(tmp_path / "out", "SIGINT")
    assert stopped.returncode == 0, stopped.stderr
    line = stopped.stdout.splitlines()[-1]
    assert line.startswith("fit: 2 epochs, ")
    assert line.endswith(" · stopped by hand in epoch 3 of 5")
    found = torch.load(tmp_path / "out")
    saved = torch.load(tmp_path / "out.pt", weights_only=True)
    assert [len(terms["loss"]) for terms in found["history"]] == [2, 2]
    assert saved["epoch"] == 2
    assert not equal(found["parameters"], saved["model"])  # the third epoch's steps are kept too


def test_ctrl_c_in_the_first_epoch_gives_an_empty_history(capsys):
    def stop(model, x):
        raise KeyboardInterrupt

    assert fit(**a_run() | {"loss_fn": stop}, epochs=2) == ({}, {})
    assert capsys.readouterr().out.endswith(" s · stopped by hand in epoch 1 of 2\n")


def test_the_line_of_a_resumed_run_that_is_stopped_says_both(tmp_path, capsys):
    def stop(model, x):
        raise KeyboardInterrupt

    fit(**a_run(), epochs=2, checkpoint=tmp_path / "toy.pt")
    fit(**a_run() | {"loss_fn": stop}, epochs=3, checkpoint=tmp_path / "toy.pt")
    assert capsys.readouterr().out.endswith(
        f" · 2 epochs from {tmp_path / 'toy.pt'} · stopped by hand in epoch 3 of 3\n"
    )


def test_the_line_says_how_long_it_took(monkeypatch, capsys):
    times = iter([10.0, 12.4])  # for this module alone: others read the clock meanwhile
    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    fit(**a_run(), epochs=1)
    assert "fit: 1 epochs, 2 s · " in capsys.readouterr().out


def test_a_finished_run_is_read_and_a_longer_one_goes_on(tmp_path, capsys):
    path = tmp_path / "new" / "folder" / "toy.pt"
    first = a_run()
    history = fit(**first, epochs=2, checkpoint=path)
    assert [file.name for file in path.parent.iterdir()] == ["toy.pt"]
    again = a_run(seed=1)
    assert fit(**again, epochs=2, checkpoint=path) == history
    assert equal(parameters(again), parameters(first))
    assert f"2 epochs from {path}" in capsys.readouterr().out
    longer = fit(**first, epochs=3, checkpoint=path)  # the same objects, as where a cell is run again
    assert longer.train["loss"][:2] == history.train["loss"]
    assert longer == fit(**a_run(), epochs=3)


def test_the_bar_goes_on_where_the_file_ended_and_shows_the_test_terms(tmp_path, monkeypatch, capsys):
    bars, bar = [], training.tqdm
    monkeypatch.setattr(training, "tqdm", lambda *a, **options: bars.append(bar(*a, **options)) or bars[-1])
    fit(**a_run() | {"test": None}, epochs=2, checkpoint=tmp_path / "new.pt")
    fit(**a_run(), epochs=2, checkpoint=tmp_path / "toy.pt")
    history = fit(**a_run(), epochs=5, checkpoint=tmp_path / "toy.pt", title="toy")
    assert [(b.desc, b.total, b.initial) for b in bars] == [("fit", 2, 0), ("fit", 2, 0), ("toy", 5, 2)]
    assert capsys.readouterr().err == ""
    assert bars[0].postfix.startswith("loss=")
    assert bars[2].postfix == ", ".join(f"{name}={values[-1]:.1f}" for name, values in history.test.items())


def test_a_crash_while_writing_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "toy.pt"
    fit(**a_run(), epochs=1, checkpoint=path)
    before = path.read_bytes()

    def crash(state, file):
        file.write(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", crash)
    with pytest.raises(OSError, match="no space"):
        fit(**a_run(), epochs=2, checkpoint=path)
    assert path.read_bytes() == before
    monkeypatch.undo()
    assert fit(**a_run(), epochs=2, checkpoint=path) == fit(**a_run(), epochs=2)


OTHER_RUNS = {
    "model 1.weight is (3, 16) torch.float32 in the file, (4, 16) torch.float32 here": dict(latents=4),
    "optimizers[0] is Adam in the file, SGD here": dict(optimizer=torch.optim.SGD),
    "optimizers[0] is Adam in the file, AdamW here": dict(optimizer=torch.optim.AdamW),
}


@pytest.mark.parametrize(("message", "options"), OTHER_RUNS.items())
def test_the_checkpoint_of_another_run_is_refused_and_nothing_is_changed(message, options, tmp_path):
    path = tmp_path / "toy.pt"
    fit(**a_run(), epochs=1, checkpoint=path)
    other, saved = a_run(seed=1, **options), path.read_bytes()
    before = parameters(other)
    with pytest.raises(ValueError, match="belongs to another run") as error:
        fit(**other, epochs=2, checkpoint=path)
    assert message in str(error.value)
    assert str(error.value).endswith("delete the file, or name another")
    assert equal(parameters(other), before)
    assert path.read_bytes() == saved


def test_other_sizes_rates_and_schedules_are_another_run(tmp_path):
    path, torch_run = tmp_path / "toy.pt", a_run() | {"schedulers": []}
    fit(**torch_run, epochs=1, checkpoint=path)
    slower = a_run() | {"schedulers": []}
    slower["optimizers"] = [torch.optim.Adam(slower["model"].parameters(), lr=0.001)]
    for change, message in (
        (slower, "group 0 lr is "),
        ({"batch_size": 9}, "batch_size is 8 in the file, 9 here"),
        ({"train": IMAGES[:40]}, "train images is 50 in the file, 40 here"),
        ({"test": None}, "test images is 20 in the file, 0 here"),
        ({"max_grad_norm": None}, "max_grad_norm is 1.0 in the file, None here"),
    ):
        with pytest.raises(ValueError, match="belongs to another run") as error:
            fit(**torch_run | change, epochs=2, checkpoint=path)
        assert message in str(error.value)
    scheduled = a_run()
    with pytest.raises(ValueError, match=r"schedulers\[0\]"):
        fit(**scheduled, epochs=2, checkpoint=path)


def test_a_checkpoint_with_more_epochs_than_asked_for_is_refused(tmp_path):
    fit(**a_run(), epochs=3, checkpoint=tmp_path / "toy.pt")
    with pytest.raises(ValueError, match=r"has 3 epochs, expected at most 2: .* delete the file, or name"):
        fit(**a_run(), epochs=2, checkpoint=tmp_path / "toy.pt")


class Hostile:
    def __reduce__(self):
        return os.mkdir, (os.environ["HOSTILE_FOLDER"],)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_pickle_runs_nothing(zipped, tmp_path, monkeypatch):
    path, folder = tmp_path / "toy.pt", tmp_path / "made by the pickle"
    monkeypatch.setenv("HOSTILE_FOLDER", str(folder))
    torch.save({"model": Hostile()}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match="is damaged, or no checkpoint"):
        fit(**a_run(), epochs=1, checkpoint=path)
    assert not folder.exists()
    torch.load(path, weights_only=False)  # it would have
    assert folder.exists()


def damaged_files():
    yield "empty", lambda whole: b""
    yield "no checkpoint", lambda whole: b"<html>not found</html>"
    yield "truncated", lambda whole: whole[: len(whole) // 2]
    yield "last byte lost", lambda whole: whole[:-1]


@pytest.mark.parametrize("damage", [pytest.param(d, id=name) for name, d in damaged_files()])
def test_a_damaged_checkpoint_is_refused(damage, tmp_path):
    path = tmp_path / "toy.pt"
    fit(**a_run(), epochs=1, checkpoint=path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"is damaged, or no checkpoint \(.*\): delete the file, or name"):
        fit(**a_run(), epochs=1, checkpoint=path)


def test_one_changed_byte_in_a_weight_is_noticed(tmp_path):
    path, run = tmp_path / "toy.pt", a_run()
    fit(**run, epochs=1, checkpoint=path)
    whole, weight = path.read_bytes(), run["model"][1].weight.detach().numpy().tobytes()
    assert whole.count(weight) == 1
    at = whole.index(weight) + 10
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(ValueError, match="is damaged"):
        fit(**a_run(), epochs=1, checkpoint=path)


def test_where_no_checkpoint_can_be_written_nothing_is_trained(tmp_path):
    (tmp_path / "file").write_text("in the way")
    run = a_run()
    before = parameters(run)
    with pytest.raises(OSError, match=str(tmp_path / "file")):
        fit(**run, epochs=1, checkpoint=tmp_path / "file" / "toy.pt")
    assert equal(parameters(run), before)


def test_a_file_that_torch_can_read_but_fit_did_not_write_is_refused(tmp_path):
    for content in (network().state_dict(), [1, 2], torch.zeros(3)):
        torch.save(content, tmp_path / "toy.pt")
        with pytest.raises(ValueError, match="is damaged, or no checkpoint"):
            fit(**a_run(), epochs=1, checkpoint=tmp_path / "toy.pt")


# ---- errors


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_loss_that_is_not_finite_stops_and_leaves_the_parameters(value):
    run, calls, seen = a_run(), 0, {}

    def explode(model, x):
        nonlocal calls, seen
        calls += 1
        loss, terms = noisy_loss(model, x)
        if calls < 8 + 3:  # 7 steps and one test in the first epoch
            return loss, terms | {"kl": torch.zeros(())}
        seen = parameters(run)
        return loss * value, terms | {"kl": torch.tensor(value)}

    with pytest.raises(FloatingPointError) as error:
        fit(**run | {"loss_fn": explode}, epochs=2, title="toy")
    assert str(error.value).startswith(
        "toy: epoch 2, step 3: not finite: loss, kl. Try a lower learning rate"
    )
    assert equal(parameters(run), seen)


def test_a_gradient_that_is_not_finite_is_named_one_step_later():
    def infinite_slope(model, x):
        return (0 * model.bias).sqrt().sum(), {}

    model = nn.Linear(1, 16)
    with pytest.raises(FloatingPointError, match=r"step 2: not finite: loss\. The step before broke bias\."):
        optimizers = [torch.optim.SGD(model.parameters(), lr=0.1)]
        fit(model, infinite_slope, IMAGES, optimizers=optimizers, epochs=1, batch_size=10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs is 0; expected a whole number, 1 or more"),
        ({"epochs": 2.5}, "epochs is 2.5; expected a whole number"),
        ({"train": IMAGES[:0]}, "train holds no images"),
        ({"train": (IMAGES[:0], torch.zeros(0))}, "train holds no images"),
        ({"test": IMAGES[:0]}, "test holds no images"),
        ({"test": IMAGES.to("meta")}, r"test is on meta, the model on cpu; .* model.to\('meta'\)"),
        ({"train": IMAGES.to("meta")}, r"train is on meta, the model on cpu; .* model.to\('meta'\)"),
        ({"optimizers": []}, "optimizers is empty"),
        ({"optimizers": torch.optim.SGD([torch.zeros(1)])}, r"is one SGD; .* write optimizers=\[...\]"),
        ({"schedulers": lambda: None}, r"schedulers is one function; .* write schedulers=\[...\]"),
        ({"model": network()}, r"optimizers\[0\] \(Adam\) owns no parameter of this model; make it anew"),
        ({"loss_fn": lambda m, x: (m(x), {})}, r"loss has the shape \(8, 16\); expected one number: .*mean"),
        ({"loss_fn": lambda m, x: (m(x).mean(), {"kl": m(x)})}, r"kl has the shape \(8, 16\)"),
    ],
)
def test_what_cannot_be_trained_is_a_clear_error(change, message):
    with pytest.raises(ValueError, match=message):
        fit(**a_run(epochs=1) | change)
