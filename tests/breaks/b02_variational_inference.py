"""What breaks each claim of 02_variational_inference: claim → (source text, its replacement)."""

LINEAR_DECODER = ("return softplus(2 * z)", "return 2 * z")
FOUR_TIMES_KL = ("model.logvar_x), kl_to_standard_normal", "model.logvar_x), 4 * kl_to_standard_normal")
UNTRAINED = ("train_linear(x, STEPS // 2, variance)", "train_linear(x, 5, variance)")

BREAKS = {
    # a linear decoder has a Gaussian posterior
    "The posterior is skewed, so no Gaussian equals it": LINEAR_DECODER,
    # two latents are few enough for draws of the prior
    "In 20 latents, 10,000 draws of the prior miss p(x) by a factor of 100": (
        "DIMENSIONS, DRAWS, READINGS = 20,",
        "DIMENSIONS, DRAWS, READINGS = 2,",
    ),
    # the entropy of q enters with the wrong sign
    "log p(x) = ELBO + KL(q‖p(z|x)), to four digits, for each of the four q": (
        "(log_joint(x, z) - Normal(mu, sigma).log_prob(z))).sum(dim=-1)",
        "(log_joint(x, z) + Normal(mu, sigma).log_prob(z))).sum(dim=-1)",
    ),
    # the draws have the variance where the standard deviation belongs
    "Monte Carlo finds the same ELBO, within five standard errors": (
        "z = mu + sigma * torch.randn(4, 100_000)",
        "z = mu + sigma**2 * torch.randn(4, 100_000)",
    ),
    # steps too short to arrive
    "Gradient ascent ends at the best Gaussian there is": (
        "climb(X, steps=250)",
        "climb(X, steps=250, lr=1e-4)",
    ),
    # without the entropy of q, nothing keeps the ELBO below: −KL ≤ 0 needs log p − log q
    "No Gaussian of the grid has an ELBO above log p(x)": (
        "return (WEIGHTS * (log_joint(x, z) - Normal(mu, sigma).log_prob(z)",
        "return (WEIGHTS * (log_joint(x, z) + Normal(mu, sigma).log_prob(z)",
    ),
    # the codes' average is taken over four of the five readings
    "Averaged over five readings, the KL to the prior is I(x; z) + KL(q(z)‖p(z))": (
        "q_z = q_x.mean(dim=0)",
        "q_z = q_x[1:].mean(dim=0)",
    ),
    # collapse: five times the same reading
    "Most of it is information about x": ("for x in (0.0, 0.5, 1.0, 2.0, 3.0)", "for x in 5 * (0.5,)"),
    # a linear decoder has a Gaussian posterior, which q can reach
    "Even the best Gaussian leaves a gap": LINEAR_DECODER,
    # three steps uphill
    "Minimising the bound drives q away from the posterior": ("maximize=False)[2]", "maximize=True)[2]"),
    # only the distance to the prior is made small
    "The gap to the posterior closes while the KL to the prior grows from zero": (
        "bound.backward()",
        "(-q.square().sum()).backward()",
    ),
    # the draws come from another q than the one whose log is differentiated
    "Both estimators are right on average, within five standard errors": (
        "torch.full((n,), 2 * math.log(sigma))",
        "torch.full((n,), math.log(sigma))",
    ),
    # another f than the one of the closed forms
    "Both variances are those of the closed forms, within 15%": (
        "one_draw_gradients(torch.square, m, s)",
        "one_draw_gradients(torch.abs, m, s)",
    ),
    # a smooth f
    "The reparameterized gradient through a rounded z is zero, which is wrong": (
        "one_draw_gradients(torch.round, 0.3, 1.0)",
        "one_draw_gradients(torch.sin, 0.3, 1.0)",
    ),
    # the draws are shifted after they were drawn
    "The score function differentiates even the expectation of a rounded z": (
        "draws = z.detach()",
        "draws = z.detach() + 1",
    ),
    # a constant is forgotten
    "The closed form is the KL of torch.distributions": (
        "kl_per_latent(mu, logvar).flatten(1).sum(dim=1)",
        "(mu**2 + logvar.exp() - logvar).sum(dim=1)",
    ),
    # the sign is flipped
    "Monte Carlo agrees with it, within five standard errors": (
        "q.log_prob(z) - p.log_prob(z)",
        "p.log_prob(z) - q.log_prob(z)",
    ),
    # the KL is added to the bound
    "−NLL − KL, averaged over draws, is the ELBO, within five standard errors": (
        "decode(z), LOGVAR_X) - kl_to_standard_normal(mu, logvar)",
        "decode(z), LOGVAR_X) + kl_to_standard_normal(mu, logvar)",
    ),
    # the loss reads the raw number as log σ
    "The raw number s becomes the log of the variance, without a logarithm": (
        "lambda s: s)",
        "lambda s: 2 * s)",
    ),
    # steps too small to cross zero
    "At the same learning rate, a raw variance falls below zero": (
        "descend(1.0, torch.log)",
        "descend(1.0, torch.log, lr=1e-3)",
    ),
    # no hidden units after all
    "A hidden layer closes most of the amortization gap of the linear encoder": (
        '"32 units": (32,)',
        '"32 units": ()',
    ),
    # the search for the best Gaussian hardly begins
    "No encoder beats the best Gaussian for each x": (
        "def best_gaussian(x, steps=60)",
        "def best_gaussian(x, steps=2)",
    ),
    # a linear decoder has a Gaussian posterior
    "The best Gaussian for each x still leaves more than 0.02 nats on average": (
        "EPOCHS = session.pick(quick=20, full=60)",
        "EPOCHS, decode = 1, lambda z: 2 * z",
    ),
    "The −ELBO of the trained linear VAE meets the exact pPCA likelihood": FOUR_TIMES_KL,
    # the data's largest variance lies along the other axes
    "The columns of W span the top eigenvectors": ("EIGENVALUES.sqrt() @", "EIGENVALUES.flip(0).sqrt() @"),
    "The learned σ² is the mean discarded eigenvalue": FOUR_TIMES_KL,
    "Each latent carries ½ log(λ/σ²) nats, or none where λ < σ²": UNTRAINED,
    "Latents switch off one by one as σ² passes their eigenvalues": UNTRAINED,
}
