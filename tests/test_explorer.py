"""The latent explorer without a browser: a moved slider changes the picture; its twin shows the same."""

import io

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from helpers import plots
from helpers.models import VAE

matplotlib.use("agg")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return VAE(latent_dim=14, hidden=(32,))


def parts(widget):
    picture, box = widget.children
    return picture, box.children


def pixels(picture):
    return np.array(Image.open(io.BytesIO(picture.value)))


def test_a_moved_slider_changes_the_picture_and_back(model):
    picture, sliders = parts(plots.explore_latents(model))
    first = picture.value
    sliders[0].value = 2.5
    assert picture.value != first
    sliders[0].value = 0.0
    assert picture.value == first


def test_the_picture_is_the_decoded_point(model):
    picture, sliders = parts(plots.explore_latents(model, sliders=3))
    sliders[1].value = -2.0
    z = torch.zeros(1, 14)
    z[0, 1] = -2.0
    expected = 1 - torch.sigmoid(model.decode(z))[0, 0].detach().numpy()
    shown = pixels(picture).reshape(28, 8, 28, 8)[:, 4, :, 4] / 255
    np.testing.assert_allclose(shown, expected, atol=1.5 / 255)


def test_it_has_a_slider_for_each_of_the_latents_that_are_used_most(model):
    images = torch.rand(50, 1, 28, 28)
    mu, _ = model.encode(images)
    used = mu.var(dim=0).argsort(descending=True)[:10] + 1
    _, sliders = parts(plots.explore_latents(model, images))
    assert [slider.description for slider in sliders] == [f"$z_{{{j}}}$" for j in used]
    assert [slider.value for slider in sliders] == pytest.approx(mu[0, used - 1].tolist())
    _, sliders = parts(plots.explore_latents(VAE(latent_dim=2)))
    assert len(sliders) == 2


def test_its_static_twin_has_a_row_for_each_slider(model):
    images = torch.rand(50, 1, 28, 28)
    _, sliders = parts(plots.explore_latents(model, images))
    ax = plots.plot_traversals(model, images)
    assert [label.get_text() for label in ax.get_yticklabels()] == [s.description for s in sliders]
    assert ax.images[0].get_array().shape[0] > 10 * 28
