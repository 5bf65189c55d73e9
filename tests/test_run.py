"""The runner on small notebooks: one that works, and others that fail, die, hang, or cannot be read."""

import base64
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from notebook_files import NOTEBOOKS, ROOT, markdown_cells
from pages import equation
from PIL import Image

SOUND = [
    new_markdown_cell("# 00 · Sound\n\nInline $x^2$, and [next](01_fails.ipynb)"),
    new_code_cell(
        "import os\nprint('✓ one\\n✓ two\\nnot ✓ three')\nprint(os.environ['TUTORIAL_PROFILE'])",
        metadata={"tags": ["nbval-check-output"], "scrolled": True},
    ),
    new_code_cell("for i in range(3):\n    print(f'\\repoch {i}', end='')"),
    new_markdown_cell("## A picture\n\n$$\\begin{aligned} a &= b \\\\ c &= d \\end{aligned}$$"),
    new_code_cell("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"),
    new_code_cell("import sys\n_ = sys.stderr.write('careless')"),
]
SLOWER = "**Time.** Reading: 1 min · Running: 60 min (full), 60 s (quick), on two CPU cores."
FIGURE = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\n1 / 0  # the guilty cell"
BROKEN = {
    "01_fails": ["print('✓ four')", FIGURE, "print('✓ never')"],
    "02_dies": ["import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"],
    "03_hangs": ["import time\ntime.sleep(600)"],
}


def call(root, *arguments, python=(sys.executable,)):
    command = [*python, str(root / "tools" / "run.py"), *arguments]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("päth with space")
    (root / "notebooks").mkdir()
    (root / "tools").mkdir()
    for name in ("run.py", "pages.py"):
        shutil.copy(ROOT / "tools" / name, root / "tools")
    nbformat.write(new_notebook(cells=SOUND), root / "notebooks" / "00_sound.ipynb")
    for name, sources in {**BROKEN, "05_last": ["print('✓ five')"]}.items():
        cells = [new_code_cell(source) for source in sources]
        cells = [new_markdown_cell(SLOWER), *cells]
        nbformat.write(new_notebook(cells=cells), root / "notebooks" / f"{name}.ipynb")
    (root / "notebooks" / "04_merged.ipynb").write_text("<<<<<<< HEAD\n{}")
    return root


@pytest.fixture(scope="module")
def before(root):
    return {path.name: path.read_text("utf-8") for path in root.glob("notebooks/*.ipynb")}


@pytest.fixture(scope="module")
def finished(root, before):
    return call(root, "--in-place", "--profile", "full", "--timeout", "15")


def test_a_failure_is_named_counts_and_does_not_stop_the_other_notebooks(finished):
    assert finished.returncode == 1
    rows = re.findall(r"^(\d\d_\w+) +[\d.]+ +(\d+)  (.+)$", finished.stdout, re.M)
    assert rows == [
        ("00_sound", "2", "ok, stderr in cell 4"),
        ("01_fails", "1", "FAILED in cell 2"),
        ("02_dies", "0", "FAILED in cell 1"),
        ("03_hangs", "0", "FAILED in cell 1"),
        ("04_merged", "0", "FAILED to start"),
        ("05_last", "1", "ok, 0.0 times what it states"),  # of an hour
    ]
    assert re.search(r"^all +[\d.]+ +4  full$", finished.stdout, re.M)


def test_a_failure_shows_its_cell_and_its_own_error_even_if_a_figure_is_open(finished):
    for shown in ("1 / 0  # the guilty cell", "ZeroDivisionError: division by zero"):
        assert shown in finished.stdout
    for shown in ("os.kill(os.getpid(), signal.SIGKILL)", "DeadKernelError"):
        assert shown in finished.stdout
    for shown in ("time.sleep(600)", "timed out while it was being executed, after 15 seconds"):
        assert shown in finished.stdout
    assert finished.stderr == ""


