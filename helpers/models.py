"""The networks of the series. Taught in 01_autoencoder (`mlp`, `Autoencoder`)."""

from torch import nn


def mlp(*sizes, activation=nn.ReLU):
    """Linear layers from sizes[0] to sizes[-1] with an activation between them, none at the end."""
    layers = []
    for width_in, width_out in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(width_in, width_out), activation()]
    return nn.Sequential(*layers[:-1])


class Autoencoder(nn.Module):
    """The article's network: 784-128-64-20 and back. Decodes to logits; the pixels are their sigmoid."""

    def __init__(self, latent_dim=20, hidden=(128, 64)):
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder = mlp(784, *hidden, latent_dim)
        self.decoder = mlp(latent_dim, *reversed(hidden), 784)

    def encode(self, x):
        return self.encoder(x.flatten(1))  # z (B, latent_dim)

    def decode(self, z):
        return self.decoder(z).view(-1, 1, 28, 28)  # x_logits (B, 1, 28, 28)

    def forward(self, x):
        return self.decode(self.encode(x))  # x_logits (B, 1, 28, 28)
