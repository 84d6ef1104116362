"""Analysis and synthesis transforms around the quantised latents y, with the auxiliary branches.

Beyond StableCodec, a linear shortcut runs beside each: blocks of 4x4 VAE latents -> y, and y^ -> blocks of the residual
latent. It starts as a Karhunen-Loeve transform (train/klt.py); the networks learn what a linear transform misses.

VAE latents --+
              +--> Analysis --> y        y^ --+--> Synthesis ----------> features F
pixels --> AuxiliaryEncoder                   +--> AuxiliaryDecoder ---> residual latent
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentcodec.models.blocks.convs import SMALL, Down, ResBlock, Stack, Up, conv, narrow
from latentcodec.models.stablecodec.config import StableCodecConfig

BLOCK = 4


class AuxiliaryEncoder(Stack):
    """Pixels [B, 3, H, W] in 0..1 -> features [B, w16, H/16, W/16]: what the VAE latents leave out.

    Without rate conditioning, so that a search over rates runs it once.
    """

    def __init__(self, config: StableCodecConfig):
        w8, w16, _ = config.widths
        super().__init__(
            conv(192, w8, kernel=1),
            *(ResBlock(w8) for _ in range(config.encoder_depths[0])),
            Down(w8, w16),
            ResBlock(w16),
        )

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        return super().forward(F.pixel_unshuffle((x - 0.5) * 4, 8), embedding)


class Analysis(nn.Module):
    """VAE latents [B, C, H/8, W/8] and auxiliary features [B, w16, H/16, W/16] -> y [B, M, H/32, W/32]."""

    def __init__(self, config: StableCodecConfig):
        super().__init__()
        _, w16, w32 = config.widths
        self.merge = conv(4 * config.autoencoder.latent_channels + w16, w16, kernel=1)
        self.stack = Stack(
            *(narrow(w16, config.embedding) for _ in range(config.encoder_depths[1])),
            Down(w16, w32),
            narrow(w32, config.embedding),
            narrow(w32, config.embedding),
            conv(w32, config.y_channels, gain=SMALL),
        )
        self.shortcut = conv(BLOCK * BLOCK * config.autoencoder.latent_channels, config.y_channels, kernel=1)

    def forward(self, latents: Tensor, auxiliary: Tensor, embedding: Tensor) -> Tensor:
        merged = self.merge(torch.cat([F.pixel_unshuffle(latents, 2), auxiliary], dim=1))
        return self.stack(merged, embedding) + self.shortcut(F.pixel_unshuffle(latents, BLOCK))


class Synthesis(Stack):
    """y^ [B, M, h, w] -> features F [B, w8, 4h, 4w]; its first channels are the noisy latent x_t."""

    def __init__(self, config: StableCodecConfig):
        w8, w16, w32 = config.widths
        super().__init__(
            conv(config.y_channels, w32),
            narrow(w32, config.embedding),
            narrow(w32, config.embedding),
            Up(w32, w16),
            narrow(w16, config.embedding),
            Up(w16, w8, gain=SMALL),
        )


class AuxiliaryDecoder(Stack):
    """y^ [B, M, h, w] -> residual latent [B, C, 4h, 4w], added after the denoiser."""

    def __init__(self, config: StableCodecConfig):
        w8, w16, _ = config.widths
        super().__init__(
            conv(config.y_channels, w16),
            narrow(w16, config.embedding),
            Up(w16, w8),
            ResBlock(w8, config.embedding),
            Up(w8, w8 // 2),
            conv(w8 // 2, config.autoencoder.latent_channels, gain=SMALL),
        )
        self.shortcut = conv(config.y_channels, BLOCK * BLOCK * config.autoencoder.latent_channels, kernel=1)

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        return super().forward(x, embedding) + F.pixel_shuffle(self.shortcut(x), BLOCK)
