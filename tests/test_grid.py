"""`run_grid`: results in order, errors and Ctrl-C, in this process, in two others and on a cluster."""

import os
import re
import sys
import time

import joblib
import pytest
import torch
from test_training import stopped_by_ctrl_c
from tqdm import tqdm

from helpers.training import run_grid

GRID = [{"lr": lr, "seed": seed} for lr in (0.1, 0.2) for seed in (0, 1)]


def train(lr, seed):
    print("not shown", *tqdm([seed], file=sys.stdout))
    return {"loss": [lr, 10.0 * seed], "weights": torch.full((2,), lr)}


def fails(lr, seed):
    if (lr, seed) == (0.1, 1):
        raise ArithmeticError("too steep")
    return lr + seed


def where(seed):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # the next run in this process must have one again
    return os.getpid(), threads


def slow_first(wait):
    time.sleep(wait)
    return wait


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_the_order_of_the_grid_and_one_line_is_left(jobs, capsys):
    results = run_grid(train, GRID, jobs=jobs, title="toy")
    assert [r["loss"] for r in results] == [[0.1, 0.0], [0.1, 10.0], [0.2, 0.0], [0.2, 10.0]]
    assert [r["weights"].tolist() for r in results] == [[pytest.approx(run["lr"])] * 2 for run in GRID]
    output = capsys.readouterr()
    assert re.fullmatch(r"toy: 4 runs, \d+ s\n", output.out.split("\r")[-1])
    assert "not shown" not in output.out and output.err == ""


def test_the_order_is_kept_if_the_first_run_ends_last():
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


# ---- errors and Ctrl-C


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_fails_raises_after_the_others_with_its_parameters_and_its_traceback(jobs):
    with pytest.raises(RuntimeError) as error:
        run_grid(fails, GRID, jobs=jobs, title="toy")
    assert error.value.results == [0.1, None, 0.2, 1.2]
    message = str(error.value)
    assert message.startswith("toy: 1 of 4 runs failed. With lr=0.1, seed=1:\n\nTraceback (most recent")
    assert 'raise ArithmeticError("too steep")\nArithmeticError: too steep\n' in message


def test_of_several_failures_the_first_in_the_grid_is_shown_and_all_are_counted():
    def all_fail(wait):
        time.sleep(wait)
        raise ArithmeticError(f"after {wait} s")

    with pytest.raises(RuntimeError, match=r"(?s)2 of 2 runs failed. With wait=0.5:.*after 0.5 s"):
        run_grid(all_fail, [{"wait": 0.5}, {"wait": 0.0}], jobs=2)


INTERRUPTED_GRID = """
import os, signal, sys, time
from helpers.training import run_grid
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background process may ignore it
def train(seed):
    if seed == 1:
        os.killpg(0, signal.SIGINT)  # a terminal sends it to all processes
        time.sleep(60)
    return seed
run_grid(train, [{"seed": seed} for seed in range(4)], jobs=int(sys.argv[1]))
print("the next line ran")
"""


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_in_a_grid_stops_the_cell_and_what_follows(jobs):
    stdout, stderr, status = stopped_by_ctrl_c(INTERRUPTED_GRID, jobs)
    assert status != 0
    assert "KeyboardInterrupt" in stderr
    assert "runs failed" not in stderr  # it is not an error of one run, after which the others go on
    assert "the next line ran" not in stdout
    assert "runs, " not in stdout  # no line of a grid that has finished


@pytest.mark.parametrize("grid", [{"lr": 0.1}, [0.1, 0.2], ({"lr": 0.1},), None, [{"lr": 0.1}, None]])
def test_a_grid_that_is_not_a_list_of_dicts_is_an_error(grid):
    with pytest.raises(ValueError, match=r"grid is .*; expected a list of dicts: \[\{'lr': 0.1\}"):
        run_grid(train, grid)


# ---- a cluster


def test_the_same_call_runs_on_a_dask_cluster(capsys):
    from distributed import Client, LocalCluster

    def notebook_defined(seed):
        return where(seed)

    with (
        LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
        joblib.parallel_config("dask"),
    ):
        workers = {worker["pid"] for worker in client.run(lambda: {"pid": os.getpid()}).values()}
        results = run_grid(notebook_defined, [{"seed": seed} for seed in range(8)])
        assert {pid for pid, _ in results} == workers  # `jobs`, which is 1, did not keep them here
        assert {threads for _, threads in results} == {1}
        with pytest.raises(RuntimeError, match=r"With lr=0.1, seed=1:\n\nTraceback") as error:
            run_grid(fails, GRID)
        assert error.value.results == [0.1, None, 0.2, 1.2]
    assert "8 runs, " in capsys.readouterr().out
