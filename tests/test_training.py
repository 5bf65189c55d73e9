"""The training loop against arithmetic by hand, and what it says about arguments that it cannot train with."""

import os
import re
import signal
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch
from notebook_files import ROOT
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from helpers.training import evaluate, fit, train_epoch

IMAGES = torch.rand(50, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.Dropout(0.3), nn.Linear(3, 16))


def squared_loss(model, x):
    nll = 0.5 * (model(x) - x.flatten(1)).square().sum(dim=1).mean()
    return nll, {"nll": nll.detach()}


def mean_loss(model, x):
    """A loss whose optimum is known: the mean of the images."""
    nll = 0.5 * (model.bias - x.flatten(1)).square().sum(dim=1).mean()
    return nll, {"nll": nll.detach(), "constant": 2.0}


def a_run(**changes):
    """The arguments of a `fit` that works, with some of them changed; the same random numbers every time."""
    torch.manual_seed(0)
    model = network()
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    run = {"model": model, "loss_fn": squared_loss, "train": IMAGES, "optimizers": [adam], "epochs": 2}
    return run | {"batch_size": 8} | changes


def sgd(model, lr=0.1):
    return [torch.optim.SGD(model.parameters(), lr=lr)]


# ---- what a step and an epoch do


def test_one_step_is_the_step_worked_out_by_hand():
    model = nn.Linear(1, 16)
    before, target = model.bias.detach().clone(), IMAGES.flatten(1).mean(dim=0)
    means = train_epoch(model, mean_loss, IMAGES, [torch.optim.SGD([model.bias], lr=0.1)], batch_size=50)
    assert torch.allclose(model.bias, before - 0.1 * (before - target), atol=1e-6)
    by_hand = 0.5 * (before - IMAGES.flatten(1)).square().sum(dim=1).mean().item()
    assert means == pytest.approx({"loss": by_hand, "nll": by_hand, "constant": 2.0}, rel=1e-5)


def test_a_smaller_last_batch_counts_by_its_images():
    model = nn.Linear(1, 16)
    whole = mean_loss(model, IMAGES)[0].item()
    assert evaluate(model, mean_loss, IMAGES, batch_size=7)["loss"] == pytest.approx(whole, rel=1e-5)
    means = train_epoch(model, mean_loss, IMAGES, sgd(model, lr=0), batch_size=7)
    assert means["loss"] == pytest.approx(whole, rel=1e-5)


def test_schedulers_step_once_per_batch_and_gradients_are_clipped():
    model = nn.Linear(1, 16)
    before, optimizer = model.bias.detach().clone(), torch.optim.SGD([model.bias], lr=1.0)
    halve = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    options = {"optimizers": [optimizer], "schedulers": [halve], "batch_size": 10, "max_grad_norm": 0.01}
    fit(model, mean_loss, IMAGES + 9, epochs=1, **options)
    assert optimizer.param_groups[0]["lr"] == 0.5**5
    travelled = (model.bias - before).norm().item()  # five steps in one direction, of 0.01 times the rate
    assert travelled == pytest.approx(0.01 * (1 + 0.5 + 0.25 + 0.125 + 0.0625), rel=1e-2)


def test_images_come_with_their_labels_and_every_optimizer_steps():
    model, labels = nn.Linear(16, 10), (10 * IMAGES[:, 0, 0, 0]).long()

    def classify(model, batch):
        x, y = batch
        assert torch.equal(y, (10 * x[:, 0, 0, 0]).long())
        return nn.functional.cross_entropy(model(x.flatten(1)), y), {}

    weight, bias = model.weight.detach().clone(), model.bias.detach().clone()
    optimizers = [torch.optim.Adam([model.weight], lr=0.03), torch.optim.SGD([model.bias], lr=0.1)]
    fit(model, classify, (IMAGES, labels), (IMAGES, labels), optimizers=optimizers, epochs=1)
    assert not torch.equal(model.weight, weight)
    assert not torch.equal(model.bias, bias)


def test_a_term_with_a_graph_does_not_keep_the_graph_of_each_step_in_memory():
    model, graphs = nn.Linear(1, 16), []

    def loss_with_an_attached_term(model, x):
        doubled = 2 * model.bias
        graphs.append(weakref.ref(doubled))  # only the graph of the term holds it after this function
        if len(graphs) > 2:
            assert graphs[0]() is None
        return mean_loss(model, x)[0], {"size": doubled.square().sum()}

    train_epoch(model, loss_with_an_attached_term, IMAGES, sgd(model), batch_size=10)
    assert len(graphs) == 5


