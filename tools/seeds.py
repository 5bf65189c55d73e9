"""Check every claim of the series in the quick profile for ten seeds: a table of claims × seeds (`make seeds`).

A claim that fails does not stop the notebook here, so that one table shows all claims that depend on luck.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor

from claim_runner import report
from notebook_files import NOTEBOOKS, claims
from tqdm import tqdm


def held(path, seed):
    """The claims that a notebook made with this seed: text → whether it held; none if a cell raised."""
    try:
        return report(path, {}, seed)["claims"]
    except RuntimeError as error:
        tqdm.write(str(error))
        return {}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as 01; default: all")
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="0 to N − 1; default: 10")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="notebooks at a time; default: 2")
    options = parser.parse_args()
    chosen = [p for p in NOTEBOOKS if not options.names or p.stem.startswith(tuple(options.names))]
    if not chosen:
        parser.error(f"no notebook is called {' or '.join(options.names)}; expected numbers such as 01")
    grid = [(path, seed) for path in chosen for seed in range(options.seeds)]
    with ThreadPoolExecutor(options.jobs) as pool:  # the threads only wait
        ended = pool.map(lambda run: held(*run), grid)
        found = dict(zip(grid, tqdm(ended, "notebooks", len(grid), leave=False), strict=True))
    failures = 0
    for path in chosen:
        print(f"\n{path.stem}  ✓ holds, ✗ fails, · never made")
        for text in claims(path):
            answers = [found[path, seed].get(text) for seed in range(options.seeds)]
            failures += answers.count(True) < len(answers)
            print(" ".join({True: "✓", False: "✗", None: "·"}[answer] for answer in answers), "", text)
    print(f"\n{failures} claims fail for some seed")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
