"""The workshop guide and the glossary follow the notebooks when these change."""

import re

import pytest
from notebook_files import NOTEBOOKS, ROOT, markdown_cells

GUIDE = (ROOT / "docs" / "workshop.md").read_text("utf-8")
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text("utf-8")
NO_LESSON = {"Takeaways", "Exercises", "References", "Next"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_guide_lists_the_present_sections_and_exercises_of_a_notebook_in_order(path):
    text = "\n".join(cell.source for cell in markdown_cells(path))
    headings = re.findall(r"^(?:## |### (?=Exercise \d))(.+)$", text, re.M)
    title = text.splitlines()[0].removeprefix("# ")
    part = re.split(r"\n##+ ", GUIDE.split(f"\n### {title}\n")[1])[0]
    listed = re.findall(r"^\| (.+?) \|", part, re.M)[1:]
    assert listed == [heading.strip() for heading in headings if heading.strip() not in NO_LESSON]


def test_a_term_is_found_by_its_letter_in_both_languages_and_leads_to_a_notebook():
    terms = re.findall(r"^\| (.+?) \| (.+?) \| .+ \| (\d\d) \|$", GLOSSARY, re.M)
    names = [english.lower() for english, _, _ in terms]
    assert len(names) >= 40 and names == sorted(set(names))
    assert all(re.search("[\u4e00-\u9fff]", chinese) for english, chinese, _ in terms if english != "β-VAE")
    assert {first for _, _, first in terms} <= {path.stem[:2] for path in NOTEBOOKS}