def test_fit_records_every_epoch_and_prints_one_line(capsys):
    history = fit(**a_run(test=IMAGES[:20], epochs=3, title="toy"))
    for terms in history:
        assert {name: len(values) for name, values in terms.items()} == {"loss": 3, "nll": 3}
    output = capsys.readouterr()
    line = output.out.split("\r")[-1]
    assert output.err == ""  # a notebook would store it
    train, test = (terms["loss"][-1] for terms in history)
    assert re.fullmatch(rf"toy: 3 epochs, \d+ s · train loss {train:.2f} · test loss {test:.2f}\n", line)


# ---- train and eval mode


def modes(model):
    return [module.training for module in model.modules()]


def test_evaluate_drops_no_units_and_does_not_train():
    run = a_run()
    before = [p.clone() for p in run["model"].parameters()]
    first, second = (evaluate(run["model"], squared_loss, IMAGES) for _ in range(2))
    assert first == second
    assert all(torch.equal(p, old) for p, old in zip(run["model"].parameters(), before, strict=True))


def test_evaluate_leaves_each_submodule_in_its_mode_even_after_an_error():
    model = network()
    model[2].eval()  # a frozen layer
    before = modes(model)
    evaluate(model, squared_loss, IMAGES)
    assert modes(model) == before
    with pytest.raises(ZeroDivisionError):
        evaluate(model, lambda model, x: 1 / 0, IMAGES)
    assert modes(model) == before


def test_fit_trains_a_model_in_train_mode_and_leaves_a_frozen_layer_frozen():
    run, seen = a_run(), []

    def watched(model, x):
        seen.append(modes(model))
        return squared_loss(model, x)

    fit(**run | {"model": run["model"].eval(), "loss_fn": watched})
    assert all(mode for step in seen for mode in step)
    run["model"][2].eval()
    seen.clear()
    fit(**run | {"loss_fn": watched})
    assert all(step == [True, True, True, False, True] for step in seen)


# ---- losses that are not finite


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_loss_that_is_not_finite_is_reported_at_the_end_of_its_epoch(value):
    steps = 0

    def explode(model, x):
        nonlocal steps
        steps += 1
        loss, terms = squared_loss(model, x)
        if steps < 7 + 3:  # an epoch has seven steps
            return loss, terms | {"kl": torch.zeros(())}
        return loss * value, terms | {"kl": torch.tensor(value)}

    with pytest.raises(FloatingPointError) as error:
        fit(**a_run(loss_fn=explode, epochs=3, title="toy"))
    assert str(error.value).startswith(
        "toy: epoch 2, step 3: not finite: loss, kl. Try a lower learning rate"
    )
    assert steps == 14


def test_a_test_loss_that_is_not_finite_is_recorded_and_does_not_stop_the_training():
    history = fit(**a_run(test=IMAGES / 0))
    assert len(history.train["loss"]) == 2
    assert np.isnan(history.test["loss"]).all()


def test_values_that_a_bernoulli_likelihood_cannot_have_are_named_if_the_loss_is_not_finite():
    def log_of_the_pixels(model, x):
        return x.log().mean() + model(x).mean(), {}

    with pytest.raises(FloatingPointError, match=r"train has values from -0.5 to \d\.\d*: .* needs \[0, 1\]"):
        fit(**a_run(train=3 * IMAGES - 0.5 - 3 * IMAGES.min(), loss_fn=log_of_the_pixels))


# ---- what fit accepts, refuses and points out


@pytest.mark.parametrize(
    "train",
    [IMAGES.numpy(), IMAGES.double().numpy(), TensorDataset(IMAGES)],
    ids=["NumPy", "NumPy float64", "TensorDataset"],
)
def test_images_in_another_container_train_like_a_tensor(train):
    assert fit(**a_run(train=train, test=train)) == fit(**a_run(test=IMAGES))


def test_a_tuple_or_a_dataset_of_several_tensors_reaches_the_loss_as_a_tuple():
    def loss_of_the_first(model, batch):
        assert type(batch) is tuple
        return squared_loss(model, batch[0])

    expected = fit(**a_run())
    for train in ((IMAGES,), (IMAGES, IMAGES), TensorDataset(IMAGES, IMAGES)):
        assert fit(**a_run(train=train, loss_fn=loss_of_the_first)) == expected


NEEDS_CONVERSION = {
    "DataLoader": (DataLoader(TensorDataset(IMAGES)), "torch.cat([x for x, *_ in loader])"),
    "list": (list(IMAGES), "torch.stack(images)"),
    "uint8 tensor": ((255 * IMAGES).byte(), "torch.as_tensor(train).float() / 255"),
    "uint8 array": ((255 * IMAGES).byte().numpy(), "torch.as_tensor(train).float() / 255"),
    "float64 tensor": (IMAGES.double(), "train.float()"),
}


