"""Every claim of the series in the quick profile, for ten seeds: a table of claims × seeds (`make seeds`).

A claim that fails stops nothing here, so that one look shows all that depend on luck.
"""

import argparse
import sys

from notebook_files import NOTEBOOKS, claims
from test_claims import run

from helpers.training import run_grid


def held(notebook, seed):
    """The claims of one notebook: text → whether it held."""
    (path,) = [path for path in NOTEBOOKS if path.stem == notebook]
    return run(path, {}, seed)["claims"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as 01; default: all")
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="0 to N − 1; default: 10")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="notebooks at a time; default: 2")
    options = parser.parse_args()
    chosen = [p for p in NOTEBOOKS if not options.names or p.stem.startswith(tuple(options.names))]
    if not chosen:
        parser.error(f"no notebook is called {' or '.join(options.names)}; expected numbers such as 01")
    grid = [{"notebook": path.stem, "seed": seed} for path in chosen for seed in range(options.seeds)]
    found = run_grid(held, grid, title="notebooks", jobs=options.jobs)
    reports = {(run["notebook"], run["seed"]): report or {} for run, report in zip(grid, found, strict=True)}
    failures = 0
    for path in chosen:
        print(f"\n{path.stem}  ✓ holds, ✗ fails, · never made")
        for text in claims(path):
            answers = [reports[path.stem, seed].get(text) for seed in range(options.seeds)]
            failures += answers.count(True) < len(answers)
            print(" ".join({True: "✓", False: "✗", None: "·"}[answer] for answer in answers), "", text)
    print(f"\n{failures} claims fail for some seed")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
