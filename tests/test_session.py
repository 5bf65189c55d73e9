"""A session: profile, seeds and device from the environment, and one line that says so."""

import random

import numpy as np
import pytest
import torch

from helpers.session import PROFILES, profile, start


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    monkeypatch.delenv("TUTORIAL_PROFILE", raising=False)
    monkeypatch.delenv("TUTORIAL_SEED", raising=False)


def numbers():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_full_is_the_default_profile_and_start_prints_one_line(capsys):
    session = start(seed=4)
    assert (session.profile, session.seed) == ("full", 4)
    assert capsys.readouterr().out == f"device {session.device.type} · profile full · seed 4\n"


@pytest.mark.parametrize(("name", "budget"), [("quick", 3), ("full", 30)])
def test_pick_gives_the_budget_of_the_profile(name, budget, monkeypatch):
    monkeypatch.setenv("TUTORIAL_PROFILE", name)
    assert start().pick(quick=3, full=30) == budget


@pytest.mark.parametrize("name", ["Quick", "fast", "", " full"])
def test_a_misspelt_profile_lists_the_valid_ones(name, monkeypatch):
    monkeypatch.setenv("TUTORIAL_PROFILE", name)
    for call in (profile, start):
        with pytest.raises(ValueError, match=f"TUTORIAL_PROFILE is {name!r}; .*: {', '.join(PROFILES)}"):
            call()


def test_the_same_seed_gives_the_same_numbers():
    start(seed=1)
    first = numbers()
    numbers()
    start(seed=1)
    assert numbers() == first


def test_another_tutorial_seed_gives_other_numbers_everywhere(monkeypatch):
    found = []
    for shift in range(3):
        monkeypatch.setenv("TUTORIAL_SEED", str(shift))
        assert start(seed=10).seed == 10 + shift
        found.append(numbers())
    for generator in zip(*found, strict=True):
        assert len(set(generator)) == 3


def test_a_negative_seed_is_a_seed(monkeypatch):
    monkeypatch.setenv("TUTORIAL_SEED", "-1")
    assert start().seed == -1
    assert all(0 <= number < 1 for number in numbers())


@pytest.mark.parametrize("text", ["", "one", "1.5", "0x1"])
def test_a_seed_that_is_no_integer_is_an_error(text, monkeypatch):
    monkeypatch.setenv("TUTORIAL_SEED", text)
    with pytest.raises(ValueError, match=f"TUTORIAL_SEED is {text!r}; expected an integer"):
        start()


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(1, 0, "cuda"), (0, 1, "mps"), (0, 0, "cpu"), (1, 1, "cuda")]
)
def test_the_fastest_device_there_is_gets_chosen(cuda, mps, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cuda))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: bool(mps))
    assert start().device == torch.device(expected)
