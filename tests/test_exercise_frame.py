"""Claims, questions and the frame for exercises: every answer that a reader could give gets a fitting line."""

import io
import linecache
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from helpers.claims import claim
from helpers.exercises import Exercise, Question, check, predict, verdict
from helpers.session import start
from helpers.training import fit

# ---- claim


@pytest.mark.parametrize("true", [True, np.True_, np.array(True), torch.tensor(True), torch.tensor([True])])
def test_a_claim_that_holds_prints_one_line_without_numbers(true, capsys):
    claim("Water is wet", true, wetness=0.9)
    assert capsys.readouterr().out == "✓ Water is wet\n"


@pytest.mark.parametrize("false", [False, np.False_, torch.tensor(False), float("nan") < 1, torch.nan > 0])
def test_a_claim_that_does_not_hold_raises_and_prints_nothing(false, capsys):
    with pytest.raises(AssertionError, match=r"^✗ Water is dry$"):
        claim("Water is dry", false)
    assert capsys.readouterr().out == ""


def test_a_claim_that_does_not_hold_shows_its_numbers():
    numbers = {"a": 0.123456, "b": 3, "c": torch.tensor(0.5, requires_grad=True), "d": np.array([1, 2])}
    with pytest.raises(AssertionError) as error:
        claim("Water is dry", False, **numbers)
    assert str(error.value) == "✗ Water is dry (a = 0.1235, b = 3, c = 0.5, d = [1 2])"


@pytest.mark.parametrize(
    "vague", [torch.tensor([True, True]), np.array([True, True]), 0.3, 1, torch.tensor(0.3), None, "yes", []]
)
def test_a_claim_about_something_that_is_not_one_bool_is_an_error(vague):
    with pytest.raises(ValueError, match="expected one True or False"):
        claim("Water is wet", vague)


def test_a_claim_with_its_arguments_swapped_is_an_error():
    with pytest.raises(ValueError, match=r"claim\(text, condition\)"):
        claim(True, "Water is wet")


@pytest.mark.parametrize(
    ("encoding", "claimed"),
    [
        ("cp1252", "? ? is small"),
        ("gbk", "? β is small"),
        ("cp932", "? β is small"),
        ("utf-8", "✓ β is small"),
    ],
)
def test_a_console_shows_a_question_mark_for_a_character_that_it_lacks(encoding, claimed, monkeypatch):
    console = io.TextIOWrapper(io.BytesIO(), encoding)  # as strict as that of plain Python
    monkeypatch.setattr(sys, "stdout", console)
    claim("β is small", True)
    check(TOTAL, stub)
    start()
    model = torch.nn.Linear(1, 1)
    adam = torch.optim.Adam(model.parameters())
    fit(model, lambda m, x: (m(x).square().mean(), {}), torch.rand(9, 1), optimizers=[adam], epochs=1)
    console.flush()
    lines = console.buffer.getvalue().decode(encoding).splitlines()
    assert lines[0] == claimed
    assert len(lines) >= 4


# ---- predict

QUESTIONS = {
    "widths": Question(
        text="What does a wider code do to the loss?",
        choices={"a": "it rises", "b": "it falls", "c": "nothing"},
        answer="b",
        refuted={"a": "the cell with the curve", "c": "the table of widths"},
    )
}


@pytest.mark.parametrize(
    ("choice", "printed"),
    [
        (
            (),
            "What does a wider code do to the loss?\n  a  it rises\n  b  it falls\n  c  nothing\n○ not answered\n",
        ),
        (("b",), "✓ b: it falls\n"),
        (("c",), "✗ c: nothing. What refutes it: the table of widths\n"),
    ],
)
def test_predict_shows_the_question_or_judges_the_choice(choice, printed, capsys):
    assert predict(QUESTIONS, "widths", *choice) is None  # or a notebook would show the line twice
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("width", "a"), "there is no question 'width'; expected one of: widths"),
        (("widths", "d"), "choice is 'd'; expected one of: a, b, c"),
    ],
)
def test_predict_lists_what_there_is_if_a_name_or_choice_does_not_exist(arguments, message):
    with pytest.raises(ValueError, match=message):
        predict(QUESTIONS, *arguments)


# ---- check

HALF_NORM = Exercise(
    solution=lambda x: 0.5 * (x**2).sum(dim=1),
    measure=lambda f: [f(torch.randn(5, 3)), f(torch.tensor([[1.0, 2.0]]))],
    mistakes={
        "you averaged over the pixels; sum": lambda x: 0.5 * (x**2).mean(dim=1),
        "the ½ is missing": lambda x: (x**2).sum(dim=1),
        "the logarithm of 0 is not a number": lambda x: (x**2).sum(dim=1) * torch.nan,
        "one number per image, not one in all": lambda x: 0.5 * (x**2).sum(),
    },
)
TOTAL = Exercise(lambda x: x.sum(), lambda f: [f(torch.arange(4.0))], {})  # expects one number, shape ()
PAIR = Exercise(lambda x: (x + 1, x - 1), lambda f: list(f(torch.arange(4.0))), {})
UNPACKED = Exercise(lambda x: (x, x), lambda f: [sum(pair := f(torch.ones(3))), pair[1].exp()], {})


