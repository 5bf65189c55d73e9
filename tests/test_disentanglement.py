"""The disentanglement scores against plain loops over their definitions, and on codes of known score."""

import inspect
import math
import warnings
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from helpers import disentanglement as metrics
from helpers.sprites import FACTOR_SIZES, N_IMAGES, factors_to_index, index_to_factors, sample_factors

SPREAD = torch.tensor(FACTOR_SIZES) - 1


def perfect(factors):
    """One latent for each factor, equally spaced values, about unit variance: the best a code can be."""
    return (factors / SPREAD * 2 - 1) * 3**0.5


def rotation(n, seed=0):
    return torch.linalg.qr(torch.randn(n, n, generator=torch.Generator().manual_seed(seed)))[0]


def points(n, seed=0):
    return sample_factors(n, torch.Generator().manual_seed(seed))


def mixed(factors, seed=0):
    """Codes in between: a rotation of the first three factors, position, two noisy latents, two dead ones."""
    z = perfect(factors)
    noise = torch.randn(len(z), 2, generator=torch.Generator().manual_seed(seed))
    blend = z[:, :3] @ rotation(3) + 0.3 * noise[:, :1]
    return torch.cat([blend, z[:, 3:], noise, torch.zeros(len(z), 1), torch.full((len(z), 1), 1e-3)], dim=1)


# ---- the definitions as plain loops


def plain_mutual_information(codes, factors, bins=20):
    table = np.zeros((codes.shape[1], factors.shape[1]))
    for j in range(codes.shape[1]):
        edges = np.histogram(codes[:, j], bins)[1][:-1]
        cut = np.digitize(codes[:, j], edges)
        for k in range(factors.shape[1]):
            both, left, right = Counter(), Counter(), Counter()
            for b, v in zip(cut.tolist(), factors[:, k].tolist(), strict=True):
                both[b, v] += 1
                left[b] += 1
                right[v] += 1
            n = len(codes)
            for (b, v), count in both.items():
                table[j, k] += count / n * math.log(count * n / (left[b] * right[v]))
    return table


def plain_mig(codes, factors):
    table, gaps = plain_mutual_information(codes, factors), []
    for k in range(factors.shape[1]):
        order = sorted(table[:, k], reverse=True)
        shares = [c / len(factors) for c in Counter(factors[:, k].tolist()).values()]
        gaps.append((order[0] - order[1]) / -sum(p * math.log(p) for p in shares))
    return sum(gaps) / len(gaps)


def plain_modularity(codes, factors):
    scores = []
    for row in plain_mutual_information(codes, factors):
        best = max(row)
        others = sum(i**2 for i in row) - best**2
        scores.append(1 - others / (best**2 * (len(row) - 1)) if best > 0 else 0.0)
    return sum(scores) / len(scores)


def plain_sap(codes, factors, test_codes, test_factors):
    gaps = []
    for k in range(factors.shape[1]):
        accuracies = []
        for j in range(codes.shape[1]):
            svm = LinearSVC(C=0.01, class_weight="balanced").fit(codes[:, j : j + 1], factors[:, k])
            guess = svm.predict(test_codes[:, j : j + 1])
            accuracies.append(sum(guess == test_factors[:, k]) / len(guess))
        accuracies.sort()
        gaps.append(accuracies[-1] - accuracies[-2])
    return sum(gaps) / len(gaps)


def plain_dci(codes, factors, test_codes, test_factors, estimators):
    D, K = codes.shape[1], factors.shape[1]
    P, accuracies = np.zeros((D, K)), []
    for k in range(K):
        trees = GradientBoostingClassifier(n_estimators=estimators, random_state=0).fit(codes, factors[:, k])
        P[:, k] = np.abs(trees.feature_importances_)
        accuracies.append(np.mean(trees.predict(test_codes) == test_factors[:, k]))
    disentanglement = sum(P[j].sum() / P.sum() * (1 - stats.entropy(P[j] + 1e-11, base=K)) for j in range(D))
    completeness = sum(
        P[:, k].sum() / P.sum() * (1 - stats.entropy(P[:, k] + 1e-11, base=D)) for k in range(K)
    )
    return disentanglement, completeness, np.mean(accuracies)


def plain_explicitness(codes, factors, test_codes, test_factors):
    mean, std = codes.mean(axis=0), codes.std(axis=0)
    alive = std > 1e-9
    z, test_z = ((c[:, alive] - mean[alive]) / std[alive] for c in (codes, test_codes))
    scores = []
    for k in range(factors.shape[1]):
        model = LogisticRegression().fit(z, factors[:, k])
        areas = []
        for v in np.unique(test_factors[:, k]):
            p = model.predict_proba(test_z)[:, list(model.classes_).index(v)]
            yes, no = p[test_factors[:, k] == v], p[test_factors[:, k] != v]
            areas.append(np.mean([(a > no).mean() + 0.5 * (a == no).mean() for a in yes]))
        scores.append(sum(areas) / len(areas))
    return sum(scores) / len(scores)


