"""How fast the helpers are, as ratios against the obvious way, each pair measured in turns on this machine.

`make bench` prints the table and draws figures/bench_growth.png. The scores are compared with the plain loops of
the tests, so `tests` must be in PYTHONPATH. Nothing is asserted, since another program on the machine must not
fail a test.
"""

import argparse
import ctypes
import io
import math
import re
import sys
import time
import warnings
from contextlib import redirect_stdout
from functools import partial
from inspect import signature
from pathlib import Path
from statistics import median

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from test_disentanglement import perfect, plain_beta_vae, plain_factor_vae
from test_sprites import disagreements
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from helpers import disentanglement as metrics, plots
from helpers.data import batches
from helpers.losses import importance_weighted_nll, negative_elbo
from helpers.models import VAE
from helpers.sprites import render, sample_factors
from helpers.training import fit

BATCH = 128
PICTURE = Path(__file__).resolve().parents[1] / "figures" / "bench_growth.png"
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")  # not the scores': they are NumPy's


def race(ours, other, turns):
    """Run two functions in turns, after one that does not count: → median seconds of each, median ratio."""
    times = []
    for turn in range(turns + 1):
        pair = {function: seconds(function) for function in ((ours, other), (other, ours))[turn % 2]}
        times.append((pair[ours], pair[other]))
    return *map(median, zip(*times[1:], strict=True)), median(b / a for a, b in times[1:])


def seconds(function):
    start = time.perf_counter()
    with redirect_stdout(io.StringIO()):
        function()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


# ---- Training: the VAE 784-400-20 on grey pixels, an epoch with Adam


def digits(n):
    """Grey images that look enough like digits for a clock: (n, 1, 28, 28)."""
    ink = torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    return (2 * ink - 1).clamp(min=0).to(DEVICE)


def vae(latents=20):
    torch.manual_seed(0)
    model = VAE(latents, hidden=(400,)).to(DEVICE)
    return model, torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)


def train_with_fit(images, latents=20):
    model, adam = vae(latents)
    history = fit(model, negative_elbo, images, optimizers=[adam], epochs=1, batch_size=BATCH)
    return history.train["loss"][-1]


def train_with_a_bare_loop(images):
    model, adam = vae()
    for x in batches(images, BATCH):
        loss, _ = negative_elbo(model, x)
        adam.zero_grad()
        loss.backward()
        adam.step()


class Pictures(Dataset):
    """A data set as torchvision has it: each picture is opened and transformed when it is asked for."""

    def __init__(self, images):
        self.pixels = (255 * images).round().byte()[:, 0].cpu()  # (N, 28, 28)
        self.labels = torch.zeros(len(images), dtype=torch.long)

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, i):
        return to_tensor(Image.fromarray(self.pixels[i].numpy())), int(self.labels[i])


def to_tensor(pic):
    """torchvision's transforms.ToTensor without its logging: the package does not import here."""
    if not isinstance(pic, (Image.Image, np.ndarray)):
        raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}")
    default_float_dtype = torch.get_default_dtype()
    mode_to_nptype = {"I": np.int32, "I;16": np.int16, "F": np.float32}
    img = torch.from_numpy(np.array(pic, mode_to_nptype.get(pic.mode, np.uint8), copy=True))
    if pic.mode == "1":
        img = 255 * img
    img = img.view(pic.size[1], pic.size[0], len(pic.getbands()))
    img = img.permute((2, 0, 1)).contiguous()
    if isinstance(img, torch.ByteTensor):
        return img.to(dtype=default_float_dtype).div(255)
    return img


class UsualVAE(nn.Module):
    """The model of pytorch/examples, vae/main.py."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc21, self.fc22 = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
        self.fc3, self.fc4 = nn.Linear(20, 400), nn.Linear(400, 784)

    def forward(self, x):
        h1 = F.relu(self.fc1(x.view(-1, 784)))
        mu, logvar = self.fc21(h1), self.fc22(h1)
        std = torch.exp(0.5 * logvar)
        h3 = F.relu(self.fc3(mu + torch.randn_like(std) * std))
        return torch.sigmoid(self.fc4(h3)), mu, logvar


def usual_loss(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x.view(-1, 784), reduction="sum")
    return BCE - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def train_with_a_dataloader(pictures):
    """The loop of pytorch/examples, vae/main.py, without its printing: → the epoch's mean loss."""
    torch.manual_seed(0)
    model = UsualVAE().to(DEVICE)
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    train_loss = 0
    for data, _ in DataLoader(pictures, batch_size=BATCH, shuffle=True):
        data = data.to(DEVICE)
        adam.zero_grad()
        recon_batch, mu, logvar = model(data)
        loss = usual_loss(recon_batch, data, mu, logvar)
        loss.backward()
        train_loss += loss.item()
        adam.step()
    return train_loss / len(pictures)


