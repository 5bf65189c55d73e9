"""What breaks the cause of each claim of 04_training_a_vae: claim → (old source, new source)."""

BREAKS = {
    # the KL of the reconstruction's code, which the decoder can change
    "The KL pulls at the encoder alone": (
        "kl = bernoulli_nll(x, x_logits).mean(), kl_to_standard_normal(mu, logvar).mean()",
        "kl = bernoulli_nll(x, x_logits).mean(), kl_to_standard_normal(mu, x_logits[:, 0, 0, :20]).mean()",
    ),
    # a draw that lets no gradient through
    "The likelihood pulls at both": (
        "x_logits = model.decode(reparameterize(mu, logvar))\nnll, kl",
        "x_logits = model.decode(reparameterize(mu, logvar).detach())\nnll, kl",
    ),
    # no momentum
    "Muon goes where its decomposition says, within a third of the way": (
        'torch.linalg.svd(g + 0.95 * kept["v"]',
        "torch.linalg.svd(g",
    ),
    # averages that are not corrected for their start
    "The other rules, written out, take the very steps of torch.optim": (
        'kept["m"] / (1 - 0.9 ** kept["t"]), kept["r"] / (1 - 0.999 ** kept["t"])',
        'kept["m"], kept["r"]',
    ),
    # before training
    "For the same images Muon is ahead of SGD, seed for seed": (
        'outcomes["the same images"][name] = mine[:, 0, -1]',
        'outcomes["the same images"][name] = mine[:, 0, 0]',
    ),
    # a schedule that never leaves its warm-up
    "A rate that falls to zero ends below the same rate held constant, seed for seed": (
        '"falling": lambda t: 1 - t',
        '"falling": lambda t: 1e-3',
    ),
    # the rate is not scaled
    "With small steps the linear rule keeps SGD's result better than no rule": (
        '"linear": 1.0}',
        '"linear": 0.0}',
    ),
    # small steps
    "At SGD's best rate the linear rule fails": (
        '"SGD, its best rate": ("SGD", 10 ** (best_rate("SGD") / 2))',
        '"SGD, its best rate": ("SGD", 10 ** (best_rate("SGD") / 2 - 2))',
    ),
    # counted over images in place of pixels
    "Each program's gradient is c·(∇nll + β∇kl), with c and β as its reductions imply": (
        "lambda B, n: 1 / n",
        "lambda B, n: 1 / B",
    ),
    # the rate is not divided
    "Under SGD each program goes the way of sums with its β, if its rate is divided by c": (
        "lr=1e-4 / implied(*p)[0]",
        "lr=1e-4",
    ),
    # ε is not scaled
    "Under Adam the library defaults do, if ε is multiplied by c": ("eps=c * 1e-8", "eps=1e-8"),
    # ε is scaled
    "With Adam's usual ε some weight ends more than a whole step away": (
        'adam_gap = adam_end - train_program(MEANS, x, "Adam", lr=1e-3)',
        'adam_gap = adam_end - train_program(MEANS, x, "Adam", lr=1e-3, eps=c / 1e8)',
    ),
    # the KL weighted down
    "mse_loss beside a right KL collapses: the code says nothing": (
        '"mse_loss beside a right KL": ("squares", "mean", "per image", 1.0)',
        '"mse_loss beside a right KL": ("squares", "mean", "per image", 0.0001)',
    ),
    # the KL not weighted down
    "With the small weight it does not": (
        '("squares", "mean", "per image", 0.00025)',
        '("squares", "mean", "per image", 0.25)',
    ),
    # another σ²
    "It then does what sums with the same σ² do": ("2 * implied(*means[0])[1]", "40 * implied(*means[0])[1]"),
    # a wrong series
    "The continuous Bernoulli is that of torch.distributions, near ½ too": ("a**2 / 24", "a**2 / 12"),
    # each level as wide as the interval
    "The probabilities of the 256 levels add up to one": (
        "math.log(256) - log_integral",
        "0.0 - log_integral",
    ),
    # σ is not learned
    "With a learned σ the loss is negative": (
        "torch.optim.Adam([logvar_x], lr=0.4)",
        "torch.optim.Adam([logvar_x], lr=0.0)",
    ),
    "In levels, too, a learned σ is better than σ = 1": (
        "torch.optim.Adam([logvar_x], lr=0.4)",
        "torch.optim.Adam([logvar_x], lr=0.0)",
    ),
    "The learned σ comes close to that of the closed form": (
        "torch.optim.Adam([logvar_x], lr=0.4)",
        "torch.optim.Adam([logvar_x], lr=0.0)",
    ),
    # random weights
    "On bits, the decoder trained on bits is ahead of σ = 1": (
        'prepare = likelihood(name, logvar_x), binarize if name == "Bernoulli" else nn.Identity()',
        'prepare = likelihood(name, logvar_x), torch.zeros_like if name == "Bernoulli" else nn.Identity()',
    ),
    # trained as a Gaussian
    "The continuous Bernoulli leads in levels but not in bits": (
        '"continuous Bernoulli": continuous_bernoulli_nll',
        '"continuous Bernoulli": lambda x, a: gaussian_nll(x, a.sigmoid(), 0.0)',
    ),
    # another activation, with shortcuts
    "In the sigmoid decoder the gradient shrinks more than a thousandfold": (
        '"sigmoid": {"activation": nn.Sigmoid}',
        '"sigmoid": {"shortcuts": True}',
    ),
    # torch's own initial weights
    "He's weights keep it within a factor of fifty": ('{"he": True}', '{"he": False}'),
    # no shortcuts
    "So do shortcuts": ('{"shortcuts": True}', '{"shortcuts": False}'),
    # a net that learns
    "The sigmoid net has learned no code": (
        '"sigmoid": {"activation": nn.Sigmoid}',
        '"sigmoid": {"shortcuts": True}',
    ),
    # a net that does not
    "The net with shortcuts has": ('{"shortcuts": True}', '{"activation": nn.Sigmoid}'),
    # a norm that is never reached
    "SGD: clipping saves the run": ('"gradient clipped": (VAE, 1.0)', '"gradient clipped": (VAE, 1e9)'),
    # a learning rate that needs no protection
    "SGD: a bound on logvar alone does not": ("max_grad_norm, lr=2.0", "max_grad_norm, lr=0.001"),
    # a bound beyond the largest exponent
    "Adam: a bound on logvar saves the run": ("logvar.clamp(-10, 10)", "logvar.clamp(-1000, 1000)"),
    # a learning rate that needs no protection
    "Adam: clipping does not": ("max_grad_norm, lr=2.0", "max_grad_norm, lr=0.001"),
    # one draw, whatever k
    "The draws' part of the variance falls as 1/k": ("x.repeat_interleave(k, dim=0)", "x"),
    # the same images every time
    "16 draws in place of one remove less than half of the variance": (
        "BITS[torch.randperm(len(BITS))[:20]]",
        "BITS[:20]",
    ),
    # stopped too early
    "Each trained latent carries ½ ln(λ/βσ²) nats, within 0.01": ("max_iter=MOST", "max_iter=30"),
    # the ½ of the Gaussian likelihood forgotten
    "Off the boundary, the latents that are used are those that theory names": (
        "distortion / (2 * BETA * NOISE)",
        "distortion / (BETA * NOISE)",
    ),
    # a hundred times the weight
    "Well below λ₁ the code says something": (
        "session.device), share * lambda_1",
        "session.device), 100 * share * lambda_1",
    ),
    # a hundredth of the weight
    "Well above λ₁ it says nothing": (
        "session.device), share * lambda_1",
        "session.device), 0.01 * share * lambda_1",
    ),
    # the code is free
    "Without a cure the code collapses": ('"none": lambda step: 1.0', '"none": lambda step: 0.0'),
    # no floor
    "With free bits the rate stays near the floor, λ nats a latent, or above": (
        "kl.clamp(min=floor).sum()",
        "kl.sum()",
    ),
    # no floor
    "With free bits the code says part of the word": ("kl.clamp(min=floor).sum()", "kl.sum()"),
    # the mean over the letters in place of the sum
    "No model gives the words more probability than their grammar": (
        'x, reduction="none").sum(dim=1)',
        'x, reduction="none").mean(dim=1)',
    ),
    # no floor
    "A code that free bits keep open decides more of the word": ("kl.clamp(min=floor).sum()", "kl.sum()"),
    # all digits, whatever n
    "With few digits the test loss is far above the training loss": (
        "torch.randperm(n) for",
        "torch.randperm(SIZES[-1]) for",
    ),
    # the same 250 digits, whatever n
    "More digits close the gap": ("POOL[images]", "POOL[images % 250]"),
    # the training digits again
    "The amortization gap is larger on test digits, by more than a tenth": (
        '"test": HELD_OUT[400:600]}',
        '"test": POOL[:200]}',
    ),
    # the training digits again
    "The best q of each image does not close the gap between train and test": (
        '"test": HELD_OUT[400:600]}',
        '"test": POOL[:200]}',
    ),
    # the same rate
    "Half the learning rate is worse, by more than four standard errors": ("(2.5e-3, 0)", "(5e-3, 0)"),
    # other images
    "Image by image, a difference scatters less than the images themselves": (
        "each[1] - each[0])",
        "each[1] - each[0].flip(1))",
    ),
}
