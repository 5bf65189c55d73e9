"""Disentanglement: how well codes (N, latents) show factors (N, factors). Used from 06_beta_vae.

Definitions and default sizes are those of disentanglement_lib (Locatello et al., ICML 2019). The codes are
posterior means, as arrays or tensors; every score is a float between 0 and 1.
"""

import math
import warnings
from typing import NamedTuple

import numpy as np
import torch
from sklearn.base import clone
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.svm import LinearSVC

from helpers.sprites import N_IMAGES, factors_to_index, index_to_factors, sample_factors


class DCI(NamedTuple):
    """The three scores of `dci`."""

    disentanglement: float
    completeness: float
    informativeness: float


def mutual_information(codes, factors, bins=20):
    """I(latent; factor) in nats, each latent cut into `bins` of equal width: → array (latents, factors).

    codes (N, latents) float, factors (N, factors) int. Raises ValueError for arrays that do not fit, NaN,
    a factor with one value, and fewer than two latents or factors. So do `mig` to `explicitness`.
    """
    codes, factors = _codes_and_factors(codes, factors)
    edges = np.linspace(codes.min(axis=0), codes.max(axis=0), bins + 1)[:-1]  # the left ones, (bins, latents)
    cut = [np.searchsorted(e, c, side="right") - 1 for e, c in zip(edges.T, codes.T, strict=True)]
    value = [np.unique(f, return_inverse=True)[1] for f in factors.T]
    shape = len(cut), len(value), bins, 1 + max(v.max() for v in value)
    j, k = np.ogrid[: shape[0], : shape[1]]
    cell = np.ravel_multi_index((j, k, np.stack(cut, 1)[:, :, None], np.stack(value, 1)[:, None, :]), shape)
    count = np.bincount(cell.ravel(), minlength=math.prod(shape)).reshape(shape)
    # Whole numbers, so that a constant latent's ratio is exactly 1 and its information exactly 0.
    independent = count.sum(axis=3, keepdims=True) * count.sum(axis=2, keepdims=True)
    ratio = np.divide(len(codes) * count, independent, where=count > 0, out=np.ones(shape))
    return (count / len(codes) * np.log(ratio)).sum(axis=(2, 3))


def mig(codes, factors, bins=20):
    """Mutual information gap: mean over factors of (I of the best latent − I of the second)/H(factor).

    Chen et al., NeurIPS 2018, with the estimator of Locatello et al.: bins of the posterior means.
    """
    codes, factors = _codes_and_factors(codes, factors)
    second, best = np.sort(mutual_information(codes, factors, bins), axis=0)[-2:]  # each (factors,)
    counts = [np.unique(f, return_counts=True)[1] for f in factors.T]
    return float(np.mean((best - second) / [_entropy(c) for c in counts]))


def modularity(codes, factors, bins=20):
    """Whether each latent informs about one factor only: mean 1 − (Σ I² − max I²)/(max I²·(factors − 1)).

    A latent without any information counts as 0. Ridgeway & Mozer, NeurIPS 2018.
    """
    squared = mutual_information(codes, factors, bins) ** 2  # (latents, factors)
    best = squared.max(axis=1)
    most = best * (squared.shape[1] - 1)
    others = np.divide(squared.sum(axis=1) - best, most, where=most > 0, out=np.ones(len(most)))
    return float(np.mean(1 - others))


def sap(codes, factors, test_codes, test_factors):
    """Separated attribute predictability: how much better the best latent predicts a factor than the second.

    The test accuracy of a linear SVM on one latent, averaged over factors. Kumar et al., ICLR 2018.
    """
    codes, factors, test_codes, test_factors = _train_and_test(codes, factors, test_codes, test_factors)
    accuracies = np.empty((codes.shape[1], factors.shape[1]))
    for j, k in np.ndindex(accuracies.shape):
        svm = LinearSVC(C=0.01, class_weight="balanced", dual=False).fit(codes[:, [j]], factors[:, k])
        accuracies[j, k] = svm.score(test_codes[:, [j]], test_factors[:, k])
    second, best = np.sort(accuracies, axis=0)[-2:]
    return float(np.mean(best - second))


