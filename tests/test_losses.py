"""The losses of notebooks 03, 04 and 06 against torch.distributions, exact likelihoods and bad input."""

import itertools
import math

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from helpers.losses import (
    bernoulli_nll,
    capacity_loss,
    free_bits,
    gaussian_nll,
    importance_weighted_nll,
    log_weights,
    negative_elbo,
    squared_error,
    total_correlation_split,
)
from helpers.models import VAE, LinearVAE, reparameterize
from helpers.ppca import linear_log_likelihood


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def images(n=5):
    return torch.bernoulli(torch.rand(n, 1, 28, 28))


# ---- the Bernoulli likelihood


def test_bernoulli_nll_matches_torch_distributions():
    x, x_logits = images().double(), 5 * torch.randn(5, 1, 28, 28, dtype=torch.float64)
    expected = -Independent(Bernoulli(logits=x_logits), 3).log_prob(x)
    assert bernoulli_nll(x, x_logits).shape == (5,)
    torch.testing.assert_close(bernoulli_nll(x, x_logits), expected)


def test_bernoulli_nll_is_finite_and_right_for_large_logits():
    x = torch.tensor([[1.0, 0.0, 1.0]])
    nll = bernoulli_nll(x, torch.tensor([[200.0, -200.0, -150.0]]))
    torch.testing.assert_close(nll, torch.tensor([150.0]))


def test_probabilities_of_all_binary_images_sum_to_one():
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 6)  # (64, 6)
    nll = bernoulli_nll(every, torch.randn(6).expand(64, 6))
    assert (-nll).exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("value", [-0.01, 1.01, 255.0, math.nan])
def test_bernoulli_nll_refuses_pixels_outside_the_unit_interval(value):
    x = images()
    x[2, 0, 3, 4] = value
    with pytest.raises(ValueError, match=r"x has pixels .* expected \[0, 1\]"):
        bernoulli_nll(x, torch.zeros_like(x))


def test_bernoulli_nll_refuses_another_shape():
    with pytest.raises(ValueError, match=r"x_logits is \(5, 784\), x \(5, 1, 28, 28\)"):
        bernoulli_nll(images(), torch.zeros(5, 784))


# ---- the VAE and its loss


def test_vae_shapes_and_a_fresh_draw_in_both_modes():
    model, x = VAE(latent_dim=7, hidden=(30,)), images()
    x_logits, mu, logvar = model(x)
    assert x_logits.shape == x.shape and mu.shape == logvar.shape == (5, 7)
    for mode in (model.train, model.eval):
        mode()
        assert not torch.equal(model(x)[0], model(x)[0])


@pytest.mark.parametrize("shape", [(5, 784), (5, 28, 28), (5, 1, 32, 32), (5, 3, 28, 28)])
def test_encode_refuses_another_shape(shape):
    with pytest.raises(ValueError, match=r"x has the shape .* expected images \(B, 1, 28, 28\)"):
        VAE().encode(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(5, 19), (20,), (5, 20, 1)])
def test_decode_refuses_another_latent_size(shape):
    with pytest.raises(ValueError, match=r"z has the shape .* expected \(B, 20\)"):
        VAE(latent_dim=20).decode(torch.zeros(shape))


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_negative_elbo_matches_torch_distributions(beta):
    model, x = VAE(latent_dim=3).double(), images().double()
    torch.manual_seed(1)
    loss, terms = negative_elbo(model, x, beta)
    torch.manual_seed(1)
    x_logits, mu, logvar = model(x)
    nll = -Independent(Bernoulli(logits=x_logits), 3).log_prob(x).mean()
    kl = kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(0.0, 1.0)).sum(dim=1).mean()
    torch.testing.assert_close(loss, nll + beta * kl)
    torch.testing.assert_close(terms, {"nll": nll.detach(), "kl": kl.detach()})


def test_negative_elbo_takes_another_likelihood():
    model, x = VAE(), images()
    torch.manual_seed(1)
    _, terms = negative_elbo(model, x, nll=lambda x, out: gaussian_nll(x, out.sigmoid(), 0.0))
    torch.manual_seed(1)
    expected = gaussian_nll(x, model(x)[0].sigmoid(), 0.0).mean()
    torch.testing.assert_close(terms["nll"], expected.detach())


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


def test_with_a_broad_q_the_estimate_meets_the_exact_value_within_three_standard_errors():
    model, x, log_p = linear_model(spread=4.0)
    log_w = log_weights(model, x, 4000, linear_nll(model)).detach()  # (k, B)
    w = (log_w - log_p).exp()  # its mean is exactly 1
    error = w.std(dim=0) / math.sqrt(len(w))  # of each image, (B,)
    assert (error > 1e-3).all(), "q is too good to test anything"
    z = (w.mean(dim=0) - 1) / error
    assert z.mean().abs() < 3 / math.sqrt(len(z)) and 0.8 < z.std() < 1.2


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


