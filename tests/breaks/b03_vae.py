"""What breaks the cause of each claim of 03_vae: claim → (old source, new source)."""

BREAKS = {
    # σ = 1: the decoder gets a noisy code
    "With σ near 0 the VAE's network is the autoencoder's": ("LOGVAR = -60.0", "LOGVAR = 0.0"),
    # the mean over pixels in place of the sum
    "The loss is the negative of the ELBO that torch.distributions gives": (
        'reduction="none").flatten(1).sum(dim=1)',
        'reduction="none").flatten(1).mean(dim=1)',
    ),
    # σ² = 1/50: details are worth their nats
    "The decoder with σ = 1 puts fewer nats into the code than the Bernoulli decoder": (
        "return squared_error(x, torch.sigmoid(x_logits))",
        "return 50 * squared_error(x, torch.sigmoid(x_logits))",
    ),
    # random weights
    "The autoencoder reconstructs better": (
        '"autoencoder": autoencoder, "VAE',
        '"autoencoder": Autoencoder().to(session.device), "VAE',
    ),
    # random weights
    "Decoded draws from N(0, I) are nearer to digits in the VAE than in the autoencoder": (
        '"VAE": vae}',
        '"VAE": VAE().to(session.device)}',
    ),
    # the weights meet other images than those they were computed from
    "What the decoder draws at z is the average of the images that are coded near z": (
        "@ digits.train_images.flatten(1)",
        "@ digits.train_images.roll(1, dims=0).flatten(1)",
    ),
    # logvar read as log σ
    "Var(z) is the variance of μ plus the mean of σ²": (
        "z = reparameterize(mu, logvar)  # one draw",
        "z = mu + logvar.exp() * torch.randn_like(mu)  # one draw",
    ),
    # codes of a model without the KL
    "On average over the latents, the means alone are narrower than the prior": (
        "means, noise, drawn = mu.var(dim=0)",
        "means, noise, drawn = mean_code(autoencoder, digits.train_images).var(dim=0)",
    ),
    # draws from the prior in place of codes
    "Draws from q(z) decode to better digits than the prior's": (
        "distance(picture(vae, z[",
        "distance(picture(vae, torch.randn_like(z)[",
    ),
    # the sum of the weights in place of their mean
    "Many draws reach the exact log p(x), though q is wrong": (
        "g.logsumexp(dim=1) - math.log(k)",
        "g.logsumexp(dim=1)",
    ),
    # log k subtracted twice
    "With nested draws a larger k never gives a lower bound": (
        "g.logsumexp(dim=1) - math.log(k)",
        "g.logsumexp(dim=1) - 2 * math.log(k)",
    ),
    # a draw, as the ELBO has it
    "Decoding the mean in place of a draw gives more than the ELBO": (
        "vae.decode(mu)) + kl",
        "vae.decode(reparameterize(mu, logvar))) + kl",
    ),
    # random weights
    "Burda's network gives the test images more probability than the small one": (
        '"Burda\'s, 50 latents": burda}',
        '"Burda\'s, 50 latents": VAE(latent_dim=50).to(session.device)}',
    ),
    # twenty latents in place of two
    "More than two latents are needed": ('"2 latents": vae_2d', '"2 latents": vae'),
    # the grey images made binary
    "A perfect copy costs nothing in binary pixels, but not in grey ones": (
        "grey = digits.test_images",
        "grey = binarize(digits.test_images)",
    ),
    # the decoder is given other labels than those that were asked for
    "The label decides which digit is drawn": (
        "conditional.decode(z, asked)",
        "conditional.decode(z, asked[torch.randperm(len(asked))])",
    ),
}
