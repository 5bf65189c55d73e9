"""The networks: layers as published, images of any shape, and errors for shapes that do not fit."""

import pytest
import torch
from torch import nn

from helpers.models import VAE, Autoencoder, ConvVAE, LinearVAE, mlp, reparameterize

TWO_LAYERS = {"channels": (8, 16), "kernels": (4, 2)}


def widths(network):
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    return [layers[0].in_features, *(layer.out_features for layer in layers)]


# ---- layers


def test_mlp_has_an_activation_between_layers_and_none_at_the_end():
    kinds = [type(layer) for layer in mlp(5, 4, 3, activation=nn.Tanh)]
    assert kinds == [nn.Linear, nn.Tanh, nn.Linear]


@pytest.mark.parametrize(("network", "code"), [(Autoencoder, 20), (VAE, 40)])
def test_the_fully_connected_networks_have_the_articles_layers_and_the_chosen_activation(network, code):
    model = network(activation=nn.Tanh)
    assert widths(model.encoder) == [784, 128, 64, code]
    assert widths(model.decoder) == [20, 64, 128, 784]
    for half in (model.encoder, model.decoder):
        assert [type(layer) for layer in half[1::2]] == [nn.Tanh, nn.Tanh]


def test_the_convolutional_vae_has_the_published_layers():
    model = ConvVAE()
    down = [(m.out_channels, m.kernel_size, m.stride) for m in model.encoder if isinstance(m, nn.Conv2d)]
    assert down == [(n, (k, k), (2, 2)) for n, k in [(32, 4), (32, 4), (64, 2), (64, 2)]]
    up = [m for m in model.decoder if isinstance(m, nn.ConvTranspose2d)]
    assert [(m.out_channels, m.kernel_size, m.stride) for m in up] == [
        (n, (4, 4), (2, 2)) for n in (64, 32, 32, 1)
    ]
    assert widths(model.encoder) == [1024, 256, 20]
    assert widths(model.decoder) == [10, 256, 1024]


def test_the_convolutional_decoder_uses_all_of_z_and_has_an_activation_before_each_doubling():
    model = ConvVAE(latent_dim=3)
    z = torch.zeros(4, 3)
    z[1:] += torch.eye(3)
    images = model.decode(z)
    assert all(not torch.equal(images[0], image) for image in images[1:])
    layers = list(model.decoder)
    before = [layers[i - 1] for i, m in enumerate(layers) if isinstance(m, nn.ConvTranspose2d)]
    assert [type(layer) for layer in before] == [nn.ReLU] * 4


# ---- images of any shape


@pytest.mark.parametrize("network", [Autoencoder, VAE])
@pytest.mark.parametrize("image_shape", [(1, 28, 28), (3, 20, 31)])
def test_the_fully_connected_networks_take_images_of_any_shape(network, image_shape):
    model, x = network(7, hidden=(30,), image_shape=image_shape), torch.rand(5, *image_shape)
    codes = model.encode(x) if network is VAE else [model.encode(x)]
    assert [code.shape for code in codes] == [(5, 7)] * len(codes)
    assert model.decode(codes[0]).shape == x.shape


@pytest.mark.parametrize(
    ("image_shape", "layers"),
    [
        ((1, 64, 64), {}),
        ((1, 28, 28), {"channels": (32, 64), "kernels": (4, 4)}),
        ((3, 33, 20), TWO_LAYERS),
        ((2, 7, 31), TWO_LAYERS),  # 7 → 3 → 1: an odd side twice
        ((3, 27, 16), {}),
        ((1, 9, 10), {"channels": (8,), "kernels": (6,)}),
    ],
)
def test_the_convolutional_vae_takes_images_of_any_shape_with_odd_sides_too(image_shape, layers):
    model, x = ConvVAE(image_shape, latent_dim=7, **layers), torch.rand(3, *image_shape)
    x_logits, mu, logvar = model(x)
    assert mu.shape == logvar.shape == (3, 7)
    assert x_logits.shape == x.shape


MODELS = {
    "Autoencoder": Autoencoder(20),
    "VAE": VAE(20),
    "ConvVAE": ConvVAE((1, 28, 28), 20, **TWO_LAYERS),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", [(5, 784), (5, 28, 28), (5, 1, 32, 32), (5, 3, 28, 28)])
def test_encode_refuses_images_of_another_shape(name, shape):
    with pytest.raises(ValueError, match=r"x has the shape .* expected a batch of images \(1, 28, 28\)"):
        MODELS[name].encode(torch.zeros(shape))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", [(5, 19), (20,), (5, 20, 1)])
def test_decode_refuses_another_latent_size(name, shape):
    with pytest.raises(ValueError, match=r"z has the shape .* expected \(B, 20\)"):
        MODELS[name].decode(torch.zeros(shape))


@pytest.mark.parametrize("kernels", [(3, 3), (4, 3), (4,), (4, 4, 4)])
def test_the_convolutional_vae_refuses_kernels_that_are_odd_too_few_or_too_many(kernels):
    with pytest.raises(ValueError, match=r"kernels is .*; expected 2 even numbers, one per layer"):
        ConvVAE(channels=(8, 16), kernels=kernels)


@pytest.mark.parametrize("image_shape", [(1, 15, 64), (1, 64, 15)])
def test_the_convolutional_vae_refuses_an_image_that_is_too_small_for_its_layers(image_shape):
    with pytest.raises(ValueError, match=r"image_shape is .*15.*; too small to halve 4 times"):
        ConvVAE(image_shape)


# ---- outputs


def test_a_reader_gets_logits_and_not_pixels():
    z = 100 * torch.randn(50, 20)
    for model in MODELS.values():
        x_logits = model.decode(z)
        assert x_logits.min() < 0 and x_logits.max() > 1


@pytest.mark.parametrize("model", [VAE(), LinearVAE(784, 2), ConvVAE((1, 28, 28), **TWO_LAYERS)], ids=type)
def test_z_is_drawn_afresh_in_train_and_in_eval_mode(model):
    x = torch.rand(5, 784) if isinstance(model, LinearVAE) else torch.rand(5, 1, 28, 28)
    for mode in (model.train, model.eval):
        mode()
        assert not torch.equal(model(x)[0], model(x)[0])


def test_each_model_with_a_code_names_its_size():
    made = [Autoencoder(7), VAE(7), LinearVAE(9, 7), ConvVAE(latent_dim=7)]
    assert {model.latent_dim for model in made} == {7}


# ---- the reparameterization


def test_a_draw_is_the_mean_plus_the_standard_deviation_times_the_noise():
    mu, logvar = torch.randn(4, 3), torch.randn(4, 3)
    torch.manual_seed(1)
    z = reparameterize(mu, logvar)
    torch.manual_seed(1)
    torch.testing.assert_close(z, mu + (logvar / 2).exp() * torch.randn(4, 3))


def test_gradients_pass_through_a_draw():
    mu, logvar = torch.zeros(10, 3, requires_grad=True), torch.zeros(10, 3, requires_grad=True)
    z = reparameterize(mu, logvar)
    z.sum().backward()
    torch.testing.assert_close(mu.grad, torch.ones(10, 3))
    torch.testing.assert_close(logvar.grad, z.detach() / 2)  # dz/dlogvar = ½σε
