"""A pretend accelerator, for tests on machines without one: torch.device("pretend") with the rules of CUDA or of MPS.

Its tensors lie in the CPU's memory and are computed by the CPU's kernels, but to mix them with CPU tensors is an
error, as on CUDA. By the rules of MPS, so are float64 and every operator that torch's table (native_functions.yaml)
lists with a kernel for the CPU but none for MPS. That is slightly too strict, because torch sends a few of these,
such as linalg.svd, to the CPU by itself. Its random numbers are the CPU's.
"""

import atexit
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("pretend.cpp")
RULES = ("cuda", "mps")


def build():
    """Compile the extension, once per machine and torch; return the folder with it and the list for MPS."""
    key = hashlib.sha256(SOURCE.read_bytes() + Path(__file__).read_bytes() + torch.__version__.encode())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "vae-checked-pretend"
    folder = cache / key.hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed: others wait instead of building as well
        if not folder.exists():
            part = cache / "part"
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            compile_extension(part / "pretend.so")
            (part / "refused_on_mps.txt").write_text("\n".join(refused_on_mps()))
            part.rename(folder)
    return folder


def compile_extension(target):
    """Call g++ once. Raises RuntimeError with what it printed if it fails."""
    root = Path(torch.__file__).parent
    command = [
        "g++", "-std=c++20", "-O1", "-w", "-shared", "-fPIC", f"-I{root / 'include'}",
        f"-D_GLIBCXX_USE_CXX11_ABI={int(torch._C._GLIBCXX_USE_CXX11_ABI)}",
        str(SOURCE), "-o", str(target), f"-L{root / 'lib'}", "-ltorch_cpu", "-lc10",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"g++ failed:\n{done.stderr}")


def refused_on_mps():
    """The names of the operators that have a kernel for the CPU, but neither for MPS nor for every device."""
    import torchgen
    import yaml

    table = Path(torchgen.__file__).parent / "packaged/ATen/native/native_functions.yaml"
    entries = yaml.load(table.read_text("utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    entries = {entry["func"].split("(")[0]: entry for entry in entries}

    def kernels(entry):
        if "structured_delegate" in entry:  # add.Tensor has the kernels of add.out
            return kernels(entries[entry["structured_delegate"]])
        return {key.strip() for keys in entry.get("dispatch", {}) for key in keys.split(",")}

    def lacks_mps(keys):
        return "CPU" in keys and "MPS" not in keys and not any(key.startswith("Composite") for key in keys)

    return sorted(f"aten::{name}" for name, entry in entries.items() if lacks_mps(kernels(entry)))


class Module:
    """What torch asks of torch.pretend."""

    device = contextlib.nullcontext  # there is only one

    def is_available(self):
        return True

    def is_initialized(self):
        return True

    def current_device(self):
        return 0

    def device_count(self):
        return 1

    def synchronize(self, device=None):
        pass

    def _is_in_bad_fork(self):
        return False

    def manual_seed(self, seed):
        torch.ops.pretend.manual_seed(seed)

    manual_seed_all = manual_seed

    def get_rng_state(self, device=None):
        return torch.ops.pretend.get_rng_state()

    def set_rng_state(self, state, device=None):
        torch.ops.pretend.set_rng_state(state)

    def get_amp_supported_dtype(self):
        return [torch.bfloat16, torch.float16]


# torch runs a GRU on such a device by a fused kernel, which the CPU does not have.


def gru_cell(gates_x, gates_h, h, bias_x=None, bias_h=None):
    """One step of a GRU: gates (B, 3H) of the input and of the state, state h (B, H) → new h, workspace (B, 5H)."""
    if bias_x is not None:
        gates_x, gates_h = gates_x + bias_x, gates_h + bias_h
    reset_x, keep_x, new_x = gates_x.chunk(3, dim=1)
    reset_h, keep_h, inner = gates_h.chunk(3, dim=1)
    reset = torch.sigmoid(reset_x + reset_h)
    keep = torch.sigmoid(keep_x + keep_h)
    new = torch.tanh(new_x + reset * inner)
    return new + keep * (h - new), torch.cat([reset, keep, new, h, inner], dim=1)


def gru_cell_backward(grad, workspace, has_bias):
    """The gradients of both gates, of the state and of both biases."""
    reset, keep, new, h, inner = workspace.chunk(5, dim=1)
    grad_keep = grad * (h - new) * keep * (1 - keep)
    grad_new = grad * (1 - keep) * (1 - new**2)
    grad_reset = grad_new * inner * reset * (1 - reset)
    grad_x = torch.cat([grad_reset, grad_keep, grad_new], dim=1)
    grad_h = torch.cat([grad_reset, grad_keep, grad_new * reset], dim=1)
    biases = (grad_x.sum(dim=0), grad_h.sum(dim=0)) if has_bias else (None, None)
    return grad_x, grad_h, grad * keep, *biases


def register(rules):
    """Add the device to torch, with the rules of "cuda" or "mps", and return it.

    Call it before the first gradient of the process: autograd counts the devices only once.
    """
    if rules not in RULES:
        raise ValueError(f"rules is {rules!r}; expected one of: {', '.join(RULES)}")
    folder = build()
    torch.ops.load_library(folder / "pretend.so")
    torch.ops.pretend.init()
    if rules == "mps":
        torch.ops.pretend.refuse(True, (folder / "refused_on_mps.txt").read_text().split())
        torch._tensor_str.tensor_totype = (
            torch.Tensor.float
        )  # print(tensor) avoids float64 on MPS, but not here
    torch.utils.rename_privateuse1_backend("pretend")
    torch.utils.generate_methods_for_privateuse1_backend()
    torch._register_device_module("pretend", Module())
    atexit.register(time.sleep, 0.1)  # autograd's thread aborts if Python ends while it still tidies up
    global library  # its kernels go when it goes
    library = torch.library.Library("aten", "IMPL")
    library.impl("_thnn_fused_gru_cell", gru_cell, "PrivateUse1")
    library.impl("_thnn_fused_gru_cell_backward", gru_cell_backward, "PrivateUse1")
    return torch.device("pretend", 0)
