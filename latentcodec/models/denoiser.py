"""One-step diffusion: the network that predicts the noise, and the formula that removes it.

A latent x_t = sqrt(a) x_0 + sqrt(1 - a) eps with the cumulative signal level a = alpha_bar_t (Ho et al. 2020, eq. 4)
is denoised in a single call: x_0 = (x_t - sqrt(1 - a) eps) / sqrt(a).
"""

import math

import torch
from torch import Tensor, nn

from latentcodec.models.blocks.attention import LocalCrossAttention
from latentcodec.models.blocks.convs import Down, ResBlock, Up, conv, narrow
from latentcodec.models.blocks.noise import noise_input


def one_step_x0(noisy: Tensor, noise: Tensor, alpha_bar: float) -> Tensor:
    """Noisy latent and predicted noise, both [B, C, h, w] -> clean latent (Ho et al. 2020, eq. 15).

    In float32 at least: late in the diffusion it is a small difference of two large numbers.
    """
    noisy = noisy.to(torch.promote_types(noisy.dtype, torch.float32))
    return (noisy - math.sqrt(1 - alpha_bar) * noise.to(noisy.dtype)) / math.sqrt(alpha_bar)


class MiniUNet(nn.Module):
    """Features F [B, w8, h, w] and rate embedding [B, E] -> predicted noise [B, C, h, w]; three scales, skip sums.

    noise_planes: of known noise at its first and last block, from which it paints texture. attention: channels, heads
    and reach of guidance tokens [B, T, h/4, w/4], to which its middle layers attend; None: it takes no tokens.
    """

    def __init__(
        self,
        widths: tuple[int, int, int],
        latent_channels: int,
        embedding: int,
        noise_planes: int = 0,
        attention: tuple[int, int, int] | None = None,
    ):
        super().__init__()
        w8, w16, w32 = widths
        self.in8 = ResBlock(w8, embedding, noise=noise_input(noise_planes, w8, seed=1, stride=8))
        self.down16 = Down(w8, w16)
        self.in16 = narrow(w16, embedding)
        self.down32 = Down(w16, w32)
        self.mid1 = narrow(w32, embedding)
        self.mid2 = narrow(w32, embedding)
        self.up16 = Up(w32, w16)
        self.out16 = narrow(w16, embedding)
        self.up8 = Up(w16, w8)
        self.out8 = ResBlock(w8, embedding, noise=noise_input(noise_planes, w8, seed=2, stride=8))
        self.head = conv(w8, latent_channels, gain=0.1)
        self.attend16 = LocalCrossAttention(w16, *attention, scale=2) if attention else None
        self.attend32 = LocalCrossAttention(w32, *attention) if attention else None

    def forward(self, features: Tensor, embedding: Tensor, tokens: Tensor | None = None) -> Tensor:
        x8 = self.in8(features, embedding)
        x16 = self.in16(self.down16(x8), embedding)
        x32 = self.mid1(self.down32(x16), embedding)
        if self.attend32 is not None:
            x32 = self.attend32(x32, tokens)
        x16 = x16 + self.up16(self.mid2(x32, embedding))
        if self.attend16 is not None:
            x16 = self.attend16(x16, tokens)
        x16 = self.out16(x16, embedding)
        x8 = self.out8(x8 + self.up8(x16), embedding)
        return self.head(x8)