def dci(codes, factors, test_codes, test_factors, estimators=100, seed=0):
    """Disentanglement, completeness and informativeness by boosted trees: → `DCI`.

    The trees' importances are a table (latents, factors). Disentanglement is 1 − the entropy of a row, with
    the rows' sums as weights; completeness the same by columns; informativeness the trees' test accuracy.
    Minutes at the default sizes. Eastwood & Williams, ICLR 2018.
    """
    codes, factors, test_codes, test_factors = _train_and_test(codes, factors, test_codes, test_factors)
    boosted = GradientBoostingClassifier(n_estimators=estimators, random_state=seed)
    trees = [clone(boosted).fit(codes, f) for f in factors.T]
    importances = np.stack([tree.feature_importances_ for tree in trees], axis=1)  # (latents, factors)
    if importances.sum() == 0:  # dead latents only
        importances = np.ones_like(importances)
    disentanglement, completeness = (
        float((1 - _entropy(rows + 1e-11) / math.log(rows.shape[1])) @ rows.sum(axis=1) / rows.sum())
        for rows in (importances, importances.T)
    )
    accuracies = [tree.score(test_codes, f) for tree, f in zip(trees, test_factors.T, strict=True)]
    return DCI(disentanglement, completeness, float(np.mean(accuracies)))


def explicitness(codes, factors, test_codes, test_factors):
    """How well logistic regression on all latents tells a factor's values apart: mean one-vs-rest ROC-AUC.

    Half is chance. Ridgeway & Mozer, NeurIPS 2018; as in disentanglement_lib the area itself, not rescaled.
    """
    codes, factors, test_codes, test_factors = _train_and_test(codes, factors, test_codes, test_factors)
    mean, std = codes.mean(axis=0), codes.std(axis=0)
    std[codes.max(axis=0) == codes.min(axis=0)] = 1  # a dead latent stays at 0
    areas = []
    for f, test_f in zip(factors.T, test_factors.T, strict=True):
        model = _logistic_regression((codes - mean) / std, f)
        chances = model.predict_proba((test_codes - mean) / std).T  # (values, N)
        values = zip(model.classes_, chances, strict=True)
        areas.append(np.mean([roc_auc_score(test_f == v, p) for v, p in values if (test_f == v).any()]))
    return float(np.mean(areas))


def beta_vae_score(encode, train=10_000, test=5_000, pairs=64, seed=0):
    """Whether a linear classifier sees which factor pairs of images share: its test accuracy.

    `encode` takes factors (B, 5) of sprites to codes (B, latents). One example is the mean of |Δ code| over
    `pairs` pairs, whose two images agree in one factor, the same in all pairs. Raises ValueError where the
    codes have another shape or are not finite. Higgins et al., ICLR 2017.
    """
    generator = torch.Generator().manual_seed(seed)

    def features(n):
        k = torch.randint(5, (n,), generator=generator)
        a, b = (sample_factors(n * pairs, generator).view(n, pairs, 5) for _ in range(2))
        b[torch.arange(n), :, k] = a[torch.arange(n), :, k]
        difference = _encode(encode, a.flatten(0, 1)) - _encode(encode, b.flatten(0, 1))
        return np.abs(difference).reshape(n, pairs, -1).mean(axis=1), k.numpy()

    model = _logistic_regression(*features(train))
    return float(model.score(*features(test)))


