"""README shows what figures/results.json, figures/ and the notebooks contain, and describes each picture."""

import ast
import json
import re

import pytest
from front_page import PICTURES, RACE, draw_race, filled, gallery, measured, race
from notebook_files import NOTEBOOKS, ROOT, read

from figures import pictures

ROW = {"published": 86.76, "source": "a paper", "seeds": [0, 1, 2], "data": "60,000 digits", "device": "CPU"}
ROW |= {"mean": 86.5123, "sd": 0.0432, "seconds": [700, 760, 740], "command": "python -m experiments"}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "figures").mkdir()

    def write(rows):
        (tmp_path / "figures" / "results.json").write_text(json.dumps(rows))
        return tmp_path

    return write


def test_readme_is_what_the_files_make_of_it():
    assert (ROOT / "README.md").read_text("utf-8") == filled(ROOT), "run `make readme`"


def test_every_picture_is_the_one_that_its_notebook_stores():
    stored, others = pictures(), {RACE, "02_gap.gif", "bench_growth.png"}
    assert stored.keys() | others == PICTURES.keys()
    old = [name for name, png in stored.items() if (ROOT / "figures" / name).read_bytes() != png]
    assert not old, "run `make figures`"


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_a_picture_of_a_readme_exists_and_is_described(name):
    shown = re.findall(r"!\[(.*?)\]\((figures/.+?)\)", (ROOT / name).read_text("utf-8"))
    assert shown and all(text and (ROOT / file).exists() for text, file in shown)
    if name == "README.md":
        assert all(text == PICTURES[file.removeprefix("figures/")] for text, file in shown)
        there = {f"figures/{path.name}" for path in (ROOT / "figures").glob("*.[pg]*")}
        assert there == {file for _, file in shown}


def test_a_measurement_stands_beside_the_published_one(root):
    bound = ROW | {"published": None, "source": None}
    part = measured(root({"likelihood/nll": ROW, "likelihood/-elbo": bound}))
    row = "| likelihood: nll | 86.76 | 86.51 ± 0.04 | 3 | 60,000 digits | CPU | 12 min |"
    assert [line for line in part.splitlines() if line.startswith("| likelihood")] == [row]
    assert part.endswith("- `python -m experiments`; published: a paper")


def test_one_run_on_a_busy_machine_does_not_decide_the_time_of_a_seed(root):
    training = ROW | {"values": [400.0, 408.0, 9000.0], "published": None, "source": None}
    part = measured(root({"likelihood/nll": ROW, "likelihood/training seconds": training}))
    assert "| CPU | 12 min, training 6.8 |" in part


def test_one_seed_has_no_spread(root):
    assert "| 86.51 | 1 |" in measured(root({"likelihood/nll": ROW | {"sd": None, "seeds": [0]}}))


def test_without_measurements_the_page_names_the_command(tmp_path):
    assert "`make experiments" in measured(tmp_path)


def test_the_race_is_drawn_from_the_points_of_both_recipes(root):
    rows = {}
    for run in (
        "likelihood/",
        "likelihood draws=5/",  # another measurement
        "time_to_number adam=1 ours=9/ours 9 epochs ",
        "time_to_number/adam 8 epochs ",
    ):
        seconds = ROW | {"values": [float(len(run))], "source": None}
        rows |= {f"{run}nll": ROW, f"{run}training seconds": seconds}
    adam, ours = race(rows).values()
    assert adam == [(29.0, 86.5123, 0.0432)]
    assert ours == [(11.0, 86.5123, 0.0432), (43.0, 86.5123, 0.0432)]
    folder = root(rows)
    assert "![" not in measured(folder)
    draw_race(folder)
    part = measured(folder)
    assert f"![{PICTURES[RACE]}](figures/{RACE})" in part
    assert part.endswith("reaches the published 86.76 nats in 0 minutes; Adam is then still at 86.5.")
    assert RACE not in gallery(folder)


def test_a_race_of_one_is_not_drawn(root):
    folder = root({"likelihood/nll": ROW, "likelihood/training seconds": {"values": [1.0]}})
    draw_race(folder)
    assert not (folder / "figures" / RACE).exists()


def test_the_guide_to_this_machine_starts_from_the_times_that_the_notebooks_state():
    spent = {path.stem: run_time(path) for path in NOTEBOOKS}
    (source,) = [c.source for c in read(NOTEBOOKS[0]).cells if c.source.startswith("SECONDS = {")]
    for name, (full, quick) in ast.literal_eval(source.split("=")[1].split("}")[0] + "}").items():
        assert spent[name] == (f"{round(full / 60)} min", f"{quick} s")


def run_time(path):
    """What the first cell says of the full and the quick profile."""
    return re.search(r"Running: (.+?) \(full\), (.+?) \(quick\)", read(path).cells[0].source).groups()
