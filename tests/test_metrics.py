"""Scores of samples against closed forms, SciPy and plain loops; the digit classifier on real digits."""

import math

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
def test_the_frechet_distance_is_exact_on_isotropic_gaussians(d, s):
    m = np.linspace(-1, 2, d)
    a, b = exactly(np.zeros(d), np.eye(d), seed=1), exactly(m, s**2 * np.eye(d), n=700, seed=2)
    expected = (m**2).sum() + d * (1 - s) ** 2
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_the_frechet_distance_equals_the_definition_with_scipys_matrix_root():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((300, 8)) @ rng.standard_normal((8, 8))
    b = rng.standard_normal((400, 8)) @ rng.standard_normal((8, 8)) + 1
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)  # ddof=1
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)
    assert metrics.frechet_distance(torch.tensor(a), torch.tensor(b)) == pytest.approx(expected, rel=1e-9)


def test_the_frechet_distance_is_symmetric_in_the_two_sets():
    a, b = torch.randn(200, 5), 2 * torch.randn(300, 5) + 1
    assert metrics.frechet_distance(a, b) == pytest.approx(metrics.frechet_distance(b, a))


@pytest.mark.parametrize(("rank", "width"), [(1, 1), (1, 3), (2, 8), (3, 64)])
def test_the_distance_of_a_set_from_itself_is_zero_and_never_less_at_a_low_rank(rank, width):
    for seed in range(20):  # unclamped, some of these are -3e-5
        generator = torch.Generator().manual_seed(seed)
        a = torch.randn(200, rank, generator=generator) @ torch.randn(rank, width, generator=generator)
        assert 0 <= metrics.frechet_distance(a, a) < 1e-3


def test_a_feature_that_never_varies_does_no_harm():
    a, b = torch.randn(200, 5), torch.randn(200, 5)
    dead = torch.zeros(200, 1)
    with_dead = metrics.frechet_distance(torch.cat([a, dead], 1), torch.cat([b, dead], 1))
    assert with_dead == pytest.approx(metrics.frechet_distance(a, b), abs=1e-6)


def test_the_frechet_distance_is_computed_in_float64():
    a = torch.randn(1000, 4) * 1e-3 + 1e3  # in float32 the covariance of such numbers is lost
    b = a.double() + 1e-3
    assert metrics.frechet_distance(a, b) == pytest.approx(4e-6, rel=1e-3)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (torch.randn(64, 64), torch.randn(100, 64), "64 samples of 64 features; expected more samples"),
        (torch.randn(100, 4), torch.randn(3, 4), "3 samples of 4 features"),
        (torch.randn(100, 4), torch.randn(100, 5), "4 features and features_b 5"),
        (torch.randn(100, 4), torch.full((100, 4), float("nan")), "Input features_b contains NaN"),
        (torch.randn(100, 4, 1), torch.randn(100, 4), "dim 3"),
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
    assert not classifier.training
    assert metrics.accuracy(classifier, digits.test_images, digits.test_labels) > 0.85
    shuffled = digits.test_labels.roll(1)
    assert metrics.accuracy(classifier, digits.test_images, shuffled) < 0.3


def test_the_classification_loss_by_hand():
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0], [math.log(3), 0.0], [math.log(3), 0.0]])
    labels = torch.tensor([1, 0, 0, 1])
    loss, terms = metrics.classification_loss(lambda x: x, (logits, labels))
    assert loss.item() == pytest.approx((2 * math.log(4 / 3) + math.log(2) + math.log(4)) / 4)
    assert terms == {"error": 0.25}


def test_its_features_tell_noise_from_digits(digits, classifier):
    with torch.no_grad():
        real = classifier.features(digits.test_images)
        torch.testing.assert_close(classifier.head(real), classifier(digits.test_images))
        floor = metrics.frechet_distance(classifier.features(digits.train_images[:1000]), real)
        noise = metrics.frechet_distance(classifier.features(torch.rand(1000, 1, 28, 28)), real)
    assert noise > 10 * floor


# ---- precision, recall, density, coverage


