"""The house style, and the pictures that more than one notebook draws."""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch


def set_style():
    """The house style: seaborn's colour-blind palette, white ground, one size of type, 100 dpi."""
    sns.set_theme(context="notebook", style="ticks", palette="colorblind", font_scale=0.95)
    plt.rcParams.update(
        {
            "figure.figsize": (8, 3.5),
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": "medium",
            "legend.frameon": False,
            "image.cmap": "gray_r",
        }
    )


def save_figure(name):
    """Save the current figure as figures/NAME.png, under `make figures` only (TUTORIAL_FIGURES)."""
    folder = os.environ.get("TUTORIAL_FIGURES")
    if folder:
        plt.gcf().savefig(Path(folder) / f"{name}.png", dpi=120, bbox_inches="tight")


def show_images(images, columns=10, title=None, ax=None):
    """Draw images (N, 1, H, W) in [0, 1] as one mosaic; a dict of label → images gives a labelled row each."""
    rows = images if isinstance(images, dict) else {None: images}
    strips = [(label, row) for label, row in rows.items()]
    tiles, ticks = [], []
    for label, row in strips:
        row = row.detach().cpu().float()
        row = row[:columns] if label is not None else row
        tiles.append(_mosaic(row, columns))
        ticks.append(label)
    heights = np.cumsum([0] + [len(t) for t in tiles])
    picture = np.concatenate(tiles)
    if ax is None:
        width = 0.8 * min(columns, 12)
        _, ax = plt.subplots(figsize=(width + 1.5, width * picture.shape[0] / picture.shape[1] + (0.4 if title else 0.1)))
    ax.imshow(picture, vmin=0, vmax=1, cmap="gray_r", interpolation="nearest")
    ax.set_xticks([])
    if ticks == [None]:
        ax.set_yticks([])
    else:
        ax.set_yticks((heights[:-1] + heights[1:]) / 2, ticks)
        ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    if title:
        ax.set_title(title)
    return ax


def _mosaic(images, columns, gap=2):
    n, _, height, width = images.shape
    rows = -(-n // columns)
    picture = np.zeros((rows * (height + gap), columns * (width + gap)), dtype=np.float32)
    for i, image in enumerate(images):
        r, c = divmod(i, columns)
        picture[r * (height + gap) : r * (height + gap) + height, c * (width + gap) : c * (width + gap) + width] = image[0]
    return picture


def plot_history(history, terms=None):
    """One panel per term, train and test against the epoch, in nats per image. Returns the axes."""
    terms = terms or list(history.train)
    _, axes = plt.subplots(1, len(terms), figsize=(4 * len(terms), 3.2), squeeze=False)
    for ax, term in zip(axes[0], terms, strict=True):
        for name, values in (("train", history.train), ("test", history.test)):
            if term in values:
                ax.plot(range(1, len(values[term]) + 1), values[term], label=name, ls="-" if name == "train" else "--")
        ax.set(xlabel="epoch", ylabel="nats per image", title=term)
        ax.legend()
    return axes[0]


def plot_latents(codes, labels, ax=None, title=None):
    """Scatter 2-D codes (N, 2), one colour per class, the class's digit written at its median."""
    ax = ax or plt.subplots(figsize=(5, 4.5))[1]
    codes, labels = torch.as_tensor(codes).detach().cpu(), torch.as_tensor(labels).cpu()
    for digit, colour in zip(range(10), sns.color_palette("colorblind", 10), strict=True):
        mine = codes[labels == digit]
        if len(mine):
            ax.scatter(*mine.T, s=4, color=colour, alpha=0.5, linewidths=0)
            x, y = mine.median(dim=0).values
            ax.text(x, y, str(digit), weight="bold", ha="center", va="center",
                    bbox=dict(boxstyle="circle,pad=0.15", fc="white", ec=colour, lw=1.5))
    ax.set(xlabel="$z_1$", ylabel="$z_2$", title=title)
    return ax
