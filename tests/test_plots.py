"""Pictures: what is drawn is what was given, at whole pixels, and bad shapes say so."""

import io
import warnings

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from helpers import plots
from helpers.training import History

matplotlib.use("Agg")
HISTORY = History({"loss": [3.0, 2.0], "kl": [1.0, 1.5]}, {"loss": [3.5, 2.5], "kl": [1.0, 1.5]})


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


@pytest.mark.parametrize("shape", [(5, 784), (28, 28), (5, 28, 28), (5, 3, 28, 28), (0, 1, 28, 28)])
def test_images_of_another_shape_are_an_error(shape):
    for given in (torch.zeros(shape), {"decoded": torch.zeros(shape)}):
        with pytest.raises(ValueError, match=r"expected \(N, 1, H, W\)"):
            plots.show_images(given)


def test_rows_of_different_sizes_and_no_rows_are_errors():
    for given in ({"a": torch.zeros(2, 1, 28, 28), "b": torch.zeros(2, 1, 64, 64)}, {}):
        with pytest.raises(ValueError, match="expected rows of one height and width"):
            plots.show_images(given)


# ---- plot_history


def test_history_has_a_panel_for_each_term_with_its_unit_and_numbers():
    axes = plots.plot_history(HISTORY)
    assert [ax.get_title() for ax in axes] == ["loss", "kl"]
    for ax in axes:
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "nats per image")
        for line, values in zip(ax.lines, HISTORY, strict=True):
            assert list(line.get_xdata()) == [1, 2]
            assert list(line.get_ydata()) == values[ax.get_title()]


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 30, 100])
def test_epochs_are_whole_numbers_and_few_are_marked(epochs):
    (ax,) = plots.plot_history(History({"loss": list(range(epochs))}, {}))
    ax.figure.canvas.draw()
    assert all(float(tick).is_integer() for tick in ax.get_xticks())
    assert (ax.lines[0].get_markersize() > 0) == (epochs <= 10)
    assert len(ax.lines) == 1  # no test curve without test numbers


def test_a_term_that_is_not_there_and_an_empty_history_are_errors():
    with pytest.raises(ValueError, match=r"holds no \['nll'\]; its terms are \['loss', 'kl'\]"):
        plots.plot_history(HISTORY, ["loss", "nll"])
    with pytest.raises(ValueError, match="holds no epoch"):
        plots.plot_history(History({}, {}))


def test_a_label_stands_under_the_middle_of_each_column():
    ax = plots.show_images({"a": torch.zeros(3, 1, 4, 4)}, column_labels=range(3))
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "1", "2"]
    assert ax.get_xticks() == pytest.approx([14 / 6, 14 / 2, 14 * 5 / 6])  # three tiles and two lines


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


# ---- save_figure


def test_a_figure_is_saved_only_where_the_variable_names_a_folder(tmp_path, monkeypatch):
    plots.show_images(torch.rand(4, 1, 28, 28))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUTORIAL_FIGURES", raising=False)
    plots.save_figure("digits")
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("TUTORIAL_FIGURES", str(tmp_path / "figures"))
    plots.save_figure("digits")
    assert plt.imread(tmp_path / "figures" / "digits.png").ndim == 3
    with warnings.catch_warnings(action="error"):  # as a notebook does next
        plt.gcf().savefig(io.BytesIO(), bbox_inches="tight")


def test_a_film_is_saved_only_where_the_variable_names_a_folder(tmp_path, monkeypatch):
    frames = [torch.zeros(4, 1, 28, 28), torch.ones(4, 1, 28, 28)]
    monkeypatch.delenv("TUTORIAL_FIGURES", raising=False)
    plots.save_film("film", frames)
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("TUTORIAL_FIGURES", str(tmp_path))
    plots.save_film("film", frames, columns=2)
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 2
        assert film.size == (3 * 57, 3 * 57)
        greys = []
        for frame in range(2):
            film.seek(frame)
            greys.append(film.convert("L").getpixel((10, 10)))
    assert greys[0] > 250 and greys[1] < 5  # dark on white
