"""Where and how a notebook runs: device, profile, seed. First used in 00_check_your_setup."""

import os
import random
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
    """The profile named by TUTORIAL_PROFILE: "quick" or "full" (the default)."""
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
