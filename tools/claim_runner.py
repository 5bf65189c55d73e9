"""Run a notebook's code as a plain program; report which of its claims hold, and whether they can fail.

    python tools/claim_runner.py NOTEBOOK < BREAKS.json

BREAKS maps a claim's text to [old, new]. At the cell that contains `old` the program forks; the child replaces
it by `new` and runs on until the claim is made. So one run of the notebook serves all its breaks.
The last line printed is JSON: {"claims": {text: held}, "broken": {text: outcome}}. An outcome is "fails" (as it
should), "still holds", "never made", or the error that came instead.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import warnings
from tempfile import TemporaryDirectory

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import torch
from notebook_files import code_cells

import helpers.claims

LIMIT = 120  # seconds for one broken run


def report(path, breaks, seed=0):
    """Run this program on a notebook in the quick profile, in an empty folder: → its report as a dictionary.

    Raises RuntimeError with the end of what it wrote to stderr if a cell raises something else than a claim.
    """
    variables = {"TUTORIAL_PROFILE": "quick", "TUTORIAL_SEED": str(seed), "OMP_NUM_THREADS": "1"}
    with TemporaryDirectory() as empty:
        done = subprocess.run(
            [sys.executable, __file__, path],
            input=json.dumps(breaks),
            capture_output=True,
            text=True,
            env=os.environ | variables,
            cwd=empty,
        )
    if done.returncode:
        raise RuntimeError(f"{path}, seed {seed}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


class Made(BaseException):
    """Ends a broken run when it reaches its claim; not an Exception, so that no notebook catches it."""


def run_notebook(path, breaks):
    """Run every cell; return the claims that were made and the outcome of each break."""
    sources = [cell.source for cell in code_cells(path)]
    held, broken, namespace = {}, {}, {"__name__": "__main__"}
    helpers.claims.claim = lambda text, holds, **_: held.update({text: held.get(text, True) and bool(holds)})
    for index, source in enumerate(sources):
        for text, (old, new) in breaks.items():
            if old in source:
                broken[text] = in_child(run_broken, sources[index:], namespace, text, old, new)
        run_cell(source, namespace)
    return {"claims": held, "broken": broken}


def run_broken(sources, namespace, text, old, new):
    def stop_at(made, holds, **_):
        if made == text:
            raise Made("still holds" if bool(holds) else "fails")

    helpers.claims.claim = namespace["claim"] = stop_at
    try:
        for source in [sources[0].replace(old, new), *sources[1:]]:
            run_cell(source, namespace)
    except Made as made:
        return str(made)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "never made"


def run_cell(source, namespace):
    with open(os.devnull, "w") as devnull, contextlib.redirect_stdout(devnull):
        exec(compile(source, "<cell>", "exec"), namespace)
    plt.close("all")


def in_child(function, *arguments):
    """Run `function(*arguments)` in a forked process and return the string that it returns."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(LIMIT)
        os.write(write_end, function(*arguments).encode()[:4096])
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        outcome = pipe.read()
    os.waitpid(pid, 0)
    return outcome or f"no answer within {LIMIT} s"


if __name__ == "__main__":
    torch.set_num_threads(1)  # a process with more threads must not fork
    warnings.filterwarnings("ignore", message=".*non-interactive.*")
    print(json.dumps(run_notebook(sys.argv[1], json.load(sys.stdin))))
