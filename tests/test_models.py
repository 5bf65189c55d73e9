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
