"""The series on an accelerator: a pretend one (tests/pretend) with the rules of CUDA or of Apple's MPS."""

import os
import shutil
import subprocess
import sys

import pytest
from nbclient import NotebookClient
from notebook_files import NOTEBOOKS, ROOT, read

PRETEND = ROOT / "tests" / "pretend"
nightly = pytest.mark.skipif(
    not os.environ.get("NIGHTLY"), reason="optional: NIGHTLY is not set, and the rules of MPS contain CUDA's"
)


def environment(rules):
    """The variables with which a process and its children know the device and choose it."""
    path = os.pathsep.join(map(str, (PRETEND, ROOT)))
    return {
        **os.environ, "PYTHONPATH": path, "VAE_PRETEND": rules, "TUTORIAL_DEVICE": "pretend",
        "TUTORIAL_PROFILE": "quick", "OMP_NUM_THREADS": "1",
    }  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def built():
    """The pretend device is compiled, once per machine."""
    if sys.platform != "linux":
        pytest.skip("optional: the pretend device is built on Linux only")
    if shutil.which("g++") is None:
        pytest.skip("there is no g++, which builds the pretend device: apt-get install g++")
    code = f"import sys; sys.path.insert(0, {str(PRETEND)!r}); import pretend_device; pretend_device.build()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=500)


@pytest.mark.parametrize("rules", ["cuda", "mps"])
def test_the_helpers_never_mix_devices_nor_wait_in_a_step_by_the_rules_of(rules):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/pretend/device_tests.py",
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(rules), capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rules", ["mps", pytest.param("cuda", marks=nightly)])
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs_on_an_accelerator_by_the_rules_of(rules, path):
    notebook = read(path)
    client = NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(path.parent)}})
    client.create_kernel_manager().kernel_spec_manager.kernel_dirs = []  # the kernel is this Python
    client.execute(env=environment(rules))
    printed = [
        output.text for cell in notebook.cells for output in cell.get("outputs", []) if "text" in output
    ]
    assert any("device pretend" in text for text in printed)
