"""Change the helpers' code in two thousand ways, and list the changes that no test notices (`make mutants`).

mutmut makes the changes; its settings stand in pyproject.toml. A change that no test can notice is listed
here, with the reason; at most one in twenty may be.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from notebook_files import ROOT

MUTMUT = Path(sys.executable).with_name("mutmut")
EQUIVALENT = {  # reason: the changed lines
    "the lengths are equal by construction": [
        "accuracies = [tree.score(test_codes, f) for tree, f in zip(trees, test_factors.T, strict=None)]",
        "accuracies = [tree.score(test_codes, f) for tree, f in zip(trees, test_factors.T, )]",
        "accuracies = [tree.score(test_codes, f) for tree, f in zip(trees, test_factors.T, strict=False)]",
        "for c_in, c_out, k in zip((1, *channels), channels, kernels, strict=None):",
        "for c_in, c_out, k in zip((1, *channels), channels, kernels, ):",
        "return torch.stack([index // step % n for step, n in zip(_STEPS, FACTOR_SIZES, strict=None)], dim=1)",  # noqa: E501
        "return torch.stack([index // step % n for step, n in zip(_STEPS, FACTOR_SIZES, )], dim=1)",
        "return torch.stack([index // step % n for step, n in zip(_STEPS, FACTOR_SIZES, strict=False)], dim=1)",  # noqa: E501
        'cut = [np.searchsorted(e, c, side="right") - 1 for e, c in zip(edges.T, codes.T, strict=None)]',
        'cut = [np.searchsorted(e, c, side="right") - 1 for e, c in zip(edges.T, codes.T, )]',
        'cut = [np.searchsorted(e, c, side="right") - 1 for e, c in zip(edges.T, codes.T, strict=False)]',
        "for f, test_f in zip(factors.T, test_factors.T, strict=None):",
        "for f, test_f in zip(factors.T, test_factors.T, ):",
        "for f, test_f in zip(factors.T, test_factors.T, strict=False):",
        "values = zip(model.classes_, chances, strict=None)",
        "values = zip(model.classes_, chances, )",
        "values = zip(model.classes_, chances, strict=False)",
    ],
    "a test compares the signature with the published sizes; mutmut leaves the signature as it was": [
        "def dci(codes, factors, test_codes, test_factors, estimators=101, seed=0):",
        "def train_epoch(model, loss_fn, images, optimizers, batch_size=129, schedulers=(), max_grad_norm=None):",  # noqa: E501
        "batch_size=129,",
        "def beta_vae_score(encode, train=10001, test=5_000, pairs=64, seed=0):",
        "def beta_vae_score(encode, train=10_000, test=5001, pairs=64, seed=0):",
        "def beta_vae_score(encode, train=10_000, test=5_000, pairs=65, seed=0):",
        "def beta_vae_score(encode, train=10_000, test=5_000, pairs=64, seed=1):",
        "def factor_vae_score(encode, train=10001, test=5_000, batch_size=64, variance_size=10_000, seed=0):",
        "def factor_vae_score(encode, train=10_000, test=5001, batch_size=64, variance_size=10_000, seed=0):",
        "def factor_vae_score(encode, train=10_000, test=5_000, batch_size=65, variance_size=10_000, seed=0):",  # noqa: E501
        "def factor_vae_score(encode, train=10_000, test=5_000, batch_size=64, variance_size=10001, seed=0):",
        "def factor_vae_score(encode, train=10_000, test=5_000, batch_size=64, variance_size=10_000, seed=1):",  # noqa: E501
    ],
    "only a GPU would show it, and the tests need none": [
        "model = DigitClassifier().to(None)",
        "return pictures[found].unsqueeze(1).float().to(None)  # (B, 1, 64, 64)",
        "crossings = _crossings(size, None)  # (720, 32, size, 4)",
        'device = "cpu" if (generator is None) or True else generator.device',
        "x = (_pixels(size) - _centres()[:, None]).float().to(None)  # (32, size), seen from the centre",
        "images = torch.empty(len(factors), 1, size, size, device=None)",
        "images = torch.empty(len(factors), 1, size, size, )",
    ],
    "some images are drawn twice: slower, the same pictures": [
        "for start in range(0, len(factors), ):  # so many images stay in the processor's cache",
        "part = slice(None, start + 512)",
        "part = slice(start, None)",
        "part = slice(start + 512)",
        "part = slice(start, start + 513)",
    ],
    "NumPy takes any negative size for the one that it works out": [
        "return np.abs(difference).reshape(n, pairs, -2).mean(axis=1), k.numpy()",
        "codes = _encode(encode, factors.flatten(0, 1))[:, active].reshape(n, batch_size, -2)",
        "return counts.reshape(-2, 5)  # (latents, factors)",
    ],
    "every latent's variance has the same factor, so the least stays the least": [
        "least = (codes.var(axis=1, ) / variance[active]).argmin(axis=1)",
        "least = (codes.var(axis=1, ddof=2) / variance[active]).argmin(axis=1)",
    ],
    "another solver of one convex problem": [
        'svm = LinearSVC(C=0.01, class_weight="balanced", ).fit(codes[:, [j]], factors[:, k])',
        'svm = LinearSVC(C=0.01, class_weight="balanced", dual=True).fit(codes[:, [j]], factors[:, k])',
    ],
    "both sides of the bound give the same number": [
        "return (eigenvalues >= water) & "
        "(torch.arange(len(eigenvalues), device=eigenvalues.device) < latent_dim)",
        "active = np.sqrt(variance) > 0.05",
    ],
    "a centre on an edge itself is neither inside nor outside by the geometry": [
        "images[part, 0] = reduce(xor, (column >= edge[:, :, None] for edge in edges))",
    ],
    "the pictures are square": [
        "if size != pictures.shape[+1]:",
        "if size != pictures.shape[-2]:",
    ],
    "one value does what the other does": [
        "place = torch.full((N_IMAGES,), -2)",  # negative: no such picture
        "shape = len(cut), len(value), bins, 2 + max(v.max() for v in value)",  # a count that stays 0
        "std[codes.max(axis=0) == codes.min(axis=0)] = 2  # a dead latent stays at 0",  # 0/2 = 0/1
        "for part in factors.split(8193):",  # parts of any size
        "if (f == f[1]).all():",  # all equal to any one of them
        "return codes.astype(None), factors",  # float64
        "there = (images[0] if (isinstance(images, tuple)) or True else images).device",
        "break",  # `test` is the last of two, and `train` is never None
        "_in_grid = None",  # as false as False
    ],
}


def mutmut(*arguments):
    command = [MUTMUT, *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout


def changed_line(mutant):
    """The lines that a mutant has in place of others, as one."""
    lines = [line for line in mutmut("show", mutant).splitlines() if re.match(r"\+(?!\+)", line)]
    return " ".join(line[1:].strip() for line in lines)


def main():
    subprocess.run([MUTMUT, "run"], cwd=ROOT)  # its exit status does not count: survivors are judged below
    mutmut("export-cicd-stats")
    counts = json.loads((ROOT / "mutants" / "mutmut-cicd-stats.json").read_text("utf-8"))
    left = re.findall(r"^ *(\S+): (?!timeout)", mutmut("results"), re.M)  # a test without an end has noticed
    lines = {mutant: changed_line(mutant) for mutant in left}
    listed = {line for group in EQUIVALENT.values() for line in group}
    unknown = [mutant for mutant, line in lines.items() if line not in listed]
    for mutant in unknown:
        print(f"{mutant}\n    {lines[mutant]}")
    for line in listed - set(lines.values()):
        print(f"listed as equivalent, but noticed or no longer made: {line}")
    total, equivalent = counts["total"], len(left) - len(unknown)
    noticed = total - len(left)
    print(f"{total} changes: {noticed} noticed, {equivalent} equivalent, {len(unknown)} survived")
    sys.exit(bool(unknown) or equivalent > total / 20)


if __name__ == "__main__":
    main()
