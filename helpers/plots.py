"""The style of all figures, and the figures that more than one notebook draws."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch


def set_style():
    """Set the style of all figures: seaborn's colour-blind palette, text readable at half size, 100 dpi."""
    sns.set_theme(context="notebook", style="ticks", palette="colorblind", font_scale=1.1)
    plt.rcParams.update(
        {
            "figure.figsize": (8, 3.5),
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": "medium",
            "lines.linewidth": 2,
            "legend.frameon": False,
            "image.cmap": "gray_r",
        }
    )


def show_images(images, columns=10, title=None, ax=None, column_labels=()):
    """Draw grey or colour images (N, C, H, W) in [0, 1] with a thin line between them; return the axes.

    Grey images (C = 1) are drawn dark on white. A dict of label → images gives each label a row of its first
    `columns` images; `column_labels` stand under the columns. Raises ValueError for another shape.
    """
    labelled = isinstance(images, dict)
    rows = {label: _ink(row, label) for label, row in (images if labelled else {"images": images}).items()}
    shapes = {label: tuple(row.shape) for label, row in rows.items()}
    if len({shape[1:] for shape in shapes.values()}) != 1:
        raise ValueError(f"images has the shapes {shapes}; expected rows of one height, width and colour")
    columns = min(columns, max(len(row) for row in rows.values()))
    tiles = [_mosaic(row[:columns] if labelled else row, columns) for row in rows.values()]
    ink = np.concatenate(tiles)[:-1, :-1]
    height, width = ink.shape[:2]
    if ax is None:
        zoom = max(1, min(4, 900 // width))  # whole screen pixels per image pixel, or strokes look ragged
        figure = plt.figure(figsize=(zoom * width / 100, zoom * height / 100), dpi=100, layout="none")
        ax = figure.add_axes((0, 0, 1, 1))
    picture = ink if ink.ndim == 2 else 1 - ink  # imshow maps grey values itself
    ax.imshow(picture, vmin=0, vmax=1, cmap="gray_r", interpolation="nearest", extent=(0, width, height, 0))
    middles = [(i + 0.5) * height / len(rows) for i in range(len(rows))]
    ax.set(xticks=[], yticks=middles if labelled else [], title=title)
    if labelled:
        ax.set_yticklabels(list(rows))
    if column_labels:
        ax.set_xticks((np.arange(columns) + 0.5) * width / columns, column_labels)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def _ink(images, label):
    """Images as a float array in which 0 is white: grey (N, H, W), or colour (N, H, W, 3)."""
    images = torch.as_tensor(images).detach().cpu().float()
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images):
        raise ValueError(
            f"{label} has the shape {tuple(images.shape)}; expected (N, C, H, W) with N of at least 1 and 1 or 3 "
            "channels: flat grey digits become images by .view(-1, 1, 28, 28)"
        )
    return images[:, 0].numpy() if images.shape[1] == 1 else 1 - images.permute(0, 2, 3, 1).numpy()


def _mosaic(images, columns):
    """Images side by side in rows of `columns`, each with a line at its right and lower edge."""
    n, height, width, *colour = images.shape
    rows = -(-n // columns)
    cells = np.zeros((rows * columns, height + 1, width + 1, *colour), dtype=np.float32)
    cells[:n, :, -1] = cells[:n, -1, :] = 0.2
    cells[:n, :-1, :-1] = images
    cells = cells.reshape(rows, columns, height + 1, width + 1, *colour).swapaxes(1, 2)
    return cells.reshape(rows * (height + 1), -1, *colour)


def plot_latents(codes, labels, ax=None, title=None):
    """Scatter 2-D codes (N, 2) with one colour per class and its label (N,) at the median; return the axes.

    Labels that would hide each other are moved apart. Raises ValueError for another shape and for more than
    ten classes.
    """
    codes, labels = torch.as_tensor(codes).detach().cpu(), torch.as_tensor(labels).cpu()
    if codes.ndim != 2 or codes.shape[1] != 2:
        raise ValueError(f"codes has the shape {tuple(codes.shape)}; expected (N, 2): choose two columns")
    if labels.shape != codes.shape[:1]:
        raise ValueError(f"labels has the shape {tuple(labels.shape)}; expected ({len(codes)},), as codes")
    classes = labels.unique()
    if len(classes) > 10:
        raise ValueError(f"labels has {len(classes)} classes; expected at most 10, to tell colours apart")
    ax = ax or plt.subplots(figsize=(6, 5.5))[1]
    palette = np.array(sns.color_palette("colorblind", 10))
    palette[8] = 0.2  # its yellow is lost on white
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(0))  # no class on top
    which = torch.searchsorted(classes, labels)
    ax.scatter(*codes[order].T, s=7, c=palette[which[order]], alpha=0.6, linewidths=0)
    medians = torch.stack([codes[labels == label].median(dim=0).values for label in classes])
    places = _apart(medians, 0.08 * (codes.amax(dim=0) - codes.amin(dim=0)).max())
    for label, colour, place in zip(classes.tolist(), palette, places.tolist(), strict=False):
        badge = dict(boxstyle="circle,pad=0.2", facecolor="white", edgecolor=colour, linewidth=2)
        ax.text(*place, str(label), size="small", weight="bold", ha="center", va="center", bbox=badge)
    ax.set(xlabel="$z_1$", ylabel="$z_2$", title=title)
    ax.set_aspect("equal", adjustable="datalim")
    return ax


def _apart(places, least):
    """Places (K, 2) after moving apart those that are nearer to each other than `least`."""
    for _ in range(100):
        away = places[:, None] - places  # (K, K, 2)
        distance = away.norm(dim=2, keepdim=True)
        places = places + (away / distance * (least - distance).clamp(min=0) / 4).nan_to_num(0).sum(dim=1)
    return places


@torch.no_grad()
def plot_traversals(model, images, rows=10):
    """Draw a row for each latent whose mean varies most over `images`, moved alone from −3 to 3; return the axes.

    The other latents stay at the mean code of the first image; images are (N, C, H, W).
    """
    mu, _ = model.encode(images)  # (N, latent_dim)
    values = torch.linspace(-3, 3, 9)
    tours = {}
    for j in mu.var(dim=0).argsort(descending=True)[:rows].tolist():
        z = mu[:1].repeat(len(values), 1)  # (9, latent_dim)
        z[:, j] = values.to(mu.device)
        tours[f"$z_{{{j + 1}}}$"] = torch.sigmoid(model.decode(z))
    return show_images(tours, column_labels=[f"{value:g}" for value in values])
