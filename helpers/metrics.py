"""Scores of samples, from 01_autoencoder on.

The Fréchet distance is taken in the features of a digit classifier that is trained here, so it is not
comparable with a FID in Inception features: always show it beside its floor, the distance between two sets
of real images of the same size. `prdc` asks what is wrong with samples, from 07_vae_and_gan.
"""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from helpers.training import fit


class DigitClassifier(nn.Module):
    """A small convolutional classifier: images (B, 1, 28, 28) → logits (B, 10); its features are 64 wide."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(),  # (B, 16, 14, 14)
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),  # (B, 32, 7, 7)
            nn.Flatten(), nn.Linear(32 * 7 * 7, 64),
        )  # fmt: skip
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(64, 10))

    def features(self, x):
        return self.body(x)  # (B, 64)

    def forward(self, x):
        return self.head(self.features(x))  # logits (B, 10)


def classification_loss(model, x):
    """Cross-entropy in nats per image on a pair (images, labels): → loss, terms with the share of errors."""
    images, labels = x
    logits = model(images)
    error = (logits.argmax(dim=1) != labels).float().mean()
    return F.cross_entropy(logits, labels), {"error": error}


def train_digit_classifier(images, labels, epochs=5, batch_size=64):
    """Train and return a `DigitClassifier` on images (N, 1, 28, 28) in [0, 1] and labels (N,) of 0 to 9.

    Adam with a one-cycle learning rate; the random state is the caller's.
    """
    model = DigitClassifier().to(images.device)
    adam = torch.optim.Adam(model.parameters())  # its rate is the schedule's
    steps = epochs * -(-len(images) // batch_size)
    one_cycle = torch.optim.lr_scheduler.OneCycleLR(adam, max_lr=3e-3, total_steps=steps)
    fit(
        model, classification_loss, (images, labels),
        optimizers=[adam], schedulers=[one_cycle], epochs=epochs, batch_size=batch_size,
        title="digit classifier",
    )  # fmt: skip
    return model.eval()


@torch.no_grad()
def accuracy(classifier, images, labels):
    """The share of images (N, 1, 28, 28) that the classifier gives their label (N,)."""
    return (classifier(images).argmax(dim=1) == labels).float().mean().item()


def frechet_distance(features_a, features_b):
    """‖μa − μb‖² + tr(Σa + Σb − 2(ΣaΣb)^½) between two sets of features (N, F) and (M, F); in float64.

    The squared Wasserstein-2 distance of the Gaussians with their means and covariances (divided by N − 1).
    Needs more samples than features, since fewer leave the covariances singular. Raises ValueError on fewer,
    on sets of different widths, and on numbers that are not finite. Source: Heusel et al. 2017, eq. 6;
    the arithmetic of torch-fidelity.
    """
    a, b = _features(features_a, "features_a"), _features(features_b, "features_b")
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"features_a has {a.shape[1]} features and features_b {b.shape[1]}; "
            "expected the same number: take both from one classifier"
        )
    cov_a, cov_b = (torch.atleast_2d(torch.cov(x.T)) for x in (a, b))  # (F, F)
    # The trace of (ΣaΣb)^½ is the sum of the roots of its eigenvalues, which are real and not negative.
    roots = torch.linalg.eigvals(cov_a @ cov_b).real.clamp(min=0).sqrt()  # (F,)
    shift = ((a.mean(dim=0) - b.mean(dim=0)) ** 2).sum()
    return (shift + cov_a.trace() + cov_b.trace() - 2 * roots.sum()).item()


class PRDC(NamedTuple):
    """The four scores of `prdc`."""

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real, fake, k=5):
    """Precision, recall, density and coverage of features: real (N, F), fake (M, F) → `PRDC`, in float64.

    Each sample owns a ball that reaches its k-th nearest neighbour in its own set; a border is outside.
    Precision is the share of fakes inside some real ball, recall the share of reals inside some fake one;
    density the mean number of real balls around a fake, over k, and coverage the share of real balls that
    hold a fake. Raises ValueError for features that do not fit and for k outside 1 to the smaller set − 1.
    Kynkäänniemi et al., NeurIPS 2019; Naeem et al., ICML 2020, whose code `prdc` this agrees with.
    """
    real, fake = _samples(real, "real"), _samples(fake, "fake")
    if real.shape[1] != fake.shape[1]:
        raise ValueError(
            f"real has {real.shape[1]} features and fake {fake.shape[1]}; "
            "expected the same number: take both from one classifier"
        )
    if not 1 <= k < min(len(real), len(fake)):
        raise ValueError(
            f"k is {k}; expected 1 to {min(len(real), len(fake)) - 1}, one less than the samples"
        )
    real_radius, fake_radius = (torch.cdist(x, x).kthvalue(k + 1).values for x in (real, fake))  # 0 is itself
    distance = torch.cdist(real, fake)  # (N, M)
    in_real, in_fake = distance < real_radius[:, None], distance < fake_radius
    return PRDC(
        precision=in_real.any(dim=0).double().mean().item(),
        recall=in_fake.any(dim=1).double().mean().item(),
        density=in_real.sum().item() / (k * len(fake)),
        coverage=(distance.amin(dim=1) < real_radius).double().mean().item(),
    )


def _features(features, name):
    features = _samples(features, name)
    samples, width = features.shape
    if samples <= width:
        raise ValueError(
            f"{name} has {samples} samples of {width} features; expected more samples than that: draw more"
        )
    return features


def _samples(features, name):
    features = torch.as_tensor(features).detach().cpu().double()  # float64 is missing on some devices
    if features.ndim != 2:
        raise ValueError(f"{name} has the shape {tuple(features.shape)}; expected (samples, features)")
    if not features.isfinite().all():
        raise ValueError(f"{name} holds NaN or infinity; expected finite numbers: look at the images first")
    return features
