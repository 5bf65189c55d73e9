"""What the protocols share: a loop that survives interruption, and the record of finished runs."""

import ast
import hashlib
import io
import json
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save as to_bytes
from tqdm import tqdm

from helpers import trained
from helpers.download import write

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "experiments" / "runs.jsonl"
STATES = ROOT / "build" / "experiments"
SAVE_EVERY = 120  # seconds


def rounds(total, state, title="training", **parts):
    """Yield the rounds 0 … total − 1 that are still to do, with a progress bar that shows the time left.

    `parts` are objects with a `state_dict`: models, optimisers, schedulers. They are saved to the file `state`
    with the random numbers and the seconds spent every two minutes and at the end. If the file exists, they are
    restored from it first, and the loop goes on with the round after the last one that was saved.
    """
    done, spent = 0, 0.0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(saved["parts"][name])
        torch.set_rng_state(saved["random"])
        done, spent = saved["done"], saved["seconds"]
    began = saved_at = time.perf_counter()
    with tqdm(range(done, total), title, total, initial=done, file=sys.stdout, mininterval=10) as bar:
        for number in bar:
            yield number  # an interrupted round is done again
            now = time.perf_counter()
            if now - saved_at > SAVE_EVERY or number == total - 1:
                save(state, number + 1, spent + now - began, parts)
                saved_at = now


def save(state, done, seconds, parts):
    """Replace the file `state`, which `rounds` restores."""
    saved = {"done": done, "seconds": seconds, "random": torch.get_rng_state()}
    blob = io.BytesIO()
    torch.save(saved | {"parts": {name: part.state_dict() for name, part in parts.items()}}, blob)
    write(state, blob.getvalue())


def training_seconds(state):
    """The seconds that the loop of `rounds` with this file has taken, all sittings together."""
    return torch.load(state, weights_only=True)["seconds"]


def sources(*modules):
    """A hash of the code of these modules that comments, docstrings and layout do not change."""
    text = "".join(_code(Path(module.__file__).read_text("utf-8")) for module in modules)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _code(text):
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def key(row):
    """What makes a finished run this run: a text to compare."""
    names = ("protocol", "settings", "seed", "profile", "device", "versions", "sources")
    return json.dumps({name: row[name] for name in names}, sort_keys=True)


def label(protocol, settings):
    """A protocol and the settings that differ from its own, as one text: "likelihood epochs=2"."""
    return " ".join([protocol, *(f"{name}={value}" for name, value in settings.items())])


def finished(path=RUNS):
    """The rows of all finished runs, oldest first."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def append(path, row):
    """Add the row of a finished run to the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def versions():
    """The versions that can change a number."""
    return {"torch": torch.__version__}


def as_stored(model):
    """The model with its weights rounded to float16, as its file will hold them, so that both are judged alike."""
    return model.half().float().eval()


def store(folder, name, model, arguments, check, row):
    """Write a model's weights and its card: the arguments of its class, a cheap check, and the row of its run."""
    weights = {key: value.cpu().half().contiguous() for key, value in model.state_dict().items()}
    blob = to_bytes(weights)
    card = {
        "class": type(model).__name__,
        "arguments": arguments,
        "check": {key: round(float(value), 4) for key, value in check.items()},
        "bytes": len(blob),
        "sha256": hashlib.sha256(blob).hexdigest(),
    }
    card |= {key: value for key, value in row.items() if key != "profile"}
    write(folder / f"{name}.safetensors", blob)
    known = dict(sorted((trained.cards(folder) | {name: card}).items()))
    write(folder / "models.json", (json.dumps(known, indent=1, ensure_ascii=False) + "\n").encode())
