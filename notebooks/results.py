"""Run a long protocol, which no notebook waits for, and write its numbers to figures/results.json.

Each seed is kept in build/results as soon as it is done: the same command goes on where it was interrupted.
Delete that folder after a change of the code, the data or TUTORIAL_SEED, which it does not know of.
Sizes other than the protocol's own (epochs=20) make an entry of their own.
"""

import argparse
import json
import math
import re
import statistics
import sys
import time
from datetime import date
from pathlib import Path

import torch
from run import write
from torch import nn

from helpers import disentanglement as metrics
from helpers.data import batches, binarize, load_mnist
from helpers.losses import bernoulli_nll, log_weights, negative_elbo
from helpers.models import VAE, ConvVAE, reparameterize
from helpers.session import profile, start
from helpers.sprites import N_IMAGES, render, sample_factors
from helpers.training import evaluate, fit, run_grid, train_epoch

ROOT = Path(__file__).resolve().parents[1]


# ---- Likelihood: the network and test of Burda, Grosse & Salakhutdinov 2016, another training


def likelihood(seed, epochs=160, images=60_000, test_images=10_000, draws=5_000):
    """Train 784-200-200-50 on dynamically binarized digits, estimate −log p(x): → numbers, digits."""
    session = start(seed)
    digits = load_mnist(session.device)
    began = time.perf_counter()
    model = train_likelihood(first(digits.train_images, images), epochs)
    seconds = time.perf_counter() - began
    x = binarize(first(digits.test_images, test_images))
    with torch.no_grad():
        log_w = [log_weights(model, batch, draws) for batch in batches(x, 500, shuffle=False)]  # (draws, B)
        active = model.encode(x)[0].var(dim=0) > 0.01
    nll = torch.cat([math.log(draws) - w.logsumexp(dim=0) for w in log_w])
    elbo = torch.cat([w.mean(dim=0) for w in log_w])
    numbers = {"nll": nll.mean(), "-elbo": -elbo.mean(), "active units": active.sum()}
    return numbers | {"training seconds": seconds}, digits.source


def first(digits, n):
    """The first n of the digits (N, 1, 28, 28). Raises ValueError where there are fewer."""
    if n > len(digits):
        advice = "TUTORIAL_PROFILE=full has all, --sizes asks for fewer"
        raise ValueError(f"{n:,} digits were asked for, {len(digits):,} are here: {advice}")
    return digits[:n]


def train_likelihood(images, epochs, batch_size=512):
    """Muon for the matrices, Adam for the biases, both down to 0 in a straight line: → the trained VAE.

    The rates were chosen by runs of 20 and 60 epochs that held out 2,000 of the training images.
    """
    model = VAE(latent_dim=50, hidden=(200, 200), activation=nn.Tanh).to(images.device)
    matrices, biases = ([p for p in model.parameters() if p.ndim == n] for n in (2, 1))
    for matrix in matrices:
        nn.init.xavier_uniform_(matrix)
    for bias in biases:
        nn.init.zeros_(bias)
    pixel_means = images.mean(dim=0).flatten().clamp(0.001, 0.999)
    model.decoder[-1].bias.data = torch.logit(pixel_means)  # as in the paper
    first, second, codes, hidden, middle, output = matrices
    rates = {0.02: [first, codes, hidden], 0.04: [second, middle], 0.12: [output]}
    groups = [{"params": params, "lr": lr} for lr, params in rates.items()]
    optimizers = [
        torch.optim.Muon(groups, weight_decay=0, momentum=0.97, ns_steps=3),
        torch.optim.Adam(biases, lr=1e-2, fused=True),
    ]
    steps = epochs * math.ceil(len(images) / batch_size)
    decay = [torch.optim.lr_scheduler.LambdaLR(o, lambda step: 1 - step / steps) for o in optimizers]
    fit(
        model,
        sticking_elbo,
        images,
        optimizers=optimizers,
        epochs=epochs,
        batch_size=batch_size,
        schedulers=decay,
    )
    return model


def sticking_elbo(model, x):
    """−ELBO of freshly binarized grey images: → loss, terms, nats per image.

    log q(z|x) − log p(z) at the draw stands for the KL divergence, with mu and logvar held fixed in log q:
    the gradient keeps its mean, and has no noise where q is exact. Roeder, Wu & Duvenaud 2017.
    Matrix products are in bfloat16.
    """
    x = binarize(x)
    with torch.autocast(x.device.type, torch.bfloat16):
        mu, logvar = (part.float() for part in model.encode(x))
        z = reparameterize(mu, logvar)
        x_logits = model.decode(z)
    log_q = -0.5 * ((z - mu.detach()) ** 2 / logvar.detach().exp() + logvar.detach()).sum(dim=1)
    rate = (log_q + 0.5 * (z**2).sum(dim=1)).mean()
    distortion = bernoulli_nll(x, x_logits.float()).mean()
    return distortion + rate, {"nll": distortion.detach(), "kl": rate.detach()}


