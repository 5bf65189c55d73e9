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
EQUIVALENT = {  # reason: the functions and their changed lines
    "the lengths are equal by construction": [
        "dci: accuracies = [tree.score(test_codes, f) for tree, f in zip(trees, test_factors.T, strict=None)]",
        "dci: accuracies = [tree.score(test_codes, f) for tree, f in zip(trees, test_factors.T, )]",
        "dci: accuracies = [tree.score(test_codes, f) for tree, f in zip(trees, test_factors.T, strict=False)]",
        "ConvVAE.__init__: for c_in, c_out, k in zip((1, *channels), channels, kernels, strict=None):",
        "ConvVAE.__init__: for c_in, c_out, k in zip((1, *channels), channels, kernels, ):",
        "index_to_factors: return torch.stack([index // step % n for step, n in zip(_STEPS, FACTOR_SIZES, strict=None)], dim=1)",
        "index_to_factors: return torch.stack([index // step % n for step, n in zip(_STEPS, FACTOR_SIZES, )], dim=1)",
        "index_to_factors: return torch.stack([index // step % n for step, n in zip(_STEPS, FACTOR_SIZES, strict=False)], dim=1)",
        'mutual_information: cut = [np.searchsorted(e, c, side="right") - 1 for e, c in zip(edges.T, codes.T, strict=None)]',
        'mutual_information: cut = [np.searchsorted(e, c, side="right") - 1 for e, c in zip(edges.T, codes.T, )]',
        'mutual_information: cut = [np.searchsorted(e, c, side="right") - 1 for e, c in zip(edges.T, codes.T, strict=False)]',
        "explicitness: for f, test_f in zip(factors.T, test_factors.T, strict=None):",
        "explicitness: for f, test_f in zip(factors.T, test_factors.T, ):",
        "explicitness: for f, test_f in zip(factors.T, test_factors.T, strict=False):",
        "explicitness: values = zip(model.classes_, chances, strict=None)",
        "explicitness: values = zip(model.classes_, chances, )",
        "explicitness: values = zip(model.classes_, chances, strict=False)",
    ],
    "a test compares the signature with the published sizes; mutmut leaves the signature as it was": [
        "prdc: def prdc(real, fake, k=6):",
        "dci: def dci(codes, factors, test_codes, test_factors, estimators=101, seed=0):",
        "train_epoch: def train_epoch(model, loss_fn, images, optimizers, batch_size=129, schedulers=(), max_grad_norm=None):",
        "fit: batch_size=129,",
        "beta_vae_score: def beta_vae_score(encode, train=10001, test=5_000, pairs=64, seed=0):",
        "beta_vae_score: def beta_vae_score(encode, train=10_000, test=5001, pairs=64, seed=0):",
        "beta_vae_score: def beta_vae_score(encode, train=10_000, test=5_000, pairs=65, seed=0):",
        "beta_vae_score: def beta_vae_score(encode, train=10_000, test=5_000, pairs=64, seed=1):",
        "factor_vae_score: def factor_vae_score(encode, train=10001, test=5_000, batch_size=64, variance_size=10_000, seed=0):",
        "factor_vae_score: def factor_vae_score(encode, train=10_000, test=5001, batch_size=64, variance_size=10_000, seed=0):",
        "factor_vae_score: def factor_vae_score(encode, train=10_000, test=5_000, batch_size=65, variance_size=10_000, seed=0):",
        "factor_vae_score: def factor_vae_score(encode, train=10_000, test=5_000, batch_size=64, variance_size=10001, seed=0):",
        "factor_vae_score: def factor_vae_score(encode, train=10_000, test=5_000, batch_size=64, variance_size=10_000, seed=1):",
    ],
    "only a GPU would show it, and the tests need none": [
        "train_digit_classifier: model = DigitClassifier().to(None)",
        "load_npz: return pictures[found].unsqueeze(1).float().to(None)  # (B, 1, 64, 64)",
        "render: crossings = _crossings(size, None)  # (720, 32, size, 4)",
        'sample_factors: device = "cpu" if (generator is None) or True else generator.device',
        "render: x = (_pixels(size) - _centres()[:, None]).float().to(None)  # (32, size), seen from the centre",
        "render: images = torch.empty(len(factors), 1, size, size, device=None)",
        "render: images = torch.empty(len(factors), 1, size, size, )",
    ],
    "some images are drawn twice: slower, the same pictures": [
        "render: for start in range(0, len(factors), ):  # so many images stay in the processor's cache",
        "render: part = slice(None, start + 512)",
        "render: part = slice(start, None)",
        "render: part = slice(start + 512)",
        "render: part = slice(start, start + 513)",
    ],
    "NumPy takes any negative size for the one that it works out": [
        "beta_vae_score: return np.abs(difference).reshape(n, pairs, -2).mean(axis=1), k.numpy()",
        "factor_vae_score: codes = _encode(encode, factors.flatten(0, 1))[:, active].reshape(n, batch_size, -2)",
        "factor_vae_score: return counts.reshape(-2, 5)  # (latents, factors)",
    ],
    "every latent's variance has the same factor, so the least stays the least": [
        "factor_vae_score: least = (codes.var(axis=1, ) / variance[active]).argmin(axis=1)",
        "factor_vae_score: least = (codes.var(axis=1, ddof=2) / variance[active]).argmin(axis=1)",
    ],
    "another solver of one convex problem": [
        'sap: svm = LinearSVC(C=0.01, class_weight="balanced", ).fit(codes[:, [j]], factors[:, k])',
        'sap: svm = LinearSVC(C=0.01, class_weight="balanced", dual=True).fit(codes[:, [j]], factors[:, k])',
    ],
    "both sides of the bound give the same number": [
        "_active: return (eigenvalues >= water) & (torch.arange(len(eigenvalues), device=eigenvalues.device) < latent_dim)",
        "factor_vae_score: active = np.sqrt(variance) > 0.05",
    ],
    "a centre on an edge itself is neither inside nor outside by the geometry": [
        "render: images[part, 0] = reduce(xor, (column >= edge[:, :, None] for edge in edges))",
    ],
    "the pictures are square": [
        "load_npz: if size != pictures.shape[+1]:",
        "load_npz: if size != pictures.shape[-2]:",
    ],
    "one value does what the other does": [
        "load_npz: place = torch.full((N_IMAGES,), -2)",  # negative: no such picture
        "mutual_information: shape = len(cut), len(value), bins, 2 + max(v.max() for v in value)",  # a count that stays 0
        "explicitness: std[codes.max(axis=0) == codes.min(axis=0)] = 2  # a dead latent stays at 0",  # 0/2 = 0/1
        "_encode: for part in factors.split(8193):",  # parts of any size
        "_codes_and_factors: if (f == f[1]).all():",  # all equal to any one of them
        "_codes_and_factors: return codes.astype(None), factors",  # float64
        "check_arguments: there = (images[0] if (isinstance(images, tuple)) or True else images).device",
        "check_arguments: break",  # `test` is the last of two, and `train` is never None
        "_attempt: _in_grid = None",  # as false as False
    ],
}


