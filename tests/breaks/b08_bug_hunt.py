"""What breaks the cause of each claim of 08_bug_hunt: claim → (old source, new source)."""

_SHUFFLED = (
    "_replace(noise=hunt.noise.solution)",
    "_replace(noise=hunt.noise.solution, batches=hunt.batches.solution)",
)
_WITH_KL = (
    "program._replace(batches=hunt.batches.solution)",
    "program._replace(batches=hunt.batches.solution, kl=hunt.kl.solution, objective=hunt.objective.solution)",
)
_RIGHT_SIGN = (
    "program._replace(kl=hunt.kl.solution)",
    "program._replace(kl=hunt.kl.solution, objective=hunt.objective.solution)",
)
_SUMMED = (
    "program._replace(objective=hunt.objective.solution)",
    "program._replace(objective=hunt.objective.solution, reconstruction=hunt.reconstruction.solution)",
)
_NO_HALF = (
    "program._replace(reconstruction=hunt.reconstruction.solution)",
    "program._replace(reconstruction=lambda x, x_mean: ((x - x_mean) ** 2).sum(dim=1))",
)
_LOGVAR = ("return mu + logvar * torch.randn_like(mu)", "return reparameterize(mu, logvar)")

BREAKS = {
    # x_train is there, and empty
    "Four errors stop the program before its first step": (
        "x_dim, z_dim, batch_size = 784, 20, 32",
        "x_dim, z_dim, batch_size, x_train = 784, 20, 32, images[:0]",
    ),
    # the encoder of the next bug's fix
    "The encoder returns one number for each latent": (
        "hunt.build.solution(images.cpu(), 20)",
        "hunt.build_both.solution(images.cpu(), 20)",
    ),
    # noise with numbers in it
    "The program stops at its first draw of z": (
        'torch.empty(mu.shape, device="meta"),  # layers',
        "torch.randn_like(mu),  # layers",
    ),
    # shuffled batches, none dropped
    "The images that are never shown are nines": _SHUFFLED,
    "Shuffled, the same steps draw zeros a fifth better": _SHUFFLED,
    # a KL in the loss
    "σ falls below half of the prior's": _WITH_KL,
    # the KL is added
    "The loss of a model that is no good falls below minus one million": _RIGHT_SIGN,
    "Training ends with numbers that are none": _RIGHT_SIGN,
    # the sum over pixels
    "The code says next to nothing: less than a hundredth of a nat": _SUMMED,
    "All reconstructions are one picture": _SUMMED,
    # a Gaussian of another variance
    "Same parameters, same draws: the program and notebook 03's loss agree": _NO_HALF,
    "So do all their gradients": _NO_HALF,
    "From one seed both go through the same losses, for forty steps at least": _NO_HALF,
    # the bound is maximised
    "A dozen steps down make the model worse than coins": ("(-loss).backward()", "loss.backward()"),
    # one encoder twice
    "Two encoders give two bounds": ("encoder[-1].bias.add_(0.4)", "encoder[-1].bias.add_(0.0)"),
    # two decoders
    "Both estimate one log p(x)": ("other.encoder[-1].bias.add_(0.4)", "other.decoder[-1].bias.add_(0.4)"),
    # the bound in place of log p(x)
    "log p(x) has gradients in the decoder alone": (
        "torch.autograd.grad(log_p, list",
        "torch.autograd.grad(negative_elbo(one, x)[0], list",
    ),
    # a learned prior
    "Encoder and decoder are all that is trained": (
        'owners["all"] = sum(p.numel() for p in vae.parameters())',
        'owners["all"] = sum(p.numel() for p in [*vae.parameters(), torch.zeros(2, 20)])',
    ),
    # an untrained encoder
    "On average a digit's q(z|x) is more than 5 nats away from N(0, I)": (
        "mu, logvar = vae.encode(binarize(digits.test_images))",
        "mu, logvar = VAE().to(session.device).encode(binarize(digits.test_images))",
    ),
    # s read as σ
    "The spread of the draws is exp(s/2), so s is log σ²": (
        "torch.sqrt(torch.exp(s)) * torch.randn(20_000, 3)",
        "s * torch.randn(20_000, 3)",
    ),
    # a deep network of sigmoids
    "From layer to layer the gradients stay within a factor of 300": (
        '{"untrained": VAE().to(session.device)',
        '{"untrained": VAE(hidden=(128,) * 6, activation=nn.Sigmoid).to(session.device)',
    ),
    # an encoder that learned nothing
    "One draw from q is worth more than all the draws from the prior": (
        "importance_weighted_nll(vae, x, k)",
        "importance_weighted_nll(VAE().to(session.device), x, k)",
    ),
    # draws of the likelihood in place of its mean
    "The mean picture is softer: less contrast between neighbouring pixels": (
        "x_mean = torch.sigmoid(vae.decode(mu))",
        "x_mean = binarize(torch.sigmoid(vae.decode(mu)))",
    ),
    # a code shared out by chance, as an untrained encoder does
    "The busiest latent says more than twice as much as the idlest": (
        "mu, logvar = vae.encode(binarize(x))",
        "mu, logvar = torch.randn(len(x), 20), torch.zeros(len(x), 20)",
    ),
    # the sum over pixels
    "The codes of this program carry less than a fifth of the nats": (
        "nll = F.binary_cross_entropy_with_logits(x_logits, x)\n",
        "nll = bernoulli_nll(x, x_logits).mean()\n",
    ),
    # the draw of the q that the KL is of
    "The program reports a better bound than notebook 03's VAE": _LOGVAR,
    "More than ten of its nats are not there": _LOGVAR,
    # a draw in either mode, with more noise in eval mode
    "The same model looks better on the same digits in eval mode": (
        "return reparameterize(mu, logvar) if training else mu",
        "return reparameterize(mu, logvar if training else logvar + 1)",
    ),
    # logits, as the loss expects
    "The pages are blank: less than a tenth of the ink": (
        "x_probability = torch.sigmoid(network(z))",
        "x_probability = 1.0 * network(z)",
    ),
    "The loss stays above three times that of notebook 03": (
        "x_probability = torch.sigmoid(network(z))",
        "x_probability = network(z)",
    ),
    # a decoder that sees all latents
    "Before training one latent moves no pixel, the nine others do": (
        "untrained = OffByOne()",
        "untrained = VAE(latent_dim=10)",
    ),
    # the KL of another model
    "It is the one without a KL": (
        "blind.encode(digits.test_images)",
        "VAE(latent_dim=10).to(session.device).encode(digits.test_images)",
    ),
    # the same binary pixels for both
    "Cut at one half, the same model looks better": ("(grey > 0.5).float()", "binarize(grey)"),
    # binary pixels for grey ones
    "Grey pixels cost dozens of nats even if they are copied perfectly": (
        "grey = digits.test_images",
        "grey = binarize(digits.test_images)",
    ),
    # the optimiser's state is handed over, too
    "With the model alone the loss jumps": (
        '"model alone": model_alone',
        '"model alone": hunt.hand_over.solution',
    ),
    # it is not
    "Mended, it is as if there had been no break": ("hunt.hand_over.solution", "model_alone"),
}