def stub(x):
    """x (B, D) → (B,)"""
    raise NotImplementedError


@pytest.mark.parametrize(
    "attempt",
    [
        lambda x: x.square().sum(1) / 2,
        lambda x: x.pow(2).flatten(1).sum(-1).mul(0.5).double(),
        lambda x: torch.linalg.vector_norm(x, dim=1) ** 2 / 2,
        lambda x: 0.5 * (x.numpy() ** 2).sum(axis=1),
        lambda x: 0.5 * (x.requires_grad_() ** 2).sum(dim=1),
    ],
)
def test_differently_written_right_answers_pass(attempt):
    assert verdict(HALF_NORM, attempt) == "✓ correct"


@pytest.mark.parametrize("kind", [float, int, np.float32, np.array])
def test_a_plain_number_passes_if_one_number_is_expected(kind):
    assert verdict(TOTAL, lambda x: kind(x.sum().item())) == "✓ correct"


def test_a_stub_is_not_attempted_and_the_line_is_printed(capsys):
    assert check(HALF_NORM, stub) is None  # or a notebook would show the line twice
    assert capsys.readouterr().out == "○ not attempted\n"


@pytest.mark.parametrize("hint", HALF_NORM.mistakes)
def test_each_mistake_gets_its_own_hint(hint):
    assert verdict(HALF_NORM, HALF_NORM.mistakes[hint]) == f"✗ {hint}"


def test_a_hint_is_given_only_to_an_attempt_that_measures_like_its_mistake():
    line = verdict(HALF_NORM, lambda x: 0.25 * (x**2).sum(dim=1))
    assert "numbers are not" in line
    assert not any(hint in line for hint in HALF_NORM.mistakes)


@pytest.mark.parametrize(
    ("exercise", "attempt", "line"),
    [
        (HALF_NORM, lambda x: None, "✗ your function returned None: is its return statement missing?"),
        (UNPACKED, lambda x: None, "✗ your function returned None: is its return statement missing?"),
        (HALF_NORM, lambda x: "12", "✗ your function returned a str; expected a tensor of shape (5,)"),
        (HALF_NORM, lambda x: x.tolist(), "✗ your function returned a list; expected a tensor of shape (5,)"),
        (HALF_NORM, lambda x: (x, x), "✗ your function returned a tuple; expected a tensor of shape (5,)"),
        (HALF_NORM, lambda x: x, "✗ your function returned the shape (5, 3); expected (5,)"),
        (HALF_NORM, lambda x: 1.0, "✗ your function returned the shape (); expected (5,)"),
        (TOTAL, lambda x: x.sum()[None], "✗ your function returned the shape (1,); expected ()"),
        (TOTAL, lambda x: x.sum() / 0, "✗ your function returned NaN or infinity"),
        (TOTAL, lambda x: torch.nan, "✗ your function returned NaN or infinity"),
        (TOTAL, lambda x: x.sum() + 2, "✗ the shape is right, the numbers are not: they are off by up to 2"),
        (PAIR, lambda x: (x + 1, x - 1, x), "✗ your function returned 3 values; expected 2"),
    ],
)
def test_other_wrong_answers_are_told_what_is_wrong(exercise, attempt, line):
    assert verdict(exercise, attempt) == line


def test_an_error_in_the_attempt_is_told_from_an_error_in_using_its_answer():
    assert verdict(HALF_NORM, lambda x: x @ x).startswith("✗ your function stopped with RuntimeError: mat1 ")
    assert verdict(TOTAL, lambda: 0).startswith("✗ your function stopped with TypeError: ")
    line = verdict(UNPACKED, lambda x: 3)
    assert line.startswith("✗ what your function returned does not fit: TypeError: ")


def test_an_error_shows_the_line_of_the_readers_own_cell():
    cell, name = (
        "def helper(x):\n    return x.missing\n\n\ndef attempt(x):\n    return helper(x)\n",
        "<cell 7>",
    )
    linecache.cache[name] = len(cell), None, cell.splitlines(True), name  # as IPython does
    exec(compile(cell, name, "exec"), namespace := {})
    line = verdict(HALF_NORM, namespace["attempt"])
    assert line.startswith("✗ your function stopped with AttributeError: 'Tensor' object has no attribute")
    assert line.endswith("\n  line 2 of your cell: return x.missing")


def test_torchs_own_not_implemented_error_is_no_stub():
    whole = lambda x: F.mse_loss(torch.ones(2, dtype=torch.long), torch.ones(2, dtype=torch.long))  # noqa: E731
    with pytest.raises(NotImplementedError):
        whole(None)
    assert verdict(TOTAL, whole).startswith("✗ your function stopped with NotImplementedError: ")


def test_a_check_leaves_the_random_numbers_as_they_were():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    verdict(HALF_NORM, lambda x: torch.rand(len(x)))
    assert torch.equal(torch.rand(3), expected)
