"""The closed forms of helpers.ppca against torch.distributions and against numerical optimisation."""

import math

import pytest
import torch

from helpers import ppca
from helpers.losses import gaussian_nll, kl_to_standard_normal
from helpers.models import LinearVAE

EIGENVALUES = torch.tensor([4.0, 2.0, 1.0, 0.5, 0.25, 0.125], dtype=torch.float64)
X = torch.zeros(3, 5)


def linear_vae_loss(eigenvalues, latent_dim, variance, beta=1.0):
    """The loss −E log p(x|z) + β·KL at the optimum, put together from its closed-form parts."""
    distortion = ppca.linear_vae_distortion(eigenvalues, latent_dim, variance, beta)
    nll = 0.5 * (len(eigenvalues) * math.log(2 * math.pi * variance) + distortion / variance)
    return nll + beta * ppca.linear_vae_kl(eigenvalues, latent_dim, variance, beta).sum()


def expected_terms(model, eigenvalues, variance):
    """Distortion and the KL of each latent of a linear VAE on centred data with covariance diag(eigenvalues).

    Computed from moments: no sampling, and none of the formulas under test.
    """
    V, W, logvar = model.encoder.weight, model.decoder.weight, model.logvar_z
    S = torch.diag(eigenvalues)
    residual = torch.eye(len(S), dtype=S.dtype) - W @ V
    distortion = torch.trace(residual @ S @ residual.T) + torch.trace(W @ torch.diag(logvar.exp()) @ W.T)
    kl = 0.5 * (torch.diag(V @ S @ V.T) + logvar.exp() - logvar - 1)
    return distortion, kl


def optimise(eigenvalues, latent_dim, beta, variance=None, seed=0):
    """Minimise the linear β-VAE's loss by L-BFGS from a random start; learn σ² if it is not given."""
    torch.manual_seed(seed)
    d = len(eigenvalues)
    model = LinearVAE(d, latent_dim).double()
    logvar_x = model.logvar_x if variance is None else torch.tensor(math.log(variance), dtype=torch.float64)
    optimizer = torch.optim.LBFGS(
        model.parameters(),
        max_iter=500,
        tolerance_grad=1e-12,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )

    def loss():
        distortion, kl = expected_terms(model, eigenvalues, logvar_x.exp())
        return 0.5 * (d * (math.log(2 * math.pi) + logvar_x) + distortion / logvar_x.exp()) + beta * kl.sum()

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)
    with torch.no_grad():
        distortion, kl = expected_terms(model, eigenvalues, logvar_x.exp())
        return loss(), distortion, kl.sort(descending=True).values, logvar_x.exp()


@pytest.mark.parametrize(("variance", "beta"), [(0.3, 1), (0.7, 1), (0.1, 4)])
def test_fixed_variance_agrees_with_lbfgs(variance, beta):
    loss, distortion, kl, _ = optimise(EIGENVALUES, 4, beta, variance)
    expected = (EIGENVALUES, 4, variance, beta)
    torch.testing.assert_close(loss, linear_vae_loss(*expected), atol=1e-6, rtol=0)
    torch.testing.assert_close(distortion, ppca.linear_vae_distortion(*expected), atol=1e-4, rtol=0)
    torch.testing.assert_close(kl, ppca.linear_vae_kl(*expected), atol=1e-4, rtol=0)


@pytest.mark.parametrize("beta", [0.5, 1, 1.3, 1.45, 2])
def test_learned_variance_agrees_with_lbfgs(beta):
    runs = [optimise(EIGENVALUES, 4, beta, seed=seed) for seed in range(3)]
    loss, _, _, variance = min(runs, key=lambda run: run[0])
    expected = ppca.linear_vae_variance(EIGENVALUES, 4, beta)
    assert float(variance) == pytest.approx(expected, rel=1e-4)
    torch.testing.assert_close(loss, linear_vae_loss(EIGENVALUES, 4, expected, beta), atol=1e-6, rtol=0)


def test_a_learned_variance_may_leave_less_than_one_degree_of_freedom():
    eigenvalues = torch.tensor([4.0, 2.0, 0.01])
    assert ppca.linear_vae_variance(eigenvalues, 2, beta=1.2) == pytest.approx(0.01 / 0.6)
    losses = [float(linear_vae_loss(eigenvalues, 2, v / 60, 1.2)) for v in (0.98, 1.0, 1.02)]
    assert min(losses) == losses[1]


def test_learned_variance_is_the_mean_discarded_eigenvalue():
    assert ppca.linear_vae_variance(EIGENVALUES, 4) == pytest.approx((0.25 + 0.125) / 2)


