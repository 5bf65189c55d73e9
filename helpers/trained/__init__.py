"""Models that were trained for longer than a notebook can wait; experiments/ made them.

Each has a weight file (float16) and a card in models.json: how to build it, the command, seed, data, seconds,
device, versions, measured numbers, size and sha256.
"""

import hashlib
import json
from pathlib import Path

from safetensors.torch import load as load_safetensors
from torch import nn

from helpers import models

FOLDER = Path(__file__).parent


def cards(folder=FOLDER):
    """Return the card of every stored model: name → dict."""
    path = folder / "models.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def load_trained(name, device="cpu", folder=FOLDER):
    """Return a stored model in eval mode, with float32 weights, on the device.

    Raises ValueError for an unknown name and for a weight file that is not the one of the card, and
    FileNotFoundError if the file is missing.
    """
    known = cards(folder)
    if name not in known:
        raise ValueError(f"there is no trained model {name!r}; expected one of: {', '.join(known)}")
    path, card = folder / f"{name}.safetensors", known[name]
    advice = "reinstall the package, or restore the file with `git checkout helpers/trained`"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: {advice}")
    blob = path.read_bytes()
    if hashlib.sha256(blob).hexdigest() != card["sha256"]:
        raise ValueError(f"{path} was changed: its sha256 is not the one on its card: {advice}")
    model = build(card["class"], card["arguments"])
    model.load_state_dict(load_safetensors(blob))  # copies float16 numbers into float32 weights
    return model.to(device).eval()


def build(kind, arguments):
    """Return an untrained model of the class `kind` of helpers.models; an activation is named as in torch.nn."""
    arguments = dict(arguments)
    if "activation" in arguments:
        arguments["activation"] = getattr(nn, arguments["activation"])
    return getattr(models, kind)(**arguments)
