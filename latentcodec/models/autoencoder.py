"""MiniVAE: pixels [B, 3, H, W] <-> latents [B, C, H/8, W/8].

    pixels - 0.5 -> unshuffle 2 -> f2 -> f4 -> f8 -> latents / scale        encode
    latents * scale -> f8 -> f4 -> f2 -> shuffle 2 -> pixels + 0.5          decode

Beside each runs a linear shortcut between blocks of 8x8 pixels and latents. It starts as a Karhunen-Loeve transform
(train/klt.py); the networks learn what a linear transform misses.

Convolutions and ReLU only: no layer looks at the whole picture, so tiles with enough overlap decode to the same
pixels. `scale` is a per-channel constant that gives the latents unit variance over the training photographs.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentcodec.models.blocks.convs import SMALL, Down, ResBlock, Stack, Up, conv
from latentcodec.models.blocks.noise import noise_input


@dataclass(frozen=True)
class AutoencoderConfig:
    """Widths and depths at strides 2, 4 and 8; `shortcut`: the linear transform beside the networks.

    noise_planes: of known noise into the first block of the decoder at every stride.
    """

    latent_channels: int = 32
    widths: tuple[int, int, int] = (48, 96, 192)
    encoder_depths: tuple[int, int, int] = (1, 1, 2)
    decoder_depths: tuple[int, int, int] = (2, 6, 4)
    shortcut: bool = True
    noise_planes: int = 4


STRIDE = 8
BLOCK_VALUES = 3 * STRIDE * STRIDE
PIXEL_GAIN = 4  # pixels minus 0.5, times this, are what the networks see


def _blocks(width: int, depth: int, noise: nn.Module | None = None) -> list[nn.Module]:
    return [ResBlock(width, noise=None if number else noise) for number in range(depth)]


class Encoder(Stack):
    """Pixels [B, 3, H, W] in 0..1, H and W multiples of 8 -> [B, C, H/8, W/8]."""

    def __init__(self, config: AutoencoderConfig):
        w2, w4, w8 = config.widths
        d2, d4, d8 = config.encoder_depths
        super().__init__(
            conv(12, w2),
            *_blocks(w2, d2),
            Down(w2, w4),
            *_blocks(w4, d4),
            Down(w4, w8),
            *_blocks(w8, d8),
            conv(w8, config.latent_channels, gain=SMALL if config.shortcut else 1.0),
        )
        self.shortcut = conv(BLOCK_VALUES, config.latent_channels, kernel=1) if config.shortcut else None

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        x = (x - 0.5) * PIXEL_GAIN
        latents = super().forward(F.pixel_unshuffle(x, 2), embedding)
        return latents if self.shortcut is None else latents + self.shortcut(F.pixel_unshuffle(x, STRIDE))


class Decoder(Stack):
    """Latents [B, C, h, w] -> pixels [B, 3, 8h, 8w], nominally 0..1, not clamped."""

    def __init__(self, config: AutoencoderConfig):
        w2, w4, w8 = config.widths
        d2, d4, d8 = config.decoder_depths
        planes = config.noise_planes
        super().__init__(
            conv(config.latent_channels, w8),
            *_blocks(w8, d8, noise_input(planes, w8, seed=3, stride=8)),
            Up(w8, w4),
            *_blocks(w4, d4, noise_input(planes, w4, seed=4, stride=4)),
            Up(w4, w2),
            *_blocks(w2, d2, noise_input(planes, w2, seed=5, stride=2)),
            conv(w2, 12, gain=SMALL),
        )
        self.shortcut = conv(config.latent_channels, BLOCK_VALUES, kernel=1) if config.shortcut else None

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        pixels = F.pixel_shuffle(super().forward(x, embedding), 2)
        if self.shortcut is not None:
            pixels = pixels + F.pixel_shuffle(self.shortcut(x), STRIDE)
        return pixels / PIXEL_GAIN + 0.5


class MiniVAE(nn.Module):
    """Deterministic autoencoder (the posterior's mode) with unit-variance latents."""

    scale: Tensor

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.register_buffer("scale", torch.ones(config.latent_channels))

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels in 0..1 -> latents with unit variance per channel."""
        return self.encoder(pixels) / self.scale[:, None, None]

    def decode(self, latents: Tensor) -> Tensor:
        """Latents -> pixels, not clamped."""
        return self.decoder(latents * self.scale[:, None, None])
