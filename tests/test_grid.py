"""`run_grid`: results in order, kept on disk, gone on with after kill -9; two processes, and a cluster."""

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial

import joblib
import numpy as np
import pytest
import torch
from notebook_files import ROOT
from test_training import Hostile

from helpers import training
from helpers.training import History, fit, run_grid

GRID = [{"lr": lr, "seed": seed} for lr in (0.1, 0.2) for seed in (0, 1)]


def train(lr, seed):
    print("not shown")
    return {"loss": [lr, 10.0 * seed], "weights": torch.full((2,), lr)}


def fails(lr, seed):
    if (lr, seed) == (0.1, 1):
        raise ArithmeticError("too\nsteep")
    return lr + seed


def where(seed):
    return os.getpid(), torch.get_num_threads()


def slow_first(wait):
    time.sleep(wait)
    return wait


def unwanted(**run):
    raise AssertionError("this run was done before")


unwanted.__name__ = "train"  # a file knows its function by this name


def losses(results):
    return [result and result["loss"] for result in results]


EXPECTED = [[0.1, 0.0], [0.1, 10.0], [0.2, 0.0], [0.2, 10.0]]


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("keep", [False, True])
def test_results_come_in_the_order_of_the_grid_and_one_line_is_left(jobs, keep, tmp_path, capsys):
    results = run_grid(train, GRID, tmp_path if keep else None, jobs=jobs, title="toy")
    assert losses(results) == EXPECTED
    assert [r["weights"].tolist() for r in results] == [[pytest.approx(run["lr"])] * 2 for run in GRID]
    output = capsys.readouterr().out
    assert re.fullmatch(r"toy: 4 of 4 runs, \d+ s\n", output.split("\r")[-1])
    assert "not shown" not in output


def test_order_is_kept_where_the_first_ends_last():
    assert run_grid(slow_first, [{"wait": wait} for wait in (0.5, 0.0, 0.1)], jobs=2) == [0.5, 0.0, 0.1]


def test_two_jobs_are_other_processes_with_one_torch_thread_each():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        here = run_grid(where, [{"seed": 0}])
    finally:
        torch.set_num_threads(threads)
    elsewhere = run_grid(where, [{"seed": s} for s in range(6)], jobs=2)
    assert here == [(os.getpid(), 2)]
    assert {threads for _, threads in elsewhere} == {1}
    assert os.getpid() not in {pid for pid, _ in elsewhere}


# ---- on disk


def test_a_second_call_reads_and_a_changed_parameter_is_another_file(tmp_path, capsys):
    folder = tmp_path / "new" / "folder"
    run_grid(train, GRID, folder)
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 4
    assert names[0].startswith("train-lr=0.1-seed=0-")  # says what it holds
    turned = [dict(reversed(run.items())) for run in GRID]  # the same parameters in another order
    assert losses(run_grid(unwanted, turned, folder)) == EXPECTED
    assert f"4 of 4 runs, 0 s · 4 from {folder}\n" in capsys.readouterr().out
    assert losses(run_grid(train, [{"lr": 0.1, "seed": 7}], folder)) == [[0.1, 70.0]]
    assert len(list(folder.iterdir())) == 5


def test_runs_that_differ_have_files_that_differ(tmp_path):
    values = [1, 1.0, "1", True, None, (1,), [1, "1"], "a/b", "a-b", "β", "σ", "A", "a", torch.optim.Adam]
    values += [np.float64(0.1), "x" * 300, "x" * 301, 0.1 + 1e-16 * 5]
    results = run_grid(lambda value: str(value), [{"value": value} for value in values])
    assert results == [str(value) for value in values]

    def text(value):
        return str(value)

    assert run_grid(text, [{"value": value} for value in values], tmp_path) == results
    assert len(list(tmp_path.iterdir())) == len(values)
    assert run_grid(text, [{"value": 0.1}], tmp_path) == ["0.1"]
    assert len(list(tmp_path.iterdir())) == len(values)  # 0.1 is 0.1, from numpy or not


# A sweep whose last run sends a signal. Its function lives in __main__, like a notebook's.
CHILD = """
import os, signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
from helpers.training import run_grid
folder, jobs, name, parent = sys.argv[1], int(sys.argv[2]), sys.argv[3], os.getpid()
def train(lr, seed):
    if (lr, seed) == (0.2, 1):
        while len(list(Path(folder).glob("*.pt"))) < 3:  # until the other results are there
            time.sleep(0.1)
        time.sleep(1)
        if name == "SIGINT":  # a terminal sends it to all processes
            os.killpg(os.getpgid(parent), signal.SIGINT)
        else:
            os.kill(parent, signal.SIGKILL)
        time.sleep(60)
    return {"loss": [lr, 10.0 * seed]}
grid = [{"lr": lr, "seed": seed} for lr in (0.1, 0.2) for seed in (0, 1)]
print([result and result["loss"] for result in run_grid(train, grid, folder, jobs=jobs)])
"""