def test_a_notebook_that_fails_has_its_copy_and_its_page_too(root, finished):
    index = (root / "build" / "index.html").read_text("utf-8")
    for name in ("00_sound", *BROKEN, "05_last"):
        assert nbformat.read(root / "build" / f"{name}.ipynb", as_version=4).cells
        assert f'href="{name}.html"' in index and (root / "build" / f"{name}.html").exists()
    assert "ZeroDivisionError" in (root / "build" / "01_fails.html").read_text("utf-8")


def test_a_page_needs_no_network_and_describes_its_pictures(root, finished):
    html = (root / "build" / "00_sound.html").read_text("utf-8")
    assert not re.search(r"<script|<link|src=.?http|@import|url\(.?http", html)
    assert html.count("<math") == 2 and "aligned" not in html and "$x" not in html
    descriptions = re.findall(r'<img alt="([^"]+)"', html)
    assert len(descriptions) == html.count("<img") == 1 and "A picture" in descriptions[0]
    assert 'href="01_fails.html"' in html


def test_in_place_stores_clean_outputs_and_leaves_notebooks_that_failed(root, before, finished):
    stored = nbformat.read(root / "notebooks" / "00_sound.ipynb", as_version=4)
    assert stored.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    old = json.loads(before["00_sound.ipynb"])
    assert [cell.id for cell in stored.cells] == [cell["id"] for cell in old["cells"]]
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, 3, 4]
    assert [dict(cell.metadata) for cell in code] == [{"tags": ["nbval-check-output"]}, {}, {}, {}]
    assert code[0].outputs[0].text.endswith("full\n")
    assert code[1].outputs[0].text == "epoch 2"
    picture = Image.open(io.BytesIO(base64.b64decode(code[2].outputs[-1].data["image/png"])))
    assert picture.mode == "P" and picture.convert("RGB").getextrema() == ((0, 255),) * 3  # 256 colours
    assert code[3].outputs == []
    for name in BROKEN:
        assert (root / "notebooks" / f"{name}.ipynb").read_text("utf-8") == before[f"{name}.ipynb"]


def test_a_second_run_in_place_changes_nothing(root, finished):
    path = root / "notebooks" / "05_last.ipynb"
    once = path.read_bytes()
    assert call(root, "--in-place", "05_last").returncode == 0
    assert path.read_bytes() == once


def test_a_faulty_equation_is_shown_as_it_is_written():
    assert equation(r"\left( a") == r"<code>\left( a</code>"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_whole_run_and_its_kernel(root, tmp_path, number):
    folder = tmp_path / "notebooks"
    shutil.copytree(root / "notebooks", folder)
    shutil.copytree(root / "tools", tmp_path / "tools")
    note = "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(600)"
    nbformat.write(new_notebook(cells=[new_code_cell(note)]), folder / "00_sleeps.ipynb")
    command = [sys.executable, tmp_path / "tools" / "run.py", "--jobs", "1", "00_sleeps", "05"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    wait_for(lambda: (folder / "pid").exists() and (folder / "pid").read_text())
    run.send_signal(number)
    assert b"05_last" not in run.communicate(timeout=60)[0]
    assert run.returncode in (1, -signal.SIGTERM)
    wait_for(lambda: not alive(int((folder / "pid").read_text())))


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_unknown_name_lists_the_known_ones(root):
    refused = call(root, "00", "09_no_such")
    assert refused.returncode != 0
    assert "09_no_such" in refused.stderr and "03_hangs" in refused.stderr


def test_a_folder_without_notebooks_is_an_error(tmp_path, root):
    shutil.copytree(root / "tools", tmp_path / "tools")
    refused = call(tmp_path)
    assert refused.returncode == 1
    assert f"no notebooks in {tmp_path / 'notebooks'}" in refused.stderr


def test_a_python_without_the_packages_is_told_what_to_do(root):
    refused = call(root, python=(sys.executable, "-I", "-S"))
    assert refused.returncode != 0
    assert "has no nbformat" in refused.stderr and "make setup" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_equation_becomes_mathml(path):
    for cell in markdown_cells(path):
        prose = re.sub(r"```.*?```|`[^`]*`", "", cell.source, flags=re.S)
        for block, inline in re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", prose, re.S):
            assert re.match(r"<math(?!.*(\\|&amp;|&#x00026;))", equation(block or inline)), block or inline
