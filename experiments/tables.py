"""figures/results.json: for each measured number its mean and spread over seeds, and what is published."""

import json
import statistics

from experiments import runs
from helpers.download import write

RESULTS = runs.ROOT / "figures" / "results.json"
BURDA = "Burda, Grosse & Salakhutdinov 2016, Table 1, one stochastic layer"
PUBLISHED = {  # quantity: (value, source)
    "likelihood/nll": (86.76, f"{BURDA}, VAE, k = 1"),
    "likelihood/active units": (19, f"{BURDA}, VAE, k = 1"),
    "importance_weighted/nll": (85.54, f"{BURDA}, IWAE, k = 5"),
}


def renew(finished=runs.RUNS, path=RESULTS):
    """Replace the rows of each measurement that `finished`, the file of runs, holds; keep the others."""
    rows = json.loads(path.read_text("utf-8")) if path.exists() else {}
    newest = {}
    for run in runs.finished(finished):
        group = newest.setdefault(runs.label(run["protocol"], run["settings"]), {})
        group[run["seed"]] = run  # a later run of the same seed replaces the earlier one
    for name, group in newest.items():
        rows |= entries(name, [group[seed] for seed in sorted(group)])
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, (json.dumps(rows, indent=1, ensure_ascii=False) + "\n").encode())


def entries(name, group):
    """The rows of one measurement, from its runs: quantity → mean, spread and how it was made."""
    rows = {}
    for quantity in group[0]["numbers"]:
        values = [run["numbers"][quantity] for run in group]
        value, source = PUBLISHED.get(f"{name}/{quantity}", (None, None))
        rows[f"{name}/{quantity}"] = {
            "mean": statistics.mean(values),
            "sd": statistics.stdev(values) if len(values) > 1 else None,
            "values": values,
            "seeds": [run["seed"] for run in group],
            "seconds": [run["seconds"] for run in group],
            "data": ", ".join(sorted({run["data"] for run in group})),
            "device": " / ".join(sorted({device(run) for run in group})),
            "date": max(run["date"] for run in group),
            "command": group[0]["command"].replace(
                f"--seeds {group[0]['seed']}", "--seeds " + " ".join(str(run["seed"]) for run in group)
            ),
            "published": value,
            "source": source,
        }
    return rows


def device(run):
    """The device of a run and its threads, in words."""
    return f"{run['device']}, {run['threads']} thread{'s' * (run['threads'] > 1)}"
