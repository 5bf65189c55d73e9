"""Run protocols: python -m experiments NAME… [--seeds 0 1 2] [--set epochs=2] (`make experiments NAMES=…`)."""

import argparse
import importlib
import json
import time
from datetime import date
from pathlib import Path

import torch

from experiments import runs, tables
from helpers import data, losses, models, session, trained, training

PROTOCOLS = ("likelihood", "autoencoder", "importance_weighted", "latents", "sprites", "time_to_number")


def run(name, settings, seed, options):
    """Do one run unless it is finished: append its row, store its models."""
    protocol = importlib.import_module(f"experiments.{name}")
    row = {
        "protocol": name,
        "settings": settings,
        "seed": seed,
        "profile": session.profile(),
        "device": device_name(),
        "versions": runs.versions(),
        "sources": runs.sources(protocol, models, losses, training, data),
    }
    done = [old for old in runs.finished(options.runs) if runs.key(old) == runs.key(row)]
    if done and not options.again:
        print(f"{name} {settings or ''} seed {seed}: finished on {done[-1]['date']}")
        return
    state = options.states / f"{runs.label(name, settings)}-{seed}-{row['sources']}.pt"
    began = time.perf_counter()
    numbers, found, source = protocol.run(state, seed, **settings)
    row |= {
        "data": source,
        "threads": torch.get_num_threads(),
        "numbers": {key: round(float(value), 4) for key, value in numbers.items()},
        "seconds": round(time.perf_counter() - began),
        "date": date.today().isoformat(),
        "command": command(name, settings, seed),
    }
    own = not options.set or options.trained != trained.FOLDER  # other sizes never replace the stored models
    for stored, (model, arguments) in found.items() if own else ():
        runs.store(options.trained, stored, model, arguments, protocol.check(model), row)
    runs.append(options.runs, row)  # last, so that a finished run has its weights
    state.unlink(missing_ok=True)
    print(f"{name} {settings or ''} seed {seed}: {row['numbers']}")


def command(name, settings, seed):
    """What a reader types to repeat one run."""
    sizes = " ".join(f"{key}={value}" for key, value in settings.items())
    return f"python -m experiments {name} --seeds {seed}" + (f" --set {sizes}" if sizes else "")


def device_name():
    """The device of this machine, in words."""
    device = session.device()
    names = {"cpu": "CPU", "mps": "Apple GPU"}
    return names.get(device.type) or torch.get_device_module(device).get_device_name()


def setting(text):
    """NAME=VALUE as a pair; numbers become numbers."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="python -m experiments")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: {' '.join(PROTOCOLS)}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="default: 0 1 2")
    parser.add_argument("--set", type=setting, nargs="+", default=[], metavar="NAME=VALUE", help="epochs=2")
    parser.add_argument("--again", action="store_true", help="repeat runs that are finished")
    parser.add_argument("--runs", type=Path, default=runs.RUNS, metavar="FILE", help="the finished runs")
    parser.add_argument("--states", type=Path, default=runs.STATES, metavar="FOLDER", help="unfinished runs")
    parser.add_argument("--trained", type=Path, default=trained.FOLDER, metavar="FOLDER", help="weights")
    parser.add_argument("--results", type=Path, default=tables.RESULTS, metavar="FILE", help="the table")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in PROTOCOLS]:
        parser.error(f"there is no protocol {unknown[0]}; expected one of: {', '.join(PROTOCOLS)}")
    for name in options.names or PROTOCOLS:
        cases = getattr(importlib.import_module(f"experiments.{name}"), "CASES", [{}])
        for case in cases:
            for seed in options.seeds:
                run(name, case | dict(options.set), seed, options)
                tables.renew(options.runs, options.results)


if __name__ == "__main__":
    main()
