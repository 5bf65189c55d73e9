"""Execute the notebooks: an executed copy and a page of each go to build/, a table says what was checked."""

import argparse
import base64
import importlib
import io
import math
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

try:
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError
    from PIL import Image

    import helpers  # noqa: F401
except ModuleNotFoundError as error:
    sys.exit(f"{sys.executable} has no {error.name}. Run `make setup`; it makes .venv/bin/python, which has.")

NOTEBOOKS = Path(__file__).resolve().parent
BUILD = NOTEBOOKS.parent / "build"
CLEAR = "\r\x1b[K" if sys.stdout.isatty() else ""  # the line that says how far they are
UNDER_WAY = {}  # notebook: how far it is
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


class Run(NamedTuple):
    notebook: str
    seconds: float
    claims: int
    result: str  # "ok", or the cell in which it failed


def execute(path, timeout):
    """Run a notebook in a kernel of its own, show how far it is; return it and its row of the table."""
    notebook, cells, reached, result = nbformat.v4.new_notebook(), [], [], "ok"
    start = time.perf_counter()

    def progress(cell, **_):
        reached.append(cell)
        UNDER_WAY[path.stem] = f"cell {len(reached)} of {len(cells)}"
        if sys.stdout.isatty():
            print(CLEAR + "   ".join(map("  ".join, sorted(UNDER_WAY.items()))), end="  ", flush=True)

    try:
        notebook = nbformat.read(path, as_version=4)
        cells += [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=timeout,
            resources={"metadata": {"path": str(NOTEBOOKS)}},
            coalesce_streams=True,  # of a progress bar, keep the last state
            record_timing=False,
            store_widget_state=False,
            shutdown_kernel="immediate",
            extra_arguments=["--log-level=CRITICAL"],  # or each kernel warns of its own transport
            on_cell_execute=progress,
        )
        # The kernel is this Python, whichever the reader has registered under the name python3.
        client.create_kernel_manager().kernel_spec_manager.kernel_dirs = []
        client.execute()
    except Exception as error:
        result = f"FAILED in cell {len(reached)}" if reached else "FAILED to start"
        why = f"{type(error).__name__}: {error}"
        if isinstance(error, CellExecutionError):
            why = "\n".join(reached[-1].outputs[-1].traceback)
        elif isinstance(error, CellTimeoutError):
            why = f"The cell had not ended after {timeout} s (--timeout)."
        why = re.sub(r"\x1b\[[0-9;]*m", "", why)  # colours
        print(f"\n\n{path.name}, {result}:\n\n{reached[-1].source if reached else ''}\n\n{why}\n")

    outputs = [(number, output) for number, cell in enumerate(cells, start=1) for output in cell.outputs]
    if noisy := sorted({str(number) for number, output in outputs if output.get("name") == "stderr"}):
        result += f", stderr in cell {', '.join(noisy)}"
    claims = sum(len(re.findall("^✓", output.get("text", ""), re.M)) for _, output in outputs)
    seconds = time.perf_counter() - start
    times = seconds / stated(notebook) if result.startswith("ok") else 1
    if times < 1 / 1.5 or times > 1.5:  # never for NaN
        result += f", {times:.1f} times what it states"
    UNDER_WAY.pop(path.stem, None)
    print(f"{CLEAR}{path.stem}  {len(reached)} of {len(cells)} cells  {seconds:.1f} s  {result}", flush=True)
    return notebook, Run(path.stem, seconds, claims, result)


def stated(notebook):
    """The seconds that the first cell of a notebook states for this profile; NaN where it states none."""
    pattern = rf"(\d+) (min|s) \({os.environ['TUTORIAL_PROFILE']}\)"
    found = re.search(pattern, notebook.cells[0].source if notebook.cells else "")
    return int(found[1]) * {"min": 60, "s": 1}[found[2]] if found else math.nan


