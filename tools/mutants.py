"""Change the helpers' code in two thousand ways, and list the changes that no test notices (`make mutants`).

mutmut makes the changes; its settings stand in pyproject.toml. A change that no test can notice is listed here
with the reason; at most one in twenty may be. An entry is a function and the changed statement, compared as a
syntax tree, so that comments and layout do not matter; `function: def` stands for its whole signature.
"""

import ast
import json
import re
import subprocess
import sys
from difflib import ndiff
from pathlib import Path

from notebook_files import ROOT

MUTANTS = ROOT / "mutants"
MUTMUT = Path(sys.executable).with_name("mutmut")
EQUIVALENT = {  # reason: functions and their changed statements; strict=True stands for what zip does without it
    "the lengths are equal by construction": [
        "dci: accuracies = [tree.score(test_codes, f) for tree, f in zip(trees, test_factors.T, strict=True)]",
        "index_to_factors: return torch.stack([index // step % n for step, n in zip(_STEPS, FACTOR_SIZES, strict=True)], dim=1)",
        "explicitness: for f, test_f in zip(factors.T, test_factors.T, strict=True):",
        "explicitness: values = zip(model.classes_, chances, strict=True)",
    ],
    "a test compares the signature with the published sizes; mutmut leaves the signature as it was": [
        "prdc: def",
        "dci: def",
        "train_epoch: def",
        "fit: def",
        "beta_vae_score: def",
        "factor_vae_score: def",
    ],
    "only a GPU would show it, and the tests need none": [
        "train_digit_classifier: model = DigitClassifier().to(None)",
        "render: crossings = _crossings(size, None)",
        'sample_factors: device = "cpu" if (generator is None) or True else generator.device',
        "render: x = (_pixels(size) - _centres()[:, None]).float().to(None)",
        "render: images = torch.empty(len(factors), 1, size, size, device=None)",
        "render: images = torch.empty(len(factors), 1, size, size)",
    ],
    "some images are drawn twice: slower, the same pictures": [
        "render: for start in range(0, len(factors)):",
        "render: part = slice(None, start + 512)",
        "render: part = slice(start, None)",
        "render: part = slice(start + 512)",
        "render: part = slice(start, start + 513)",
    ],
    "NumPy takes any negative size for the one that it works out": [
        "beta_vae_score: return np.abs(difference).reshape(n, pairs, -2).mean(axis=1), k.numpy()",
        "factor_vae_score: codes = _encode(encode, factors.flatten(0, 1))[:, active].reshape(n, batch_size, -2)",
        "factor_vae_score: return counts.reshape(-2, 5)",
    ],
    "every latent's variance has the same factor, so the least stays the least": [
        "factor_vae_score: least = (codes.var(axis=1) / variance[active]).argmin(axis=1)",
        "factor_vae_score: least = (codes.var(axis=1, ddof=2) / variance[active]).argmin(axis=1)",
    ],
    "another solver of one convex problem": [
        'sap: svm = LinearSVC(C=0.01, class_weight="balanced").fit(codes[:, [j]], factors[:, k])',
        'sap: svm = LinearSVC(C=0.01, class_weight="balanced", dual=True).fit(codes[:, [j]], factors[:, k])',
    ],
    "both sides of the bound give the same number": [
        "_active: return (eigenvalues >= water) & (torch.arange(len(eigenvalues), device=eigenvalues.device) < latent_dim)",
        "factor_vae_score: active = np.sqrt(variance) > 0.05",
    ],
    "a centre on an edge itself is neither inside nor outside by the geometry": [
        "render: images[part, 0] = reduce(xor, (column >= edge[:, :, None] for edge in edges))",
    ],
    "one value does what the other does": [
        "explicitness: std[codes.max(axis=0) == codes.min(axis=0)] = 2  # a dead latent stays at 0",  # 0/2 = 0/1
        "_encode: for part in factors.split(8193):",  # parts of any size
        "_codes_and_factors: return codes.astype(None), factors",  # float64
    ],
}


def mutmut(*arguments):
    command = [MUTMUT, *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout


def normal(code):
    """One statement, or the first line of a compound one, without its layout and comments."""
    body = " pass" if code.split("#")[0].rstrip().endswith(":") else ""
    return ast.unparse(ast.parse(code.split("  # ")[0] + body)).splitlines()[0]


def listed():
    """The entries of EQUIVALENT in normal form; an entry with strict=True stands for its three other forms."""
    found = set()
    for entry in (entry for group in EQUIVALENT.values() for entry in group):
        function, code = entry.split(": ", 1)
        others = ("strict=None", "strict=False", "")
        forms = [code.replace("strict=True", other) for other in others] if "strict=True" in code else [code]
        found |= {f"{function}: {form if form == 'def' else normal(form)}" for form in forms}
    return found


def change(mutant):
    """A mutant's function and its changed statement, in the form of `listed`.

    mutmut names it module.x_function__mutmut_3 or module.xǁClassǁmethod__mutmut_3, and keeps the code before the
    change under the same name with `orig` at the end.
    """
    module, name = mutant.rsplit(".", 1)
    tree = ast.parse((MUTANTS / f"{module.replace('.', '/')}.py").read_text("utf-8"))
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    before, after = functions[re.sub(r"\d+$", "orig", name)], functions[name]
    before.name = after.name
    lines = ndiff(ast.unparse(before).splitlines(), ast.unparse(after).splitlines())
    statement = " ".join(line[2:].strip() for line in lines if line.startswith("+ "))
    function = re.match(r"x[_ǁ](.+)__mutmut_\d+$", name)[1].replace("ǁ", ".")
    return f"{function}: {'def' if statement.startswith('def ') else statement}"


def main():
    subprocess.run([MUTMUT, "run"], cwd=ROOT)  # its exit status does not count: survivors are judged below
    mutmut("export-cicd-stats")
    total = json.loads((MUTANTS / "mutmut-cicd-stats.json").read_text("utf-8"))["total"]
    left = re.findall(r"^ *(\S+): (?!timeout)", mutmut("results"), re.M)  # a test without an end has noticed
    changes = {mutant: change(mutant) for mutant in left}
    known = listed()
    unknown = [mutant for mutant, statement in changes.items() if statement not in known]
    for mutant in unknown:
        print(f"{mutant}\n    {changes[mutant]}")
    for statement in known - set(changes.values()):
        print(f"listed as equivalent, but noticed or no longer made: {statement}")
    equivalent = len(left) - len(unknown)
    print(f"{total} changes: {total - len(left)} noticed, {equivalent} equivalent, {len(unknown)} survived")
    sys.exit(bool(unknown) or equivalent > total / 20)


if __name__ == "__main__":
    main()
