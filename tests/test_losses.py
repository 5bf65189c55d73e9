"""The losses against torch.distributions, exact likelihoods and input that they must refuse."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Categorical, Independent, MixtureSameFamily, Normal, kl_divergence
from torch.nn import functional as F

from helpers.losses import (
    bernoulli_nll,
    capacity_loss,
    free_bits,
    gaussian_nll,
    importance_weighted_nll,
    kl_to_standard_normal,
    log_weights,
    negative_elbo,
    reconstruction_loss,
    squared_error,
    total_correlation_split,
)
from helpers.models import VAE, Autoencoder, LinearVAE
from helpers.ppca import linear_log_likelihood


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def images(n=5):
    return torch.bernoulli(torch.rand(n, 1, 28, 28))


def kl_of_each_latent(mu, logvar):
    return kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(0.0, 1.0))


# ---- the likelihood of pixels


def test_squared_error_is_the_exponent_of_a_normal_density_for_each_image():
    x, x_mean = torch.rand(2, 4, 1, 28, 28, dtype=torch.float64)
    peak = Independent(Normal(x, 1), 3).log_prob(x)
    torch.testing.assert_close(squared_error(x, x_mean), peak - Independent(Normal(x_mean, 1), 3).log_prob(x))


def test_bernoulli_nll_matches_torch_distributions():
    x, x_logits = images().double(), 5 * torch.randn(5, 1, 28, 28, dtype=torch.float64)
    torch.testing.assert_close(
        bernoulli_nll(x, x_logits), -Independent(Bernoulli(logits=x_logits), 3).log_prob(x)
    )


def test_bernoulli_nll_is_finite_and_right_for_large_logits():
    nll = bernoulli_nll(torch.tensor([[1.0, 0.0, 1.0]]), torch.tensor([[200.0, -200.0, -150.0]]))
    torch.testing.assert_close(nll, torch.tensor([150.0]))


@pytest.mark.parametrize("shape", [(5, 6), (4, 1, 28, 28)])
@pytest.mark.parametrize("one_variance", [True, False])
def test_gaussian_nll_matches_torch_distributions(shape, one_variance):
    x, x_mean = torch.randn(2, *shape, dtype=torch.float64)
    logvar = torch.randn(() if one_variance else shape, dtype=torch.float64)
    expected = -Normal(x_mean, (logvar / 2).exp()).log_prob(x).flatten(1).sum(dim=1)
    torch.testing.assert_close(gaussian_nll(x, x_mean, logvar), expected)
    if one_variance:
        torch.testing.assert_close(gaussian_nll(x, x_mean, logvar.item()), expected)


@pytest.mark.parametrize("shape", [(5,), (5, 1), (1, 5)])
def test_gaussian_nll_refuses_a_logvar_that_could_be_per_image_or_per_pixel(shape):
    x = torch.zeros(5, 5)
    with pytest.raises(ValueError, match=r"logvar is \(.*\), x \(5, 5\): one number, or the shape of x"):
        gaussian_nll(x, x, torch.zeros(shape))


@pytest.mark.parametrize(
    "nll", [squared_error, bernoulli_nll, lambda x, x_mean: gaussian_nll(x, x_mean, 0.0)]
)
@pytest.mark.parametrize("shape", [(5, 784), (5, 28, 28), (1, 1, 28, 28)])
def test_a_likelihood_refuses_another_shape_that_would_broadcast(nll, shape):
    with pytest.raises(ValueError, match=r"is \(.*\), x \(5, 1, 28, 28\): decode to the shape of x"):
        nll(images(), torch.zeros(shape))


@pytest.mark.parametrize("value", [-0.01, 1.01, 255.0, math.nan])
@pytest.mark.parametrize(
    "loss",
    [lambda x: bernoulli_nll(x, torch.zeros_like(x)), lambda x: reconstruction_loss(Autoencoder(3), x)],
    ids=["bernoulli_nll", "reconstruction_loss"],
)
def test_pixels_outside_the_unit_interval_are_refused(loss, value):
    x = images()
    x[2, 0, 3, 4] = value
    with pytest.raises(ValueError, match=r"x has pixels .* expected \[0, 1\]"):
        loss(x)


def test_reconstruction_loss_is_the_squared_error_of_the_pixels_averaged_over_the_batch():
    model, x = Autoencoder(3), torch.rand(6, 1, 28, 28)
    loss, terms = reconstruction_loss(model, x)
    torch.testing.assert_close(loss, squared_error(x, model(x).sigmoid()).mean())
    assert terms["reconstruction"] == loss and not terms["reconstruction"].requires_grad


# ---- the KL


@pytest.mark.parametrize("shape", [(5, 3), (5, 2, 3, 4)])
def test_the_kl_sums_all_latents_of_an_image_also_those_of_a_feature_map(shape):
    mu, logvar = torch.randn(2, *shape, dtype=torch.float64)
    expected = kl_of_each_latent(mu, logvar).flatten(1).sum(dim=1)
    torch.testing.assert_close(kl_to_standard_normal(mu, logvar), expected)


def test_the_kl_refuses_two_shapes():
    with pytest.raises(ValueError, match=r"mu is \(2, 3\), logvar \(3,\): give both the shape"):
        kl_to_standard_normal(torch.zeros(2, 3), torch.zeros(3))


# ---- the negative ELBO, and what all losses of a VAE have in common


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_negative_elbo_matches_torch_distributions(beta):
    model, x = VAE(latent_dim=3).double(), images().double()
    torch.manual_seed(1)
    loss, terms = negative_elbo(model, x, beta)
    torch.manual_seed(1)
    x_logits, mu, logvar = model(x)
    nll = -Independent(Bernoulli(logits=x_logits), 3).log_prob(x).mean()
    kl = kl_of_each_latent(mu, logvar).sum(dim=1).mean()
    torch.testing.assert_close(loss, nll + beta * kl)
    torch.testing.assert_close(terms, {"nll": nll.detach(), "kl": kl.detach()})


LOSSES = {  # each with any likelihood
    "negative_elbo": lambda model, x, nll: negative_elbo(model, x, nll=nll)[0],
    "free_bits": lambda model, x, nll: free_bits(model, x, 0.5, nll=nll)[0],
    "capacity_loss": lambda model, x, nll: capacity_loss(model, x, 1.0, nll=nll)[0],
    "log_weights": lambda model, x, nll: log_weights(model, x, 2, nll),
    "importance_weighted_nll": lambda model, x, nll: importance_weighted_nll(model, x, 2, nll),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    "nll",
    [
        F.mse_loss,
        F.binary_cross_entropy_with_logits,
        lambda x, x_logits: F.binary_cross_entropy_with_logits(x_logits, x, reduction="none"),
        lambda x, x_logits: bernoulli_nll(x, x_logits)[:, None],
    ],
    ids=["mse_loss", "bce averaged", "bce elementwise", "(B, 1)"],
)
def test_a_likelihood_that_does_not_return_one_number_per_image_is_refused(name, nll):
    with pytest.raises(
        ValueError, match=r"nll returned the shape .*; expected \(5,\), the nats of each image"
    ):
        LOSSES[name](VAE(latent_dim=3), images(), nll)


@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_uses_the_likelihood_that_it_is_given(name):
    def no_information(x, x_out):
        return torch.full((len(x),), 1000.0)

    model, x = VAE(latent_dim=3), images()
    assert LOSSES[name](model, x, no_information).abs().min() > 900  # a bernoulli_nll would be about 550


class MapVAE(nn.Module):
    """A VAE of twelve latents whose code is a feature map (B, 3, 2, 2)."""

    def __init__(self, vae):
        super().__init__()
        self.vae = vae

    def encode(self, x):
        mu, logvar = self.vae.encode(x)
        return mu.view(-1, 3, 2, 2), logvar.view(-1, 3, 2, 2)

    def decode(self, z):
        return self.vae.decode(z.flatten(1))

    def forward(self, x):
        x_logits, mu, logvar = self.vae(x)
        return x_logits, mu.view(-1, 3, 2, 2), logvar.view(-1, 3, 2, 2)


@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_is_the_same_if_the_code_is_a_feature_map(name):
    vae, x = VAE(latent_dim=12), images()
    torch.manual_seed(1)
    expected = LOSSES[name](vae, x, bernoulli_nll)
    torch.manual_seed(1)
    torch.testing.assert_close(LOSSES[name](MapVAE(vae), x, bernoulli_nll), expected)


@pytest.mark.parametrize("name", LOSSES)
def test_no_loss_reads_a_number_back_from_the_device(name):
    model, x = VAE(latent_dim=3).to("meta"), torch.empty(5, 1, 28, 28, device="meta")
    assert LOSSES[name](model, x, bernoulli_nll).is_meta  # the meta device has no numbers to read
    codes = torch.empty(5, 3, device="meta")
    assert all(part.is_meta for part in total_correlation_split(codes, codes, codes, 9))


# ---- the importance-weighted likelihood


def linear_model(spread, n=200):
    """A linear VAE, its q `spread` times as wide as the posterior; data drawn from it; exact log p(x)."""
    variance = 0.5
    weight = torch.linalg.qr(torch.randn(8, 3)).Q * torch.tensor([2.0, 1.5, 1.0])  # so p(z|x) is diagonal
    posterior = variance / (variance + (weight**2).sum(dim=0))
    model, bias = LinearVAE(8, 3), torch.randn(8)
    with torch.no_grad():
        model.decoder.weight.copy_(weight)
        model.decoder.bias.copy_(bias)
        model.encoder.weight.copy_((weight / variance * posterior).T)
        model.encoder.bias.copy_(-model.encoder.weight @ bias)
        model.logvar_x.fill_(math.log(variance))
        model.logvar_z.copy_((spread * posterior).log())
    x = bias + torch.randn(n, 3) @ weight.T + math.sqrt(variance) * torch.randn(n, 8)
    return model, x, linear_log_likelihood(x, weight, bias, variance)


def linear_nll(model):
    return lambda x, x_mean: gaussian_nll(x, x_mean, model.logvar_x)


def test_with_the_true_posterior_one_draw_is_exact():
    model, x, log_p = linear_model(spread=1.0)
    nll = importance_weighted_nll(model, x, 1, linear_nll(model))
    torch.testing.assert_close(-nll, log_p, atol=1e-4, rtol=1e-4)


def test_importance_weighted_nll_meets_the_exact_mean_within_three_standard_errors():
    model, x, log_p = linear_model(spread=4.0)
    k, runs = 1000, 8
    excess = torch.stack(
        [importance_weighted_nll(model, x, k, linear_nll(model)) + log_p for _ in range(runs)]
    )
    relative_variance = (4 / math.sqrt(7)) ** 3 - 1  # of a weight: s/√(2s − 1) for each latent, less 1
    bias = relative_variance / (2 * k)  # of the logarithm of a mean, to first order
    means = excess.mean(dim=1)  # (runs,)
    assert (means.mean() - bias).abs() < 3 * means.std() / math.sqrt(runs)
    one_draw = importance_weighted_nll(model, x, 1, linear_nll(model)) + log_p
    assert one_draw.mean() > 0.5, "the ELBO of this q must be far off"


def test_it_decodes_one_draw_at_a_time_in_float32_without_gradients():
    model, x, sizes = VAE(latent_dim=2, hidden=(16,)), images(), []
    decode = model.decode
    model.decode = lambda z: sizes.append((len(z), z.dtype, z.requires_grad)) or decode(z)
    nll = importance_weighted_nll(model, x, 50)
    assert sizes == [(5, torch.float32, False)] * 50
    assert nll.shape == (5,) and nll.isfinite().all() and not nll.requires_grad


# ---- free bits and capacity


@pytest.mark.parametrize("floor", [0.0, 0.02, 5.0])
def test_free_bits_count_at_least_the_floor_for_each_latent(floor):
    model, x = VAE(latent_dim=3).double(), images().double()
    torch.manual_seed(1)
    loss, terms = free_bits(model, x, floor)
    torch.manual_seed(1)
    x_logits, mu, logvar = model(x)
    nll, kl = bernoulli_nll(x, x_logits).mean(), kl_of_each_latent(mu, logvar).mean(dim=0)  # (), (3,)
    torch.testing.assert_close(loss.item(), nll.item() + sum(max(floor, one) for one in kl.tolist()))
    torch.testing.assert_close(terms, {"nll": nll.detach(), "kl": kl.sum().detach()})


@pytest.mark.parametrize(("floor", "free"), [(1e-4, False), (5.0, True)])
def test_the_kl_has_a_gradient_only_above_the_floor(floor, free):
    model = VAE(latent_dim=3)
    free_bits(model, images(), floor, nll=lambda x, x_logits: torch.zeros(len(x)))[0].backward()
    assert (model.encoder[-1].weight.grad.abs().sum() == 0) == free


def test_the_capacity_loss_adds_gamma_times_the_distance_from_the_capacity():
    model, x = VAE(latent_dim=3), images()
    kl = kl_of_each_latent(*model.encode(x)).sum(dim=1).mean()
    for capacity in (0.0, 20.0):
        loss, terms = capacity_loss(model, x, capacity, gamma=7)
        torch.testing.assert_close(terms["kl"], kl.detach())
        torch.testing.assert_close(loss, terms["nll"] + 7 * abs(kl - capacity))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda model, x: free_bits(model, x, -1), "floor is -1; expected 0 or more"),
        (lambda model, x: capacity_loss(model, x, -1), "capacity is -1; expected 0 or more nats"),
        (lambda model, x: importance_weighted_nll(model, x, 0), "k is 0; expected at least one draw"),
        (lambda model, x: importance_weighted_nll(model, x, -3), "k is -3; expected at least one draw"),
    ],
)
def test_a_number_that_a_loss_cannot_have_is_refused(loss, message):
    with pytest.raises(ValueError, match=message):
        loss(VAE(latent_dim=3), images())


# ---- the three parts of the KL


def codes_of(n, latents=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mu = torch.randn(n, latents, generator=generator, dtype=torch.float64)
    logvar = torch.randn(n, latents, generator=generator, dtype=torch.float64) - 2
    return mu + (0.5 * logvar).exp() * torch.randn(n, latents, generator=generator).double(), mu, logvar


@pytest.mark.parametrize("n", [2, 40])
def test_the_three_parts_are_exact_if_the_batch_holds_all_images(n):
    z, mu, logvar = codes_of(n)
    sigma, alike = (0.5 * logvar).exp(), Categorical(torch.ones(n).double())
    q = Independent(Normal(mu, sigma), 1)
    aggregate = MixtureSameFamily(alike, q).log_prob(z)
    each = sum(MixtureSameFamily(alike, Normal(mu[:, j], sigma[:, j])).log_prob(z[:, j]) for j in range(3))
    prior = Normal(0.0, 1.0).log_prob(z).sum(dim=1)
    expected = q.log_prob(z) - aggregate, aggregate - each, each - prior
    torch.testing.assert_close(total_correlation_split(z, mu, logvar, n), expected, atol=1e-6, rtol=0)


def test_a_batch_estimates_the_aggregate_posterior_without_bias():
    z, mu, logvar = codes_of(30)
    everything = total_correlation_split(z, mu, logvar, 30)
    exact = (everything[1] + everything[2])[0].exp()  # q(z)/p(z) of the first image's draw
    generator, estimates = torch.Generator().manual_seed(1), []
    for _ in range(4000):
        batch = torch.cat([torch.tensor([0]), 1 + torch.randperm(29, generator=generator)[:4]])
        _, correlation, alone = total_correlation_split(z[batch], mu[batch], logvar[batch], 30)
        estimates.append((correlation + alone)[0].exp())
    estimates = torch.stack(estimates)
    assert (estimates.mean() - exact).abs() < 4 * estimates.std() / 4000**0.5


def test_the_split_refuses_a_batch_that_cannot_be():
    z, mu, logvar = codes_of(4)
    with pytest.raises(ValueError, match="n is 3 for a batch of 4"):
        total_correlation_split(z, mu, logvar, 3)
    with pytest.raises(ValueError, match="batch of 1"):
        total_correlation_split(z[:1], mu[:1], logvar[:1], 3)
