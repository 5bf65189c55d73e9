"""The helpers on an accelerator. tests/test_devices.py runs this file in a process that knows the pretend device."""

import copy
import hashlib
import json
import os
from collections import Counter

import matplotlib
import pytest
import safetensors.torch
import torch
from torch import nn

from helpers import disentanglement, losses, metrics, plots, sprites
from helpers.data import binarize, load_mnist
from helpers.models import VAE, Autoencoder, ConvVAE
from helpers.session import start
from helpers.trained import load_trained
from helpers.training import evaluate, fit, run_grid, train_epoch

matplotlib.use("agg")
DEVICE = torch.device("pretend")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def bits(n):
    return torch.rand(n, 1, 28, 28).round().to(DEVICE)


# ---- the pretend device itself: without its rules, no test below could fail


def test_it_refuses_to_mix_with_the_cpu():
    with pytest.raises(RuntimeError, match="same device"):
        torch.ones(2, device=DEVICE) + torch.ones(2)
    with pytest.raises(TypeError, match="numpy"):
        torch.ones(2, device=DEVICE).numpy()


def test_only_mps_refuses_float64_and_operators_without_its_kernel():
    ones = torch.ones(2, 2, device=DEVICE)
    refusals = Counter()
    for call in (ones.double, lambda: torch.linalg.eigvalsh(ones), lambda: torch.special.ndtri(ones)):
        try:
            call()
        except (TypeError, NotImplementedError) as error:
            refusals[type(error)] += 1
    assert refusals == ({TypeError: 1, NotImplementedError: 2} if os.environ["VAE_PRETEND"] == "mps" else {})


def test_its_gru_has_the_gradients_of_the_cpu():
    """torch runs it by another kernel there, which pretend_device.py replaces."""
    gru, x = nn.GRU(3, 4, batch_first=True), torch.rand(2, 5, 3)
    twin = copy.deepcopy(gru).to(DEVICE)
    gru(x)[0].square().sum().backward()
    twin(x.to(DEVICE))[0].square().sum().backward()
    for ours, theirs in zip(twin.parameters(), gru.parameters(), strict=True):
        torch.testing.assert_close(ours.grad.cpu(), theirs.grad)


# ---- the session


def test_the_session_takes_the_accelerator_unless_told_otherwise(monkeypatch):
    monkeypatch.delenv("TUTORIAL_DEVICE", raising=False)
    assert start().device == DEVICE
    for name in ("cpu", "pretend"):
        monkeypatch.setenv("TUTORIAL_DEVICE", name)
        assert start().device.type == name
    monkeypatch.setenv("TUTORIAL_DEVICE", "cuda")
    with pytest.raises(ValueError, match="expected one that is here: cpu, pretend"):
        start()


# ---- training


def adam(model):
    return [torch.optim.Adam(model.parameters())]


def fused_adam(model):
    return [torch.optim.Adam(model.parameters(), fused=True)]


def muon_and_adam(model):
    matrices = [p for p in model.parameters() if p.ndim == 2]
    return [torch.optim.Muon(matrices), torch.optim.Adam(p for p in model.parameters() if p.ndim != 2)]


def waits(loss_fn, make_optimizers, steps, model_class=VAE):
    """What made an epoch of so many steps wait for the device, and how often."""
    model = model_class().to(DEVICE)
    optimizers = make_optimizers(model)
    schedulers = [torch.optim.lr_scheduler.LinearLR(o, 1, 0, total_iters=steps) for o in optimizers]
    images = bits(8 * steps)
    torch.ops.pretend.take_waits()  # of what came before
    train_epoch(model, loss_fn, images, optimizers, 8, schedulers, max_grad_norm=1.0)
    return Counter(torch.ops.pretend.take_waits())


@pytest.mark.parametrize("make_optimizers", [adam, fused_adam, muon_and_adam])
def test_no_training_step_waits_for_the_device(make_optimizers):
    assert waits(losses.negative_elbo, make_optimizers, 6) == waits(losses.negative_elbo, make_optimizers, 2)


def free_bits(model, x):
    return losses.free_bits(model, x, floor=0.1)


def capacity(model, x):
    return losses.capacity_loss(model, x, capacity=5.0)


@pytest.mark.parametrize(
    ("loss_fn", "model_class"),
    [(free_bits, VAE), (capacity, VAE), (losses.reconstruction_loss, Autoencoder)],
)
def test_no_loss_waits_for_the_device(loss_fn, model_class):
    assert waits(loss_fn, adam, 6, model_class) == waits(loss_fn, adam, 2, model_class)


def test_a_wait_inside_a_step_is_counted():
    """Else the tests above would pass with `.item()` in a loss."""

    def waiting(model, x):
        loss, terms = losses.negative_elbo(model, x)
        return loss, terms | {"printed": loss.item()}

    added = waits(waiting, adam, 6) - waits(waiting, adam, 2)
    assert added == {"aten::_local_scalar_dense": 4}


@pytest.mark.parametrize("model", [VAE(), ConvVAE((1, 28, 28), channels=(8, 8), kernels=(4, 4))])
def test_fit_and_evaluate_give_the_numbers_of_the_cpu(model):
    images, found = bits(64), []
    for device in ("cpu", DEVICE):
        torch.manual_seed(1)
        twin = copy.deepcopy(model).to(device)
        x = images.to(device)
        history = fit(twin, losses.negative_elbo, x, x, optimizers=adam(twin), epochs=2, batch_size=16)
        found.append([*history.train["loss"], evaluate(twin, losses.negative_elbo, x)["loss"]])
    assert found[1] == pytest.approx(found[0], rel=1e-4)


