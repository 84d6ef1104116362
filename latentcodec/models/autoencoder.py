"""MiniVAE: pixels [B, 3, H, W] <-> latents [B, C, H/8, W/8].

    pixels - 0.5 -> unshuffle 2 -> f2 -> f4 -> f8 -> latents / scale        encode
    latents * scale -> f8 -> f4 -> f2 -> shuffle 2 -> pixels + 0.5          decode

Convolutions and ReLU only: no layer looks at the whole picture, so tiles with enough overlap decode to the same
pixels. `scale` is a per-channel constant that gives the latents unit variance over the training photographs.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentcodec.models.blocks.convs import Down, ResBlock, Stack, Up, conv


@dataclass(frozen=True)
class AutoencoderConfig:
    """Widths and depths at strides 2, 4 and 8."""

    latent_channels: int = 16
    widths: tuple[int, int, int] = (48, 96, 192)
    encoder_depths: tuple[int, int, int] = (1, 1, 2)
    decoder_depths: tuple[int, int, int] = (1, 2, 2)


STRIDE = 8


def _blocks(width: int, depth: int) -> list[nn.Module]:
    return [ResBlock(width) for _ in range(depth)]


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
            conv(w8, config.latent_channels),
        )

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        return super().forward(F.pixel_unshuffle((x - 0.5) * 4, 2), embedding)


class Decoder(Stack):
    """Latents [B, C, h, w] -> pixels [B, 3, 8h, 8w], nominally 0..1, not clamped."""

    def __init__(self, config: AutoencoderConfig):
        w2, w4, w8 = config.widths
        d2, d4, d8 = config.decoder_depths
        super().__init__(
            conv(config.latent_channels, w8),
            *_blocks(w8, d8),
            Up(w8, w4),
            *_blocks(w4, d4),
            Up(w4, w2),
            *_blocks(w2, d2),
            conv(w2, 12, gain=0.5),
        )

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        return F.pixel_shuffle(super().forward(x, embedding), 2) / 4 + 0.5


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
