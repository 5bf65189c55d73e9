"""A disconnect costs one epoch: a kernel is killed in mid-training, and the same cells go on from there."""

import os
import re
import signal
import sys
import time
from contextlib import contextmanager

import pytest
from jupyter_client import KernelManager

from helpers import session
from helpers.session import start

CELLS = [
    """import time
import torch
from helpers.losses import negative_elbo
from helpers.models import VAE
from helpers.session import start
from helpers.training import fit, run_grid

session = start(seed=0)
images = torch.rand(64, 1, 28, 28).round()
model = VAE(latent_dim=2, hidden=(16,))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)""",
    """def slow(model, x):
    time.sleep(0.1)
    return negative_elbo(model, x)


kept = session.checkpoint("slow")
history = fit(model, slow, images, optimizers=[optimizer], epochs=8, batch_size=16, checkpoint=kept)""",
    "print('end', history.train['loss'], torch.rand(1).item())",
    """def run(n):
    time.sleep(0.2)
    return n * torch.rand(1).item()


print('grid', run_grid(run, [{"n": n} for n in range(1, 9)], folder=session.checkpoint("grid")))""",
]


@contextmanager
def kernel(folder, **variables):
    """A real kernel in this folder."""
    manager = KernelManager(kernel_name="python3")
    manager.kernel_spec_manager.kernel_dirs = []  # the kernel is this very Python
    environment = {**os.environ, "TUTORIAL_PROFILE": "full", "TUTORIAL_SEED": "0", **variables}
    manager.start_kernel(cwd=str(folder), env={k: v for k, v in environment.items() if v is not None})
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    try:
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run_all(client, cells=CELLS):
    """What the cells print."""
    printed = []

    def keep(message):
        assert message["msg_type"] != "error", message["content"]["traceback"]
        printed.append(message["content"].get("text", ""))

    for cell in cells:
        client.execute_interactive(cell, timeout=120, output_hook=keep)
    return "".join(printed)


def kill_when(manager, client, cells, ready):
    """Start the cells, and send SIGKILL as soon as `ready()`."""
    for cell in cells:
        client.execute(cell)
    deadline = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(manager.provisioner.pid, signal.SIGKILL)
    while manager.is_alive():
        time.sleep(0.02)


def results(text):
    return re.findall(r"^end .*$", text, re.M) + re.findall(r"^grid .*$", text, re.M)


def files(folder, name):
    return list((folder / "checkpoints" / "full-0").glob(f"{name}-????????"))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    with kernel(tmp_path_factory.mktemp("whole"), TUTORIAL_CHECKPOINTS=None) as (_, client):
        return run_all(client)


def test_after_a_kill_in_mid_training_the_run_goes_on_to_the_same_numbers(uninterrupted, tmp_path):
    with kernel(tmp_path, TUTORIAL_CHECKPOINTS=None) as (manager, client):
        seen = set()

        def third_epoch():
            seen.update(path.stat().st_mtime_ns for path in files(tmp_path, "slow"))
            return len(seen) >= 3

        kill_when(manager, client, CELLS, third_epoch)
    with kernel(tmp_path, TUTORIAL_CHECKPOINTS=None) as (_, client):
        text = run_all(client)
    done = int(re.search(r"(\d+) epochs from checkpoints", text)[1])
    assert 3 <= done < 8
    assert "epochs from" not in uninterrupted
    assert len(results(text)) == 2 and results(text)[0] == results(uninterrupted)[0]


def test_after_a_kill_in_a_grid_its_finished_runs_are_kept(tmp_path):
    with kernel(tmp_path, TUTORIAL_CHECKPOINTS=None) as (manager, client):
        finished = lambda: [path for folder in files(tmp_path, "grid") for path in folder.glob("*.pt")]  # noqa: E731
        kill_when(manager, client, CELLS, lambda: len(finished()) >= 3)
        kept = {path: path.read_bytes() for path in finished()}
    with kernel(tmp_path, TUTORIAL_CHECKPOINTS=None) as (_, client):
        text = run_all(client)
    assert re.search(r"runs: 8 of 8 runs, .* · [3-7] from checkpoints", text)
    assert "8 epochs from checkpoints" in text  # the training before it was not done again
    assert all(path.read_bytes() == content for path, content in kept.items())


def test_a_changed_cell_another_seed_and_another_folder_begin_anew(tmp_path):
    change = [CELLS[0], CELLS[1].replace("0.1", "0.0").replace("epochs=8", "epochs=2")]
    settings = [{}, {}, {"TUTORIAL_SEED": "1"}, {"TUTORIAL_CHECKPOINTS": str(tmp_path / "else where")}]
    noted = []
    for variables in settings:
        with kernel(tmp_path, **{"TUTORIAL_CHECKPOINTS": None, **variables}) as (_, client):
            noted.append("epochs from" in run_all(client, change))
    assert noted == [False, True, False, False]
    assert len(files(tmp_path, "slow")) == 1
    with kernel(tmp_path, TUTORIAL_CHECKPOINTS=None) as (_, client):
        assert "epochs from" not in run_all(client, [change[0] + "  # a comment", change[1]])
    assert len(files(tmp_path, "slow")) == 2


# ---- Without a kernel


@pytest.fixture
def in_notebook(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUTORIAL_CHECKPOINTS", raising=False)
    monkeypatch.delenv("TUTORIAL_SEED", raising=False)
    monkeypatch.setenv("TUTORIAL_PROFILE", "full")
    monkeypatch.setattr(sys.modules["__main__"], "In", ["", "x = 1"], raising=False)
    return tmp_path


def test_the_path_names_profile_seed_and_run(in_notebook):
    path = start(seed=3).checkpoint("burda")
    assert path.parts[:2] == ("checkpoints", "full-3")
    assert re.fullmatch(r"burda-[0-9a-f]{8}", path.name)
    assert start(seed=3).checkpoint("burda") == path


def test_the_quick_profile_and_a_plain_program_keep_nothing(in_notebook, monkeypatch):
    monkeypatch.setenv("TUTORIAL_PROFILE", "quick")
    assert start().checkpoint("burda") is None
    monkeypatch.setenv("TUTORIAL_PROFILE", "full")
    monkeypatch.delattr(sys.modules["__main__"], "In")
    assert start().checkpoint("burda") is None
    assert list(in_notebook.iterdir()) == []


def test_where_nothing_can_be_written_nothing_is_kept(in_notebook, monkeypatch):
    (in_notebook / "checkpoints").write_text("a file where the folder would be")
    assert start().checkpoint("burda") is None
    monkeypatch.setenv("TUTORIAL_CHECKPOINTS", str(in_notebook / "other"))
    monkeypatch.setattr(session.os, "access", lambda path, mode: False)  # as on a read-only disk
    assert start().checkpoint("burda") is None