class Recorder:
    """An `encode` that remembers the factors it was given, so that a plain loop can judge the same draws."""

    def __init__(self, encode):
        self.encode, self.seen = encode, []

    def __call__(self, factors):
        self.seen.append(factors.clone())
        return self.encode(factors)

    def batches(self, *sizes):
        return torch.cat(self.seen).split(sizes)


def held(batch):
    """The factor that has one value in a batch (B, 5)."""
    (k,) = [k for k in range(5) if len(batch[:, k].unique()) == 1]
    return k


def plain_factor_vae(encode, everywhere, train, test):
    """From the images that were drawn: (N, 5) for the variances, lists of batches (B, 5) for the votes."""
    variance = encode(everywhere).double().var(dim=0)
    alive = [j for j in range(len(variance)) if variance[j] ** 0.5 >= 0.05]
    votes = {j: Counter() for j in alive}
    for batch in train:
        local = encode(batch).double().var(dim=0) / variance
        votes[min(alive, key=lambda j: local[j])][held(batch)] += 1
    right = 0
    for batch in test:
        local = encode(batch).double().var(dim=0) / variance
        ballot = votes[min(alive, key=lambda j: local[j])]
        most = min((k for k in range(5)), key=lambda k: (-ballot[k], k))
        right += most == held(batch)
    return right / len(test)


def plain_beta_vae(encode, train, test):
    """From the pairs that were drawn: lists of (first, second), each (pairs, 5)."""

    def example(first, second):
        (k,) = [k for k in range(5) if torch.equal(first[:, k], second[:, k])]
        return (encode(first) - encode(second)).abs().mean(dim=0).tolist(), k

    x, y = zip(*[example(*pairs) for pairs in train], strict=True)
    test_x, test_y = zip(*[example(*pairs) for pairs in test], strict=True)
    return LogisticRegression(max_iter=100).fit(x, y).score(test_x, test_y)


# ---- agreement with the loops


@pytest.mark.parametrize("make", [perfect, mixed], ids=["perfect", "mixed"])
def test_mutual_information_mig_and_modularity_follow_their_definitions(make):
    factors = points(2000)
    codes, factors = make(factors).numpy(), factors.numpy()
    table = metrics.mutual_information(codes, factors)
    np.testing.assert_allclose(table, plain_mutual_information(codes, factors), atol=1e-12)
    assert metrics.mig(codes, factors) == pytest.approx(plain_mig(codes, factors), abs=1e-12)
    assert metrics.modularity(codes, factors) == pytest.approx(plain_modularity(codes, factors), abs=1e-12)


def test_two_latents_two_factors_and_two_values_are_enough():
    factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    assert metrics.mig(factors.astype(float), factors) == pytest.approx(1)


def test_only_the_warning_that_is_expected_is_kept_quiet(monkeypatch):
    class Noisy:
        def fit(self, x, y):
            warnings.warn("something else", stacklevel=1)

    monkeypatch.setattr(metrics, "LogisticRegression", Noisy)
    with pytest.warns(UserWarning, match="something else"):
        metrics._logistic_regression(None, None)


@pytest.mark.parametrize("score", [metrics.mig, metrics.modularity])
def test_one_bin_tells_nothing(score):
    factors = points(500)
    assert score(perfect(factors), factors) > 0.5
    assert score(perfect(factors), factors, bins=1) == 0


@pytest.fixture(scope="module")
def four():
    """(codes, factors, test_codes, test_factors) of mixed codes; 600 and 400 points."""
    train, test = points(600, seed=1), points(400, seed=2)
    return [a.numpy() for a in (mixed(train, 1).double(), train, mixed(test, 2).double(), test)]


def test_sap_follows_its_definition(four):
    assert metrics.sap(*four) == pytest.approx(plain_sap(*four), abs=1e-6)


def test_explicitness_follows_its_definition(four):
    assert metrics.explicitness(*four) == pytest.approx(plain_explicitness(*four), abs=1e-6)


def test_explicitness_leaves_out_a_value_that_the_test_points_lack(four):
    codes, factors, test_codes, test_factors = four
    kept = test_factors[:, 0] != 2
    assert np.isfinite(metrics.explicitness(codes, factors, test_codes[kept], test_factors[kept]))


