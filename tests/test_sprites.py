"""The sprites: every pixel against the outlines' own inside test, the dataset's order, the original file."""

import numpy as np
import pytest
import torch
from matplotlib.path import Path

from helpers import sprites
from helpers.sprites import FACTOR_SIZES, factors_to_index, index_to_factors, render, sample_factors


def outline(shape, scale, orientation, pos_x, pos_y):
    """FACTS of the geometry, written once more from the description: vertices (V, 2) in the 64 × 64 image."""
    s = np.linspace(0.5, 1, 6)[scale]
    if shape == 0:
        x, y = np.array([1, 1, -1, -1]) * 9.6 * s, np.array([1, -1, -1, 1]) * 9.6 * s
    elif shape == 1:
        t = 2 * np.pi * np.arange(28) / 28
        x, y = 12.8 * s * np.cos(t), 7.25 * s * np.sin(t)
    else:
        t = 2 * np.pi * np.arange(200) / 200
        x = 9.6 * s * np.sin(t) ** 3
        y = -s * (0.6638 * (13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) + 1.45)
    turned = (x + 1j * y) * np.exp(-2j * np.pi * orientation / 39)
    return np.stack([turned.real + 16 + 32 * pos_x / 31, turned.imag + 16 + 32 * pos_y / 31], axis=1)


def distance(point, vertices):
    """From a point to the nearest edge of an outline."""
    a, b = vertices, np.roll(vertices, -1, axis=0)
    t = np.clip(((point - a) * (b - a)).sum(1) / ((b - a) ** 2).sum(1), 0, 1)
    return np.linalg.norm(a + t[:, None] * (b - a) - point, axis=1).min()


def disagreements(factors, size):
    """Pixels that differ from the inside test of matplotlib, those within 1e-5 px of an edge aside."""
    images, wrong = render(factors, size)[:, 0].numpy().astype(bool), []
    centre = (np.arange(size) + 0.5) * 64 / size
    for image, f in zip(images, factors.tolist(), strict=True):
        vertices = outline(*f)
        left, top = np.searchsorted(centre, vertices.min(axis=0))
        right, bottom = np.searchsorted(centre, vertices.max(axis=0))
        window = np.s_[top:bottom, left:right]
        points = np.stack(np.meshgrid(centre[left:right], centre[top:bottom]), axis=-1)  # (row, column, xy)
        inside = Path(vertices).contains_points(points.reshape(-1, 2)).reshape(points.shape[:2])
        differ = points[image[window] != inside]
        wrong += [(f, tuple(p)) for p in differ if distance(p, vertices) > 1e-5]
        if image.sum() != image[window].sum():
            wrong.append((f, "pixels outside the outline's box"))
    return wrong


def test_ten_thousand_images_agree_with_the_outlines_in_every_pixel():
    factors = sample_factors(10_000, torch.Generator().manual_seed(0))
    assert disagreements(factors, 64) == []


@pytest.mark.parametrize("size", [20, 32, 48, 100])
def test_other_sizes_sample_the_same_outlines(size):
    assert disagreements(sample_factors(200, torch.Generator().manual_seed(size)), size) == []


def test_the_agreement_is_no_accident(monkeypatch):
    """Outlines that are larger by a hundredth, about a tenth of a pixel, are found out."""
    true = sprites.polygon
    monkeypatch.setattr(sprites, "polygon", lambda *pose: 1.01 * true(*pose))
    sprites._crossings.cache_clear()
    wrong = disagreements(sample_factors(100, torch.Generator().manual_seed(0)), 40)
    sprites._crossings.cache_clear()
    assert len(wrong) > 50


@pytest.mark.parametrize(("shape", "vertices"), [(0, 4), (1, 28), (2, 200)])
def test_an_outline_has_its_vertices_once_and_ends_its_turn_where_it_began(shape, vertices):
    assert (
        sprites.polygon(shape, 3, 7).unique(dim=0).shape
        == sprites.polygon(shape, 3, 7).shape
        == (vertices, 2)
    )
    assert torch.equal(sprites.polygon(shape, 3, 39), sprites.polygon(shape, 3, 0))


def test_images_are_binary_floats_of_one_channel():
    images = render(sample_factors(7), size=32)
    assert images.shape == (7, 1, 32, 32) and images.dtype == torch.float32
    assert set(images.unique().tolist()) == {0.0, 1.0}
    assert render(torch.empty(0, 5, dtype=torch.long)).shape == (0, 1, 64, 64)


def test_a_batch_of_any_length_gives_each_image_its_own_factors():
    factors = sample_factors(1100, torch.Generator().manual_seed(1))  # more than two parts of 512
    alone = torch.cat([render(factors[i : i + 1], 16) for i in (0, 511, 512, 1023, 1024, 1099)])
    assert torch.equal(render(factors, 16)[[0, 511, 512, 1023, 1024, 1099]], alone)