def forward_products(network, batch):
    """The matrix products of a batch that passes through a network, one of each layer."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    return [
        (torch.rand(batch, layer.in_features, device=DEVICE), layer.weight.detach().T) for layer in layers
    ]


def step_products(model, batch):
    """The matrix products of a training step: of each layer forward, and its two backward."""
    forward = forward_products(model, batch)
    gradients = [torch.rand(batch, w.shape[1], device=DEVICE) for _, w in forward]  # of the layers' outputs
    of_weights = [(g.T, x) for g, (x, _) in zip(gradients, forward, strict=True)]
    of_inputs = [(g, w.T) for g, (_, w) in zip(gradients, forward, strict=True)]
    return forward + of_weights + of_inputs[1:]  # nobody asks for the gradient of the images


def multiply(pairs, steps):
    for _ in range(steps):
        for a, b in pairs:
            a @ b


def training_rows(n, turns):
    images = digits(n)
    pictures, steps = Pictures(images), math.ceil(n / BATCH)
    pairs = step_products(vae()[0], BATCH)
    ours = partial(train_with_fit, images)
    same = f"mean losses {quietly(ours):.1f} and {train_with_a_dataloader(pictures):.1f} nats"
    fast, slow, ratio = race(ours, partial(train_with_a_dataloader, pictures), turns)
    yield "fit, times faster than a DataLoader loop", ratio, "≥ 3.5", fast, slow, same
    fast, least, ratio = race(ours, partial(multiply, pairs, steps), turns)
    yield "fit, share of its matrix products", ratio, "≥ 0.6", fast, least, f"batches of {BATCH}"
    few = images[: n // 4]  # a small difference: more turns, which are shorter
    ours, bare = partial(train_with_fit, few), partial(train_with_a_bare_loop, few)
    fast, bare, ratio = race(ours, bare, 12 * turns)
    yield "fit, time of a bare loop", 1 / ratio, "≤ 1.03", fast, bare, "the same steps"


def quietly(function, *arguments):
    with redirect_stdout(io.StringIO()):
        return function(*arguments)


# ---- Likelihood


def burda(latents=50):
    return VAE(latents, hidden=(200, 200), activation=nn.Tanh).to(DEVICE).requires_grad_(False)


def likelihood_rows(n, k, turns):
    model, x = burda(), digits(n).round()
    pairs = forward_products(model.encoder, n) + k * forward_products(model.decoder, n)  # encoded once
    ours, least = partial(importance_weighted_nll, model, x, k), partial(multiply, pairs, 1)
    ours, least, ratio = race(ours, least, 12 * turns)  # short ones
    note = f"784-200-200-50, {n} images, {k} draws"
    yield "importance_weighted_nll, share of its products", ratio, "≥ 0.5", ours, least, note


# ---- Sprites and scores


def sprite_rows(n, turns):
    factors = sample_factors(n, torch.Generator().manual_seed(0)).to(DEVICE)
    render(factors)  # the table of crossings is made once
    took = median(seconds(lambda: render(factors)) for _ in range(turns))
    wrong = len(disagreements(factors.cpu(), 64))
    note = f"64 × 64; {wrong} pixels of {n:,} images not as the outlines' inside test says"
    yield "render, thousand images a second", n / took / 1000, "≥ 20", took, math.nan, note


def score_rows(train, turns):
    mixing = 0.4 * torch.randn(5, 10, generator=torch.Generator().manual_seed(8))

    def encode(factors):
        return perfect(factors) @ mixing

    def factor_vae_loop():
        plain_factor_vae(encode, sample_factors(10_000), held_batches(train), held_batches(train // 2))

    def beta_vae_loop():
        plain_beta_vae(encode, pairs(train), pairs(train // 2))

    loops = {metrics.factor_vae_score: factor_vae_loop, metrics.beta_vae_score: beta_vae_loop}
    for score, plain in loops.items():
        ours, loop, ratio = race(partial(score, encode, train, train // 2, 32), plain, turns)
        note = f"{train + train // 2:,} votes of 32 images"
        yield f"{score.__name__}, times faster than a plain loop", ratio, "≥ 5", ours, loop, note


def held_batches(n):
    """n batches of 32 images that share one factor, drawn one by one."""
    batches = [sample_factors(32) for _ in range(n)]
    for batch in batches:
        k = torch.randint(5, ())
        batch[:, k] = batch[0, k]
    return batches


def pairs(n):
    """n batches of 32 pairs of images, the two of a pair with one factor in common, drawn one by one."""
    for first, second in ((sample_factors(32), sample_factors(32)) for _ in range(n)):
        k = torch.randint(5, ())
        second[:, k] = first[:, k]
        yield first, second


# ---- Memory, and growth


def fit_work(images=4000, latents=20):
    x = digits(images)
    return lambda: train_with_fit(x, latents)


def nll_work(images=500, latents=50, draws=20):
    model, x = burda(latents), digits(images).round()
    return lambda: importance_weighted_nll(model, x, draws)


def render_work(images=5000, size=64):
    factors = sample_factors(images).to(DEVICE)
    render(factors[:1], size)
    return lambda: render(factors, size)


def vote_work(score, images=10_000, latents=10):
    """Half of the `images` in batches of 32, the other half as their partners, or for the variances."""
    mixing, votes = torch.randn(5, latents), images // 128
    options = {"variance_size": images // 2} if score is metrics.factor_vae_score else {}
    return lambda: score(lambda factors: perfect(factors) @ mixing, votes, votes, 32, **options)


WORK = {
    "fit": fit_work,
    "importance_weighted_nll": nll_work,
    "render": render_work,
    "factor_vae_score": partial(vote_work, metrics.factor_vae_score),
    "beta_vae_score": partial(vote_work, metrics.beta_vae_score),
}
GROWTH = {
    "images": ([500, 1000, 2000, 4000, 8000], ["fit", "importance_weighted_nll", "render"]),
    "latents": ([5, 10, 20, 40, 80], ["fit", "importance_weighted_nll"]),
    "draws": ([5, 10, 20, 40, 80], ["importance_weighted_nll"]),
    "size": ([16, 32, 64, 128], ["render"]),
}
WHY = {  # the reasons if time is not in proportion
    ("images", "importance_weighted_nll"): "above 1 where a draw's pixels no longer fit into the cache",
    ("images", "render"): "above 1 from 32 MB: the system clears such memory anew at each call",
    ("latents", "fit"): "the two layers of 784 × 400 take most of the time, whatever the latents",
    ("latents", "importance_weighted_nll"): "the layer of 200 × 784 takes most of the time",
    ("size", "render"): "the pixels are size²",
}


def peak(work):
    """Megabytes that a call needs beyond what is there before it; NaN where neither GPU nor Linux tells."""
    if DEVICE.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        quietly(work)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    if sys.platform != "linux":
        return math.nan
    ctypes.CDLL(None).malloc_trim(0)  # freed memory that the process still holds would hide the need
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = resident("VmRSS")
    quietly(work)
    return resident("VmHWM") - before


def resident(field):
    return int(re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def draw_growth(path, shrink):
    """Draw time against each size on double logarithmic axes, and print the exponents."""
    _, axes = plt.subplots(2, 2, figsize=(11, 8), sharey=True)
    for ax, (size, (values, names)) in zip(axes.flat, GROWTH.items(), strict=True):
        for name in names:
            images = signature(WORK[name]).parameters["images"].default
            chosen = [{"images": images} | {size: value} for value in values]
            works = [WORK[name](**sizes | {"images": sizes["images"] // shrink}) for sizes in chosen]
            times = [min(seconds(work) for _ in range(3)) for work in works]
            exponent = np.polyfit(np.log(values[-3:]), np.log(times[-3:]), 1)[0]
            style = ("C0o-", "C1s--", "C2^-.")[list(WORK).index(name)]
            ax.loglog(values, [1000 * t for t in times], style, label=f"{name}: {exponent:.2f}")
            print(f"{name}: time grows as {size}^{exponent:.2f}  {WHY.get((size, name), '')}")
        ax.set(xlabel={"size": "image size (pixels)"}.get(size, size))
        ax.legend(fontsize="small", title="exponent", title_fontsize="small", loc="upper left")
        ax.set_xticks(values, values)
        ax.minorticks_off()
    axes[0, 0].set(ylabel="time (ms)", ylim=(None, 30 * axes[0, 0].get_ylim()[1]))  # room for the legends
    axes[1, 0].set(ylabel="time (ms)")
    plt.savefig(path, metadata={"Software": None})
    plt.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=7, help="of each pair; default: 7")
    parser.add_argument("--shrink", type=int, default=1, help="divide all sizes, to try the program")
    parser.add_argument("--picture", type=Path, default=PICTURE, help=f"default: {PICTURE.name} in figures/")
    options = parser.parse_args()
    plots.set_style()
    warnings.filterwarnings("ignore", "lbfgs failed to converge")  # in the score and in its loop alike
    n, turns = 10_000 // options.shrink, options.turns
    where = "CPU" if DEVICE.type == "cpu" else torch.cuda.get_device_name()
    print(f"{where}, {torch.get_num_threads()} threads, medians of {turns}\n")
    print(f"{'':54} {'ratio':>7} {'target':>7} {'':6} {'ours ms':>9} {'other ms':>9}")
    for rows in (
        training_rows(n, turns),
        likelihood_rows(n // 20, 20, turns),
        sprite_rows(n, turns),
        score_rows(n // 10, turns),
    ):
        for what, ratio, target, ours, other, note in rows:
            sign, bound = target.split()
            met = ratio >= float(bound) if sign == "≥" else ratio <= float(bound)
            result = "" if met else "MISSED"
            line = f"{what:54} {ratio:7.2f} {target:>7} {result:6} {1000 * ours:9.1f} {1000 * other:9.1f}"
            print(f"{line}  {note}", flush=True)
    print("\npeak memory of one call, beyond its input:")
    for name, make in WORK.items():
        sizes = {k: p.default for k, p in signature(make).parameters.items() if k != "score"}
        sizes["images"] //= options.shrink
        megabytes = peak(make(**sizes))
        print(f"{name:24} {megabytes:6.0f} MB  {', '.join(f'{v:,} {k}' for k, v in sizes.items())}")
    print()
    draw_growth(options.picture, options.shrink)


if __name__ == "__main__":
    main()
