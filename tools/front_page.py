"""Write the parts of README.md that show numbers and pictures: measured, times, gallery (`make readme`).

They come from figures/results.json, from the first cells of the notebooks and from the pictures in figures/.
A test compares README with what this program writes.
"""

import json
import re
from pathlib import Path
from statistics import median

import matplotlib.pyplot as plt
import nbformat
from matplotlib.ticker import LogLocator

from helpers import plots
from helpers.download import write

ROOT = Path(__file__).resolve().parents[1]
RACE = "time_to_number.png"
RECIPES = {  # label: the rows of results.json that are its points
    "Adam, 1e-3": r"time_to_number( (adam|ours)=\d+)*/adam \d+ epochs nll",
    "ours": r"time_to_number( (adam|ours)=\d+)*/ours \d+ epochs nll|likelihood/nll",
}
CAPTION = (
    "*Time to a number.* One network and one loop, seconds of training on two CPU threads. Adam: a constant\n"
    "1e-3, batches of 128, one run. Ours: Muon and Adam, batches of 512, rates that end at 0, other initial\n"
    "weights, the path-derivative gradient, bfloat16 products; each point is its own run, the last the mean\n"
    "of three seeds, whose spread is smaller than its mark.\n"
)

# The alternative text of each picture in figures/; the most important picture comes first.
PICTURES = {
    RACE: "Nats against seconds of training, by Adam and by our recipe, with the published number",
    "01_samples.png": "Digits, and what an autoencoder makes of codes drawn at random",
    "02_gap.gif": "A film: gradient ascent moves q until it covers the posterior as well as a Gaussian can",
    "03_side_by_side.png": "Autoencoder and VAE in rows: reconstructions, draws from N(0, I), "
    "digits, mostly, only from the VAE, and the way from a 1 to a 7",
    "03_manifold.png": "Digits decoded on a grid over the latent plane, beside training images averaged by "
    "where they are coded",
    "04_optimisers.png": "Test loss of six optimisers against the images seen, and against the seconds",
    "04_likelihoods.png": "What decoders of six likelihoods make of draws from the prior: means, and "
    "pixels drawn; with σ = 1 the pixels are noise",
    "06_traversals.png": "Sprites, one latent in each row from −3 to 3: two move the sprite, one changes its size",
    "06_rate_distortion.png": "Distortion against rate for three β, on sprites and on digits; shaded, for "
    "sprites, the region that no model can reach",
    "06_scores.png": "Seven disentanglement scores against β, with their spread over seeds",
    "06_reconstructions.png": "Sprites, and what three β leave of them: the outline goes first, "
    "the place stays longest",
    "07_side_by_side.png": "Autoencoder, VAE, β-VAE, GAN and VAE-GAN in rows: samples and reconstructions",
    "02_gap_strip.png": "Prior, posterior and q at five steps of gradient ascent: the gap falls, the KL "
    "to the prior rises",
    "02_gaps.png": "Three encoders against the best Gaussian for each x; bars split what they lose into "
    "approximation and amortization gap",
    "02_linear_vae.png": "The −ELBO of a linear VAE falls to the exact −log p(x) of pPCA; the columns of W "
    "lie along the top eigenvectors",
    "bench_growth.png": "Time of the helpers against images, latents, draws and image size",
}


def picture(name):
    return f"![{PICTURES[name]}](figures/{name})"


def rows(root):
    """The rows of figures/results.json; none if the file does not exist."""
    path = root / "figures" / "results.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def measured(root):
    """The table of our measurements beside the published ones, and the picture of the race."""
    found = rows(root)
    shown = {name: row for name, row in found.items() if row["source"]}
    if not shown:
        return "Nothing yet: `make experiments NAMES=likelihood` writes figures/results.json."
    lines = ["| | published | ours | seeds | data | device | a seed |", "|---|---|---|---|---|---|---|"]
    for name, row in shown.items():
        ours = f"{row['mean']:.4g}" + (f" ± {row['sd']:.2f}" if row["sd"] is not None else "")
        cells = [name.replace("/", ": "), f"{row['published']:g}", ours, f"{len(row['seeds'])}"]
        cells += [row["data"], row["device"], f"{median(row['seconds']) / 60:.0f} min"]
        if training := found.get(f"{name.split('/')[0]}/training seconds"):
            cells[-1] += f", training {median(training['values']) / 60:.1f}"
        lines.append(f"| {' | '.join(cells)} |")
    legend = "nll: nats per image. ±: the standard deviation over the seeds."
    lines += ["", f"{legend} A seed: the median time, since some runs shared the machine.", ""]
    for command, source in dict.fromkeys((row["command"], row["source"]) for row in shown.values()):
        lines.append(f"- `{command}`; published: {source}")
    if (root / "figures" / RACE).exists():
        lines += ["", picture(RACE), "", CAPTION + outcome(found)]
    return "\n".join(lines)