def test_what_the_factors_do():
    base = torch.tensor([[0, 5, 0, 0, 0]])
    corner = render(base)[0, 0].nonzero().double().mean(dim=0)  # (row, column)
    torch.testing.assert_close(corner, torch.tensor([15.5, 15.5]).double())
    right = render(torch.tensor([[0, 5, 0, 31, 0]]))[0, 0].nonzero().double().mean(dim=0)
    torch.testing.assert_close(right, torch.tensor([15.5, 47.5]).double())
    down = render(torch.tensor([[0, 5, 0, 0, 31]]))[0, 0].nonzero().double().mean(dim=0)
    torch.testing.assert_close(down, torch.tensor([47.5, 15.5]).double())
    area = [render(torch.tensor([[0, s, 0, 16, 16]])).sum().item() for s in range(6)]
    assert area == sorted(area) and area[-1] == pytest.approx(19.2**2, rel=0.06)
    heart = render(torch.tensor([[2, 5, 0, 15, 15]]))[0, 0]
    rows = heart.sum(dim=1)
    assert rows[rows > 0][0] > rows[rows > 0][-1], "the heart stands on its tip"
    ellipse = render(torch.tensor([[1, 5, 4, 15, 15]]))[0, 0]  # turned by 37° counter-clockwise
    row, column = (ellipse.nonzero().double() - ellipse.nonzero().double().mean(dim=0)).T
    assert (row * column).mean() < 0, "its right end points up"


def test_the_last_orientation_repeats_the_first_and_no_other_does():
    factors = sample_factors(500, torch.Generator().manual_seed(2), fixed={"orientation": 0})
    last = factors.clone()
    last[:, 2] = 39
    assert torch.equal(render(factors), render(last))
    hearts = torch.tensor([[2, 5, o, 10, 10] for o in range(39)])
    assert len(render(hearts).flatten(1).unique(dim=0)) == 39


def test_the_order_of_the_dataset():
    index = torch.arange(sprites.N_IMAGES)
    factors = index_to_factors(index)
    assert torch.equal(factors_to_index(factors), index)
    assert sprites.N_IMAGES == 737_280
    grid = np.stack(np.unravel_index(np.arange(0, 737_280, 997), FACTOR_SIZES), axis=1)
    assert torch.equal(factors[::997], torch.from_numpy(grid))
    assert index_to_factors(torch.tensor([1, 32, 1024])).tolist() == [
        [0, 0, 0, 0, 1],
        [0, 0, 0, 1, 0],
        [0, 0, 1, 0, 0],
    ]


def test_samples_are_uniform_reproducible_and_keep_what_is_fixed():
    a, b = (sample_factors(60_000, torch.Generator().manual_seed(3), {"posX": 4}) for _ in range(2))
    assert torch.equal(a, b) and (a[:, 3] == 4).all()
    for k, size in enumerate(FACTOR_SIZES):
        if k != 3:
            counts = torch.bincount(a[:, k], minlength=size).double()
            chi2 = ((counts - 60_000 / size) ** 2 / (60_000 / size)).sum()
            assert chi2 < size + 5 * (2 * size) ** 0.5 + 5
    values = torch.arange(10) % 3
    assert torch.equal(sample_factors(10, fixed={"shape": values})[:, 0], values)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"shape 3; expected 0 to 2"):
        render(torch.tensor([[3, 0, 0, 0, 0]]))
    with pytest.raises(ValueError, match=r"posY -1; expected 0 to 31"):
        factors_to_index(torch.tensor([[0, 0, 0, 0, -1]]))
    with pytest.raises(ValueError, match=r"\(2, 4\); expected integers \(B, 5\)"):
        render(torch.zeros(2, 4, dtype=torch.long))
    with pytest.raises(ValueError, match=r"float32.*expected integers"):
        render(torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"'colour'; expected one of: shape, scale"):
        sample_factors(3, fixed={"colour": 0})
    with pytest.raises(ValueError, match=r"scale 6; expected 0 to 5"):
        sample_factors(3, fixed={"scale": 6})
    with pytest.raises(ValueError, match=r"expected 0 to 737279"):
        index_to_factors(torch.tensor([737_280]))


def test_sprites_are_on_the_cpu_whatever_torch_s_default_device():
    with torch.device("meta"):
        factors = sample_factors(4, fixed={"shape": 2})
        assert factors.device.type == "cpu"
        assert factors_to_index(factors).device.type == "cpu"


def test_the_geometry_is_computed_in_double_precision():
    assert sprites._centres().dtype == sprites._pixels(64).dtype == torch.float64