def clean(notebook):
    """Leave out what differs from run to run, stderr, and widgets, which show nothing without a kernel.

    Pictures keep 256 colours, and so a third of their bytes.
    """
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k == "tags"})
        if cell.cell_type == "code":
            shown = [output for output in cell.outputs if output.get("name") != "stderr"]
            cell.outputs = [o for o in shown if "widget-view" not in "".join(o.get("data", {}))]
            for data in (output.get("data", {}) for output in cell.outputs):
                if "image/png" in data:
                    data["image/png"] = lighter(data["image/png"])


def lighter(png):
    """A PNG, as base64, with 256 colours."""
    with io.BytesIO() as file:
        picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
        picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(file, "png")
        return base64.b64encode(file.getvalue()).decode()


def write(path, text):
    """Replace a file in one step, so that an interrupted run leaves the old one."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8", newline="\n")
    part.replace(path)


def choose(names):
    """The notebooks whose file names begin with one of `names`; all, if there are none."""
    every = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    chosen = {name: [path for path in every if path.stem.startswith(Path(name).stem)] for name in names}
    if unknown := [name for name in names if not chosen[name]]:
        sys.exit(f"No notebook called {unknown[0]}. There are: {', '.join(path.stem for path in every)}")
    return sorted(set().union(*chosen.values())) or every


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as 01 or 01_autoencoder; default: all")
    parser.add_argument("--profile", choices=["quick", "full"], default="quick")
    parser.add_argument("--in-place", action="store_true", help="store the outputs of what ran without error")
    parser.add_argument("--jobs", type=int, help="notebooks side by side; default: 2 in quick, 1 in full")
    parser.add_argument("--timeout", type=int, default=1200, metavar="SECONDS", help="for one cell")
    options = parser.parse_args()
    sys.stdout.reconfigure(errors="replace")  # for a console that has no ✓
    os.environ["TUTORIAL_PROFILE"] = options.profile
    os.environ["TUTORIAL_CHECKPOINTS"] = os.devnull  # no folder can be made there: every run is a whole one
    for name in {"TUTORIAL_DATA", "TUTORIAL_FIGURES"} & os.environ.keys():
        os.environ[name] = os.path.abspath(os.environ[name])  # a kernel starts in another folder
    jobs = options.jobs or {"quick": 2, "full": 1}[options.profile]
    if jobs > 1:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # kernels that fight over cores are slower than on one
    BUILD.mkdir(exist_ok=True)
    runs, paths = [], choose(options.names)
    # Threads only wait for kernels; and outside the main thread nbclient leaves Ctrl-C to us.
    ended = ThreadPoolExecutor(jobs).map(lambda path: execute(path, options.timeout), paths)
    # That import takes seconds, in which the first kernels start; in the main thread it could swallow Ctrl-C.
    pages = ThreadPoolExecutor(1).submit(importlib.import_module, "pages")

    for path, (notebook, run) in zip(paths, ended, strict=True):
        runs.append(run)
        write(BUILD / path.name, nbformat.writes(notebook) + "\n")
        write(BUILD / f"{path.stem}.html", pages.result().page(notebook, path.stem))
        if options.in_place and run.result.startswith("ok"):
            clean(notebook)
            write(path, nbformat.writes(notebook) + "\n")

    for guide in NOTEBOOKS.glob("README.md"):
        write(BUILD / "formulas.html", pages.result().formulas(guide.read_text("utf-8")))
    total = Run("all", sum(run.seconds for run in runs), sum(run.claims for run in runs), options.profile)
    table = f"{'notebook':28} {'seconds':>7} {'claims':>6}  result\n"
    table += "\n".join(f"{r.notebook:28} {r.seconds:7.1f} {r.claims:6}  {r.result}" for r in [*runs, total])
    print(f"\n{table}\n\n{(BUILD / 'index.html').as_uri()}")
    links = re.sub(r"^(\d\d_\w+)", r'<a href="\1.html">\1</a>', table, flags=re.M)
    write(BUILD / "index.html", f'<!DOCTYPE html>\n<meta charset="utf-8">\n<pre>{links}</pre>\n')
    sys.exit(any(not run.result.startswith("ok") for run in runs))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr, flush=True)
        os._exit(1)  # without waiting for what is under way; a kernel ends with its parent