def test_nested_draws_obey_the_order_of_the_bounds_path_by_path():
    model, x, log_p = linear_model(spread=4.0)
    log_w = log_weights(model, x, 64, linear_nll(model)).detach()
    bounds = [
        (log_w.view(64 // k, k, -1).logsumexp(dim=1) - math.log(k)).mean(dim=0) for k in (1, 2, 4, 8, 16, 64)
    ]
    for smaller, larger in itertools.pairwise(bounds):
        assert (larger >= smaller - 1e-4).all()
    assert bounds[0].mean() < bounds[-1].mean() < log_p.mean() + 0.05


def test_one_draw_is_the_elbo_in_the_mean():
    model, x = VAE(latent_dim=2, hidden=(16,)), images(2)
    one_draw = -importance_weighted_nll(model, x.repeat(4000, 1, 1, 1), 1).mean()
    with torch.no_grad():
        loss, _ = negative_elbo(model, x.repeat(4000, 1, 1, 1))
    assert (one_draw + loss).abs() < 0.2


def test_it_decodes_one_draw_at_a_time_in_float32_without_gradients():
    model, x, sizes = VAE(latent_dim=2, hidden=(16,)), images(), []
    decode = model.decode
    model.decode = lambda z: sizes.append((len(z), z.dtype, z.requires_grad)) or decode(z)
    nll = importance_weighted_nll(model, x, 50)
    assert sizes == [(5, torch.float32, False)] * 50
    assert nll.shape == (5,) and nll.isfinite().all() and not nll.requires_grad


@pytest.mark.parametrize("k", [0, -3])
def test_it_refuses_no_draws(k):
    with pytest.raises(ValueError, match=f"k is {k}; expected at least one draw"):
        importance_weighted_nll(VAE(), images(), k)


def test_the_noise_is_drawn_afresh():
    mu = torch.zeros(4, 3)
    assert not torch.equal(reparameterize(mu, mu), reparameterize(mu, mu))


# ---- the loss of 04


@pytest.mark.parametrize("floor", [0.0, 0.02, 5.0])
def test_free_bits_pay_for_each_latent_at_least_the_floor(floor):
    model, x = VAE(latent_dim=3).double(), images().double()
    torch.manual_seed(1)
    loss, terms = free_bits(model, x, floor)
    torch.manual_seed(1)
    x_logits, mu, logvar = model(x)
    kl = kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(0.0, 1.0)).mean(dim=0)  # (3,)
    paid = sum(max(floor, one) for one in kl.tolist())
    torch.testing.assert_close(loss.item(), bernoulli_nll(x, x_logits).mean().item() + paid)
    assert terms["kl"].item() == pytest.approx(kl.sum().item())


def test_free_bits_with_a_floor_of_zero_are_the_negative_elbo():
    model, x = VAE(latent_dim=3), images()
    torch.manual_seed(1)
    loss, terms = free_bits(model, x, 0.0)
    torch.manual_seed(1)
    expected, expected_terms = negative_elbo(model, x)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(terms, expected_terms)


@pytest.mark.parametrize(("floor", "free"), [(1e-4, False), (5.0, True)])
def test_the_kl_pulls_only_above_the_floor(floor, free):
    model, x = VAE(latent_dim=3), images()
    free_bits(model, x, floor, nll=lambda x, x_logits: torch.zeros(len(x)))[0].backward()
    assert (model.encoder[-1].weight.grad.abs().sum() == 0) == free


def test_free_bits_refuse_a_negative_floor():
    with pytest.raises(ValueError, match="floor is -1; expected 0 or more"):
        free_bits(VAE(), images(), -1)


# ---- the losses of 06


def codes_of(n, latents=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mu = torch.randn(n, latents, generator=generator, dtype=torch.float64)
    logvar = torch.randn(n, latents, generator=generator, dtype=torch.float64) - 2
    return mu + (0.5 * logvar).exp() * torch.randn(n, latents, generator=generator).double(), mu, logvar


@pytest.mark.parametrize("n", [2, 40])
def test_the_split_of_the_kl_is_exact_when_the_batch_holds_all_images(n):
    z, mu, logvar = codes_of(n)
    q = torch.distributions.Normal(mu, (0.5 * logvar).exp())
    alike = torch.distributions.Categorical(torch.ones(n).double())
    mixture = torch.distributions.MixtureSameFamily(alike, torch.distributions.Independent(q, 1))
    single = [
        torch.distributions.MixtureSameFamily(
            alike, torch.distributions.Normal(mu[:, j], (0.5 * logvar[:, j]).exp())
        )
        for j in range(3)
    ]
    each = sum(s.log_prob(z[:, j]) for j, s in enumerate(single))
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(dim=1)
    information, correlation, alone = total_correlation_split(z, mu, logvar, n)
    torch.testing.assert_close(information, q.log_prob(z).sum(dim=1) - mixture.log_prob(z), atol=1e-6, rtol=0)
    torch.testing.assert_close(correlation, mixture.log_prob(z) - each, atol=1e-6, rtol=0)
    torch.testing.assert_close(alone, each - prior, atol=1e-6, rtol=0)


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


def test_the_split_stays_on_the_device_of_its_codes():
    codes = torch.zeros(5, 3, device="meta")
    assert {part.device.type for part in total_correlation_split(codes, codes, codes, 9)} == {"meta"}


def test_the_capacity_loss_is_the_nll_at_its_capacity():
    torch.manual_seed(0)
    model, x = VAE(latent_dim=3), torch.rand(5, 1, 28, 28).round()
    for capacity, gamma in ((0.0, 7), (20.0, 7), (20.0, 100)):
        options = {} if gamma == 100 else {"gamma": gamma}
        loss, terms = capacity_loss(model, x, capacity, **options)
        expected = terms["nll"] + gamma * abs(terms["kl"] - capacity)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss, terms = capacity_loss(model, x, terms["kl"])  # the KL does not depend on the draw of z
    assert loss == terms["nll"]


def test_the_capacity_loss_refuses_a_negative_capacity():
    with pytest.raises(ValueError, match="capacity is -1; expected 0 or more nats"):
        capacity_loss(VAE(latent_dim=3), torch.rand(5, 1, 28, 28), -1)


def test_the_squared_error_refuses_shapes_that_would_broadcast():
    with pytest.raises(ValueError, match=r"x_mean is \(4, 28, 28\), x \(4, 1, 28, 28\)"):
        squared_error(torch.zeros(4, 1, 28, 28), torch.zeros(4, 28, 28))
