"""A notebook as a reader meets it: JupyterLab and the HTML pages in Debian's Chromium, driven by Playwright.

Screenshots go to build/browser/, with a page that lists them.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from html import escape
from itertools import pairwise

import nbformat
import pages
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook
from notebook_files import NOTEBOOKS, ROOT

SHOTS = ROOT / "build" / "browser"
NOTEBOOK = next(path for path in NOTEBOOKS if path.stem.startswith("03"))
RIGHT = """def coin_nll(x, x_logits):
    return (F.softplus(x_logits) - x * x_logits).flatten(1).sum(dim=1)"""
WRONG = RIGHT.replace("sum", "mean")
SETTINGS = {  # all cells are in the page at once, and nothing is fetched
    "notebook-extension/tracker": '{"windowingMode": "none"}',
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
}

TOO_WIDE = """[...document.querySelectorAll('*')].filter(one => one.clientWidth && !one.closest('math')
    && one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX != 'visible')
    .map(one => one.textContent.trim().slice(0, 80))"""  # what nobody sees without scrolling sideways


@pytest.fixture(scope="module")
def browser():
    if not (chromium := shutil.which("chromium")):
        pytest.skip("no chromium: on Debian, `apt install chromium`")
    from playwright.sync_api import sync_playwright

    shutil.rmtree(SHOTS, ignore_errors=True)
    SHOTS.mkdir(parents=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()
    rows = [
        f'<h2>{escape(path.stem)}</h2>\n<img src="{path.name}" alt="">'
        for path in sorted(SHOTS.glob("*.png"))
    ]
    (SHOTS / "index.html").write_text("<!DOCTYPE html>\n<meta charset=utf-8>\n" + "\n".join(rows), "utf-8")


# ---- JupyterLab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab in a folder with one notebook, under a path with a space and letters beyond ASCII."""
    root = tmp_path_factory.mktemp("lab") / "工作坊 ä"
    root.mkdir()
    shutil.copy(NOTEBOOK, root)
    for name, text in SETTINGS.items():
        path = root.parent / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    options = {
        "ServerApp.root_dir": str(root),
        "ServerApp.port": address.split(":")[-1],
        "IdentityProvider.token": "",
        "ServerApp.open_browser": False,
        "ServerApp.allow_root": True,
        "LabApp.expose_app_in_browser": True,
    }
    variables = {
        "TUTORIAL_PROFILE": "quick",
        "JUPYTERLAB_SETTINGS_DIR": str(root.parent / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(root.parent / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(root.parent / "config"),
        "JUPYTER_RUNTIME_DIR": str(root.parent / "runtime"),
    }
    log = open(root.parent / "log", "w")
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())],
        env={**os.environ, **variables},
        stdout=log,
        stderr=log,
    )
    try:
        for _ in range(120):
            time.sleep(0.5)
            try:
                urllib.request.urlopen(f"{address}/api/status", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, (root.parent / "log").read_text()
        yield address
    finally:
        server.terminate()
        server.wait(timeout=60)
        log.close()


@pytest.fixture(scope="module")
def page(browser, lab):
    """The notebook, opened and run from the first cell to the last by the command of Run > Run All Cells."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{lab}/lab/tree/{NOTEBOOK.name}")
    page.wait_for_selector(".jp-NotebookPanel-notebook .jp-CodeCell", timeout=60_000)
    # Before the session is ready, Run All asks for a kernel; and a menu can lose a click while it is drawn.
    page.wait_for_function("jupyterapp.shell.currentWidget?.sessionContext?.isReady", timeout=60_000)
    run_all = "jupyterapp.commands.execute('notebook:run-all-cells')"
    page.evaluate(f"{{ {run_all}.then(() => (window.ended = true)) }}")
    page.wait_for_function("window.ended", timeout=300_000)
    return page


def shoot(page, name):
    page.screenshot(path=SHOTS / f"{name}.png")


def code_cell(page, text):
    """The code cell that holds this text."""
    return page.locator(".jp-CodeCell", has=page.locator(".jp-InputArea-editor", has_text=text)).first


def test_run_all_ends_without_an_error(page):
    shoot(page, "1 after Run All Cells")
    outputs = page.locator(".jp-OutputArea-output")
    kinds = set(outputs.evaluate_all("all => all.map(one => one.dataset.mimeType)"))
    assert "image/png" in kinds
    wrong = page.locator('[data-mime-type$="jupyter.error"], [data-mime-type$="jupyter.stderr"]')
    assert wrong.all_inner_texts() == []
    text = page.locator(".jp-Notebook").inner_text()
    assert "profile quick" in text and "profile full" not in text  # these are new outputs
    assert text.count("✓ ") >= 10


def attempt(page, source, sign):
    """Type a function into the stub, run it and the check below; → the check's line."""
    stub = code_cell(page, "def coin_nll")
    stub.locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(source)
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")  # the next cell is the check
    output = code_cell(page, "check(exercises.coin_nll").locator(".jp-OutputArea-output")
    page.wait_for_function(
        "([cell, sign]) => cell.textContent.startsWith(sign)", arg=[output.element_handle(), sign]
    )
    return output.inner_text()


def test_an_exercise_turns_from_a_circle_to_a_cross_with_a_hint_to_a_tick(page):
    output = code_cell(page, "check(exercises.coin_nll").locator(".jp-OutputArea-output")
    assert output.inner_text().startswith("○ not attempted")
    assert "the mean over the pixels" in attempt(page, WRONG, "✗")
    shoot(page, "2 a hint at a mistake")
    assert attempt(page, RIGHT, "✓").strip() == "✓ correct"
    shoot(page, "3 a solved exercise")


def test_a_solution_unfolds(page):
    fold = page.locator(".jp-RenderedMarkdown details", has_text="def coin_nll").first
    solution = fold.locator("pre").first
    assert not solution.is_visible()
    fold.locator("summary").click()
    solution.wait_for(state="visible", timeout=10_000)
    shoot(page, "4 a solution")


# ---- The pages of `make run`


@pytest.fixture(scope="module")
def offline(browser, tmp_path_factory):
    """Open HTML as a file in a browser without a network; nothing but that file may be asked for."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    folder = tmp_path_factory.mktemp("pages")

    def show(html, name):
        path = folder / f"{name}.html"
        path.write_text(html, "utf-8")
        page = context.new_page()
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
        return page

    return show


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_page_fits_reads_and_needs_no_network(offline, path):
    page = offline(pages.page(nbformat.read(path, as_version=4), path.stem), path.stem)
    page.screenshot(path=SHOTS / f"page {path.stem}.png")
    page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    assert page.evaluate(TOO_WIDE) == []
    text = page.locator("main").inner_text()
    assert "$$" not in text and "\\frac" not in text
    assert all(page.locator("math").evaluate_all("all => all.map(m => m.getBoundingClientRect().width)"))
    pictures = page.locator("img").evaluate_all("all => all.map(i => [i.alt, i.naturalWidth])")
    assert pictures and all(alt.strip() and width for alt, width in pictures)
    levels = page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(h => +h.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    page.close()


def test_the_formulas_print_on_one_page(offline):
    page = offline(pages.formulas((ROOT / "docs" / "formulas.md").read_text("utf-8")), "formulas")
    assert page.locator("math").count() > 15
    page.screenshot(path=SHOTS / "page formulas.png", full_page=True)
    pdf = page.pdf(format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1
    page.close()


def test_an_unwelcome_page_is_noticed(offline):
    wide = new_notebook(cells=[new_markdown_cell("# Wide\n\n<div style='width: 3000px'>wide</div>")])
    page = offline(pages.page(wide, "wide"), "wide")
    assert len(page.evaluate(TOO_WIDE)) == 1
    page.close()