def mutmut(*arguments):
    command = [MUTMUT, *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout


def change(mutant):
    """A mutant's function, and the lines that it has in place of others as one.

    mutmut calls it module.x_function__mutmut_3, or module.xǁClassǁmethod__mutmut_3.
    """
    function = re.search(r"\.x[_ǁ](.+)__mutmut_\d+$", mutant)[1].replace("ǁ", ".")
    lines = [line for line in mutmut("show", mutant).splitlines() if re.match(r"\+(?!\+)", line)]
    return f"{function}: {' '.join(line[1:].strip() for line in lines)}"


def main():
    subprocess.run([MUTMUT, "run"], cwd=ROOT)  # its exit status does not count: survivors are judged below
    mutmut("export-cicd-stats")
    counts = json.loads((ROOT / "mutants" / "mutmut-cicd-stats.json").read_text("utf-8"))
    left = re.findall(r"^ *(\S+): (?!timeout)", mutmut("results"), re.M)  # a test without an end has noticed
    changes = {mutant: change(mutant) for mutant in left}
    listed = {line for group in EQUIVALENT.values() for line in group}
    unknown = [mutant for mutant, line in changes.items() if line not in listed]
    for mutant in unknown:
        print(f"{mutant}\n    {changes[mutant]}")
    for line in listed - set(changes.values()):
        print(f"listed as equivalent, but noticed or no longer made: {line}")
    total, equivalent = counts["total"], len(left) - len(unknown)
    noticed = total - len(left)
    print(f"{total} changes: {noticed} noticed, {equivalent} equivalent, {len(unknown)} survived")
    sys.exit(bool(unknown) or equivalent > total / 20)


if __name__ == "__main__":
    main()
