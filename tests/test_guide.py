"""The workshop guide and the notebooks agree: sections, minutes of each, exercises, and the timetables."""

import re

import pytest
from notebook_files import NOTEBOOKS, ROOT, read

GUIDE = (ROOT / "notebooks" / "README.md").read_text("utf-8")
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
NO_LESSON = {"Takeaways", "References", "Next"}


def estimate(words, lines):
    """Minutes to read: 200 words a minute, or 14 lines of code."""
    return words / 200 + lines / 14


def sections(path):
    """{heading: (estimated minutes to read, minutes to write)}; under *Exercises*, one for each exercise."""
    cells = read(path).cells
    text = "\n".join(f"{c.source}\n" if c.cell_type == "markdown" else code(c.source) for c in cells)
    found = {}
    for part in re.split(r"^## ", text, flags=re.M)[1:]:
        heading, body = part.split("\n", 1)
        if heading.strip() == "Exercises":
            pattern = r"^### (Exercise \d+ · .+)\n\n(\d+) minutes\."
            found |= {name: (0, int(minutes)) for name, minutes in re.findall(pattern, body, re.M)}
        elif heading.strip() not in NO_LESSON:
            lines = len(re.findall("^\0", body, re.M))
            words = len(re.sub("^\0.*", "", body, flags=re.M).split())
            found[heading.strip()] = (
                estimate(words, lines),
                sum(map(int, re.findall(r"^(\d+) minutes\.", body, re.M))),
            )
    return found


def code(source):
    """Each line of code, marked: a comment of it is no heading."""
    return "".join(f"\0{line}\n" for line in source.splitlines() if line.strip())


def rows(path):
    """The guide's rows for a notebook: {heading: (reading, writing, in half a day, in a full day)}."""
    title = read(path).cells[0].source.splitlines()[0].removeprefix("# ")
    assert f"\n### {title}\n" in GUIDE
    part = GUIDE.split(f"\n### {title}\n")[1].split("\n## ")[0].split("\n### ")[0]
    found = {}
    for line in re.findall(r"^\| (.+) \|$", part, re.M)[1:]:
        heading, *entries = (entry.strip() for entry in f"{line} ".split("|"))
        reading, writing, half, full = [*entries, "", "", ""][:4]
        found[heading] = (int(reading or 0), int(writing or 0), half == "●", full == "●")
    return found


@each_notebook
def test_the_guide_has_each_section_and_exercise_in_order(path):
    assert list(rows(path)) == list(sections(path))


@each_notebook
def test_its_minutes_are_those_of_the_notebook(path):
    for heading, (reading, writing) in sections(path).items():
        stated = rows(path)[heading]
        assert stated[1] == writing, heading
        assert reading / 1.5 - 1 <= stated[0] <= reading * 1.5 + 1, f"{heading}: about {reading:.0f} min"


@each_notebook
def test_the_reading_time_of_a_notebook_is_that_of_its_words_and_lines(path):
    stated = int(re.search(r"Reading: (\d+) min", read(path).cells[0].source)[1])
    cells = read(path).cells
    words = sum(len(cell.source.split()) for cell in cells if cell.cell_type == "markdown")
    lines = sum(code(cell.source).count("\n") for cell in cells if cell.cell_type == "code")
    counted = estimate(words, lines)
    assert counted / 1.5 - 1 <= stated <= counted * 1.5 + 1, f"{counted:.0f} min by words and lines"


@each_notebook
def test_the_guide_says_what_a_notebook_needs_and_how_long_it_runs(path):
    opening = read(path).cells[0].source
    times = re.search(r"Reading: (.+?) · Running: (.+?) \(full\), (.+?) \(quick\)", opening).groups()
    row = next(line for line in GUIDE.splitlines() if line.startswith("| [") and f"({path.name})" in line)
    _, needs, *stated = (entry.strip() for entry in row.strip("|").split("|"))
    assert stated == list(times)
    linked = re.findall(r"\]\((\d\d)_", re.search(r"\*\*You need\.\*\* (.+)", opening)[1])
    assert needs == (", ".join(sorted(set(linked))) or "–")


@pytest.mark.parametrize(("day", "column"), [("Half a day", 2), ("A full day", 3)])
def test_the_blocks_of_a_day_hold_its_sections_with_a_reserve(day, column):
    blocks = re.findall(
        r"^\| (\d+):(\d\d) \| (\d*) \| (.+) \|$", GUIDE.split(f"## {day}\n")[1].split("\n## ")[0], re.M
    )
    clock = int(blocks[0][0]) * 60 + int(blocks[0][1])
    planned = {}
    for hours, minutes, length, what in blocks:
        assert clock == int(hours) * 60 + int(minutes), what
        clock += int(length or 0)
        planned[what[:2]] = int(length or 0)
    for path in NOTEBOOKS[1:]:
        chosen = [row for row in rows(path).values() if row[column]]
        needed = sum(row[0] + row[1] for row in chosen)
        assert bool(chosen) == (path.stem[:2] in planned), path.stem
        assert needed * 1.05 <= planned.get(path.stem[:2], 0) <= max(needed * 2, 0), path.stem


@each_notebook
def test_no_timetable_holds_an_optional_section(path):
    assert not [name for name, row in rows(path).items() if "*(optional)*" in name and (row[2] or row[3])]


def test_the_glossary_is_sorted_and_has_both_languages():
    terms = re.findall(r"^\| (.+?) \| (.+?) \| .+ \| \d\d \|$", GUIDE.split("## Glossary")[1], re.M)
    names = [english.lower() for english, _ in terms]
    assert len(names) >= 40 and names == sorted(names) and len(set(names)) == len(names)
    assert all(re.search("[\u4e00-\u9fff]", chinese) for english, chinese in terms if english != "β-VAE")
