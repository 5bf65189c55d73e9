"""A measured number that a notebook quotes was printed by one of its cells; one of README is in figures/results.json.

Measured is a number with decimals, or one that is followed by nats, %, s or seconds. It must occur, rounded to the
digits quoted, in a stored output of the same notebook. Not held to this: code; math, unless it is a number alone or
ends in "= number" before a unit; the targets of links; sections (§2.2) and arXiv numbers; the times that a first cell
states (tools/run.py compares them with the clock); the parts of README that tools/front_page.py writes (a test there
compares them with figures/results.json); and what tests/quoted.py lists.
"""

import json
import re
from decimal import Decimal

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_files import NOTEBOOKS, ROOT, read
from quoted import QUOTED

READMES = [ROOT / "README.md", ROOT / "README.zh.md"]
NUMBER = r"(?<![A-Za-z\d.])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[-+]?\d+)?(?!\d|\.\d)"
UNIT = r"(?:[-\s]?nats?\b|(?:\\,|\s)?\\?%|\s(?:s|seconds?)\b)"
NO_TEXT = [
    r"```.*?```",
    r"`[^`]*`",
    r"\$\$.*?\$\$",
    r"\]\([^)]*\)",
    r"https?://[^\s>)]+",
    r"<!-- (\w+) -->.*?<!-- /\1 -->",
    r"^\*\*Time\.\*\*.*?$",
    r"</?[a-z]+[^<>]*>",
    r"§ ?\d+(?:\.\d+)*",
    r"arXiv[ :]\d+\.\d+",
]


def prose(text):
    """Leave out what is no running text, and make one space of each gap."""
    for pattern in NO_TEXT:
        text = re.sub(pattern, " ", text, flags=re.S | re.M)
    text = re.sub(rf"\$([^$]*)\$({UNIT})?", formula, text)
    return re.sub(r"\s+", " ", text)


def formula(match):
    """Read math as text if it is a number alone; if a unit follows, read what it equals; else leave it out."""
    inside, unit = match[1], match[2] or ""
    if re.search("[A-Za-z]", inside):
        inside = " ".join(re.findall(rf"(?:=|≈|\\approx)\s*({NUMBER})\s*$", inside)) if unit else " "
    return inside + unit


def numbers(text):
    """All numbers of a text, as decimals that keep their digits."""
    return {Decimal(number.replace(",", "")) for number in re.findall(NUMBER, text)}


def printed(notebook):
    """The numbers in the stored outputs of a notebook's cells."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [
        text
        for o in outputs
        for kind, text in o.get("data", {}).items()
        if kind in ("text/plain", "text/markdown")
    ]
    return numbers("\n".join([output.get("text", "") for output in outputs] + shown))


def results(rows):
    """The numbers of figures/results.json, seconds also in minutes."""
    found = [
        number
        for row in rows.values()
        for number in (row["mean"], row["sd"], row["published"], *row["values"])
    ]
    found += [row["mean"] / 60 for name, row in rows.items() if name.endswith("seconds")]
    return {Decimal(f"{number:.6f}") for number in found if number is not None}


def rounds_to(number, quoted):
    """Is `quoted` this number with fewer digits, or as many?"""
    digits, kept = number.as_tuple().exponent, quoted.as_tuple().exponent
    return digits <= kept and abs(number - quoted) <= Decimal((0, (5,), kept - 1))


def unsupported(text, known, listed):
    """The measured numbers of `text` that are neither in `known` nor part of a listed phrase, with their context."""
    text = prose(text)
    for phrase in listed:
        text = re.sub(occurrence(phrase), " ", text)
    found = []
    for match in re.finditer(rf"({NUMBER})({UNIT})?", text):
        number = Decimal(match[1].replace(",", ""))
        if ("." in match[1] or match[2]) and not any(rounds_to(other, number) for other in known):
            found.append(text[max(0, match.start() - 60) : match.end() + 30])
    return found


def occurrence(phrase):
    """A pattern for a phrase, but not for a part of a longer number."""
    return rf"(?<![\d.]){re.escape(phrase)}(?!\.?\d)"


def listed(name):
    """The phrases that tests/quoted.py lists for a notebook, such as "03", or for "README"."""
    return [phrase for places, phrase, _ in QUOTED if name in places.split()]


def markdown(path):
    return "\n\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_measured_number_in_a_notebook_was_printed_by_one_of_its_cells(path):
    missing = unsupported(markdown(path), printed(read(path)), listed(path.stem[:2]))
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.name)
def test_every_measured_number_in_a_readme_is_in_the_results(path):
    rows = json.loads((ROOT / "figures" / "results.json").read_text("utf-8"))
    missing = unsupported(path.read_text("utf-8"), results(rows), listed("README"))
    assert not missing, "\n".join(missing)


def test_every_listed_phrase_still_stands_where_the_list_says():
    texts = {path.stem[:2]: prose(markdown(path)) for path in NOTEBOOKS}
    texts["README"] = prose("\n".join(path.read_text("utf-8") for path in READMES))
    gone = [
        (place, phrase)
        for places, phrase, _ in QUOTED
        for place in places.split()
        if not re.search(occurrence(phrase), texts[place])
    ]
    assert not gone


# ---- the check itself


OUTPUT = "−ELBO 128.27 of 10,000 images\nerror 6.5%, 0.0314 left\n1.3e+02 nats"


def found(text, phrases=()):
    output = new_output("stream", text=OUTPUT)
    notebook = new_notebook(cells=[new_markdown_cell(text), new_code_cell("", outputs=[output])])
    return unsupported(notebook.cells[0].source, printed(notebook), phrases)


@pytest.mark.parametrize(
    "text",
    [
        "The VAE reaches 128.3 nats.",
        "It ends at 128 nats, with an error of 6.5 % (0.031).",
        "A fair coin pays $784 \\ln 2$ nats.",
        "Read section §2.2 of [the paper](https://a.b/1.5), arXiv 1312.6114, and set `lr=0.25`.",
        "**Time.** Reading: 5 min · Running: 35 s (full), 7 s (quick).",
        "The first exercise takes 10 minutes. There are 60,000 images, and $m \\leftarrow 0.9\\,m + 0.1\\,g$.",
    ],
)
def test_a_printed_number_and_one_that_is_not_measured_may_stand_in_the_text(text):
    assert not found(text)


@pytest.mark.parametrize(
    "text",
    [
        "The VAE reaches 129.3 nats.",
        "The VAE reaches 129 nats.",
        "The VAE reaches 128.270 nats.",  # more digits than were printed
        "The VAE reaches $-129.3$.",
        "达到129.3奈特",
        "It ends at $\\mathrm{KL} = 13.5$ nats.",
        "An error of 7.5%",
        "An error of 8 %",
        "It takes 35 s",
    ],
)
def test_a_number_that_was_not_printed_is_found(text):
    assert len(found(text)) == 1


def test_a_listed_phrase_excuses_itself_and_no_longer_number():
    assert not found("With momentum 0.9.", ["momentum 0.9"])
    assert found("With momentum 0.95.", ["momentum 0.9"])
    assert found("With momentum 0.9, and 0.7.", ["momentum 0.9"])