@pytest.mark.parametrize("variance", [0.05, 0.3, 0.7, 3.0, 9.0])
def test_the_bound_is_tight_at_beta_one(variance):
    loss = linear_vae_loss(EIGENVALUES, 4, variance)
    torch.testing.assert_close(loss, -ppca.ppca_log_likelihood(EIGENVALUES, 4, variance))


def test_ppca_agrees_with_the_likelihood_of_real_data():
    torch.manual_seed(0)
    x = torch.randn(500, 6, dtype=torch.float64) @ torch.randn(6, 6, dtype=torch.float64)
    bias, variance = x.mean(dim=0), 0.4
    eigenvalues, vectors = torch.linalg.eigh((x - bias).T @ (x - bias) / len(x))
    weight = vectors[:, -3:] * (eigenvalues[-3:] - variance).clamp(min=0).sqrt()
    likelihood = ppca.linear_log_likelihood(x, weight, bias, variance).mean()
    torch.testing.assert_close(
        likelihood, ppca.ppca_log_likelihood(eigenvalues, 3, variance), rtol=0, atol=1e-10
    )
    worse = ppca.linear_log_likelihood(x, weight + 0.05, bias, variance).mean()
    assert worse < likelihood


def test_the_elbo_of_a_linear_vae_meets_its_evidence_at_the_exact_posterior():
    torch.manual_seed(0)
    model, x, variance = LinearVAE(5, 2).double(), torch.randn(20_000, 5, dtype=torch.float64), 0.5
    with torch.no_grad():
        W = torch.linalg.qr(model.decoder.weight)[0] * torch.tensor([1.5, 0.8], dtype=torch.float64)
        M = W.T @ W + variance * torch.eye(2, dtype=torch.float64)
        model.decoder.weight.copy_(W)
        model.encoder.weight.copy_(torch.linalg.inv(M) @ W.T)
        model.encoder.bias.copy_(-model.encoder.weight @ model.decoder.bias)
        model.logvar_z.copy_((variance / torch.diag(M)).log())
        x_mean, mu, logvar = model(x)
        elbo = -gaussian_nll(x, x_mean, math.log(variance)) - kl_to_standard_normal(mu, logvar)
        evidence = ppca.linear_log_likelihood(x, W, model.decoder.bias, variance)
    gap = evidence - elbo
    assert abs(float(gap.mean())) < 4 * float(gap.std()) / math.sqrt(len(x))


def test_one_latent_may_be_active_alone():
    kl = ppca.linear_vae_kl(EIGENVALUES, 1, 0.3)
    torch.testing.assert_close(kl, 0.5 * torch.log(EIGENVALUES[:1] / 0.3))


def test_no_tensor_is_made_on_the_default_device_instead_of_that_of_the_arguments():
    x, weight, bias = torch.randn(4, 3), torch.randn(3, 2), torch.zeros(3)
    expected = ppca.linear_log_likelihood(x, weight, bias, 0.5)
    with torch.device("meta"):  # a tensor without a device would be made there
        torch.testing.assert_close(ppca.linear_log_likelihood(x, weight, bias, 0.5), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ppca.ppca_log_likelihood(EIGENVALUES, 7, 0.3), "latent_dim"),
        (lambda: ppca.ppca_log_likelihood(EIGENVALUES, 0, 0.3), "latent_dim"),
        (lambda: ppca.linear_vae_kl(-EIGENVALUES, 4, 0.3), "eigenvalues"),
        (lambda: ppca.linear_vae_kl(EIGENVALUES.diag(), 4, 0.3), "eigenvalues"),
        (lambda: ppca.linear_vae_kl(torch.tensor([1.0, 0.0]), 1, 0.3), "eigenvalues .* positive"),
        (lambda: ppca.linear_vae_kl(EIGENVALUES, 4, 0.0), "variance"),
        (lambda: ppca.linear_vae_kl(EIGENVALUES, 4, 0.3, beta=0), "beta"),
        (lambda: ppca.linear_vae_distortion(EIGENVALUES, 4, 0.3, beta=0), "beta"),
        (lambda: ppca.linear_vae_distortion(EIGENVALUES, 4, 0.0), "variance"),
        (lambda: ppca.linear_vae_variance(EIGENVALUES, 4, beta=0), "beta"),
        (lambda: ppca.linear_vae_variance(EIGENVALUES, 6), "discarded"),
        (lambda: ppca.linear_log_likelihood(X, torch.zeros(2, 5), torch.zeros(5), 1.0), "weight"),
        (lambda: ppca.linear_log_likelihood(X, torch.zeros(5), torch.zeros(5), 1.0), "weight"),
        (lambda: ppca.linear_log_likelihood(X, torch.zeros(5, 2), torch.zeros(5), 0.0), "variance"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
