"""What breaks the cause of each claim of 07_vae_and_gan: claim → (old source, new source)."""

BREAKS = {
    # three real samples for each fake
    "A discriminator trained on samples comes close to p/(p + q)": (
        "loss = F.softplus(-D(p.sample((256, 1)))).mean()",
        "loss = 3 * F.softplus(-D(p.sample((256, 1)))).mean()",
    ),
    # a discriminator too sure of itself in place of D*
    "No discriminator's value exceeds that of D*": (
        "best = p.log_prob(GRID) - q.log_prob(GRID)",
        "best = 2 * (p.log_prob(GRID) - q.log_prob(GRID))",
    ),
    # the samples differ
    "Where q = p the best value is −ln 4, and training finds it": (
        "train_discriminator(p, p)",
        "train_discriminator(p, q)",
    ),
    # D for another generator
    "Against the best D the minimax gradient is the slope of V(D*, G)": (
        "Normal(m.detach(), s.detach())",
        "Normal(m.detach(), 2 * s.detach())",
    ),
    # the generator stays near
    "Far from the data the minimax gradient is less than a thousandth of the non-saturating one": (
        "torch.linspace(0.25, 8, 32)",
        "torch.linspace(0.25, 2, 32)",
    ),
    # minimax for both
    "The non-saturating generator arrives, and the value is −ln 4 to three digits": (
        'if kind == "minimax" else F.softplus(-a).mean()',
        'if kind == "minimax" else -F.softplus(a).mean()',
    ),
    # the non-saturating loss for both
    "The minimax generator has not left its place": ('if kind == "minimax" else', "if kind is None else"),
    # the penalty is there
    "Without the penalty modes are lost": (
        '"momentum 0.5, no penalty": play_ring(gamma=0.0',
        '"momentum 0.5, no penalty": play_ring(gamma=0.3',
    ),
    # the penalty is missing
    "With it more of them are found": (
        '"momentum 0.5, R1 penalty": play_ring(gamma=0.3',
        '"momentum 0.5, R1 penalty": play_ring(gamma=0.0',
    ),
    # momentum 0.5 and the penalty
    "With momentum 0.9 modes are lost, too": (
        "play_ring(gamma=0.0, momentum=0.9)",
        "play_ring(gamma=0.3, momentum=0.5)",
    ),
    # all classes
    "Half of the classes missing: coverage falls, precision does not": (
        "train[digits.train_labels < 5]",
        "train[digits.train_labels < 10]",
    ),
    # the digits themselves
    "Negatives have no precision": ('"negatives": 1 - train[:N]', '"negatives": train[:N]'),
    # one digit in place of a mean
    "A mean of ten digits costs coverage, and precision does not see it": (
        "for _ in range(10)) / 10",
        "for _ in range(1)) / 1",
    ),
    # the penalty is there
    "Without R1 the discriminator gets ahead": ('{"gamma": 0.0}', '{"gamma": GAMMA}'),
    # the recipe's momentum
    "With momentum 0.9 the samples are further from the digits": (
        '{"momentum": 0.9}',
        '{"momentum": 0.5}',
    ),
    # negatives in place of digits
    "The floor is below every model": ('faults["train digits: the floor"]', 'faults["negatives"]'),
    # random weights
    "Draws from N(0, I) suit the VAE, not the autoencoder": (
        "rows[name].append(examine(model, seconds))",
        'rows[name].append(examine(VAE() if name == "VAE" else model, seconds))',
    ),
    # N(0, I) in place of the codes' own mean and covariance
    "Draws from a density fitted to its codes help the autoencoder": (
        "MultivariateNormal(code.mean(dim=0), code.T.cov()).sample((N,))",
        "MultivariateNormal(torch.zeros(20), torch.eye(20)).sample((N,))",
    ),
    # β of a VAE
    "A larger β costs reconstruction": ("binary_loss(m, x, 4.0)", "binary_loss(m, x, 1.0)"),
    # random weights
    "The autoencoder reconstructs best of the four that have an encoder": (
        "rows[name].append(examine(model, seconds))",
        'rows[name].append(examine(Autoencoder() if name == "autoencoder" else model, seconds))',
    ),
    # another digit's label
    "The codes of the VAE-GAN tell the digits apart": (
        "digits.train_labels[:2000].cpu()",
        "digits.train_labels[:2000].roll(1).cpu()",
    ),
}
