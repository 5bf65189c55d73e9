"""The house style, and the pictures that more than one notebook draws."""

import io
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from matplotlib.ticker import MaxNLocator
from PIL import Image


def set_style():
    """The house style: seaborn's colour-blind palette, white ground, type readable at half size, 100 dpi."""
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


def save_figure(name):
    """Save the current figure as NAME.png in the folder that TUTORIAL_FIGURES names, if it names one."""
    if folder := _figures():
        # savefig restores a figure's lack of a layout engine as the style's default, which would warn later.
        with plt.rc_context({"figure.constrained_layout.use": False}):
            plt.gcf().savefig(folder / f"{name}.png", bbox_inches="tight", metadata={"Software": None})


def save_film(name, frames, columns=10):
    """Save a list of images (N, 1, H, W) in [0, 1] as NAME.gif in the folder of TUTORIAL_FIGURES, if any.

    Each frame is drawn as `show_images` would draw it, without labels.
    """
    if folder := _figures():
        mosaics = [torch.from_numpy(_mosaic(_images(frame, name), columns)[:-1, :-1]) for frame in frames]
        first, *others = [Image.open(io.BytesIO(_png(mosaic, zoom=3))) for mosaic in mosaics]
        first.save(folder / f"{name}.gif", save_all=True, append_images=others, duration=120, loop=0)


def _figures():
    """The folder that TUTORIAL_FIGURES names, made if it is not there; None if it names none."""
    if name := os.environ.get("TUTORIAL_FIGURES"):
        Path(name).mkdir(parents=True, exist_ok=True)
        return Path(name)


