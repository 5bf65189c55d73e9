"""The losses and models of notebook 02 against torch.distributions."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from helpers.losses import gaussian_nll, kl_to_standard_normal
from helpers.models import LinearVAE, reparameterize


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_kl_matches_torch_distributions():
    mu, logvar = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    expected = kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(kl_to_standard_normal(mu, logvar), expected)


def test_kl_vanishes_only_at_the_prior():
    zeros = torch.zeros(2, 4)
    assert (kl_to_standard_normal(zeros, zeros) == 0).all()
    assert (kl_to_standard_normal(zeros + 0.1, zeros) > 0).all()
    assert (kl_to_standard_normal(zeros, zeros - 0.1) > 0).all()


def test_kl_refuses_two_shapes():
    with pytest.raises(ValueError, match="logvar"):
        kl_to_standard_normal(torch.zeros(2, 3), torch.zeros(3))


@pytest.mark.parametrize("logvar_shape", [(), (6,), (5, 6)])
def test_gaussian_nll_matches_torch_distributions(logvar_shape):
    x, x_mean = torch.randn(5, 6, dtype=torch.float64), torch.randn(5, 6, dtype=torch.float64)
    logvar = torch.randn(logvar_shape, dtype=torch.float64)
    expected = -Normal(x_mean, (logvar / 2).exp()).log_prob(x).sum(dim=1)
    torch.testing.assert_close(gaussian_nll(x, x_mean, logvar), expected)


def test_gaussian_nll_sums_over_the_pixels_of_an_image_and_takes_a_number():
    images = torch.rand(4, 1, 28, 28)
    nll = gaussian_nll(images, images, math.log(0.1))
    assert nll.shape == (4,)
    torch.testing.assert_close(nll, torch.full((4,), 784 * 0.5 * math.log(2 * math.pi * 0.1)))


def test_gaussian_nll_refuses_a_mean_of_another_shape():
    with pytest.raises(ValueError, match="x_mean"):
        gaussian_nll(torch.zeros(2, 1, 28, 28), torch.zeros(2, 784), 0.0)


def test_reparameterize_draws_from_the_right_normal():
    mu, logvar = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 2.0]])
    z = reparameterize(mu.expand(100_000, 2), logvar.expand(100_000, 2))
    torch.testing.assert_close(z.mean(dim=0), mu[0], atol=0.04, rtol=0)
    torch.testing.assert_close(z.std(dim=0), (logvar[0] / 2).exp(), atol=0, rtol=0.02)


def test_reparameterize_passes_exact_gradients():
    mu = torch.zeros(10, 3, requires_grad=True)
    logvar = torch.zeros(10, 3, requires_grad=True)
    z = reparameterize(mu, logvar)
    z.sum().backward()
    torch.testing.assert_close(mu.grad, torch.ones(10, 3))
    torch.testing.assert_close(logvar.grad, z.detach() / 2)  # dz/dlogvar = ½σε


def test_reparameterize_draws_afresh():
    mu, logvar = torch.zeros(4, 2), torch.zeros(4, 2)
    assert (reparameterize(mu, logvar) != reparameterize(mu, logvar)).all()


def test_linear_vae_shapes_and_sampling_in_eval_mode():
    model, x = LinearVAE(6, 2).eval(), torch.randn(5, 6)
    x_mean, mu, logvar = model(x)
    assert x_mean.shape == (5, 6) and mu.shape == logvar.shape == (5, 2)
    assert (model(x)[0] != x_mean).any()  # sampling never depends on model.training