def in_a_child(folder, jobs, signal_name):
    """→ how the child ended, and its output."""
    command = [sys.executable, "-c", CHILD, str(folder), str(jobs), signal_name]
    pipe = subprocess.PIPE
    child = subprocess.Popen(command, text=True, stdout=pipe, stderr=pipe, cwd=ROOT, start_new_session=True)
    code = child.wait(timeout=120)
    if code == -signal.SIGKILL and jobs > 1:
        os.killpg(child.pid, signal.SIGKILL)  # the processes that it had started
    return code, *child.communicate()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_sweep_that_is_killed_goes_on_where_it_stopped(jobs, tmp_path, capsys):
    code, _, stderr = in_a_child(tmp_path, jobs, "SIGKILL")
    assert code == -signal.SIGKILL, stderr
    assert len(list(tmp_path.iterdir())) == 3
    assert losses(run_grid(unwanted, GRID[:3], tmp_path)) == EXPECTED[:3]
    assert losses(run_grid(train, GRID, tmp_path)) == EXPECTED
    assert f"· 3 from {tmp_path}" in capsys.readouterr().out


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_keeps_what_is_done(jobs, tmp_path):
    code, stdout, stderr = in_a_child(tmp_path, jobs, "SIGINT")
    assert code == 0, stderr
    line, result = stdout.splitlines()[-2:]
    assert re.fullmatch(r"runs: 3 of 4 runs, \d+ s · stopped by hand", line)
    assert result == str([*EXPECTED[:3], None])
    assert len(list(tmp_path.iterdir())) == 3


def test_the_bar_counts_what_is_done_and_what_a_run_shows_is_hidden(tmp_path, monkeypatch, capsys):
    bars, bar = [], training.tqdm

    def shows(seed):
        print("not shown", *bar([seed], file=sys.stdout))  # a bar that finds no stdout would go to stderr

    monkeypatch.setattr(training, "tqdm", lambda *a, **options: bars.append(bar(*a, **options)) or bars[-1])
    run_grid(shows, [{"seed": 0}], tmp_path)
    run_grid(shows, [{"seed": 0}, {"seed": 1}], tmp_path, title="toy")
    assert [(b.desc, b.total, b.initial, b.n) for b in bars] == [("runs", 1, 0, 1), ("toy", 2, 1, 2)]
    output = capsys.readouterr()
    assert "not shown" not in output.out and output.err == ""


def test_after_a_grid_ctrl_c_ends_a_fit_as_before_it(capsys):
    def stop(model, x):
        raise KeyboardInterrupt

    run_grid(train, GRID)
    model = torch.nn.Linear(1, 1)
    try:
        fit(model, stop, torch.zeros(4, 1), optimizers=[torch.optim.SGD(model.parameters())], epochs=1)
    except KeyboardInterrupt:  # it would end pytest
        pytest.fail("Ctrl-C passed through a fit outside a grid")
    assert "stopped by hand" in capsys.readouterr().out


def test_ctrl_c_in_a_fit_does_not_leave_a_half_trained_result(tmp_path):
    def train(lr):
        model = torch.nn.Linear(1, 1)
        fit(
            model, interrupt, torch.rand(4, 1), optimizers=[torch.optim.SGD(model.parameters(), lr)], epochs=2
        )
        return "half trained"

    def interrupt(model, x):
        raise KeyboardInterrupt

    assert run_grid(train, [{"lr": 0.1}, {"lr": 0.2}], tmp_path) == [None, None]
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_named(tmp_path):
    run_grid(train, GRID[:1], tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=rf"{path.name} is damaged .*delete it, to do its run again"):
        run_grid(train, GRID[:1], tmp_path)


def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path):
    run_grid(train, GRID[:1], tmp_path)
    (path,) = tmp_path.iterdir()
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError, match=path.name):
        run_grid(train, GRID[:1], tmp_path)


def test_a_hostile_result_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("HOSTILE_FOLDER", str(tmp_path / "made by the pickle"))
    run_grid(train, GRID[:1], tmp_path / "runs")
    (path,) = (tmp_path / "runs").iterdir()
    torch.save({"result": Hostile()}, path)
    with pytest.raises(ValueError, match="is damaged"):
        run_grid(train, GRID[:1], tmp_path / "runs")
    assert not (tmp_path / "made by the pickle").exists()


