"""Convolution blocks shared by every network: residual, downsampling, upsampling.

Initialisation preserves variance (std = gain / sqrt(fan_in)) and residual branches start near zero: without
normalisation layers, PyTorch's default initialisation loses the signal within a dozen layers.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RESIDUAL_GAIN = 0.1
SMALL = 0.1  # gain of last layers beside a linear shortcut, so that the shortcut dominates at first


def conv(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, gain: float = 1.0) -> nn.Conv2d:
    """Convolution with 'same' padding and variance-preserving weights; zero bias."""
    layer = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2)
    draw_normal(layer.weight, gain / math.sqrt(in_channels * kernel * kernel))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def draw_normal(weight: Tensor, std: float) -> None:
    """Fill with normal numbers; on the meta device with none, where PyTorch would import its compiler for a second."""
    if not weight.is_meta:
        nn.init.normal_(weight, std=std)


class Modulation(nn.Module):
    """Rate embedding [B, E] -> per-channel scale and shift of a feature map; identity at initialisation."""

    def __init__(self, embedding: int, channels: int):
        super().__init__()
        self.linear = nn.Linear(embedding, 2 * channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.linear(embedding)[:, :, None, None].chunk(2, dim=1)
        return x * (1 + scale) + shift


class ResBlock(nn.Module):
    """x + conv(relu(modulate(conv(x)))); `embedding` = 0 builds it without rate conditioning.

    noise: what is added after the first convolution, if anything (blocks/noise.py).
    """

    def __init__(self, channels: int, embedding: int = 0, hidden: int = 0, noise: nn.Module | None = None):
        super().__init__()
        hidden = hidden or channels
        self.conv1 = conv(channels, hidden, gain=math.sqrt(2))
        self.noise = noise
        self.modulation = Modulation(embedding, hidden) if embedding else None
        self.conv2 = conv(hidden, channels, gain=RESIDUAL_GAIN)

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        hidden = self.conv1(x)
        if self.noise is not None:
            hidden = self.noise(hidden)
        if self.modulation is not None and embedding is not None:
            hidden = self.modulation(hidden, embedding)
        # In place, which no gradient minds: at half of the picture's size, a copy takes as long as a convolution.
        return self.conv2(F.relu_(hidden)).add_(x)


def narrow(channels: int, embedding: int) -> ResBlock:
    """Residual block whose hidden layer has half the channels."""
    return ResBlock(channels, embedding, hidden=channels // 2)


class Stack(nn.Module):
    """A sequence in which every ResBlock receives the rate embedding."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        for layer in self.layers:
            x = layer(x, embedding) if isinstance(layer, ResBlock) else layer(x)
        return x


class Down(nn.Module):
    """[B, Ci, H, W] -> [B, Co, H/2, W/2] by a strided 3x3 convolution."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = conv(in_channels, out_channels, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Up(nn.Module):
    """[B, Ci, H, W] -> [B, Co, 2H, 2W] by a 1x1 convolution and pixel shuffle (sub-pixel convolution)."""

    def __init__(self, in_channels: int, out_channels: int, gain: float = 1.0):
        super().__init__()
        self.conv = conv(in_channels, 4 * out_channels, kernel=1, gain=gain)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(x), 2)


class RateEmbedding(nn.Module):
    """Rate parameter [B] in 0..1 -> [B, E]: Fourier features of the rate, then two linear layers."""

    def __init__(self, channels: int, bands: int = 4):
        super().__init__()
        self.bands = bands
        self.linear1 = nn.Linear(2 * bands + 1, channels)
        self.linear2 = nn.Linear(channels, channels)

    def forward(self, rate: Tensor) -> Tensor:
        angles = rate[:, None] * math.pi * 2.0 ** (torch.arange(self.bands, device=rate.device) - 1)
        features = torch.cat([rate[:, None], angles.sin(), angles.cos()], dim=1)
        return F.relu(self.linear2(F.relu(self.linear1(features))))
