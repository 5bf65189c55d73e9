"""Pictures: what is drawn is what was given, at whole pixels, and bad shapes say so."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from helpers import plots
from helpers.models import VAE

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def style():
    plots.set_style()
    yield
    plt.close("all")


def drawn(ax):
    return np.asarray(ax.images[0].get_array())


# ---- show_images


def test_images_fill_the_rows_from_left_to_right():
    images = torch.rand(5, 1, 4, 6)
    picture = drawn(plots.show_images(images, columns=3))
    assert picture.shape == (2 * 4 + 1, 3 * 6 + 2)
    for i, image in enumerate(images):
        top, left = 5 * (i // 3), 7 * (i % 3)
        assert np.array_equal(picture[top : top + 4, left : left + 6], image[0])
    assert (picture[5:, 14:] == 0).all()  # the place of a sixth image stays white


def test_a_line_separates_images_and_none_frames_them():
    picture = drawn(plots.show_images(torch.zeros(4, 1, 3, 3), columns=2))
    line = picture > 0
    assert line[3].all()
    assert line[:, 3].all()
    assert line.sum() == 7 + 7 - 1


def test_a_dict_gives_each_label_one_row_cut_at_the_columns():
    given = {"digits": torch.zeros(9, 1, 28, 28), "decoded": torch.ones(4, 1, 28, 28)}
    ax = plots.show_images(given, columns=6, title="both")
    assert drawn(ax).shape == (2 * 29 - 1, 6 * 29 - 1)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["digits", "decoded"]
    assert ax.get_title() == "both"


@pytest.mark.parametrize("n", [1, 3, 10, 20])
def test_each_pixel_of_an_image_covers_whole_pixels_of_the_screen(n):
    checkers = (torch.arange(28)[:, None] + torch.arange(28)) % 2
    ax = plots.show_images(checkers.expand(n, 1, 28, 28), columns=n)
    ax.figure.canvas.draw()
    screen = np.asarray(ax.figure.canvas.buffer_rgba())[..., 0]
    zoom = len(screen) // 28
    assert zoom >= 1
    assert set(np.unique(screen[:, : 28 * zoom])) == {0, 255}
    first = 255 * (1 - checkers.numpy())
    assert np.array_equal(screen[:, : 28 * zoom], first.repeat(zoom, axis=0).repeat(zoom, axis=1))


def test_images_are_drawn_on_the_axes_that_are_given():
    _, (left, right) = plt.subplots(1, 2)
    assert plots.show_images(torch.rand(4, 1, 8, 8), ax=right) is right
    assert not left.images


@pytest.mark.parametrize("shape", [(5, 784), (28, 28), (5, 28, 28), (5, 2, 28, 28), (0, 1, 28, 28)])
def test_images_of_another_shape_are_an_error(shape):
    for given in (torch.zeros(shape), {"decoded": torch.zeros(shape)}):
        with pytest.raises(ValueError, match=r"expected \(N, C, H, W\)"):
            plots.show_images(given)


def test_colour_images_keep_their_colours():
    images = torch.rand(3, 3, 4, 6)
    picture = drawn(plots.show_images({"colour": images}, columns=3))
    assert picture.shape == (4, 3 * 7 - 1, 3)
    np.testing.assert_allclose(picture[:, 7:13], images[1].permute(1, 2, 0), atol=1e-6)
    with pytest.raises(ValueError, match="one height, width and colour"):
        plots.show_images({"colour": images, "grey": images[:, :1]})


def test_rows_of_different_sizes_and_no_rows_are_errors():
    for given in ({"a": torch.zeros(2, 1, 28, 28), "b": torch.zeros(2, 1, 64, 64)}, {}):
        with pytest.raises(ValueError, match="expected rows of one height, width and colour"):
            plots.show_images(given)


# ---- plot_latents


def test_latents_have_ten_colours_and_a_digit_at_each_median():
    labels = torch.arange(10).repeat(5)
    codes = torch.stack([labels * 2.0, -labels * 1.0], dim=1)
    ax = plots.plot_latents(codes, labels, title="codes")
    assert {t.get_text(): t.get_position() for t in ax.texts} == {str(d): (2.0 * d, -d) for d in range(10)}
    (points,) = ax.collections
    colours = {}  # each point has its class's colour, though the points were shuffled
    for (x, _), colour in zip(points.get_offsets(), points.get_facecolors(), strict=True):
        colours.setdefault(round(x / 2), set()).add(tuple(colour))
    assert all(len(found) == 1 for found in colours.values())
    assert len(set.union(*colours.values())) == 10
    for text in ax.texts:
        edge = text.get_bbox_patch().get_edgecolor()
        assert np.allclose(edge[:3], next(iter(colours[int(text.get_text())]))[:3])


def test_labels_of_classes_that_lie_together_are_moved_apart():
    labels = torch.arange(4).repeat(3)
    codes = torch.tensor([[0.0, 0.0], [0.01, 0.0], [0.0, 0.02], [10.0, 10.0]]).repeat(3, 1)
    places = torch.tensor([text.get_position() for text in plots.plot_latents(codes, labels).texts])
    assert torch.pdist(places).min() > 0.79  # 8 % of the codes' width
    assert places[3].tolist() == [10, 10]
    assert places[:3].norm(dim=1).max() < 1.5
    same = plots.plot_latents(torch.zeros(4, 2), torch.arange(4))  # nothing to go by
    assert all(text.get_position() == (0, 0) for text in same.texts)


@pytest.mark.parametrize(
    ("codes", "labels", "message"),
    [
        (torch.zeros(5, 3), torch.zeros(5), r"codes has the shape \(5, 3\); expected \(N, 2\)"),
        (torch.zeros(5), torch.zeros(5), r"codes has the shape \(5,\); expected \(N, 2\)"),
        (torch.zeros(5, 2), torch.zeros(4), r"labels has the shape \(4,\); expected \(5,\)"),
        (torch.zeros(11, 2), torch.arange(11), "labels has 11 classes; expected at most 10"),
    ],
)
def test_latents_of_another_shape_are_an_error(codes, labels, message):
    with pytest.raises(ValueError, match=message):
        plots.plot_latents(codes, labels)


# ---- plot_traversals


def test_a_traversal_moves_one_latent_and_the_latent_that_varies_most_comes_first():
    torch.manual_seed(0)
    model, images = VAE(latent_dim=4, hidden=(32,)), torch.rand(50, 1, 28, 28)
    ax = plots.plot_traversals(model, images, rows=3)
    mu = model.encode(images)[0].detach()
    first, *_ = mu.var(dim=0).argsort(descending=True).tolist()
    assert next(tick.get_text() for tick in ax.get_yticklabels()) == f"$z_{{{first + 1}}}$"
    z = mu[:1].clone()
    z[0, first] = 3
    last = torch.sigmoid(model.decode(z)).detach()[0, 0].numpy()
    np.testing.assert_allclose(drawn(ax)[:28, -28:], last, atol=1e-5)
    assert [tick.get_text() for tick in ax.get_xticklabels()][::4] == ["-3", "0", "3"]
