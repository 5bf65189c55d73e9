"""The autoencoder and its loss: shapes, the article's sizes, and the unit."""

import pytest
import torch
from torch import nn

from helpers import losses, models


def widths(network):
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    return [layers[0].in_features, *(layer.out_features for layer in layers)]


def test_the_autoencoder_has_the_articles_layers():
    model = models.Autoencoder()
    assert widths(model.encoder) == [784, 128, 64, 20]
    assert widths(model.decoder) == [20, 64, 128, 784]


def test_mlp_has_an_activation_between_layers_and_none_at_the_end():
    kinds = [type(layer) for layer in models.mlp(5, 4, 3, activation=nn.Tanh)]
    assert kinds == [nn.Linear, nn.Tanh, nn.Linear]
    assert [type(layer) for layer in models.mlp(5, 3)] == [nn.Linear]


@pytest.mark.parametrize("latent_dim", [1, 2, 20])
def test_shapes_of_codes_and_logits(latent_dim):
    model = models.Autoencoder(latent_dim, hidden=(30,))
    x = torch.rand(5, 1, 28, 28)
    z = model.encode(x)
    assert z.shape == (5, latent_dim)
    assert model.decode(z).shape == (5, 1, 28, 28)
    assert torch.equal(model(x), model.decode(z))


def test_the_decoder_returns_logits():
    model = models.Autoencoder(2)
    x_logits = model.decode(100 * torch.randn(50, 2))
    assert x_logits.min() < 0 and x_logits.max() > 1


def test_squared_error_sums_pixels_and_keeps_images_apart():
    x, x_mean = torch.zeros(3, 1, 28, 28), torch.ones(3, 1, 28, 28)
    x_mean[1] *= 2
    assert losses.squared_error(x, x_mean).tolist() == [392, 4 * 392, 392]


def test_squared_error_is_the_normal_densitys_exponent():
    x, x_mean = torch.rand(4, 1, 28, 28), torch.rand(4, 1, 28, 28)
    log_p = torch.distributions.Normal(x_mean, 1).log_prob(x).flatten(1).sum(1)
    log_p_at_mean = torch.distributions.Normal(x_mean, 1).log_prob(x_mean).flatten(1).sum(1)
    assert torch.allclose(losses.squared_error(x, x_mean), log_p_at_mean - log_p, rtol=1e-4)


def test_reconstruction_loss_is_the_mean_over_the_batch():
    torch.manual_seed(0)
    model, x = models.Autoencoder(3), torch.rand(6, 1, 28, 28)
    loss, terms = losses.reconstruction_loss(model, x)
    one_by_one = [losses.reconstruction_loss(model, image[None])[0] for image in x]
    assert torch.allclose(loss, torch.stack(one_by_one).mean())
    assert terms["reconstruction"] == loss and not terms["reconstruction"].requires_grad


def test_the_vae_has_the_articles_layers_and_the_activation_that_is_asked_for():
    model = models.VAE(activation=nn.Tanh)
    assert widths(model.encoder) == [784, 128, 64, 40] and widths(model.decoder) == [20, 64, 128, 784]
    for half in (model.encoder, model.decoder):
        assert [type(layer) for layer in half[1::2]] == [nn.Tanh, nn.Tanh]


def test_every_model_with_a_code_names_its_size():
    made = [models.Autoencoder(7), models.VAE(7), models.LinearVAE(9, 7), models.ConvVAE(latent_dim=7)]
    assert {model.latent_dim for model in [*made, models.Generator(7)]} == {7}


# ---- the convolutional VAE


@pytest.mark.parametrize(("image_size", "channels"), [(64, (32, 32, 64, 64)), (28, (32, 64)), (16, (8,))])
def test_shapes_of_the_convolutional_vae(image_size, channels):
    model = models.ConvVAE(image_size, latent_dim=7, channels=channels)
    x = torch.rand(3, 1, image_size, image_size)
    x_logits, mu, logvar = model(x)
    assert mu.shape == logvar.shape == (3, 7)
    assert x_logits.shape == x.shape
    assert x_logits.min() < 0 or x_logits.max() > 1  # not yet a sigmoid's


def test_the_convolutional_vae_has_the_published_layers():
    model = models.ConvVAE()
    down = [
        (m.out_channels, m.kernel_size[0], m.stride[0]) for m in model.encoder if isinstance(m, nn.Conv2d)
    ]
    assert down == [(32, 4, 2), (32, 4, 2), (64, 2, 2), (64, 2, 2)]
    up = [m for m in model.decoder if isinstance(m, nn.ConvTranspose2d)]
    assert [(m.out_channels, m.kernel_size[0], m.stride[0]) for m in up] == [
        (64, 4, 2), (32, 4, 2), (32, 4, 2), (1, 4, 2)
    ]  # fmt: skip
    assert widths(model.encoder) == [1024, 256, 20]
    assert widths(model.decoder) == [10, 256, 1024]


def test_the_convolutional_decoder_sees_all_of_z_and_has_an_activation_before_each_doubling():
    model = models.ConvVAE(28, 3, channels=(32, 64))
    z = torch.zeros(4, 3)
    z[1:] += torch.eye(3)
    images = model.decode(z)
    assert all(not torch.equal(images[0], image) for image in images[1:])
    layers = list(model.decoder)
    before = [layers[i - 1] for i, m in enumerate(layers) if isinstance(m, nn.ConvTranspose2d)]
    assert [type(layer) for layer in before] == [nn.ReLU, nn.ReLU]


@pytest.mark.parametrize("size", [28, 65])
def test_the_convolutional_vae_names_a_size_that_cannot_be_halved(size):
    with pytest.raises(ValueError, match=f"image_size is {size}; 4 layers"):
        models.ConvVAE(size)


def test_the_convolutional_vae_refuses_other_shapes():
    model = models.ConvVAE(64)
    with pytest.raises(ValueError, match="H = W = 64"):
        model.encode(torch.rand(2, 1, 28, 28))
    with pytest.raises(ValueError, match=r"expected \(B, 10\)"):
        model.decode(torch.rand(2, 20))


def test_the_generator_is_the_autoencoders_decoder_with_a_sigmoid():
    autoencoder, G = models.Autoencoder(), models.Generator()
    G.decoder.load_state_dict(autoencoder.decoder.state_dict())
    z = torch.randn(5, 20)
    assert torch.equal(G(z), torch.sigmoid(autoencoder.decode(z)))
    assert G(z).shape == (5, 1, 28, 28)


def test_the_discriminator_gives_each_image_its_own_logit():
    D, x = models.Discriminator(), torch.rand(5, 1, 28, 28)
    assert D(x).shape == (5,)
    assert D.features(x).shape == (5, 64) and D.features(x).min() == 0
    assert models.Discriminator(hidden=(9, 8, 7))(x).shape == (5,)
    assert torch.allclose(D(x)[2], D(x[2:3])[0], atol=1e-6)
    assert D(20 * torch.randn(200, 1, 28, 28)).abs().max() > 1  # a logit, not a probability


def test_too_few_kernels_are_refused():
    with pytest.raises(ValueError, match=r"kernels is \(4, 4\); expected one for each of 3 layers"):
        models.ConvVAE(image_size=64, channels=(8, 8, 8), kernels=(4, 4))


def test_a_draw_adds_the_noise():
    mu, logvar = torch.randn(4, 3), torch.randn(4, 3)
    torch.manual_seed(1)
    noise = torch.randn(4, 3)
    torch.manual_seed(1)
    torch.testing.assert_close(models.reparameterize(mu, logvar), mu + (logvar / 2).exp() * noise)
