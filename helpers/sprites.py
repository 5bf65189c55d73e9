"""dSprites, computed instead of downloaded: images of shapes with five known factors. Used in 06_beta_vae.

The factors of an image are five indices, in the order of FACTOR_NAMES: shape (square, ellipse, heart), scale
(0.5 to 1), orientation (0 to 2π in 40 steps), posX (left to right), posY (top to bottom). As in the original,
the first and the last orientation are the same angle, so of the 737,280 images at most 718,848 differ.

Geometry: Matthey, Higgins, Hassabis & Lerchner, dSprites, 2017, measured on the original's frames.
"""

import math
from functools import cache, reduce
from operator import xor

import numpy as np
import torch

FACTOR_NAMES = ("shape", "scale", "orientation", "posX", "posY")
FACTOR_SIZES = (3, 6, 40, 32, 32)
N_IMAGES = math.prod(FACTOR_SIZES)  # 737,280
_STEPS = (245760, 40960, 1024, 32, 1)  # how far one step of each factor moves the index: posY runs fastest


def sample_factors(n, generator=None, fixed=None):
    """Draw factors uniformly and independently: → (n, 5) int64, on the device of the generator.

    `fixed` maps names of factors to the value, or the n values, that they keep: {"shape": 2, "posX": 16}.
    Raises ValueError for a name or a value that does not exist.
    """
    device = "cpu" if generator is None else generator.device
    columns = [torch.randint(size, (n,), generator=generator, device=device) for size in FACTOR_SIZES]
    factors = torch.stack(columns, dim=1)  # (n, 5)
    for name, value in (fixed or {}).items():
        if name not in FACTOR_NAMES:
            raise ValueError(f"fixed names {name!r}; expected one of: {', '.join(FACTOR_NAMES)}")
        factors[:, FACTOR_NAMES.index(name)] = torch.as_tensor(value, device=device)
    return _checked(factors)


def factors_to_index(factors):
    """Return the index of each image in the data set: factors (B, 5) → (B,) int64 in 0 … 737,279.

    Raises ValueError as `render` does.
    """
    return (_checked(factors) * torch.tensor(_STEPS, device=factors.device)).sum(dim=1)


def index_to_factors(index):
    """Return the factors of the images with these indices: (B,) int → (B, 5) int64.

    Raises ValueError for an index outside the data set.
    """
    index = torch.as_tensor(index)
    if index.numel() and not (index.min() >= 0 and index.max() < N_IMAGES):
        raise ValueError(f"index runs from {index.min()} to {index.max()}; expected 0 to {N_IMAGES - 1}")
    return torch.stack([index // step % n for step, n in zip(_STEPS, FACTOR_SIZES, strict=True)], dim=1)


def render(factors, size=64):
    """Draw the images of factors (B, 5) int: → (B, 1, size, size) float32 in {0, 1}, on the device of the factors.

    A pixel is on if its centre lies inside the shape; there is no antialiasing.
    Raises ValueError for a wrong shape and for factors out of their range.
    """
    shape, scale, orientation, pos_x, pos_y = _checked(factors).T
    crossings = _crossings(size, factors.device)  # (720, 32, size, 4)
    pose = (shape * 6 + scale) * 40 + orientation
    x = (_pixels(size) - _centres()[:, None]).float().to(factors.device)  # (32, size), seen from the centre
    images = torch.empty(len(factors), 1, size, size, device=factors.device)
    for start in range(0, len(factors), 512):  # this many images fit into the processor's cache
        part = slice(start, start + 512)
        column = x[pos_x[part], None, :]  # (b, 1, columns)
        edges = crossings[pose[part], pos_y[part]].unbind(dim=2)  # each (b, rows)
        # A pixel is inside where the number of edges to its left is odd.
        images[part, 0] = reduce(xor, (column > edge[:, :, None] for edge in edges))
    return images


def polygon(shape, scale, orientation):
    """Return the outline of a shape around its centre, in pixels at size 64: three indices → (V, 2) float64.

    x runs right and y down; the orientation turns it counter-clockwise on the screen.
    """
    if shape == 0:
        outline = torch.tensor([[-9.6, -9.6], [9.6, -9.6], [9.6, 9.6], [-9.6, 9.6]], dtype=torch.float64)
    elif shape == 1:
        t = 2 * math.pi * torch.arange(28, dtype=torch.float64) / 28
        outline = torch.stack([12.8 * t.cos(), 7.25 * t.sin()], dim=1)
    else:
        t = 2 * math.pi * torch.arange(200, dtype=torch.float64) / 200
        height = 13 * t.cos() - 5 * (2 * t).cos() - 2 * (3 * t).cos() - (4 * t).cos()
        outline = torch.stack([9.6 * t.sin() ** 3, -(0.6638 * height + 1.45)], dim=1)
    angle = 2 * math.pi * (orientation % 39) / 39  # the last orientation is the first
    cos, sin = math.cos(angle), math.sin(angle)
    turn = torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float64)
    return (0.5 + 0.1 * scale) * outline @ turn.T


def _checked(factors):
    if factors.ndim != 2 or factors.shape[1] != 5 or factors.is_floating_point():
        raise ValueError(f"factors is {factors.dtype} {tuple(factors.shape)}; expected integers (B, 5)")
    if (
        factors.device.type == "cpu"
    ):  # elsewhere the comparison would make a training step wait for the device
        wrong = (factors < 0) | (factors >= torch.tensor(FACTOR_SIZES, device="cpu"))
        for row, k in wrong.nonzero()[:1].tolist():
            raise ValueError(
                f"factors has {FACTOR_NAMES[k]} {factors[row, k]}; expected 0 to {FACTOR_SIZES[k] - 1}"
            )
    return factors.long()


def _centres():
    return 16 + 32 * torch.arange(32, dtype=torch.float64) / 31  # (32,), where posX and posY put the centre


def _pixels(size):
    return (torch.arange(size, dtype=torch.float64) + 0.5) * 64 / size  # (size,), the pixels' centres


@cache
def _crossings(size, device):
    """Return where each row of pixels crosses each outline, as x from its centre: (720, 32 posY, size rows, 4).

    A row crosses an outline at most four times; unused entries are infinite. 24 MB at size 64.
    """
    y = (_pixels(size) - _centres()[:, None]).flatten()  # (32 · size,), the rows seen from the centre
    table = torch.full((3, 6, 40, len(y), 4), math.inf)
    for shape, scale in np.ndindex(3, 6):
        start = torch.stack([polygon(shape, scale, o) for o in range(40)])  # (40, V, 2)
        end = start.roll(-1, dims=1)
        above = start[:, None, :, 1] <= y[:, None]  # (40, rows, V)
        crosses = above ^ above.roll(-1, dims=2)  # the edge from vertex v to v + 1
        o, row, v = crosses.nonzero().T
        (x0, y0), (x1, y1) = start[o, v].T, end[o, v].T
        count = crosses.sum(dim=2).flatten()
        rank = torch.arange(len(o)) - (count.cumsum(dim=0) - count).repeat_interleave(count)
        table[shape, scale, o, row, rank] = (x0 + (y[row] - y0) * (x1 - x0) / (y1 - y0)).float()
    return table.view(720, 32, size, 4).to(device)
