"""The codec around the latents y: analysis, preview, and what turns y^ and z^ into the diffusion latent.

    pixels --Analysis E--> y        y^ --PreviewDecoder D_a--> preview
    z^ --PriorFeatures H_s--> w     y^, w --LatentTransform T_s--> F; its first channels are x_t

A linear shortcut runs beside analysis, preview and transform. It starts as a Karhunen-Loeve transform of blocks of
pixels, so that the codec works before the first step; the networks learn what a linear transform misses.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentcodec.models.blocks.convs import SMALL, Down, ResBlock, Stack, Up, conv, narrow
from latentcodec.models.sodec.config import Y_STRIDE, SodecConfig

BLOCK_VALUES = 3 * Y_STRIDE * Y_STRIDE
PIXEL_GAIN = 4  # pixels minus 0.5, times this, are what the networks see


class Analysis(nn.Module):
    """Pixels [B, 3, H, W] in 0..1 -> y [B, M, H/16, W/16], in two parts: only the second depends on the rate."""

    def __init__(self, config: SodecConfig):
        super().__init__()
        _, c8, c16 = config.codec_widths
        self.detail = Stack(conv(192, c8, kernel=1), ResBlock(c8), Down(c8, c16), narrow(c16, 0))
        self.shortcut = conv(BLOCK_VALUES, config.y_channels, kernel=1)
        self.stack = Stack(
            narrow(c16, config.embedding),
            narrow(c16, config.embedding),
            narrow(c16, config.embedding),
            conv(c16, config.y_channels, gain=SMALL),
        )

    def prepare(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """-> features [B, c16, H/16, W/16] and the linear transform [B, M, H/16, W/16]."""
        x = (pixels - 0.5) * PIXEL_GAIN
        return self.detail(F.pixel_unshuffle(x, 8)), self.shortcut(F.pixel_unshuffle(x, Y_STRIDE))

    def forward(self, features: Tensor, linear: Tensor, embedding: Tensor) -> Tensor:
        return self.stack(features, embedding) + linear


class PreviewDecoder(Stack):
    """y^ [B, M, h, w] -> preview [B, 3, 16h, 16w], nominally 0..1, not clamped."""

    def __init__(self, config: SodecConfig):
        c4, c8, c16 = config.codec_widths
        super().__init__(
            conv(config.y_channels, c16),
            narrow(c16, config.embedding),
            narrow(c16, config.embedding),
            Up(c16, c8),
            ResBlock(c8, config.embedding),
            Up(c8, c4),
            ResBlock(c4, config.embedding),
            conv(c4, 48, gain=SMALL),
        )
        self.shortcut = conv(config.y_channels, BLOCK_VALUES, kernel=1)

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        pixels = F.pixel_shuffle(super().forward(x, embedding), 4) + F.pixel_shuffle(self.shortcut(x), Y_STRIDE)
        return pixels / PIXEL_GAIN + 0.5


class PriorFeatures(nn.Module):
    """z^ [B, Cz, h, w] -> w [B, P, 4h, 4w]: what the hyper-latents say about the picture, not about probabilities."""

    def __init__(self, config: SodecConfig):
        super().__init__()
        self.stack = Stack(
            conv(config.z_channels, 2 * config.prior_width, kernel=1),
            ResBlock(2 * config.prior_width, config.embedding),
            Up(2 * config.prior_width, config.prior_width),
            Up(config.prior_width, config.prior_width),
        )

    def forward(self, z: Tensor, embedding: Tensor) -> Tensor:
        return self.stack(z, embedding)


class LatentTransform(nn.Module):
    """y^ [B, M, h, w] and w [B, P, h, w] -> features F [B, D, 2h, 2w]; the first channels are the noisy latent x_t."""

    def __init__(self, config: SodecConfig):
        super().__init__()
        w16 = config.widths[1]
        self.latent_channels = config.autoencoder.latent_channels
        self.stack = Stack(
            conv(config.y_channels + config.prior_width, w16),
            narrow(w16, config.embedding),
            narrow(w16, config.embedding),
            narrow(w16, config.embedding),
            Up(w16, config.denoiser_inputs, gain=SMALL),
        )
        self.shortcut = conv(config.y_channels, 4 * self.latent_channels, kernel=1)

    def forward(self, y: Tensor, prior: Tensor, embedding: Tensor) -> Tensor:
        features = self.stack(torch.cat([y, prior], dim=1), embedding)
        noisy = features[:, : self.latent_channels] + F.pixel_shuffle(self.shortcut(y), 2)
        return torch.cat([noisy, features[:, self.latent_channels :]], dim=1)
