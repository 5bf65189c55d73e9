"""The files of MNIST and Fashion-MNIST from a folder, the cache or a mirror. One checksum decides about each file.

`python -m helpers.download FOLDER` collects both data sets for machines without a network.
"""

import gzip
import hashlib
import io
import os
import secrets
import sys
import tempfile
import zlib
from pathlib import Path

import pooch
from tqdm import tqdm

DEBIAN = Path("/usr/share/datasets")  # the package dataset-fashion-mnist puts its folder here
TIMEOUT = 5  # seconds that a mirror may be silent
MIRRORS = {
    "MNIST": [
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ],
    "Fashion-MNIST": [
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ],
}
REGISTRY = {  # the checksums of the uncompressed files, so that they may be compressed anew or not at all
    "MNIST": {
        "train-images-idx3-ubyte": "md5:6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "md5:a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "md5:2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "md5:27ae3e4e09519cfbb04c329615203637",
    },
    "Fashion-MNIST": {
        "train-images-idx3-ubyte": "md5:f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "md5:9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "md5:8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "md5:15d484375f8d13e6eb1aabb0c3f46965",
    },
}


def find(dataset, network):
    """Return the uncompressed files of "MNIST" or "Fashion-MNIST" by name, and a phrase that says where they were.

    Raises ValueError if TUTORIAL_DATA is no folder or holds a wrong file, and ConnectionError if no place is left.
    """
    named = os.environ.get("TUTORIAL_DATA")
    if named and not Path(named).expanduser().is_dir():
        raise ValueError(f"TUTORIAL_DATA is {named!r}; expected an existing folder: correct it, or unset it")
    cache = Path(os.environ.get("TUTORIAL_CACHE") or pooch.os_cache("vae-checked")).expanduser()
    places = {"from TUTORIAL_DATA": named, "from Debian's package": DEBIAN, "from the cache": cache}
    for place, root in places.items():
        try:
            if root and (files := _read_folder(Path(root).expanduser(), dataset)):
                return files, place
        except ValueError as error:
            if root == named:
                raise ValueError(f"{error}. Replace the file, or unset TUTORIAL_DATA") from None
            print(error)
    if not network:
        raise ConnectionError("the quick profile does not use the network")
    try:
        return _download(dataset, cache / dataset.lower()), "downloaded"
    except ConnectionError:
        raise
    except OSError as error:  # the cache is read-only, or the disk is full
        with tempfile.TemporaryDirectory() as folder:
            return _download(dataset, folder), f"downloaded, but not kept in {cache} ({error.strerror})"


def _read_folder(root, dataset):
    """Return the data set's files in `root` or its subfolder by name; an empty dict if it holds none of them."""
    expected = REGISTRY[dataset]
    for folder in (root / dataset.lower(), root):
        paths = [folder / f"{name}{end}" for name in expected for end in (".gz", "")]
        files = {path.stem: _unpack(path.read_bytes()) for path in paths if path.is_file()}
        found = {name: f"md5:{hashlib.md5(raw).hexdigest()}" for name, raw in files.items()}
        if found == expected:
            return files
        if found and found not in REGISTRY.values():  # the files of both data sets have the same names
            name, md5 = min(expected.items() - found.items())
            wrong = f"{folder / name} is not {dataset}'s: its checksum differs"
            raise ValueError(f"{wrong} (expected {md5} uncompressed, found {found.get(name, 'no file')})")
    return {}


def _unpack(blob):
    """Uncompress a gzip file. Anything else, or a damaged one, is returned as it is: its checksum differs."""
    try:
        return gzip.decompress(blob)
    except (OSError, EOFError, zlib.error):
        return blob


def _download(dataset, folder):
    """Return the files. Pooch fetches what `folder` lacks, from the first mirror that works, and checks it."""
    pooch.get_logger().setLevel("WARNING")  # the progress bar says the rest
    failures = []
    for mirror in MIRRORS[dataset]:
        store = pooch.create(folder, mirror, registry=REGISTRY[dataset])
        try:
            return {name: Path(store.fetch(name, downloader=_fetch)).read_bytes() for name in store.registry}
        except ConnectionError as error:
            failures.append(f"{mirror}: {error}")
        except ValueError:
            failures.append(f"{mirror}: the checksum differs")
    raise ConnectionError("; ".join(failures))


def _fetch(url, path, _):
    """Download `url`.gz and write the uncompressed bytes to `path`, for pooch to check."""
    blob = io.BytesIO()
    try:
        with tqdm(
            total=1, desc=Path(url).name, unit="B", unit_scale=True, leave=False, file=sys.stdout
        ) as bar:
            pooch.HTTPDownloader(progressbar=bar, timeout=TIMEOUT)(f"{url}.gz", blob, None)
    except OSError as error:  # every error of requests is one
        raise ConnectionError(type(error).__name__) from error
    write(Path(path), _unpack(blob.getvalue()))  # replaces pooch's file, which no other user could read


def write(path, blob):
    """Replace the file `path` by these bytes in one step: a reader finds the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.write_bytes(blob)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def collect(folder):
    """Write the files of both data sets to `folder`, and say where they were."""
    for dataset in REGISTRY:
        try:
            files, place = find(dataset, network=True)
        except ConnectionError as error:
            print(f"{dataset} is left out: it is in no folder, and no download worked ({error})")
            continue
        for name, raw in files.items():
            write(Path(folder) / dataset.lower() / f"{name}.gz", gzip.compress(raw, 6, mtime=0))
        print(f"{dataset}: {place}, now in {Path(folder) / dataset.lower()}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m helpers.download FOLDER")
    collect(sys.argv[1])
