"""Where and how a notebook runs: device, profile, seed. First used in 00_check_your_setup."""

import hashlib
import os
import random
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

PROFILES = ("quick", "full")


class Session(NamedTuple):
    """What `start` found: a torch device, the profile's name and the seed that was set."""

    device: torch.device
    profile: str
    seed: int

    def pick(self, quick, full):
        """The value for this profile: a notebook states each budget once, `EPOCHS = session.pick(3, 30)`."""
        return quick if self.profile == "quick" else full

    def checkpoint(self, name):
        """Where a long run keeps what it has, `fit(checkpoint=…)` or `run_grid(folder=…)`: a Path, or None.

        The path lies in the folder checkpoints, which TUTORIAL_CHECKPOINTS moves; delete it at any time.
        It names the profile, the seed and all code that ran so far: after a disconnect, the same cells from
        the top find it and go on; with any cell changed they begin anew. None where nothing can be kept: in
        the quick profile, outside a notebook, and where the folder cannot be written to.
        """
        cells = getattr(sys.modules["__main__"], "In", None)  # IPython's list of what was executed
        if self.profile == "quick" or not cells:
            return None
        folder = Path(os.environ.get("TUTORIAL_CHECKPOINTS") or "checkpoints", f"{self.profile}-{self.seed}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return None
        sources = [path.read_text("utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))]
        code = hashlib.sha256("\0".join([*cells, *sources]).encode()).hexdigest()[:8]
        return folder / f"{name}-{code}" if os.access(folder, os.W_OK) else None


def start(seed=0):
    """Seed every generator, choose the fastest device, print one line and return a `Session`.

    The profile comes from TUTORIAL_PROFILE (quick or full, default full). TUTORIAL_SEED, an integer,
    is added to `seed`, so that the whole series can be run again with other random numbers.
    Raises ValueError where either variable holds something else.
    """
    session = Session(_device(), profile(), seed + _seed_shift())
    random.seed(session.seed)
    np.random.seed(session.seed % 2**32)
    torch.manual_seed(session.seed)
    print(f"device {session.device.type} · profile {session.profile} · seed {session.seed}")
    return session


def profile():
    """The profile named by TUTORIAL_PROFILE: "quick" or "full" (the default). ValueError for another."""
    name = os.environ.get("TUTORIAL_PROFILE", "full")
    if name not in PROFILES:
        raise ValueError(f"TUTORIAL_PROFILE is {name!r}; expected one of: {', '.join(PROFILES)}")
    return name


def _seed_shift():
    text = os.environ.get("TUTORIAL_SEED", "0")
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"TUTORIAL_SEED is {text!r}; expected an integer, such as 3") from None


def _device():
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")
