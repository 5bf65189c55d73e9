"""Execute the notebooks: an executed copy and a page of each go to build/, a table says what came out.

It is built on nbclient, as `jupyter execute` and papermill are. `jupyter execute` stops at the first notebook that
fails; papermill adds its own cells and metadata; neither counts claims, notices stderr or runs two side by side.
"""

import argparse
import base64
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
    from pages import formulas, page
    from PIL import Image
    from tqdm import tqdm

    from helpers.download import write
except ModuleNotFoundError as error:
    sys.exit(f"{sys.executable} has no {error.name}. Run `make setup`; it makes .venv/bin/python, which has.")

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
BUILD = ROOT / "build"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


class Row(NamedTuple):
    """A row of the table."""

    notebook: str
    seconds: float
    claims: int
    result: str  # "ok" and what is odd all the same, or the cell that failed

    def __str__(self):
        return f"{self.notebook:28} {self.seconds:7.1f} {self.claims:6}  {self.result}"


def execute(path, timeout):
    """Run a notebook in a kernel of its own: → the notebook, with what it printed and drew, and its row."""
    notebook, reached, failure = nbformat.v4.new_notebook(), [], ""
    start = time.perf_counter()
    with tqdm(desc=path.stem, unit=" cells", file=sys.stdout, leave=False, disable=None) as bar:

        def progress(cell, **_):
            reached.append(cell)
            bar.update()

        try:
            notebook = nbformat.read(path, as_version=4)
            bar.reset(total=len(code_cells(notebook)))
            client_of(notebook, timeout, progress).execute()
        except Exception as error:
            failure = f"FAILED in cell {len(reached)}" if reached else "FAILED to start"
            cell = reached[-1] if reached else nbformat.v4.new_code_cell()
            tqdm.write(f"\n{path.name}, {failure}:\n\n{cell.source}\n\n{reason(cell, error)}\n")
    seconds = time.perf_counter() - start
    row = Row(path.stem, seconds, claims_held(notebook), failure or "ok" + oddities(notebook, seconds))
    tqdm.write(f"{row.notebook}  {row.seconds:.1f} s  {row.result}")
    return notebook, row


def client_of(notebook, timeout, progress):
    """A client that runs the notebook on this Python, whichever one is registered as the kernel python3."""
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=timeout,
        resources={"metadata": {"path": str(NOTEBOOKS)}},
        coalesce_streams=True,  # of a progress bar, keep the last state
        record_timing=False,
        shutdown_kernel="immediate",
        extra_arguments=["--log-level=CRITICAL"],  # or each kernel warns of its own transport
        on_cell_execute=progress,
    )
    client.create_kernel_manager().kernel_spec_manager.kernel_dirs = []
    return client


def reason(cell, error):
    """The traceback of a cell that raised; if it did not raise, what nbclient says."""
    raised = [output for output in cell.get("outputs", []) if output.output_type == "error"]
    text = "\n".join(raised[0].traceback) if raised else f"{type(error).__name__}: {error}"
    return re.sub(r"\x1b\[[0-9;]*m", "", text)  # colours


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def claims_held(notebook):
    printed = (output.get("text", "") for cell in code_cells(notebook) for output in cell.outputs)
    return sum(len(re.findall("^✓", text, re.M)) for text in printed)


def oddities(notebook, seconds):
    """What a notebook that ran does not do as it should: write to stderr, or take another time than it states."""
    cells = enumerate(code_cells(notebook), start=1)
    noisy = [str(n) for n, cell in cells if any(out.get("name") == "stderr" for out in cell.outputs)]
    times = seconds / stated(notebook)
    found = [f"stderr in cell {', '.join(noisy)}"] if noisy else []
    found += [f"{times:.1f} times what it states"] if times < 1 / 1.5 or times > 1.5 else []
    return "".join(f", {oddity}" for oddity in found)


def stated(notebook):
    """The seconds that the first cell of a notebook states for this profile; NaN if it states none."""
    pattern = rf"(\d+) (min|s) \({os.environ['TUTORIAL_PROFILE']}\)"
    found = re.search(pattern, "".join(cell.source for cell in notebook.cells[:1]))
    return int(found[1]) * {"min": 60, "s": 1}[found[2]] if found else math.nan


def clean(notebook):
    """Remove stderr and what differs from run to run; a picture keeps 256 colours and so a third of its bytes."""
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k == "tags"})
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for data in (output.get("data", {}) for output in cell.outputs):
                if "image/png" in data:
                    data["image/png"] = lighter(data["image/png"])


def lighter(png):
    """A PNG, as base64, with 256 colours."""
    with io.BytesIO() as file:
        picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
        picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(file, "png")
        return base64.b64encode(file.getvalue()).decode()


def choose(names):
    """The notebooks whose file names begin with one of `names`; all of them if there are no names."""
    every = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    if not every:
        sys.exit(f"There are no notebooks in {NOTEBOOKS}.")
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
    if folder := os.environ.get("TUTORIAL_DATA"):
        os.environ["TUTORIAL_DATA"] = os.path.abspath(folder)  # a kernel starts in another folder
    jobs = options.jobs or {"quick": 2, "full": 1}[options.profile]
    if jobs > 1:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # kernels that fight over cores are slower than on one
    rows, paths = [], choose(options.names)
    # Threads only wait for kernels; and outside the main thread nbclient leaves Ctrl-C to us.
    ended = ThreadPoolExecutor(jobs).map(lambda path: execute(path, options.timeout), paths)

    for path, (notebook, row) in zip(paths, ended, strict=True):
        rows.append(row)
        write(BUILD / path.name, (nbformat.writes(notebook) + "\n").encode())
        write(BUILD / f"{path.stem}.html", page(notebook, path.stem).encode())
        if options.in_place and row.result.startswith("ok"):
            clean(notebook)
            write(path, (nbformat.writes(notebook) + "\n").encode())

    for sheet in ROOT.glob("docs/formulas.md"):
        write(BUILD / "formulas.html", formulas(sheet.read_text("utf-8")).encode())
    total = Row("all", sum(row.seconds for row in rows), sum(row.claims for row in rows), options.profile)
    table = f"{'notebook':28} {'seconds':>7} {'claims':>6}  result\n" + "\n".join(map(str, [*rows, total]))
    print(f"\n{table}\n\n{(BUILD / 'index.html').as_uri()}")
    links = re.sub(r"^(\d\d_\w+)", r'<a href="\1.html">\1</a>', table, flags=re.M)
    write(BUILD / "index.html", f'<!DOCTYPE html>\n<meta charset="utf-8">\n<pre>{links}</pre>\n'.encode())
    sys.exit(any(not row.result.startswith("ok") for row in rows))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr, flush=True)
        os._exit(1)  # without waiting for what is under way; a kernel ends with its parent