@pytest.mark.parametrize("kind", NEEDS_CONVERSION)
def test_what_is_refused_trains_after_the_conversion_that_the_message_shows(kind):
    train, conversion = NEEDS_CONVERSION[kind]
    with pytest.raises(ValueError, match=f"^train is .*{re.escape(conversion)}"):
        fit(**a_run(train=train))
    converted = eval(conversion, {"torch": torch, "train": train, "loader": train, "images": train})
    assert converted.shape == IMAGES.shape
    fit(**a_run(train=converted))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs is 0; expected a whole number, 1 or more"),
        ({"epochs": 2.5}, "epochs is 2.5; expected a whole number"),
        ({"train": IMAGES[:0]}, "train holds no images"),
        ({"train": (IMAGES[:0], torch.zeros(0))}, "train holds no images"),
        ({"train": ()}, "train is a tuple; expected one tensor"),
        ({"test": IMAGES[:0]}, "test holds no images"),
        ({"test": list(IMAGES)}, "test is a list; expected one tensor"),
        ({"test": IMAGES.to("meta")}, r"test is on meta, the model on cpu; .* model.to\('meta'\)"),
        ({"train": IMAGES.to("meta")}, r"train is on meta, the model on cpu; .* model.to\('meta'\)"),
        ({"optimizers": []}, "optimizers is empty"),
        ({"optimizers": torch.optim.SGD([torch.zeros(1)])}, r"is one SGD; .* write optimizers=\[...\]"),
        ({"schedulers": lambda: None}, r"schedulers is one function; .* write schedulers=\[...\]"),
        ({"model": network()}, r"optimizers\[0\] \(Adam\) has no parameter of this model; create it for"),
        ({"loss_fn": lambda m, x: (m(x), {})}, r"loss has the shape \(8, 16\); expected one number: .*mean"),
        ({"loss_fn": lambda m, x: (m(x).mean(), {"kl": m(x)})}, r"kl has the shape \(8, 16\)"),
    ],
)
def test_what_cannot_be_trained_is_an_error_that_says_why(change, message):
    with pytest.raises(ValueError, match=message):
        fit(**a_run(**change))


def test_a_number_of_epochs_from_numpy_is_accepted():
    assert len(fit(**a_run(epochs=np.int64(2))).train["loss"]) == 2


def test_parameters_that_no_optimizer_has_are_named(capsys):
    model = network()
    weights = [p for p in model.parameters() if p.ndim == 2]  # the only ones that Muon takes
    fit(**a_run(model=model, optimizers=[torch.optim.Muon(weights)]))
    assert capsys.readouterr().out.endswith(" · in no optimizer, so not trained: 1.bias, 3.bias\n")
    fit(**a_run(model=model, optimizers=[torch.optim.SGD([model[1].bias])]))
    assert "not trained: 1.weight, 3.weight and 1 more\n" in capsys.readouterr().out
    for weight in weights:
        weight.requires_grad_(False)  # frozen on purpose: nothing to say
    biases = [model[1].bias, model[3].bias]
    fit(**a_run(model=model, optimizers=[torch.optim.SGD(biases)]))
    assert "not trained" not in capsys.readouterr().out


# ---- Ctrl-C


def stopped_by_ctrl_c(program, *arguments):
    """Run a program that sends SIGINT to its process group; return its stdout, stderr and exit status."""
    command = [sys.executable, "-c", program, *arguments]
    pipe = subprocess.PIPE
    child = subprocess.Popen(command, text=True, stdout=pipe, stderr=pipe, cwd=ROOT, start_new_session=True)
    try:
        return *child.communicate(timeout=60), child.returncode
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        raise


INTERRUPTED_FIT = """
import os, signal, torch
from helpers.training import fit
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background process may ignore it
model, steps = torch.nn.Linear(1, 1), 0
def loss_fn(model, x):
    global steps
    steps += 1
    if steps == 3:
        os.kill(os.getpid(), signal.SIGINT)
    return model(x).square().mean(), {}
options = dict(optimizers=[torch.optim.SGD(model.parameters(), lr=0.1)], epochs=5)
history = fit(model, loss_fn, torch.rand(9, 1), **options)
print("the next line ran")
"""


def test_ctrl_c_in_fit_stops_the_cell_and_what_follows():
    stdout, stderr, status = stopped_by_ctrl_c(INTERRUPTED_FIT)
    assert status != 0
    assert stderr.endswith("KeyboardInterrupt\n")
    assert "the next line ran" not in stdout
    assert "epochs, " not in stdout  # no line of a training that has finished
