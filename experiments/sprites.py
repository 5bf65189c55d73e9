"""A β-VAE on 64 × 64 sprites: the path of the price of a nat {held, fast, slow} × the final β {1, 4}.

While the price falls, Adam trains all weights. While it is held, Muon trains the matrices of the linear layers:
with Adam alone, latents that are off stay off (experiments/LOG.md has what was tried).
"""

import torch
from torch import nn

from experiments.runs import as_stored, rounds, training_seconds
from helpers import disentanglement
from helpers.losses import bernoulli_nll, kl_to_standard_normal, negative_elbo
from helpers.models import reparameterize
from helpers.session import start
from helpers.sprites import FACTOR_NAMES, FACTOR_SIZES, render, sample_factors
from helpers.trained import build
from helpers.training import evaluate

NETWORK = {"channels": (16, 16, 32, 64)}
CASES = [{"path": path, "beta": beta} for path in ("held", "fast", "slow") for beta in (1, 4)]
HIGH = 200.0  # the price at which a path begins; no latent is on
ROUND = 250  # steps between two chances to save the state


def run(state, seed, path="slow", beta=1, fall=13_500, hold=6_500, points=10_000):
    """Train on sprites drawn afresh and score the mean codes of others: → numbers, models, data."""
    session = start(seed)
    model = as_stored(train(state, session.device, path, beta, fall, hold))
    factors = sample_factors(points).to(session.device)
    name = f"sprites_{path}_beta{beta}"
    numbers = judge(model, factors) | {"training seconds": training_seconds(state)}
    return numbers, {name: (model, NETWORK)} if seed == 0 else {}, "sprites, computed, 64 × 64"


def price_at(step, path, beta, fall):
    """The price of a nat: β from the start, or a geometric fall from HIGH to β in `fall` steps or a tenth of them."""
    length = {"held": 0, "fast": fall // 10, "slow": fall}[path]
    return beta if step >= length else HIGH * (beta / HIGH) ** (step / length)


def rate_at(step, fall, hold):
    """The factor of all learning rates: 100 steps of warm-up in both phases, and a linear end to 0."""
    since = step if step < fall else step - fall
    warm_up = min(1.0, (since + 1) / 100)
    return warm_up if step < fall else warm_up * min(1.0, (1 - since / hold) / 0.6)


def train(state, device, path, beta, fall, hold, batch_size=32):
    """Train a ConvVAE in `fall` steps with Adam and `hold` steps with Muon and Adam: → the model."""
    model = build("ConvVAE", NETWORK).to(device, memory_format=torch.channels_last)
    matrices = [layer.weight for layer in model.modules() if isinstance(layer, nn.Linear)]
    others = [p for p in model.parameters() if all(p is not matrix for matrix in matrices)]
    optimizers = {
        "adam": torch.optim.Adam(model.parameters(), lr=1e-3, fused=True),
        "adam_others": torch.optim.Adam(others, lr=1e-3, fused=True),
        "muon": torch.optim.Muon(matrices, lr=3e-3, weight_decay=0, adjust_lr_fn="match_rms_adamw"),
    }
    rates = {name: optimizer.defaults["lr"] for name, optimizer in optimizers.items()}
    for number in rounds(-(-(fall + hold) // ROUND), state, model=model, **optimizers):
        for step in range(number * ROUND, min((number + 1) * ROUND, fall + hold)):
            names = ["adam"] if step < fall else ["adam_others", "muon"]
            x = render(sample_factors(batch_size).to(device))  # (B, 1, 64, 64)
            loss = priced_loss(model, x, price_at(step, path, beta, fall))
            for name in names:
                for group in optimizers[name].param_groups:
                    group["lr"] = rates[name] * rate_at(step, fall, hold)
                optimizers[name].zero_grad()
            loss.backward()
            for name in names:
                optimizers[name].step()
    return model


def priced_loss(model, x, price):
    """D + price·R of a batch with one draw of z per image, in bfloat16 where that is safe: one number, nats."""
    with torch.autocast(x.device.type, torch.bfloat16):
        mu, logvar = (part.float() for part in model.encode(x.contiguous(memory_format=torch.channels_last)))
        x_logits = model.decode(reparameterize(mu, logvar))
    return (bernoulli_nll(x, x_logits.float()) + price * kl_to_standard_normal(mu, logvar)).mean()


@torch.no_grad()
def judge(model, factors):
    """Rate, NLL, MIG and the gap of each factor on the sprites of these factors (N, 5): → name → number."""
    terms = evaluate(model, lambda model, f: negative_elbo(model, render(f)), factors)
    codes = torch.cat([model.encode(render(part))[0].cpu() for part in factors.split(1000)])  # (N, D)
    information = disentanglement.mutual_information(codes, factors)  # (D, 5)
    second, best = torch.from_numpy(information).sort(dim=0).values[-2:]
    gaps = (best - second) / torch.tensor(FACTOR_SIZES).log()  # the factors are uniform
    numbers = {"rate": terms["kl"], "nll": terms["nll"], "mig": disentanglement.mig(codes, factors)}
    return numbers | {f"gap of {name}": gap for name, gap in zip(FACTOR_NAMES, gaps, strict=True)}


def check(model):
    """A cheap number for the model's card: the same scores on 1,000 sprites."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    return judge(model, sample_factors(1000, generator))
