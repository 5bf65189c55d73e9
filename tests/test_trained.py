"""Stored models: built from their card, and refused if the file is not the one of the card."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import save
from torch import nn

from helpers.models import VAE
from helpers.trained import load_trained

ARGUMENTS = {"latent_dim": 3, "hidden": [8], "image_shape": [1, 4, 4]}


@pytest.fixture
def stored(tmp_path):
    """A folder with one stored model, "small", and the model itself."""
    torch.manual_seed(0)
    model = VAE(**ARGUMENTS, activation=nn.Tanh).half().float()  # the numbers that float16 can hold
    blob = save({name: value.half() for name, value in model.state_dict().items()})
    (tmp_path / "small.safetensors").write_bytes(blob)
    card = {
        "class": "VAE",
        "arguments": ARGUMENTS | {"activation": "Tanh"},
        "sha256": hashlib.sha256(blob).hexdigest(),
    }
    (tmp_path / "models.json").write_text(json.dumps({"small": card}), "utf-8")
    return tmp_path, model


def test_a_stored_model_is_the_one_that_was_saved_in_float32_and_eval_mode(stored):
    folder, model = stored
    loaded = load_trained("small", folder=folder)
    assert not loaded.training
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    mu, _ = model.encode(x := torch.rand(5, 1, 4, 4))
    assert torch.equal(loaded.encode(x)[0], mu)
    assert torch.equal(loaded.decode(mu), model.decode(mu))  # with another activation it would not be


def test_a_stored_model_comes_to_the_device_that_is_asked_for(stored):
    loaded = load_trained("small", device="meta", folder=stored[0])
    assert {p.device.type for p in loaded.parameters()} == {"meta"}


def test_an_unknown_name_lists_the_models_that_there_are(stored):
    with pytest.raises(ValueError, match="there is no trained model 'big'; expected one of: small"):
        load_trained("big", folder=stored[0])


def test_a_missing_file_is_named_with_what_to_do(stored):
    (stored[0] / "small.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"small\.safetensors is missing: reinstall"):
        load_trained("small", folder=stored[0])


@pytest.mark.parametrize("place", [0, 20, -1])
def test_one_changed_byte_is_refused(stored, place):
    path = stored[0] / "small.safetensors"
    blob = bytearray(path.read_bytes())
    blob[place] ^= 1
    path.write_bytes(blob)
    with pytest.raises(ValueError, match=r"was changed: its sha256 is not the one on its card: reinstall"):
        load_trained("small", folder=stored[0])