def factor_vae_score(encode, train=10_000, test=5_000, batch_size=64, variance_size=10_000, seed=0):
    """Whether the latent that varies least in a batch tells which factor was held: a vote's accuracy.

    `encode` takes factors (B, 5) of sprites to codes (B, latents). Variances are divided by those over
    `variance_size` images; latents with a deviation below 0.05 have no vote, and all dead make the score 0.
    Raises ValueError as `beta_vae_score` does. Kim & Mnih, ICML 2018.
    """
    generator = torch.Generator().manual_seed(seed)
    variance = _encode(encode, sample_factors(variance_size, generator)).var(axis=0, ddof=1)
    active = np.sqrt(variance) >= 0.05

    def votes(n):
        k = torch.randint(5, (n,), generator=generator)
        factors = sample_factors(n * batch_size, generator).view(n, batch_size, 5)
        factors[torch.arange(n), :, k] = factors[torch.arange(n), :1, k]
        codes = _encode(encode, factors.flatten(0, 1))[:, active].reshape(n, batch_size, -1)
        least = (codes.var(axis=1, ddof=1) / variance[active]).argmin(axis=1)
        counts = np.bincount(least * 5 + k.numpy(), minlength=5 * active.sum())
        return counts.reshape(-1, 5)  # (latents, factors)

    if not active.any():
        return 0.0
    winner = votes(train).argmax(axis=1)
    return float(votes(test)[np.arange(len(winner)), winner].sum() / test)


def tabulate(encode):
    """Encode each of the 737,280 sprites once: → a function that looks codes up, to be used like `encode`."""
    codes = torch.from_numpy(_encode(encode, index_to_factors(torch.arange(N_IMAGES))))
    return lambda factors: codes[factors_to_index(factors).cpu()]


def _entropy(weights):
    """In nats, of each row of weights (..., n) that are positive."""
    p = weights / weights.sum(axis=-1, keepdims=True)
    return -(p * np.log(p)).sum(axis=-1)


def _encode(encode, factors):
    parts = []
    for part in factors.split(8192):
        codes = torch.as_tensor(encode(part)).detach().cpu().numpy()
        if codes.ndim != 2 or len(codes) != len(part):
            raise ValueError(f"encode: {len(part)} factors gave {codes.shape}; expected (B, latents)")
        if not np.isfinite(codes).all():
            raise ValueError("encode gave NaN or infinity; expected finite codes: look at the training first")
        parts.append(codes)
    return np.concatenate(parts)


def _logistic_regression(x, y):
    with warnings.catch_warnings():  # the published scores, too, stop after sklearn's 100 iterations
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression().fit(x, y)


def _codes_and_factors(codes, factors, prefix=""):
    codes, factors = (torch.as_tensor(a).detach().cpu().numpy() for a in (codes, factors))
    shapes = codes.shape, factors.shape
    if [len(shape) for shape in shapes] != [2, 2] or len(codes) != len(factors) or min(sum(shapes, ())) < 2:
        raise ValueError(
            f"{prefix}codes is {codes.shape}, {prefix}factors {factors.shape}; "
            "expected (N, latents) and (N, factors), the same N, at least two of each"
        )
    if not np.isfinite(codes).all():
        raise ValueError(f"{prefix}codes holds NaN or infinity; expected finite codes: look at the training")
    if not np.issubdtype(factors.dtype, np.integer):
        raise ValueError(f"{prefix}factors is {factors.dtype}; expected integers, an index for each value")
    for k, f in enumerate(factors.T):
        if (f == f[0]).all():
            raise ValueError(f"{prefix}factors[:, {k}] is {f[0]} everywhere; expected two values: drop it")
    return codes.astype(np.float64), factors


def _train_and_test(codes, factors, test_codes, test_factors):
    codes, factors = _codes_and_factors(codes, factors)
    test_codes, test_factors = _codes_and_factors(test_codes, test_factors, prefix="test_")
    if codes.shape[1] != test_codes.shape[1] or factors.shape[1] != test_factors.shape[1]:
        raise ValueError(
            f"test_codes is {test_codes.shape} and test_factors {test_factors.shape}; "
            f"expected {codes.shape[1]} latents and {factors.shape[1]} factors, as in codes and factors"
        )
    return codes, factors, test_codes, test_factors
