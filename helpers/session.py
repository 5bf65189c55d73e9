"""Where and how a notebook runs: device, profile and seed. First used in 00_check_your_setup."""

import os
import random
from typing import NamedTuple

import numpy as np
import torch

from helpers.claims import say

PROFILES = ("quick", "full")
SEEDS = 2**32  # NumPy's generator takes no others


class Session(NamedTuple):
    """What `start` found: a torch device, the name of the profile, and the seed that was set."""

    device: torch.device
    profile: str
    seed: int

    def pick(self, quick, full):
        """Return the value for this profile: a notebook states each budget once, `EPOCHS = session.pick(3, 30)`."""
        return quick if self.profile == "quick" else full


def start(seed=0):
    """Seed every generator, choose the device, print one line and return a `Session`.

    TUTORIAL_PROFILE is quick or full (default: full). TUTORIAL_DEVICE is cpu, cuda, mps or another device that
    torch offers here (default: the accelerator, if there is one). TUTORIAL_SEED, an integer, is added to `seed`,
    so that the whole series can be run with other random numbers.
    Raises ValueError if a variable holds something else, or if the seed is outside 0 … 2³² − 1.
    """
    session = Session(device(), profile(), seed + _seed_shift())
    if not 0 <= session.seed < SEEDS:
        raise ValueError(
            f"the seed is {session.seed} ({seed} here + TUTORIAL_SEED); expected 0 to {SEEDS - 1}"
        )
    random.seed(session.seed)
    np.random.seed(session.seed)
    torch.manual_seed(session.seed)
    say(f"device {session.device.type} · profile {session.profile} · seed {session.seed}")
    if session.profile == "quick":
        say("a quick run: the numbers in the text are those of the full profile")
    return session


def profile():
    """Return the profile that TUTORIAL_PROFILE names, "quick" or "full" (the default); ValueError for another."""
    name = os.environ.get("TUTORIAL_PROFILE", "full")
    if name not in PROFILES:
        raise ValueError(f"TUTORIAL_PROFILE is {name!r}; expected one of: {', '.join(PROFILES)}")
    return name


def device():
    """Return the device that TUTORIAL_DEVICE names, else the accelerator of this machine, else the CPU.

    Raises ValueError with the devices that are here if the one that is named is not.
    """
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    here = {"cpu": torch.device("cpu")}
    if accelerator is not None:
        here[accelerator.type] = accelerator
    name = os.environ.get("TUTORIAL_DEVICE") or list(here)[-1]
    if name not in here:
        raise ValueError(f"TUTORIAL_DEVICE is {name!r}; expected one that is here: {', '.join(here)}")
    return torch.device(name)


def _seed_shift():
    text = os.environ.get("TUTORIAL_SEED", "0")
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"TUTORIAL_SEED is {text!r}; expected an integer, such as 3") from None