def test_dci_follows_its_definition(four):
    codes, factors, test_codes, test_factors = four
    coarse = [codes, factors // 8, test_codes, test_factors // 8]  # fewer values, fewer trees
    coarse[1][:, :2], coarse[3][:, :2] = factors[:, :2], test_factors[:, :2]
    expected = plain_dci(*coarse, estimators=4)
    np.testing.assert_allclose(metrics.dci(*coarse, estimators=4), expected, atol=1e-9)
    assert metrics.dci(*coarse, estimators=4) == metrics.dci(*coarse, estimators=4)


@pytest.mark.parametrize(("deviation", "votes"), [(0.04, False), (0.045, True)])
def test_a_latent_votes_from_a_deviation_of_0_05_on(deviation, votes):
    def encode(factors):  # of four such codes the deviation, divided by N - 1, is 1.15 times the number
        return deviation * (-1.0) ** torch.arange(len(factors))[:, None]

    assert (metrics.factor_vae_score(encode, 50, 50, 4, variance_size=4) > 0) == votes


@pytest.mark.parametrize("dead", [0, 2])
def test_the_factor_vae_score_is_that_of_the_images_drawn(dead):
    def encode(factors):
        z = perfect(factors) @ rotation(5)
        return torch.cat([0.01 * z[:, :dead], z], dim=1)

    record = Recorder(encode)
    score = metrics.factor_vae_score(record, train=300, test=200, batch_size=32, variance_size=500)
    everywhere, train, test = record.batches(500, 300 * 32, 200 * 32)
    assert score == plain_factor_vae(encode, everywhere, train.split(32), test.split(32))
    assert {held(batch) for batch in train.split(32)} == set(range(5))
    assert score == metrics.factor_vae_score(record, train=300, test=200, batch_size=32, variance_size=500)


def test_the_beta_vae_score_is_that_of_the_pairs_drawn():
    def encode(factors):
        return perfect(factors) @ rotation(5)

    record = Recorder(encode)
    score = metrics.beta_vae_score(record, train=300, test=200, pairs=16)
    a, b, test_a, test_b = (s.split(16) for s in record.batches(4800, 4800, 3200, 3200))
    expected = plain_beta_vae(encode, zip(a, b, strict=True), zip(test_a, test_b, strict=True))
    assert score == pytest.approx(expected, abs=0.011)  # two float32 ties in 200
    assert 0.5 < score < 1
    assert score == metrics.beta_vae_score(record, train=300, test=200, pairs=16)


# ---- codes whose score is known


def scores(make, n=10_000, n_test=5_000):
    train, test = points(n, seed=3), points(n_test, seed=4)
    codes, test_codes = make(train), make(test)
    return {
        "mig": metrics.mig(codes, train),
        "modularity": metrics.modularity(codes, train),
        "sap": metrics.sap(codes, train, test_codes, test),
        "explicitness": metrics.explicitness(codes, train, test_codes, test),
        "beta": metrics.beta_vae_score(make, 1000, 500, 32),
        "factor": metrics.factor_vae_score(make, 1000, 500, 32),
    }


@pytest.fixture(scope="module")
def perfect_scores():
    return scores(perfect)


def test_a_perfect_code_does_not_score_one_everywhere(perfect_scores):
    assert perfect_scores["mig"] == pytest.approx(0.896, abs=0.003)
    assert perfect_scores["sap"] == pytest.approx(0.25, abs=0.015)
    assert perfect_scores["explicitness"] == pytest.approx(0.988, abs=0.004)
    for name in ("modularity", "beta", "factor"):
        assert perfect_scores[name] == pytest.approx(1, abs=1e-3), name


def test_the_order_and_the_sign_of_latents_do_not_matter(perfect_scores):
    flips = torch.tensor([1.0, -1, 1, -1, -1])
    permuted = scores(lambda f: perfect(f)[:, [3, 0, 4, 2, 1]] * flips, 5000, 2000)
    assert permuted == pytest.approx(perfect_scores, abs=0.015)


def test_a_rotation_hides_the_factors_from_all_but_explicitness(perfect_scores):
    rotated = scores(lambda f: perfect(f) @ rotation(5), 5000, 2000)
    for name in ("mig", "sap", "factor"):
        assert rotated[name] < 0.75 * perfect_scores[name], name
    assert rotated["modularity"] < 0.95
    assert rotated["explicitness"] == pytest.approx(perfect_scores["explicitness"], abs=0.01)


def test_noise_scores_by_chance():
    generator = torch.Generator().manual_seed(5)
    noise = scores(lambda f: torch.randn(len(f), 10, generator=generator))
    assert noise["mig"] < 0.002 and noise["sap"] < 0.01
    assert noise["modularity"] == pytest.approx(0.64, abs=0.05)
    assert noise["explicitness"] == pytest.approx(0.5, abs=0.01)
    assert noise["beta"] == pytest.approx(0.2, abs=0.06) and noise["factor"] == pytest.approx(0.2, abs=0.06)


def test_a_factor_split_in_two_costs_mig_its_gap(perfect_scores):
    def split(factors):  # posX in two latents: its four coarse places, and where in them
        z = perfect(factors)
        coarse, fine = factors[:, 3:4] // 8 - 1.5, factors[:, 3:4] % 8 / 2.3 - 1.5
        return torch.cat([z[:, :3], z[:, 4:], coarse, fine], dim=1)

    found = scores(split, 5000, 2000)
    assert found["mig"] < perfect_scores["mig"] - 0.1
    for name in ("modularity", "beta"):
        assert found[name] == pytest.approx(1, abs=0.01), name


def test_dead_latents_change_nothing_but_modularity(perfect_scores):
    dead = torch.tensor([0, 0, 0, 7.0, 0.1])
    found = scores(lambda f: torch.cat([perfect(f), dead.expand(len(f), 5)], dim=1), 5000, 2000)
    assert found["modularity"] == pytest.approx(0.5, abs=1e-3)  # a dead latent counts as 0
    others = {name: value for name, value in found.items() if name != "modularity"}
    assert others == pytest.approx({name: perfect_scores[name] for name in others}, abs=0.015)


def test_constant_codes_score_nothing_and_divide_by_nothing():
    with np.errstate(all="raise"):
        found = scores(lambda f: torch.full((len(f), 4), 0.3), 2000, 1000)
    assert found["mig"] == found["modularity"] == found["factor"] == 0
    assert found["sap"] == pytest.approx(0) and found["explicitness"] == pytest.approx(0.5)
    assert 0 < found["beta"] < 0.3
    factors = points(300) % 3
    dead = torch.zeros(300, 4)
    assert metrics.dci(dead, factors, dead, factors, estimators=2)[:2] == pytest.approx((0, 0), abs=1e-9)


def test_dci_of_a_perfect_code_is_one():
    train, test = points(1500, seed=6), points(500, seed=7)
    train[:, 2:] //= 8
    test[:, 2:] //= 8
    found = metrics.dci(train.double(), train, test.double(), test, estimators=10)
    assert found.disentanglement > 0.98 and found.completeness > 0.98 and found.informativeness > 0.98


def test_a_table_of_all_codes_is_looked_up_as_they_would_be_computed():
    encode = metrics.tabulate(perfect)
    factors = points(1000)
    np.testing.assert_array_equal(encode(factors), perfect(factors).numpy())
    assert len(metrics.tabulate(lambda f: factors_to_index(f)[:, None])(factors)) == 1000
    last = index_to_factors(torch.tensor([N_IMAGES - 1]))
    np.testing.assert_array_equal(encode(last), perfect(last).numpy())


# ---- errors


PUBLISHED = {  # the sizes of disentanglement_lib
    metrics.mig: {"bins": 20},
    metrics.modularity: {"bins": 20},
    metrics.mutual_information: {"bins": 20},
    metrics.dci: {"estimators": 100, "seed": 0},
    metrics.beta_vae_score: {"train": 10_000, "test": 5000, "pairs": 64, "seed": 0},
    metrics.factor_vae_score: {
        "train": 10_000, "test": 5000, "batch_size": 64, "variance_size": 10_000, "seed": 0
    },
}  # fmt: skip


@pytest.mark.parametrize("score", PUBLISHED, ids=lambda score: score.__name__)
def test_the_default_sizes_are_the_published_ones(score):
    options = inspect.signature(score).parameters.values()
    assert {p.name: p.default for p in options if p.default is not p.empty} == PUBLISHED[score]


CODES = perfect(points(100))
FACTORS = points(100)
CONSTANT = torch.where(torch.arange(5) == 2, 4, FACTORS)


@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (CODES, FACTORS[:-1], r"inconsistent numbers of samples: \[100, 99\]"),
        (CODES[:, 0], FACTORS, "Expected 2D array"),
        (CODES[:, :1], FACTORS, r"1 feature\(s\)"),
        (CODES * torch.nan, FACTORS, "Input codes contains NaN"),
        (CODES, FACTORS.float(), "factors is float32; expected integers"),
        (CODES, CONSTANT, r"factors\[:, 2\] has one value only; expected two or more"),
    ],
)
def test_codes_and_factors_that_cannot_be_scored_are_refused(codes, factors, message):
    with pytest.raises(ValueError, match=message):
        metrics.mig(codes, factors)
    with pytest.raises(ValueError, match=message):
        metrics.sap(CODES, FACTORS, codes, factors)


@pytest.mark.parametrize("score", [metrics.beta_vae_score, metrics.factor_vae_score])
def test_a_bad_encoder_is_named(score):
    with pytest.raises(ValueError, match="encode gave NaN"):
        score(lambda f: perfect(f) * torch.nan, 10, 10, 4)
    with pytest.raises(ValueError, match=r"gave \(\d+,\); expected \(B, latents\)"):
        score(lambda f: perfect(f)[:, 0], 10, 10, 4)
