"""Scores of samples. Used from 01_autoencoder (Fréchet distance) and 07_vae_and_gan (`prdc`) on.

The Fréchet distance uses the features of a digit classifier that is trained here, so it is not comparable with a
FID in Inception features. Always show its floor, the distance between two sets of real images of the same size.
"""

from typing import NamedTuple

import numpy as np
import torch
from sklearn.utils import check_array
from torch import nn
from torch.nn import functional as F

from helpers.training import fit


class DigitClassifier(nn.Module):
    """A small convolutional classifier: images (B, 1, 28, 28) → logits (B, 10); it has 64 features."""

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
    """Return the cross-entropy on a pair (images, labels): → loss, terms with the share of errors, nats per image."""
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
    """Return the share of images (N, 1, 28, 28) to which the classifier gives their label (N,)."""
    return (classifier(images).argmax(dim=1) == labels).float().mean().item()


def frechet_distance(features_a, features_b):
    """Return ‖μa − μb‖² + tr(Σa + Σb − 2(ΣaΣb)^½) between two sets of features (N, F) and (M, F), in float64.

    This is the squared Wasserstein-2 distance of two Gaussians with the means and covariances of the sets.
    Raises ValueError if a set has no more samples than features (its covariance is then singular), if the widths
    differ, and if a number is not finite. Heusel et al. 2017, eq. 6; the arithmetic of torch-fidelity.
    """
    a, b = _pair(features_a, features_b, "features_a", "features_b")
    if (fewest := min(len(a), len(b))) <= a.shape[1]:
        raise ValueError(
            f"{fewest} samples of {a.shape[1]} features; expected more samples than features: draw more"
        )
    cov_a, cov_b = (torch.atleast_2d(torch.cov(x.T)) for x in (a, b))  # (F, F)
    # The trace of (ΣaΣb)^½ is the sum of the roots of its eigenvalues, which are real and not negative.
    roots = torch.linalg.eigvals(cov_a @ cov_b).real.clamp(min=0).sqrt()  # (F,)
    shift = ((a.mean(dim=0) - b.mean(dim=0)) ** 2).sum()
    distance = shift + cov_a.trace() + cov_b.trace() - 2 * roots.sum()
    return max(distance.item(), 0.0)  # rounding leaves less than 0 if the features have a low rank


class PRDC(NamedTuple):
    """The four scores of `prdc`."""

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real, fake, k=5):
    """Return precision, recall, density and coverage of features: real (N, F), fake (M, F) → `PRDC`, in float64.

    The ball of a sample reaches its k-th nearest neighbour in its own set, border excluded. Precision is the share
    of fakes in some real ball, recall the share of reals in some fake ball, density the mean number of real balls
    around a fake divided by k, and coverage the share of real balls that contain a fake.
    Raises ValueError for features that do not fit and for k outside 1 to the smaller set − 1.
    Kynkäänniemi et al., NeurIPS 2019; Naeem et al., ICML 2020, with whose code `prdc` it agrees.
    """
    real, fake = _pair(real, fake, "real", "fake")
    most = min(len(real), len(fake)) - 1
    if not 1 <= k <= most:
        raise ValueError(f"k is {k}; expected 1 to {most}, one less than the samples")
    real_radius, fake_radius = (torch.cdist(x, x).kthvalue(k + 1).values for x in (real, fake))  # 0 is itself
    distance = torch.cdist(real, fake)  # (N, M)
    in_real, in_fake = distance < real_radius[:, None], distance < fake_radius
    return PRDC(
        precision=in_real.any(dim=0).double().mean().item(),
        recall=in_fake.any(dim=1).double().mean().item(),
        density=in_real.sum().item() / (k * len(fake)),
        coverage=(distance.amin(dim=1) < real_radius).double().mean().item(),
    )


def _pair(features_a, features_b, name_a, name_b):
    """Two sets of features of one width as float64 tensors on the CPU, since other devices may lack the type."""
    a, b = (
        check_array(torch.as_tensor(features).detach().cpu().numpy(), dtype=np.float64, input_name=name)
        for features, name in ((features_a, name_a), (features_b, name_b))
    )
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"{name_a} has {a.shape[1]} features and {name_b} {b.shape[1]}; expected one classifier's features"
        )
    return torch.from_numpy(a), torch.from_numpy(b)