# ---- Time to a number: the same network and loop, by the conventional recipe and by ours


def time_to_number(seed, adam=80, ours=90, images=60_000, test_images=10_000, few=20, draws=2_000):
    """−log p(x) and the seconds in training after more and more epochs of two recipes: → numbers, digits.

    Adam at a constant 1e-3 passes all its points in one run of `adam` epochs, at batches of 128. Our rates
    are 0 where a run ends, so each of our points is a run of its own, the longest of `ours` epochs.
    """
    session, numbers, seconds = start(seed), {}, 0.0
    digits = load_mnist(session.device)
    train, x = first(digits.train_images, images), binarize(first(digits.test_images, test_images))
    model = VAE(latent_dim=50, hidden=(200, 200), activation=nn.Tanh).to(session.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    for epoch in range(1, adam + 1):
        began = time.perf_counter()
        train_epoch(model, lambda m, v: negative_elbo(m, binarize(v)), train, [optimizer])
        seconds += time.perf_counter() - began
        if epoch in {adam >> halvings for halvings in range(5)}:
            numbers[f"adam {epoch} epochs training seconds"] = seconds
            numbers[f"adam {epoch} epochs nll"] = estimate_nll(model, x, few, draws)
    for epochs in sorted({max(1, ours >> halvings) for halvings in (4, 2, 0)}):
        began = time.perf_counter()
        model = train_likelihood(train, epochs)
        numbers[f"ours {epochs} epochs training seconds"] = time.perf_counter() - began
        numbers[f"ours {epochs} epochs nll"] = estimate_nll(model, x, few, draws)
    return numbers, digits.source


@torch.no_grad()
def estimate_nll(model, x, few, draws):
    """Mean −log p(x) in nats: with a `few` draws for all images, less what more take off every 50th.

    That correction hardly differs between images, while −log p(x) itself has a spread of 24 nats.
    """

    def bound(log_w, k):  # (n · k, B), in groups of k draws
        return (math.log(k) - log_w.unflatten(0, (-1, k)).logsumexp(dim=1)).mean()

    parts = [log_weights(model, batch, few) for batch in batches(x, 500, shuffle=False)]
    some = log_weights(model, x[::50], draws)
    return bound(torch.cat(parts, dim=1), few) - bound(some, few) + bound(some, draws)


# ---- Disentanglement: sprites at 64 × 64 pixels, the network and protocol of Locatello et al. 2019


def disentanglement(seed, steps=300_000, points=10_000, votes=10_000, trees=100):
    """Train a β-VAE for each of the published β, β held, and score its mean codes: → numbers, data."""
    session, numbers = start(seed), {}
    for beta in (1, 2, 4, 6, 8, 16):
        model = train_disentangled(beta, steps, session)
        scores = score_disentangled(model, session.device, points, votes, trees, seed)
        numbers |= {f"beta={beta} {name}": value for name, value in scores.items()}
    return numbers, "sprites, computed, 64 × 64"


def train_disentangled(beta, steps, session, batch_size=64):
    """Adam 1e-4 on fresh sprites, the same for every β of a seed: → the trained ConvVAE."""
    torch.manual_seed(session.seed)
    model = ConvVAE(image_size=64, latent_dim=10).to(session.device)
    adam = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    for done in range(0, steps, 1000):  # 1,000 steps to an epoch
        factors = sample_factors(batch_size * min(1000, steps - done)).to(session.device)
        train_epoch(model, lambda m, v: negative_elbo(m, render(v), beta), factors, [adam], batch_size)
    return model


@torch.no_grad()
def score_disentangled(model, device, points, votes, trees, seed):
    """Rate, distortion and every score, with the published sizes as the protocol's own: → name → number."""

    def encode(factors):
        return model.encode(render(factors.to(device)))[0].cpu()

    if votes * 64 > N_IMAGES:
        encode = metrics.tabulate(encode)  # each image once, then it is looked up
    train, test = sample_factors(points), sample_factors(points // 2)
    four = (encode(train), train, encode(test), test)
    terms = evaluate(model, lambda m, v: negative_elbo(m, render(v)), train.to(device))
    boosted = metrics.dci(*four, estimators=trees, seed=seed)
    return {
        "rate": terms["kl"],
        "distortion": terms["nll"],
        "mig": metrics.mig(*four[:2]),
        "sap": metrics.sap(*four),
        "dci disentanglement": boosted.disentanglement,
        "dci completeness": boosted.completeness,
        "modularity": metrics.modularity(*four[:2]),
        "explicitness": metrics.explicitness(*four),
        "beta-vae score": metrics.beta_vae_score(encode, votes, votes // 2, seed=seed),
        "factor-vae score": metrics.factor_vae_score(
            encode, votes, votes // 2, variance_size=points, seed=seed
        ),
    }


# ---- The command

BURDA = "Burda, Grosse & Salakhutdinov 2016, Table 1 (VAE, k = 1, one stochastic layer)"
PROTOCOLS = {
    "likelihood": likelihood,
    "time_to_number": time_to_number,
    "disentanglement": disentanglement,
}
COMPILED = "compiled by Lin et al. 2020 (InfoGAN-CR), VAE; another network and other steps"
PUBLISHED = {
    "likelihood/nll": (86.76, BURDA),
    "likelihood/active units": (19, BURDA),
    "disentanglement/beta=1 mig": (0.10, COMPILED),
    "disentanglement/beta=1 dci disentanglement": (0.30, COMPILED),
    "disentanglement/beta=1 factor-vae score": (0.63, COMPILED),
}


def measure(protocol, seed, **sizes):
    """One seed of a protocol, with its time and the machine: a result for `run_grid`."""
    began = time.perf_counter()
    numbers, data = protocol(seed, **sizes)
    device, threads = start(seed).device, torch.get_num_threads()
    names = {"cpu": f"CPU, {threads} thread{'s' * (threads > 1)}", "mps": "Apple GPU"}
    return {
        "numbers": {name: round(float(number), 4) for name, number in numbers.items()},
        "data": data,
        "device": names.get(device.type) or torch.cuda.get_device_name(),
        "seconds": round(time.perf_counter() - began),
        "date": date.today().isoformat(),
    }


def entries(name, command, results):
    """results.json's rows for {seed: result of measure}: quantity → what was measured, how, and on what."""
    every = {
        key: [result[key] for result in results.values()] for key in ("seconds", "data", "device", "date")
    }
    rows = {}
    for quantity in next(iter(results.values()))["numbers"]:
        values = [result["numbers"][quantity] for result in results.values()]
        protocol = re.sub(r" epochs=\d+", "", name)  # for however long: the measurement is the same
        value, source = PUBLISHED.get(f"{protocol}/{quantity}", (None, None))
        rows[f"{name}/{quantity}"] = {
            "mean": statistics.mean(values),
            "sd": statistics.stdev(values) if len(values) > 1 else None,
            "values": values,
            "seeds": list(results),
            "seconds": every["seconds"],
            "data": ", ".join(sorted(set(every["data"]))),
            "device": ", ".join(sorted(set(every["device"]))),
            "date": max(every["date"]),
            "command": command,
            "published": value,
            "source": source,
        }
    return rows


def run_protocol(name, options):
    """Run the seeds that are not done yet, put the rows into the output file and print them."""
    sizes = {size: int(number) for size, number in (pair.split("=") for pair in options.sizes)}
    grid = [{"protocol": PROTOCOLS[name], "seed": seed, **sizes} for seed in range(options.seeds)]
    found = run_grid(measure, grid, options.folder / profile(), title=name, jobs=options.jobs)
    results = {seed: result for seed, result in enumerate(found) if result}
    if not results:
        sys.exit(f"{name}: no seed is done, so nothing is written.")
    arguments = [name, "--seeds", str(max(results) + 1), *(["--sizes", *options.sizes] if sizes else [])]
    arguments += ["--jobs", str(options.jobs)] if options.jobs > 1 else []
    command = " ".join(["python notebooks/results.py", *arguments])
    rows = entries(" ".join([name, *options.sizes]), command, results)
    others = json.loads(options.output.read_text("utf-8")) if options.output.exists() else {}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write(options.output, json.dumps(others | rows, indent=1, ensure_ascii=False) + "\n")
    for row, entry in rows.items():
        spread = f" ± {entry['sd']:.2f}" if len(results) > 1 else ""
        published = f", published: {entry['published']}" if entry["source"] else ""
        print(f"{row}: {entry['mean']:.2f}{spread}{published}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: {' '.join(PROTOCOLS)}")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="0 to N − 1; default: 3")
    parser.add_argument("--sizes", nargs="+", default=[], metavar="SIZE=N", help="such as epochs=20")
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="1: here; more: as many processes, of one thread each",
    )
    parser.add_argument("--output", type=Path, default=ROOT / "figures" / "results.json", metavar="FILE")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "results", metavar="FOLDER")
    options = parser.parse_args()
    if unknown := set(options.names) - set(PROTOCOLS):
        parser.error(f"no protocol is called {unknown.pop()}; there are: {', '.join(PROTOCOLS)}")
    if wrong := [size for size in options.sizes if not re.fullmatch(r"\w+=\d+", size)]:
        parser.error(f"--sizes {wrong[0]}; expected a name and a whole number, such as epochs=20")
    for name in options.names or PROTOCOLS:
        run_protocol(name, options)


if __name__ == "__main__":
    main()
