"""The networks of the series.

Taught in 01_autoencoder (`mlp`, `Autoencoder`),
02_variational_inference (`reparameterize`, `LinearVAE`),
03_vae (`VAE`),
06_beta_vae (`ConvVAE`).
"""

import math
from itertools import pairwise

import torch
from torch import nn


def mlp(*sizes, activation=nn.ReLU):
    """Return linear layers with an activation between them, none at the end: (B, sizes[0]) → (B, sizes[-1])."""
    layers = []
    for width_in, width_out in pairwise(sizes):
        layers += [nn.Linear(width_in, width_out), activation()]
    return nn.Sequential(*layers[:-1])


class Autoencoder(nn.Module):
    """The article's network, 784-128-64-20 and back: images (B, C, H, W) → logits of the same shape.

    The pixels are the sigmoid of the logits. `image_shape` is (C, H, W).
    """

    def __init__(self, latent_dim=20, hidden=(128, 64), activation=nn.ReLU, image_shape=(1, 28, 28)):
        super().__init__()
        self.latent_dim, self.image_shape = latent_dim, tuple(image_shape)
        pixels = math.prod(image_shape)
        self.encoder = mlp(pixels, *hidden, latent_dim, activation=activation)
        self.decoder = mlp(latent_dim, *reversed(hidden), pixels, activation=activation)

    def encode(self, x):
        if x.shape[1:] != self.image_shape:
            raise ValueError(
                f"x has the shape {tuple(x.shape)}; expected a batch of images {self.image_shape}"
            )
        return self.encoder(x.flatten(1))  # z (B, latent_dim)

    def decode(self, z):
        if z.shape[1:] != (self.latent_dim,):
            raise ValueError(f"z has the shape {tuple(z.shape)}; expected (B, {self.latent_dim})")
        return self.decoder(z).view(-1, *self.image_shape)  # x_logits (B, C, H, W)

    def forward(self, x):
        return self.decode(self.encode(x))  # x_logits (B, C, H, W)


def reparameterize(mu, logvar):
    """Draw z ~ N(mu, diag σ²) as mu + σε with fresh noise ε: mu, logvar = log σ² (B, D) → z (B, D).

    Gradients reach mu and logvar, since the noise does not depend on them. Kingma & Welling 2014, §2.4.
    """
    return mu + (0.5 * logvar).exp() * torch.randn_like(mu)


class LinearVAE(nn.Module):
    """A linear VAE, z ~ N(0, I) and x ~ N(Wz + b, σ²I); its optimum is probabilistic PCA. Lucas et al. 2019, §4.

    logvar_x = log σ² is one learned number; q(z|x) has a linear mean and one variance per latent, the same for
    every x. x (B, data_dim), z (B, latent_dim).
    """

    def __init__(self, data_dim, latent_dim):
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder = nn.Linear(data_dim, latent_dim)
        self.logvar_z = nn.Parameter(torch.zeros(latent_dim))
        self.decoder = nn.Linear(latent_dim, data_dim)
        self.logvar_x = nn.Parameter(torch.zeros(()))

    def encode(self, x):
        mu = self.encoder(x)
        return mu, self.logvar_z.expand_as(mu)  # mu, logvar (B, latent_dim)

    def decode(self, z):
        return self.decoder(z)  # x_mean (B, data_dim)

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decode(reparameterize(mu, logvar)), mu, logvar


class VAE(nn.Module):
    """A VAE of images (B, C, H, W): the encoder returns mu and logvar, the decoder logits.

    `image_shape` is (C, H, W). Raises ValueError if the images or z have another shape.
    Kingma & Welling 2014, appendix C.
    """

    def __init__(self, latent_dim=20, hidden=(128, 64), activation=nn.ReLU, image_shape=(1, 28, 28)):
        super().__init__()
        self.latent_dim, self.image_shape = latent_dim, tuple(image_shape)
        pixels = math.prod(image_shape)
        self.encoder = mlp(pixels, *hidden, 2 * latent_dim, activation=activation)
        self.decoder = mlp(latent_dim, *reversed(hidden), pixels, activation=activation)

    def encode(self, x):
        if x.shape[1:] != self.image_shape:
            raise ValueError(
                f"x has the shape {tuple(x.shape)}; expected a batch of images {self.image_shape}"
            )
        mu, logvar = self.encoder(x.flatten(1)).chunk(2, dim=1)
        return mu, logvar  # each (B, latent_dim)

    def decode(self, z):
        if z.shape[1:] != (self.latent_dim,):
            raise ValueError(f"z has the shape {tuple(z.shape)}; expected (B, {self.latent_dim})")
        return self.decoder(z).view(-1, *self.image_shape)  # x_logits (B, C, H, W)

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decode(reparameterize(mu, logvar)), mu, logvar


class ConvVAE(nn.Module):
    """A convolutional VAE of images (B, C, H, W): each layer halves height and width, or doubles them.

    `image_shape` is (C, H, W), of any size. The defaults are the network of Locatello et al. 2019; for
    digits use image_shape=(1, 28, 28), channels=(32, 64) and kernels=(4, 4). `kernels` are the encoder's and must
    be even; the decoder's are all 4. Raises ValueError if the kernels do not fit the channels, if the image is too
    small for so many layers, and if the images or z have another shape.
    """

    def __init__(
        self, image_shape=(1, 64, 64), latent_dim=10, channels=(32, 32, 64, 64), kernels=(4, 4, 2, 2)
    ):
        super().__init__()
        if len(kernels) != len(channels) or any(k % 2 for k in kernels):
            raise ValueError(f"kernels is {kernels}; expected {len(channels)} even numbers, one per layer")
        if min(image_shape[1:]) < 2 ** len(channels):
            raise ValueError(f"image_shape is {image_shape}; too small to halve {len(channels)} times")
        self.latent_dim, self.image_shape = latent_dim, tuple(image_shape)
        c_in, *size = image_shape
        down, up = [], []
        for c_out, k in zip(channels, kernels, strict=True):
            odd = [side % 2 for side in size]  # halving drops a row of an odd side; doubling puts it back
            down += [nn.Conv2d(c_in, c_out, k, stride=2, padding=k // 2 - 1), nn.ReLU()]
            doubling = nn.ConvTranspose2d(c_out, c_in, 4, stride=2, padding=1, output_padding=odd)
            up = [nn.ReLU(), doubling, *up]
            c_in, size = c_out, [side // 2 for side in size]
        maps = (c_in, *size)  # the shape of the last feature maps
        self.encoder = nn.Sequential(*down, nn.Flatten(), *mlp(math.prod(maps), 256, 2 * latent_dim))
        self.decoder = nn.Sequential(*mlp(latent_dim, 256, math.prod(maps)), nn.Unflatten(1, maps), *up)

    def encode(self, x):
        if x.shape[1:] != self.image_shape:
            raise ValueError(
                f"x has the shape {tuple(x.shape)}; expected a batch of images {self.image_shape}"
            )
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu, logvar  # each (B, latent_dim)

    def decode(self, z):
        if z.shape[1:] != (self.latent_dim,):
            raise ValueError(f"z has the shape {tuple(z.shape)}; expected (B, {self.latent_dim})")
        return self.decoder(z)  # x_logits (B, C, H, W)

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decode(reparameterize(mu, logvar)), mu, logvar