def times(root):
    """Each notebook with its question and its minutes, as its first cell states them."""
    lines = ["| notebook | question | reading | running | quick |", "|---|---|---|---|---|"]
    for path in sorted(root.glob("notebooks/[0-9][0-9]_*.ipynb")):
        opening = nbformat.read(path, as_version=4).cells[0].source
        title = re.match("# (.+)", opening)[1]
        question = re.search(r"\*\*Question\.\*\* (.+?\?)", opening)[1]
        spent = re.search(r"Reading: (.+?) · Running: (.+?) \(full\), (.+?) \(quick\)", opening).groups()
        lines.append(f"| [{title}](notebooks/{path.name}) | {' | '.join([question, *spent])} |")
    return "\n".join(lines)


def gallery(root):
    """The pictures of figures/ in two columns, each with the notebook or the command that makes it."""
    cells = []
    for name in PICTURES:
        if name != RACE and (root / "figures" / name).exists():
            maker = next(root.glob(f"notebooks/{name[:2]}_*.ipynb"), None)
            link = f"[{name[:2]}](notebooks/{maker.name})" if maker else "`make bench`"
            cells.append(f"{picture(name)}<br>{link}")
    pairs = zip(cells[::2], [*cells[1::2], ""], strict=False)
    return "\n".join(["| | |", "|---|---|", *(f"| {left} | {right} |" for left, right in pairs)])


def filled(root):
    """README's text with its three parts written anew."""
    text = (root / "README.md").read_text("utf-8")
    for part in (measured, times, gallery):
        before, after = f"<!-- {part.__name__} -->\n", f"\n<!-- /{part.__name__} -->"
        start = text.index(before) + len(before)
        text = text[:start] + part(root) + text[text.index(after, start) :]
    return text


def race(found):
    """Each recipe's points in the rows of results.json: (seconds of training, nats, their deviation)."""
    points = {recipe: [] for recipe in RECIPES}
    for recipe, pattern in RECIPES.items():
        for name in filter(re.compile(pattern).fullmatch, found):
            seconds, nats = found[name.replace("nll", "training seconds")], found[name]
            points[recipe].append((median(seconds["values"]), nats["mean"], nats["sd"] or 0))
    return {recipe: sorted(found) for recipe, found in points.items() if found}


def outcome(found):
    """What came out of the race: when our recipe reaches the published number, and where Adam is by then."""
    adam, ours = race(found).values()
    published = found["likelihood/nll"]["published"]
    reached = next(seconds for seconds, nats, _ in ours if nats <= published)
    _, nats, _ = min(adam, key=lambda point: abs(point[0] - reached))
    return (
        f"Our recipe reaches the published {published} nats in {reached / 60:.0f} minutes; "
        f"Adam is then still at {nats:.1f}."
    )


def draw_race(root):
    """Write figures/time_to_number.png if results.json has points of both recipes."""
    found = rows(root)
    points = race(found)
    if len(points) < len(RECIPES):
        return
    _, ax = plt.subplots(figsize=(8, 4))
    for (recipe, line), style in zip(points.items(), ("o-", "s-"), strict=True):
        seconds, nats, spread = zip(*line, strict=True)
        ax.errorbar(seconds, nats, spread, fmt=style, capsize=3, label=recipe)
    number = found["likelihood/nll"]["published"]
    ax.axhline(number, color="0.4", ls=":", label=f"published: {number}")
    ax.set(
        xscale="log", xlabel="seconds of training, two CPU threads", ylabel="−log p(x) of test images, nats"
    )
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.minorticks_off()
    ax.legend()
    plt.savefig(root / "figures" / RACE, bbox_inches="tight", metadata={"Software": None})
    plt.close()


if __name__ == "__main__":
    plots.set_style()
    draw_race(ROOT)
    write(ROOT / "README.md", filled(ROOT).encode())