def plain_prdc(real, fake, k):
    """The definitions of `prdc`, one pair of samples at a time."""

    def apart(a, b):
        return sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5

    def radius(samples, i):
        return sorted(apart(samples[i], other) for j, other in enumerate(samples) if j != i)[k - 1]

    real_radius = [radius(real, i) for i in range(len(real))]
    fake_radius = [radius(fake, j) for j in range(len(fake))]
    precision = sum(any(apart(r, f) < real_radius[i] for i, r in enumerate(real)) for f in fake) / len(fake)
    recall = sum(any(apart(r, f) < fake_radius[j] for j, f in enumerate(fake)) for r in real) / len(real)
    density = sum(apart(r, f) < real_radius[i] for i, r in enumerate(real) for f in fake) / (k * len(fake))
    coverage = sum(any(apart(r, f) < real_radius[i] for f in fake) for i, r in enumerate(real)) / len(real)
    return precision, recall, density, coverage


@pytest.mark.parametrize(("width", "k", "shift"), [(1, 1, 0.0), (3, 5, 0.5), (40, 3, 0.2)])
def test_prdc_equals_a_plain_loop(width, k, shift):
    generator = torch.Generator().manual_seed(k)
    real = torch.randn(35, width, generator=generator).double()
    fake = 1.3 * torch.randn(45, width, generator=generator).double() + shift
    scores = metrics.prdc(real, fake, k)
    assert scores == pytest.approx(plain_prdc(real.tolist(), fake.tolist(), k))
    assert len(set(scores)) > 2  # four numbers, not one


def test_prdc_a_border_is_outside():
    real, fake = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[-1.0], [2.0], [2.0]])
    assert metrics.prdc(real, fake, k=1) == pytest.approx(plain_prdc(real.tolist(), fake.tolist(), 1))
    assert metrics.prdc(real, fake, k=1) == pytest.approx((2 / 3, 2 / 3, 2 / 3, 1 / 3))
    assert metrics.prdc(fake, real, k=1) == pytest.approx(plain_prdc(fake.tolist(), real.tolist(), 1))


def test_density_and_coverage_of_one_distribution_have_exact_means():
    """By symmetry, in any dimension: density 1; coverage 1 − P(the k nearest of all others are real)."""
    generator, n, m, k = torch.Generator().manual_seed(0), 60, 90, 5
    pairs = [
        (torch.randn(n, 3, generator=generator), torch.randn(m, 3, generator=generator)) for _ in range(300)
    ]
    scores = torch.tensor([metrics.prdc(real, fake, k) for real, fake in pairs]).double()  # (300, 4)
    mean, error = scores.mean(dim=0), scores.std(dim=0) / len(scores) ** 0.5
    coverage = 1 - math.comb(n - 1, k) / math.comb(n - 1 + m, k)
    assert abs(mean[2] - 1) < 4 * error[2] and error[2] < 0.02
    assert abs(mean[3] - coverage) < 4 * error[3] and error[3] < 0.005


def waves(n, phase):
    """Samples (n, 4) that are the same on every machine, without a random number."""
    return torch.sin(torch.arange(4 * n).double().view(n, 4) ** 2 + phase)


@pytest.mark.parametrize(
    ("options", "published"),
    [({"k": 3}, (0.41, 0.33, 0.2316667, 0.1533333)), ({}, (0.63, 0.5633333, 0.335, 0.3066667))],
)
def test_prdc_agrees_with_the_authors_package(options, published):
    """The numbers are those of compute_prdc, version 0.2 of the package prdc (Naeem et al.), with k = 3 and 5."""
    real, fake = waves(300, 0.0), 0.9 * waves(200, 1.0) + 0.4
    assert metrics.prdc(real, fake, **options) == pytest.approx(published, abs=1e-6)


@pytest.mark.parametrize(
    ("real", "fake", "k", "message"),
    [
        (torch.randn(9, 4), torch.randn(9, 5), 3, "real has 4 features and fake 5"),
        (torch.randn(9, 4), torch.randn(5, 4), 5, "k is 5; expected 1 to 4"),
        (torch.randn(9, 4), torch.randn(9, 4), 0, "k is 0; expected 1 to 8"),
        (torch.randn(9, 4, 1), torch.randn(9, 4), 3, "dim 3"),
        (torch.randn(9, 4), torch.full((9, 4), float("inf")), 3, "Input fake contains infinity"),
    ],
)
def test_prdc_refuses_bad_features_by_name(real, fake, k, message):
    with pytest.raises(ValueError, match=message):
        metrics.prdc(real, fake, k)