def test_fit_names_the_step_whose_pixels_are_outside_0_to_1():
    images, model = bits(32), VAE().to(DEVICE)
    images[:, 0, 0, 0] = 2.0
    with pytest.raises(
        FloatingPointError, match=r"epoch 1, step 1: not finite: loss, nll\. train has values"
    ):
        fit(model, losses.negative_elbo, images, optimizers=adam(model), epochs=1)


def seed_and_loss(seed, images):
    torch.manual_seed(seed)
    model = VAE().to(DEVICE)
    return train_epoch(model, losses.negative_elbo, images, adam(model))["loss"], model.state_dict()


def test_run_grid_gives_the_same_on_the_device_in_this_process_and_in_others():
    """Images and weights move between the processes, on the device."""
    grid = [{"seed": seed, "images": bits(16)} for seed in (0, 1)]
    for one, other in zip(run_grid(seed_and_loss, grid), run_grid(seed_and_loss, grid, jobs=2), strict=True):
        assert one[0] == pytest.approx(other[0], rel=1e-4)
        assert other[1]["decoder.0.weight"].device.type == DEVICE.type


def test_every_estimate_of_the_likelihood_gives_the_numbers_of_the_cpu():
    model, x = VAE(), bits(16)
    found = []
    for device in ("cpu", DEVICE):
        torch.manual_seed(1)
        model, x = model.to(device), x.to(device)
        mu, logvar = model.encode(x)
        split = losses.total_correlation_split(losses.reparameterize(mu, logvar), mu, logvar, n=100)
        found.append(torch.stack([losses.importance_weighted_nll(model, x, k=3), *split]).cpu())
    torch.testing.assert_close(*found)


# ---- data, sprites, metrics, scores, pictures


def test_digits_are_loaded_onto_the_device_and_binarized_there(monkeypatch):
    monkeypatch.setenv("TUTORIAL_PROFILE", "quick")
    for tensor in load_mnist(DEVICE)[:4]:
        assert tensor.device.type == DEVICE.type
    assert set(binarize(bits(4)).unique().tolist()) == {0.0, 1.0}


def test_sprites_are_drawn_as_on_the_cpu_from_a_generator_of_the_device():
    factors, again = (sprites.sample_factors(40, torch.Generator(DEVICE).manual_seed(3)) for _ in range(2))
    assert factors.device.type == DEVICE.type and torch.equal(factors, again)
    assert torch.equal(sprites.index_to_factors(sprites.factors_to_index(factors)), factors)
    assert torch.equal(sprites.render(factors, 16).cpu(), sprites.render(factors.cpu(), 16))


def test_metrics_give_the_numbers_of_the_cpu():
    images, labels = bits(80), torch.arange(80).to(DEVICE) % 10
    classifier = metrics.train_digit_classifier(images, labels, epochs=1)
    found = []
    for device in ("cpu", DEVICE):
        classifier.to(device)
        x, y = images.to(device), labels.to(device)
        with torch.no_grad():
            features = classifier.features(x)[:, :5]
        scores = metrics.prdc(features[:40], features[40:])
        distance = metrics.frechet_distance(features[:40], features[40:])
        found.append([*scores, distance, metrics.accuracy(classifier, x, y)])
    assert found[1] == pytest.approx(found[0], rel=1e-3)


def test_disentanglement_scores_give_the_numbers_of_the_cpu():
    def encode(factors):
        return factors.float() + 0.1

    found = []
    for device in ("cpu", DEVICE):
        factors = sprites.sample_factors(200, torch.Generator().manual_seed(0)).to(device)
        sets = encode(factors), factors, encode(factors), factors
        found.append([
            disentanglement.mig(*sets[:2]), disentanglement.modularity(*sets[:2]),
            disentanglement.sap(*sets), disentanglement.explicitness(*sets),
            *disentanglement.dci(*sets, estimators=2),
            disentanglement.beta_vae_score(lambda v, d=device: encode(v.to(d)), 50, 50, pairs=4),
            disentanglement.factor_vae_score(lambda v, d=device: encode(v.to(d)), 50, 50, 8, variance_size=100),
        ])  # fmt: skip
    assert found[1] == pytest.approx(found[0])


def test_pictures_are_drawn_from_tensors_of_the_device():
    images, model = bits(20), VAE(latent_dim=3).to(DEVICE)
    plots.show_images(images)
    plots.show_images({"bits": images, "logits": model(images)[0].sigmoid()})
    plots.plot_latents(model.encode(images)[0][:, :2], torch.arange(20).to(DEVICE) % 3)
    plots.plot_traversals(model, images)


# ---- saved weights


def test_weights_move_between_devices_through_a_file(tmp_path):
    model = VAE().to(DEVICE)
    safetensors.torch.save_file(model.state_dict(), tmp_path / "weights.safetensors")
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    for loaded in (
        safetensors.torch.load_file(tmp_path / "weights.safetensors"),
        torch.load(tmp_path / "weights.pt", map_location="cpu"),
        torch.load(tmp_path / "weights.pt"),
    ):
        twin = VAE().to(DEVICE)
        twin.load_state_dict(loaded)
        assert torch.equal(twin.decoder[0].weight, model.decoder[0].weight)


def test_a_trained_model_is_loaded_onto_the_device(tmp_path):
    blob = safetensors.torch.save({name: t.half() for name, t in VAE(2).state_dict().items()})
    (tmp_path / "small.safetensors").write_bytes(blob)
    card = {"class": "VAE", "arguments": {"latent_dim": 2}, "sha256": hashlib.sha256(blob).hexdigest()}
    (tmp_path / "models.json").write_text(json.dumps({"small": card}))
    model = load_trained("small", DEVICE, tmp_path)
    assert model(bits(2))[0].device.type == DEVICE.type
