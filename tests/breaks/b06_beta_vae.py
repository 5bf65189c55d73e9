"""What breaks the cause of each claim of 06_beta_vae: claim → (old source, new source)."""

BREAKS = {
    # the KL as a mean over the four latents
    "Trained linear β-VAEs lie on the exact rate–distortion curve": (
        "loss = nll + beta * kl\n",
        "loss = nll + beta * kl / 4\n",
    ),
    # the same: every β is a quarter of what is written
    "Each secant's slope lies between −β of its two ends": (
        "loss = nll + beta * kl\n",
        "loss = nll + beta * kl / 4\n",
    ),
    # the last but one
    "The first and the last orientation give the same images": ("FIRST, LAST = 0, 39", "FIRST, LAST = 0, 38"),
    # β divides where it should multiply
    "On sprites a larger β buys a lower rate": (
        "train_sprites(lambda m, x, t: negative_elbo(m, x, annealed(beta, t)), seed)",
        "train_sprites(lambda m, x, t: negative_elbo(m, x, annealed(1 / beta, t)), seed)",
    ),
    # β never reaches the loss
    "On digits a larger β buys a lower rate": (
        "negative_elbo(m, binarize(x), annealed(beta, t))",
        "negative_elbo(m, binarize(x), annealed(1, t))",
    ),
    # β never reaches the loss
    "The lower rate is paid with distortion": (
        "train_sprites(lambda m, x, t: negative_elbo(m, x, annealed(beta, t)), seed)",
        "train_sprites(lambda m, x, t: negative_elbo(m, x, annealed(1, t)), seed)",
    ),
    # a mean over the pixels in place of the sum
    "No model is below the entropy of the sprites": (
        '"distortion": terms["nll"]}',
        '"distortion": terms["nll"] / SIZE**2}',
    ),
    # β is not rescaled by the number of latents
    "Two means and a weight w are our loss with β = w·N/M, divided by N": (
        "two_means = nll / N + w * kl / M",
        "two_means = nll / N + w * kl",
    ),
    # factors of other images
    "A straight line reads a heart's place off its code, not its angle": (
        "causes = torch.stack([*points.T[3:], angle.cos(), angle.sin()])[:, heart]",
        "causes = torch.stack([*points.T[3:], angle.cos(), angle.sin()]).roll(1, dims=1)[:, heart]",
    ),
    # factors with two values: bins and a linear classifier suffice
    "A perfect code reaches 1 neither in MIG nor in SAP": (
        "points = sample_factors(KNOWN_POINTS, torch.Generator().manual_seed(session.seed))",
        "points = sample_factors(KNOWN_POINTS, torch.Generator().manual_seed(session.seed)) % 2",
    ),
    # no rotation
    "A rotation lowers MIG, SAP and FactorVAE": (
        "ROTATION = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(0)))[0]",
        "ROTATION = torch.eye(5)",
    ),
    # a projection: what it drops cannot be read off
    "A rotation leaves explicitness as it is": (
        "ROTATION = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(0)))[0]",
        "ROTATION = torch.linalg.qr(torch.randn(5, 5))[0][:, :2]",
    ),
    # latents of noise, alive, in place of dead ones
    "Dead latents halve modularity": (
        "torch.cat([perfect(v), torch.zeros(len(v), 5)], dim=1)",
        "torch.cat([perfect(v), torch.randn(len(v), 5)], dim=1)",
    ),
    # copies in place of dead latents
    "Dead latents leave MIG alone": (
        "torch.cat([perfect(v), torch.zeros(len(v), 5)], dim=1)",
        "torch.cat([perfect(v), perfect(v)], dim=1)",
    ),
    # the covariance stays where it was
    "The turned model has the same ELBO, image by image": (
        "turned_scale = Q * sigma[:, None, :]",
        "turned_scale = torch.diag_embed(sigma)",
    ),
    # no rotation
    "If q's covariance must not turn along, the ELBO is lower": (
        "Q = torch.linalg.qr(torch.randn(LATENTS, LATENTS))[0]",
        "Q = torch.eye(LATENTS)",
    ),
    # the weight of one image for all others together
    "With all images in the batch, the split uses the exact aggregate posterior": (
        "others = math.log((n - 1) / n / (b - 1))",
        "others = -math.log(n * (b - 1))",
    ),
    # all images in one batch
    "Small batches find too much information": ("BATCH = 16", "BATCH = 256"),
    # no pull towards the capacity
    "The capacity decides the rate": ("GAMMA, TC_BETA = 5.0, 50.0", "GAMMA, TC_BETA = 5.0, 0.0"),
    # the padding is forgotten
    "The formula gives the side of each feature map": (
        "(sides[-1][0] + 2 * p - k) // s",
        "(sides[-1][0] - k) // s",
    ),
    # a stride that divides 3, and not 4
    "Stride 2 stamps all pixels alike with a kernel of 4, but not with one of 3": (
        "STRIDE, stamped = 2, {}",
        "STRIDE, stamped = 3, {}",
    ),
}
