"""Noise that both sides know: planes of random numbers by position, from which a decoder paints texture.

Convolutions alone make periodic patterns where a code says no more than "something rough". With noise as a second
input (as in Karras et al. 2019) they have something irregular to shape. The planes are a function of position, so every
decoder sees the same ones, and a crop or a tile sees its part of them.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from latentcodec.models.blocks.convs import conv

INITIAL_GAIN = 0.1
_MASK = 0xFFFFFFFF
_BITS = 24
_TRAINING_SPAN = 1 << 20  # of the random position at which a training crop sees the planes


class NoiseInput(nn.Module):
    """Adds a learned mixture of noise planes to features [B, C, h, w] of the picture at 1 / `stride` of its size.

    In training, every picture sees the planes from a random position on. origin: position of the upper left pixel in
    the picture, (row, column), where only a tile of it is decoded.
    """

    def __init__(self, planes: int, channels: int, seed: int, stride: int):
        super().__init__()
        self.planes = planes
        self.seed = seed
        self.stride = stride
        self.origin = (0, 0)
        self.mix = conv(planes, channels, kernel=1, gain=INITIAL_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        if self.training:
            origin = torch.randint(_TRAINING_SPAN, (2, batch, 1, 1, 1), device=x.device)
        else:
            position = [pixel // self.stride for pixel in self.origin]
            origin = torch.tensor(position, device=x.device)[:, None, None, None, None]
        rows = origin[0] + torch.arange(height, device=x.device)[:, None]
        columns = origin[1] + torch.arange(width, device=x.device)
        planes = torch.arange(self.planes, device=x.device)[:, None, None]
        noise = uniform_noise(rows, columns, planes, self.seed)
        return x + self.mix(noise.to(self.mix.weight.dtype, memory_format=torch.channels_last))


def noise_input(planes: int, channels: int, seed: int, stride: int) -> NoiseInput | None:
    """None for no planes."""
    return NoiseInput(planes, channels, seed, stride) if planes else None


@contextmanager
def tile_at(model: nn.Module, origin: tuple[int, int]) -> Iterator[None]:
    """Within, the noise inputs of `model` see the planes from this pixel (row, column) on."""
    inputs = [module for module in model.modules() if isinstance(module, NoiseInput)]
    for module in inputs:
        module.origin = origin
    try:
        yield
    finally:
        for module in inputs:
            module.origin = (0, 0)


def uniform_noise(rows: Tensor, columns: Tensor, planes: Tensor, seed: int) -> Tensor:
    """int64 coordinates, broadcast -> float32 uniform in -sqrt(3)..sqrt(3): variance 1, equal on every machine.

    A hash in integers modulo 2^32; products wrap around in 64 bits, which leaves their lower half right.
    """
    x = rows * 0x9E3779B1 + columns * 0x85EBCA77 + planes * 0xC2B2AE3D + seed * 0x27D4EB2F & _MASK
    x = (x ^ x >> 15) * 0x2C1B3C6D & _MASK
    x = (x ^ x >> 12) * 0x297A2D39 & _MASK
    x = x ^ x >> 15
    return ((x >> 32 - _BITS).float() * 2 ** (1 - _BITS) - 1) * math.sqrt(3)
