"""The Fréchet distance against closed forms and SciPy; the digit classifier on real digits."""

import numpy as np
import pytest
import scipy.linalg
import torch

from helpers import metrics
from helpers.data import load_mnist


def exactly(mean, cov, n=500, seed=0):
    """Samples (n, F) whose mean and covariance (divided by n − 1) are exactly those given."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, len(mean)))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(x.T)))).T
    return torch.tensor(x @ np.linalg.cholesky(cov).T + mean)


@pytest.mark.parametrize(("d", "s"), [(1, 2.0), (5, 0.3), (64, 1.7)])
def test_it_is_exact_on_isotropic_gaussians(d, s):
    m = np.linspace(-1, 2, d)
    a, b = exactly(np.zeros(d), np.eye(d), seed=1), exactly(m, s**2 * np.eye(d), n=700, seed=2)
    expected = (m**2).sum() + d * (1 - s) ** 2  # FACTS: ‖m‖² + d(1 − s)²
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_it_equals_the_definition_with_scipys_matrix_root():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((300, 8)) @ rng.standard_normal((8, 8))
    b = rng.standard_normal((400, 8)) @ rng.standard_normal((8, 8)) + 1
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)  # ddof=1
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)
    assert metrics.frechet_distance(torch.tensor(a), torch.tensor(b)) == pytest.approx(expected, rel=1e-9)


def test_it_is_symmetric_and_zero_on_itself():
    a, b = torch.randn(200, 5), 2 * torch.randn(300, 5) + 1
    assert metrics.frechet_distance(a, b) == pytest.approx(metrics.frechet_distance(b, a))
    assert metrics.frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_a_feature_that_never_varies_does_no_harm():
    a, b = torch.randn(200, 5), torch.randn(200, 5)
    dead = torch.zeros(200, 1)
    with_dead = metrics.frechet_distance(torch.cat([a, dead], 1), torch.cat([b, dead], 1))
    assert with_dead == pytest.approx(metrics.frechet_distance(a, b), abs=1e-6)


def test_it_computes_in_float64():
    a = torch.randn(1000, 4) * 1e-3 + 1e3  # in float32 the covariance of such numbers is lost
    b = a.double() + 1e-3
    assert metrics.frechet_distance(a, b) == pytest.approx(4e-6, rel=1e-3)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (torch.randn(64, 64), torch.randn(100, 64), "features_a has 64 samples of 64 features"),
        (torch.randn(100, 4), torch.randn(3, 4), "features_b has 3 samples"),
        (torch.randn(100, 4), torch.randn(100, 5), "4 features and features_b 5"),
        (torch.randn(100, 4), torch.full((100, 4), float("nan")), "features_b holds NaN"),
        (torch.randn(100, 4, 1), torch.randn(100, 4), r"features_a has the shape \(100, 4, 1\)"),
    ],
)
def test_bad_features_are_refused_by_name(a, b, message):
    with pytest.raises(ValueError, match=message):
        metrics.frechet_distance(a, b)


@pytest.fixture(scope="module")
def digits():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUTORIAL_PROFILE", "quick")
        return load_mnist()


@pytest.fixture(scope="module")
def classifier(digits):
    torch.manual_seed(0)
    return metrics.train_digit_classifier(digits.train_images, digits.train_labels, epochs=3)


def test_the_classifier_learns_the_digits(digits, classifier):
    assert metrics.accuracy(classifier, digits.test_images, digits.test_labels) > 0.85
    shuffled = digits.test_labels.roll(1)
    assert metrics.accuracy(classifier, digits.test_images, shuffled) < 0.3


def test_its_features_and_logits_have_their_shapes(digits, classifier):
    x = digits.test_images[:7]
    assert classifier.features(x).shape == (7, 64)
    assert classifier(x).shape == (7, 10)
    assert torch.equal(classifier.head(classifier.features(x)), classifier(x))


def test_its_features_tell_noise_from_digits(digits, classifier):
    with torch.no_grad():
        real = classifier.features(digits.test_images)
        floor = metrics.frechet_distance(classifier.features(digits.train_images[:1000]), real)
        noise = metrics.frechet_distance(classifier.features(torch.rand(1000, 1, 28, 28)), real)
    assert noise > 10 * floor
