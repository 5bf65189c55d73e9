"""Scores of disentanglement: how codes (N, latents) relate to factors (N, factors). Used from 06_beta_vae.

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
from sklearn.metrics import mutual_info_score, roc_auc_score
from sklearn.svm import LinearSVC
from sklearn.utils import check_array, check_consistent_length

from helpers.sprites import N_IMAGES, factors_to_index, index_to_factors, sample_factors


class DCI(NamedTuple):
    """The three scores of `dci`."""

    disentanglement: float
    completeness: float
    informativeness: float


def mutual_information(codes, factors, bins=20):
    """Return I(latent; factor) in nats, each latent cut into `bins` of equal width: → array (latents, factors).

    codes (N, latents) float, factors (N, factors) int. Raises ValueError for arrays that do not fit, NaN,
    a factor with one value, and fewer than two latents or factors; so do `mig` to `explicitness`.
    """
    codes, factors = _codes_and_factors(codes, factors)
    table = np.zeros((codes.shape[1], factors.shape[1]))
    for j, latent in enumerate(codes.T):
        if latent.min() == latent.max():
            continue  # a dead latent has no information
        left_edges = np.linspace(latent.min(), latent.max(), bins + 1)[:-1]
        binned = np.digitize(latent, left_edges) - 1  # (N,) in 0 … bins − 1
        for k, factor in enumerate(factors.T):
            values, value = np.unique(factor, return_inverse=True)
            joint = np.zeros((bins, len(values)))
            np.add.at(joint, (binned, value), 1)  # how often the two occur together
            table[j, k] = mutual_info_score(None, None, contingency=joint)
    return table


def mig(codes, factors, bins=20):
    """Return the mutual information gap: the mean over factors of (I of the best latent − of the second)/H(factor).

    Chen et al., NeurIPS 2018, with the estimator of Locatello et al.: bins of the posterior means.
    """
    codes, factors = _codes_and_factors(codes, factors)
    second, best = np.sort(mutual_information(codes, factors, bins), axis=0)[-2:]  # each (factors,)
    counts = [np.unique(f, return_counts=True)[1] for f in factors.T]
    return float(np.mean((best - second) / [_entropy(c) for c in counts]))


def modularity(codes, factors, bins=20):
    """Return how far each latent is about one factor: the mean of 1 − (Σ I² − max I²)/(max I²·(factors − 1)).

    A latent without information counts as 0. Ridgeway & Mozer, NeurIPS 2018.
    """
    squared = mutual_information(codes, factors, bins) ** 2  # (latents, factors)
    best = squared.max(axis=1)
    most = best * (squared.shape[1] - 1)
    others = np.divide(squared.sum(axis=1) - best, most, where=most > 0, out=np.ones(len(most)))
    return float(np.mean(1 - others))


def sap(codes, factors, test_codes, test_factors):
    """Return the separated attribute predictability: by how much the best latent predicts a factor better.

    The test accuracy of a linear SVM on the best latent minus that on the second best, mean over factors.
    Kumar et al., ICLR 2018.
    """
    codes, factors, test_codes, test_factors = _train_and_test(codes, factors, test_codes, test_factors)
    accuracies = np.empty((codes.shape[1], factors.shape[1]))
    for j, k in np.ndindex(accuracies.shape):
        svm = LinearSVC(C=0.01, class_weight="balanced", dual=False).fit(codes[:, [j]], factors[:, k])
        accuracies[j, k] = svm.score(test_codes[:, [j]], test_factors[:, k])
    second, best = np.sort(accuracies, axis=0)[-2:]
    return float(np.mean(best - second))


def dci(codes, factors, test_codes, test_factors, estimators=100, seed=0):
    """Return disentanglement, completeness and informativeness from boosted trees: → `DCI`.

    The importances of the trees are a table (latents, factors). Disentanglement is 1 − the entropy of a row,
    weighted by the sums of the rows; completeness is the same for columns; informativeness is the test accuracy.
    It takes minutes at the default sizes. Eastwood & Williams, ICLR 2018.
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
    """Return how well logistic regression on all latents separates the values of a factor: mean one-vs-rest ROC-AUC.

    Chance is 0.5. Ridgeway & Mozer, NeurIPS 2018; as in disentanglement_lib the area itself, not rescaled.
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
    """Return the test accuracy of a linear classifier that names the factor which pairs of images share.

    `encode` takes factors (B, 5) of sprites to codes (B, latents). One example is the mean of |Δ code| over
    `pairs` pairs, whose two images agree in one factor, the same in all pairs. Raises ValueError if the
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
    """Return how often the latent that varies least in a batch names the factor that was held, by majority vote.

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
    """Encode each of the 737,280 sprites once; return a function that looks codes up and replaces `encode`."""
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


def _codes_and_factors(codes, factors):
    codes, factors = (torch.as_tensor(array).detach().cpu().numpy() for array in (codes, factors))
    codes = check_array(codes, dtype=np.float64, ensure_min_features=2, input_name="codes")
    factors = check_array(factors, ensure_min_features=2, input_name="factors")
    check_consistent_length(codes, factors)
    if not np.issubdtype(factors.dtype, np.integer):
        raise ValueError(f"factors is {factors.dtype}; expected integers, an index for each value")
    if (constant := np.ptp(factors, axis=0) == 0).any():
        raise ValueError(f"factors[:, {constant.argmax()}] has one value only; expected two or more: drop it")
    return codes, factors


def _train_and_test(codes, factors, test_codes, test_factors):
    return *_codes_and_factors(codes, factors), *_codes_and_factors(test_codes, test_factors)
