"""The files of MNIST and Fashion-MNIST: from a folder, the cache or a mirror, and never taken unchecked.

`python -m helpers.download FOLDER` collects both data sets, for machines without a network.
"""

import gzip
import hashlib
import io
import os
import secrets
import struct
import sys
import zlib
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pooch
from tqdm import tqdm

DEBIAN = Path("/usr/share/datasets")  # where the package dataset-fashion-mnist puts its folder
TIMEOUT = 5  # seconds without an answer, or without a further byte


class Dataset(NamedTuple):
    """Where the four files of a data set are to be had, and how to know them."""

    name: str
    folder: str
    mirrors: tuple
    md5: dict  # of the uncompressed bytes: whoever compressed them again, they are the same images


MNIST = Dataset(
    "MNIST",
    "mnist",
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    md5={
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
)
FASHION = Dataset(
    "Fashion-MNIST",
    "fashion-mnist",
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    md5={
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
)


def find(dataset, network):
    """The uncompressed files by name, and where they were; ConnectionError where there is nowhere left."""
    named = os.environ.get("TUTORIAL_DATA")
    if named and (files := _from_named_folder(named, dataset)):
        return files, "from TUTORIAL_DATA"
    mirrors = list(dataset.mirrors) if network else []
    raws, places = zip(*(_find_file(name, dataset, mirrors) for name in dataset.md5), strict=True)
    return dict(zip(dataset.md5, raws, strict=True)), ", ".join(sorted(set(places)))


def _from_named_folder(named, dataset):
    root = Path(named).expanduser()
    if not root.is_dir():
        raise ValueError(f"TUTORIAL_DATA is {named!r}; expected an existing folder: correct it, or unset it")
    for folder in (root / dataset.folder, root):
        try:
            if files := _read_folder(folder, dataset):
                return files
        except ValueError as error:
            if folder == root and _is_other_data(folder):
                break
            raise ValueError(f"{error} (mend the folder, or unset TUTORIAL_DATA={named})") from None
    print(f"TUTORIAL_DATA is {named!r} and holds no {dataset.name}: looking further")


def _read_folder(folder, dataset):
    """The files of a folder by name, none if it has none; ValueError unless they are four sound ones."""
    candidates = [(name, folder / f"{name}{end}") for name in dataset.md5 for end in (".gz", "")]
    paths = {name: path for name, path in candidates if path.is_file()}
    if paths and len(paths) < len(dataset.md5):
        raise ValueError(f"{folder} lacks {', '.join(sorted(dataset.md5.keys() - paths))}")
    return {name: _read(path, name, dataset) for name, path in paths.items()}


def _is_other_data(folder):
    """Whether the files, which are not the ones sought, are the other data set's: with the same names."""
    for dataset in (MNIST, FASHION):
        try:
            return bool(_read_folder(folder, dataset))
        except ValueError:
            continue


def _find_file(name, dataset, mirrors):
    cache = Path(os.environ.get("TUTORIAL_CACHE") or pooch.os_cache("vae-checked")).expanduser()
    kept = cache / dataset.folder / f"{name}.gz"
    package = DEBIAN / dataset.folder / kept.name
    for path, place in ((package, "from Debian's package"), (kept, "from the cache")):
        try:
            if path.is_file():
                return _read(path, name, dataset), place
        except (ValueError, OSError) as error:
            print(f"{error}: looking further")
    blob, raw = _download(name, dataset, mirrors)
    try:
        write(kept, blob)
        return raw, "downloaded"
    except OSError as error:
        return raw, f"downloaded, but not kept in the cache ({error.strerror})"


def _download(name, dataset, mirrors):
    """The file as it is served and uncompressed; a mirror that fails is asked last, for the next file too."""
    failures = {}
    for _ in range(2 * len(mirrors)):
        buffer = io.BytesIO()  # not a file: whatever ends this process, nothing half-written stays behind
        try:
            with tqdm(desc=name, total=1, unit="B", unit_scale=True, leave=False, file=sys.stdout) as bar:
                download = pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16, timeout=TIMEOUT)
                download(f"{mirrors[0]}{name}.gz", buffer, None)
            return buffer.getvalue(), _unpack(buffer.getvalue(), name, dataset)
        except (ValueError, OSError) as error:  # the errors of requests are OSErrors
            why = str(error) if isinstance(error, ValueError) else type(error).__name__
            failures[urlsplit(mirrors[0]).netloc] = why
            mirrors.append(mirrors.pop(0))
    reasons = [f"{host}: {why}" for host, why in failures.items()]
    raise ConnectionError("; ".join(reasons) or "the quick profile leaves the network alone")


def write(path, blob):
    """Replace the file `path` by these bytes in one step, so that whoever reads it finds the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.write_bytes(blob)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _read(path, name, dataset):
    try:
        return _unpack(path.read_bytes(), name, dataset)
    except ValueError as error:
        raise ValueError(f"{path} is no good: {error}") from None


def _unpack(blob, name, dataset):
    """The uncompressed bytes of an IDX file, gz or not; ValueError with the reason if it is another."""
    try:
        raw = gzip.decompress(blob) if blob[:2] == b"\x1f\x8b" else blob
    except (OSError, EOFError, zlib.error):
        raise ValueError("truncated or damaged gzip file") from None
    if raw[:100].lstrip().startswith(b"<"):
        raise ValueError("a web page, not an IDX file")
    count = int.from_bytes(raw[4:8])
    kind, header, size = "labels", struct.pack(">2I", 0x801, count), 1
    if "images" in name:
        kind, header, size = "28 × 28 images", struct.pack(">4I", 0x803, count, 28, 28), 784
    body = memoryview(raw)[len(header) :]
    if not raw.startswith(header):
        raise ValueError(f"not an IDX file of {kind}")
    if len(body) != count * size:
        raise ValueError(f"header promises {count:,} {kind}, but {len(body):,} bytes follow")
    if kind == "labels" and max(body, default=0) > 9:
        raise ValueError(f"label {max(body)}, expected 0 to 9")
    if (md5 := hashlib.md5(raw, usedforsecurity=False).hexdigest()) != dataset.md5[name]:
        raise ValueError(f"not {dataset.name}'s bytes: md5 {md5} uncompressed, expected {dataset.md5[name]}")
    return raw


def _collect(folder):
    """Copy or download the files of both data sets to `folder`, and say what was done."""
    for dataset in (MNIST, FASHION):
        try:
            files, place = find(dataset, network=True)
        except ConnectionError as error:
            print(f"{dataset.name} left out: in no folder, and no download ({error})")
            continue
        for name, raw in files.items():
            write(Path(folder) / dataset.folder / f"{name}.gz", gzip.compress(raw, 6, mtime=0))
        print(f"{dataset.name} ({place}) → {Path(folder) / dataset.folder}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m helpers.download FOLDER")
    _collect(sys.argv[1])
