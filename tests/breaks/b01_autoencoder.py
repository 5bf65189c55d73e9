"""What breaks the cause of each claim of 01_autoencoder: claim → (old source, new source)."""

BREAKS = {
    # the ½ is forgotten
    "The mean over pixels is the article's formula divided by 784/2": (
        "return 0.5 * ((x",
        "return 1.0 * ((x",
    ),
    # images that are not centred
    "A linear autoencoder finds the PCA subspace": (
        "centred = train_flat - train_flat.mean(dim=0)",
        "centred = train_flat",
    ),
    # stopped before it has converged
    "A linear autoencoder reaches PCA's error": ("for _ in range(LINEAR_STEPS):", "for _ in range(20):"),
    # a sum in place of a mean over the images
    "The 784 rows stand for all the images": (" / math.sqrt(len(centred))", ""),
    # it starts at the components, and no step leads away from them
    "The units of a linear autoencoder are not the principal components": (
        "muon = torch.optim.Muon(linear.parameters(), lr=0.03",
        "linear[0].weight.data.copy_(components)\nlinear[1].weight.data.copy_(components.T)\n"
        "muon = torch.optim.Muon(linear.parameters(), lr=0.0",
    ),
    # images that are not centred
    "PCA of its reconstructions gives the components back": (
        "centred = train_flat - train_flat.mean(dim=0)",
        "centred = train_flat",
    ),
    # networks that were not trained
    "At every width the autoencoder's error on unseen digits is below PCA's": (
        'train(autoencoders[latent_dim], reconstruction_loss, f"autoencoder, {latent_dim} latents")',
        "pass",
    ),
    # shuffled labels
    "Though no label was used, neighbours in the plane share a digit far more often than by chance": (
        "digits.train_labels[nearest] ==",
        "digits.train_labels.flip(0)[nearest] ==",
    ),
    # codes of digits in place of points between them
    "Halfway between two classes the classifier is unsure more than twice as often as at the codes": (
        "halfway = decode((z + z[partner]) / 2)",
        "halfway = decode(z)",
    ),
    # shuffled labels: the pairs are not of one class
    "Halfway within one class it is unsure less than twice as often": (
        "same = digits.test_labels == digits.test_labels[partner]",
        "same = digits.test_labels == digits.test_labels[partner].flip(0)",
    ),
    # a denoiser that never sees noise
    "On noisy digits the denoising autoencoder makes less than four fifths of the plain one's error": (
        "torch.sigmoid(model(corrupt(x)))",
        "torch.sigmoid(model(x))",
    ),
    # labels out of step with the images
    "A linear probe reads most digits from 20 latents": (
        "labels = digits.train_labels[:PROBED].cpu()",
        "labels = digits.train_labels[:PROBED].cpu().roll(1)",
    ),
    # labels that were not shuffled
    "With shuffled labels the probe falls towards chance": (
        "shuffled = labels[torch.randperm(PROBED)]",
        "shuffled = labels",
    ),
    # the codes of digits in place of a guess at them
    "Codes from a Gaussian, a box or N(0, I) end more than 1.5 times as far from digits as reconstructions": (
        "decode(gaussian.sample((N,)))",
        "decode(z[-N:])",
    ),
    # fitted to something else than the codes
    "A finer density fitted to the codes comes closer than one Gaussian": (
        "z[:10_000]",
        "torch.randn_like(z)[:10_000]",
    ),
}
