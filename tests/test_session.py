"""A session: profile, seed and device come from the environment, and one line says which they are."""

import random

import numpy as np
import pytest
import torch

from helpers.session import PROFILES, profile, start


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("TUTORIAL_PROFILE", "TUTORIAL_SEED", "TUTORIAL_DEVICE"):
        monkeypatch.delenv(name, raising=False)


def numbers():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_a_reader_gets_the_full_profile_and_one_line(capsys):
    session = start(seed=4)
    assert (session.profile, session.seed) == ("full", 4)
    assert capsys.readouterr().out == f"device {session.device.type} · profile full · seed 4\n"


@pytest.mark.parametrize(("name", "budget"), [("quick", 3), ("full", 30)])
def test_pick_gives_the_budget_of_the_profile(name, budget, monkeypatch):
    monkeypatch.setenv("TUTORIAL_PROFILE", name)
    assert start().pick(quick=3, full=30) == budget


def test_a_quick_run_says_that_the_numbers_of_the_text_are_not_its_own(monkeypatch, capsys):
    monkeypatch.setenv("TUTORIAL_PROFILE", "quick")
    start()
    assert "the numbers in the text are those of the full profile" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["Quick", "fast", "", " full"])
def test_a_misspelt_profile_lists_the_valid_ones(name, monkeypatch):
    monkeypatch.setenv("TUTORIAL_PROFILE", name)
    for call in (profile, start):
        with pytest.raises(ValueError, match=f"TUTORIAL_PROFILE is {name!r}; .*: {', '.join(PROFILES)}"):
            call()


# ---- seeds


def test_the_same_seed_gives_the_same_numbers():
    start(seed=1)
    first = numbers()
    numbers()
    start(seed=1)
    assert numbers() == first


def test_another_tutorial_seed_gives_other_numbers_from_every_generator(monkeypatch):
    found = []
    for shift in range(3):
        monkeypatch.setenv("TUTORIAL_SEED", str(shift))
        assert start(seed=10).seed == 10 + shift
        found.append(numbers())
    for generator in zip(*found, strict=True):
        assert len(set(generator)) == 3


@pytest.mark.parametrize(("seed", "shift"), [(0, 0), (1, -1), (0, 2**32 - 1), (2**32, -1)])
def test_seeds_up_to_both_ends_of_the_range_are_accepted(seed, shift, monkeypatch):
    monkeypatch.setenv("TUTORIAL_SEED", str(shift))
    assert start(seed).seed == seed + shift


@pytest.mark.parametrize(("seed", "shift"), [(0, -1), (-1, 0), (1, 2**32 - 1), (0, 5 * 10**9), (0, 10**20)])
def test_seeds_outside_the_range_are_refused_with_the_range(seed, shift, monkeypatch):
    monkeypatch.setenv("TUTORIAL_SEED", str(shift))
    with pytest.raises(ValueError, match=rf"the seed is {seed + shift} .*; expected 0 to {2**32 - 1}"):
        start(seed)


@pytest.mark.parametrize("text", ["", "one", "1.5", "0x1"])
def test_a_seed_that_is_not_an_integer_is_an_error(text, monkeypatch):
    monkeypatch.setenv("TUTORIAL_SEED", text)
    with pytest.raises(ValueError, match=f"TUTORIAL_SEED is {text!r}; expected an integer"):
        start()


# ---- devices


@pytest.mark.parametrize(
    ("accelerator", "wish", "expected"),
    [
        (None, None, "cpu"),
        (None, "", "cpu"),
        (None, "cpu", "cpu"),
        ("cuda", None, "cuda"),
        ("mps", None, "mps"),
        ("mps", "mps", "mps"),
        ("cuda", "cpu", "cpu"),
    ],
)
def test_the_accelerator_is_used_unless_tutorial_device_names_another(
    accelerator, wish, expected, monkeypatch
):
    pretend_accelerator(accelerator, monkeypatch)
    if wish is not None:
        monkeypatch.setenv("TUTORIAL_DEVICE", wish)
    assert start().device == torch.device(expected)


@pytest.mark.parametrize(("accelerator", "here"), [(None, "cpu"), ("mps", "cpu, mps")])
@pytest.mark.parametrize("wish", ["cuda", "gpu", "CPU"])
def test_a_device_that_is_not_here_is_an_error_that_lists_what_is_here(accelerator, here, wish, monkeypatch):
    pretend_accelerator(accelerator, monkeypatch)
    monkeypatch.setenv("TUTORIAL_DEVICE", wish)
    with pytest.raises(ValueError, match=f"TUTORIAL_DEVICE is '{wish}'; expected one that is here: {here}$"):
        start()


def pretend_accelerator(kind, monkeypatch):
    found = kind and torch.device(kind)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: found)