def test_where_no_result_can_be_kept_nothing_is_run(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        run_grid(unwanted, GRID, tmp_path / "file" / "runs")


def test_a_full_disk_stops_the_grid_and_keeps_what_is_done(tmp_path, monkeypatch):
    run_grid(train, GRID[:1], tmp_path)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        run_grid(train, GRID, tmp_path)
    monkeypatch.undo()
    assert len(list(tmp_path.glob("*.pt"))) == 1
    assert losses(run_grid(train, GRID, tmp_path)) == EXPECTED


# ---- errors


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_is_reported_with_its_parameters_and_the_others_go_on(jobs, tmp_path, capsys):
    assert run_grid(fails, GRID, tmp_path, jobs=jobs) == [0.1, None, 0.2, 1.2]
    lines = [line for line in re.split(r"[\r\n]+", capsys.readouterr().out) if "failed" in line]
    assert lines[0] == "runs: failed with lr=0.1, seed=1: ArithmeticError: too steep"
    assert re.fullmatch(r"runs: 3 of 4 runs, \d+ s · 1 failed", lines[1])
    assert len(lines) == 2
    assert len(list(tmp_path.iterdir())) == 3  # the next call tries again


def test_every_failure_is_counted_and_a_stopped_grid_says_what_it_read(tmp_path, capsys):
    def stops(lr, seed):
        if seed == 1:
            raise KeyboardInterrupt
        raise ArithmeticError

    stops.__name__ = "train"
    run_grid(train, GRID[:1], tmp_path)
    again = [GRID[0], {"lr": 0.3, "seed": 0}, {"lr": 0.4, "seed": 0}, GRID[1]]
    run_grid(stops, again, tmp_path)
    assert f" · 1 from {tmp_path} · stopped by hand · 2 failed\n" in capsys.readouterr().out


@pytest.mark.parametrize("grid", [{"lr": 0.1}, [0.1, 0.2], ({"lr": 0.1},), None, [{"lr": 0.1}, None]])
def test_a_grid_that_is_no_list_of_dicts_is_a_clear_error(grid):
    with pytest.raises(ValueError, match=r"grid is .*; expected a list of dicts: \[\{'lr': 0.1\}"):
        run_grid(train, grid)


@pytest.mark.parametrize(
    ("result", "named"),
    [(History({}, {}), "helpers.training.History"), (np.float64(1), "numpy"), (lambda: 0, "pickle")],
)
def test_a_result_that_no_file_can_hold_is_a_clear_error(result, named, tmp_path):
    def train():
        return result

    message = (
        rf"the result for train-\w+\.pt cannot be stored \(.*{named}.*\); with a folder, expected numbers"
    )
    with pytest.raises(ValueError, match=message):
        run_grid(train, [{}], tmp_path)
    assert not list(tmp_path.iterdir())
    assert run_grid(train, [{}]) == [result]


@pytest.mark.parametrize(
    ("function", "run", "named"),
    [
        (lambda lr: lr, {"lr": 1}, "function is a function without a name"),
        (partial(train, lr=1), {"seed": 0}, "function is a partial without a name"),
        (train, {"lr": torch.zeros(3)}, "lr is a Tensor without a name"),
        (train, {"lr": [lambda: 0]}, "lr is a list without a name"),
    ],
)
def test_a_run_that_no_file_can_be_named_after_is_a_clear_error(function, run, named, tmp_path):
    with pytest.raises(ValueError, match=f"^{named}, so no file can be named after it; with a folder, exp"):
        run_grid(function, [run], tmp_path)


# ---- a cluster


def test_the_same_call_runs_on_a_dask_cluster(tmp_path, capsys):
    from distributed import Client, LocalCluster

    def notebook_defined(seed):
        return where(seed)

    with (
        LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
        joblib.parallel_config("dask"),
    ):
        workers = {worker["pid"] for worker in client.run(lambda: {"pid": os.getpid()}).values()}
        results = run_grid(notebook_defined, [{"seed": seed} for seed in range(8)], tmp_path)
        assert {pid for pid, _ in results} == workers  # `jobs`, which is 1, did not keep them here
        assert {threads for _, threads in results} == {1}
        assert run_grid(notebook_defined, [{"seed": seed} for seed in range(8)], tmp_path) == results
        assert run_grid(fails, GRID) == [0.1, None, 0.2, 1.2]
    output = capsys.readouterr().out
    assert "8 of 8 runs" in output
    assert "runs: failed with lr=0.1, seed=1: ArithmeticError: too steep" in output
