"""pyproject.toml holds the address; `make publish` writes it into every other file that names it."""

import re
import shutil
import subprocess
import sys

import nbformat
import publish
import pytest
from notebook_files import NOTEBOOKS, ROOT, code_cells

STAMPED = [*NOTEBOOKS, *(ROOT / name for name in publish.TEXTS)]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    root = tmp_path_factory.mktemp("copy")
    (root / "notebooks").mkdir()
    for path in [ROOT / "pyproject.toml", *STAMPED]:
        shutil.copy(path, root / path.relative_to(ROOT))
    return root


@pytest.fixture(scope="module")
def published(copy):
    publish.main(copy, "somebody/some-where")
    return copy


def test_each_file_holds_the_address_of_pyproject():
    stamped = publish.stamp(ROOT)
    assert stamped.keys() == set(STAMPED)
    other = [path.name for path, text in stamped.items() if path.read_text("utf-8") != text]
    assert not other, "run `make publish`"


def test_until_then_nobody_can_register_the_address():
    address = publish.values(ROOT)["address"]
    if not address.startswith(publish.GITHUB):
        assert re.match(r"https://[\w-]+\.invalid/", address)
        assert all("unpublished" in path.read_text("utf-8") for path in STAMPED)


def test_publishing_leaves_no_file_without_the_address(published):
    for path in [published / "pyproject.toml", *(published / path.relative_to(ROOT) for path in STAMPED)]:
        text = path.read_text("utf-8")
        assert "https://github.com/somebody/some-where" in text
        assert ".invalid" not in text and "unpublished" not in text


def test_a_published_notebook_has_its_own_link_to_colab(published):
    for path in published.glob("notebooks/*.ipynb"):
        opening = nbformat.read(path, as_version=4).cells[0].source
        link = f"https://colab.research.google.com/github/somebody/some-where/blob/main/notebooks/{path.name}"
        assert opening.count("[Open in Colab]") == 1 and link in opening


def test_publishing_twice_changes_nothing_and_elsewhere_leaves_no_trace(published):
    once = {path: path.read_bytes() for path in published.rglob("*.*")}
    publish.main(published, "another/place")
    assert not [path for path in once if b"some-where" in path.read_bytes()]
    publish.main(published, "somebody/some-where")
    publish.main(published)
    assert once == {path: path.read_bytes() for path in published.rglob("*.*")}


def test_a_notebook_is_otherwise_as_it_was(published):
    for path in NOTEBOOKS:
        before, after = (
            nbformat.read(p, as_version=4).cells for p in (path, published / "notebooks" / path.name)
        )
        assert [cell.id for cell in after].count(publish.BOOTSTRAP) == 1
        kept = [cell for cell in after if cell.id != publish.BOOTSTRAP][1:]
        old = [cell for cell in before if cell.id != publish.BOOTSTRAP][1:]
        assert [cell.source for cell in kept] == [cell.source for cell in old]
        code = code_cells(published / "notebooks" / path.name)
        assert code[0].id == publish.BOOTSTRAP


def test_a_file_that_hides_the_package_is_named_and_nothing_is_installed(tmp_path):
    (tmp_path / "helpers.py").write_text("mine = 1\n")
    first = code_cells(NOTEBOOKS[0])[0].source
    ended = subprocess.run(
        [sys.executable, "-c", first], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1 and ended.stdout == ""
    assert (
        f"ImportError: {tmp_path / 'helpers.py'} hides the package helpers" in ended.stderr.splitlines()[-1]
    )


@pytest.mark.parametrize("name", ["owner", "https://github.com/a/b", "a b/c", ""])
def test_another_form_of_a_name_is_refused(copy, name):
    with pytest.raises(SystemExit, match="owner/name"):
        publish.main(copy, name)