def show_images(images, columns=10, title=None, ax=None, column_labels=()):
    """Draw images (N, 1, H, W) in [0, 1], dark on white, a hairline between them; return the axes.

    A dict of label → images gives each label a row, of its first `columns` images; `column_labels` stand
    under the columns. Raises ValueError for another shape.
    """
    labelled = isinstance(images, dict)
    rows = {label: _images(row, label) for label, row in (images if labelled else {"images": images}).items()}
    shapes = {label: tuple(row.shape) for label, row in rows.items()}
    if len({shape[1:] for shape in shapes.values()}) != 1:
        raise ValueError(f"images has the shapes {shapes}; expected rows of one height and width")
    columns = min(columns, max(len(row) for row in rows.values()))
    tiles = [_mosaic(row[:columns] if labelled else row, columns) for row in rows.values()]
    picture = np.concatenate(tiles)[:-1, :-1]
    height, width = picture.shape
    if ax is None:
        zoom = max(1, min(4, 900 // width))  # whole screen pixels per image pixel, or strokes look ragged
        figure = plt.figure(figsize=(zoom * width / 100, zoom * height / 100), dpi=100, layout="none")
        ax = figure.add_axes((0, 0, 1, 1))
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


def _images(images, label):
    """Images as a float array (N, H, W)."""
    images = torch.as_tensor(images).detach().cpu().float()
    if images.ndim != 4 or images.shape[1] != 1 or not len(images):
        raise ValueError(
            f"{label} has the shape {tuple(images.shape)}; expected (N, 1, H, W) with N of at least 1: "
            "try .view(-1, 1, 28, 28)"
        )
    return images[:, 0].numpy()


def _mosaic(images, columns):
    """Images (N, H, W) side by side in rows of `columns`, each with a line at its right and lower edge."""
    n, height, width = images.shape
    rows = -(-n // columns)
    cells = np.zeros((rows * columns, height + 1, width + 1), dtype=np.float32)
    cells[:n, :, -1] = cells[:n, -1, :] = 0.2
    cells[:n, :-1, :-1] = images
    return cells.reshape(rows, columns, height + 1, width + 1).swapaxes(1, 2).reshape(rows * (height + 1), -1)


def plot_history(history, terms=None):
    """One panel for each term, train and test against the epoch, in nats per image; return the axes.

    Raises ValueError where the history is empty or does not hold a term.
    """
    terms = list(history.train) if terms is None else list(terms)
    missing = [term for term in terms if term not in history.train]
    if missing or not terms:
        raise ValueError(f"history holds no {missing or 'epoch'}; its terms are {list(history.train)}")
    _, axes = plt.subplots(1, len(terms), figsize=(max(4 * len(terms), 5), 3.5), squeeze=False)
    for ax, term in zip(axes[0], terms, strict=True):
        for label, values, style in (("train", history.train, "o-"), ("test", history.test, "s--")):
            if term in values:
                epochs = range(1, len(values[term]) + 1)
                ax.plot(epochs, values[term], style, label=label, markersize=5 if len(epochs) <= 10 else 0)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
        ax.set(xlabel="epoch", ylabel="nats per image", title=term)
    axes[0, 0].legend()
    return axes[0]


def plot_latents(codes, labels, ax=None, title=None):
    """Scatter 2-D codes (N, 2), one colour for each class, its label (N,) written at the class's median.

    Labels that would hide each other are moved apart. Raises ValueError for another shape, or more than
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
    """Places (K, 2), those nearer to each other than `least` moved apart; equal ones cannot be."""
    for _ in range(100):
        away = places[:, None] - places  # (K, K, 2)
        distance = away.norm(dim=2, keepdim=True)
        places = places + (away / distance * (least - distance).clamp(min=0) / 4).nan_to_num(0).sum(dim=1)
    return places


def explore_latents(model, images=None, sliders=10):
    """A widget: one slider for each of the latents that are used most, and the image decoded at that point.

    It starts at the mean code of the first of `images` (N, 1, H, W), or at 0 without images. Its static
    twin is `plot_traversals`.
    """
    import ipywidgets

    z, latents = _start(model, images, sliders)
    picture = ipywidgets.Image(format="png", width=280, height=280)
    knobs = [
        ipywidgets.FloatSlider(z[j].item(), min=-4, max=4, step=0.1, description=f"$z_{{{j + 1}}}$")
        for j in latents
    ]

    def redraw(_=None):
        for j, knob in zip(latents, knobs, strict=True):
            z[j] = knob.value
        picture.value = _png(_decode(model, z[None])[0, 0])

    for knob in knobs:
        knob.observe(redraw, names="value")
    redraw()
    return ipywidgets.HBox([picture, ipywidgets.VBox(knobs)])


def plot_traversals(model, images=None):
    """The explorer's static twin: a row for each of the ten latents used most, moved from −3 to 3, alone."""
    z, rows = _start(model, images, 10)
    values = torch.linspace(-3, 3, 9)
    tours = {}
    for j in rows:
        tour = z.repeat(len(values), 1)
        tour[:, j] = values
        tours[f"$z_{{{j + 1}}}$"] = _decode(model, tour)
    return show_images(tours, column_labels=[f"{v:g}" for v in values])


@torch.no_grad()
def _start(model, images, most):
    """A starting point z (D,) on the CPU and the indices of the latents whose means vary most over images."""
    if images is None:
        return torch.zeros(model.latent_dim), list(range(min(most, model.latent_dim)))
    mu, _ = model.encode(images)
    order = mu.var(dim=0).argsort(descending=True)[:most].tolist()
    return mu[0].cpu(), order


@torch.no_grad()
def _decode(model, z):
    return torch.sigmoid(model.decode(z.to(next(model.parameters()).device))).cpu()


def _png(image, zoom=8):
    """The bytes of a PNG of one image (H, W) in [0, 1], dark on white, its pixels enlarged."""
    grey = (255 * (1 - image)).byte().numpy().repeat(zoom, axis=0).repeat(zoom, axis=1)
    with io.BytesIO() as file:
        Image.fromarray(grey).save(file, format="png", compress_level=1)
        return file.getvalue()
