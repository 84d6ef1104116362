"""Blocks of the published latent codec. Attributes are called as in its checkpoints, which are loaded strictly."""

import torch
from torch import Tensor, nn

BAND = 11
EXPANSION = 2


class InceptionConv(nn.Module):
    """Depthwise convolutions on three eighths of the channels: a square, two bands (InceptionNeXt, Yu et al. 2024)."""

    def __init__(self, channels: int):
        super().__init__()
        part = channels // 8
        self.sizes = (channels - 3 * part, part, part, part)
        self.dwconv_hw = nn.Conv2d(part, part, 3, padding=1, groups=part)
        self.dwconv_w = nn.Conv2d(part, part, (1, BAND), padding=(0, BAND // 2), groups=part)
        self.dwconv_h = nn.Conv2d(part, part, (BAND, 1), padding=(BAND // 2, 0), groups=part)

    def forward(self, x: Tensor) -> Tensor:
        same, square, wide, high = torch.split(x, list(self.sizes), dim=1)
        return torch.cat([same, self.dwconv_hw(square), self.dwconv_w(wide), self.dwconv_h(high)], dim=1)


class InceptionNeXt(nn.Module):
    """x + pointwise layers of the depthwise ones."""

    def __init__(self, channels: int):
        super().__init__()
        self.depthconv = InceptionConv(channels)
        self.conv1 = nn.Conv2d(channels, EXPANSION * channels, 1)
        self.conv2 = nn.Conv2d(EXPANSION * channels, channels, 1)
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.act(self.conv1(self.depthconv(x))))


class GatedConv(nn.Module):
    """x + a product of a depthwise convolution and its gate, after normalisation over channels."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = EXPANSION * channels
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.fc1 = nn.Conv2d(channels, 2 * hidden, 1)
        self.conv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.fc2 = nn.Conv2d(hidden, channels, 1)
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.fc1(self.norm(x.movedim(1, -1)).movedim(-1, 1)).chunk(2, dim=1)
        return x + self.fc2(self.act(gate) * self.conv(value))


class BasicBlock(nn.Module):
    """Both of them."""

    def __init__(self, channels: int):
        super().__init__()
        self.blocks = nn.Sequential(InceptionNeXt(channels), GatedConv(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


class TwoBranches(nn.Module):
    """The sum of two ways from x to the output."""

    branch1: nn.Module
    branch2: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.branch1(x) + self.branch2(x)
        return total


class Downsample(TwoBranches):
    """[B, Ci, H, W] -> [B, Co, H/2, W/2]."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        full = nn.Conv2d(outputs, outputs, 3, stride=2, padding=1)
        depthwise = nn.Conv2d(outputs, outputs, 5, stride=2, padding=2, groups=outputs)
        self.branch1 = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.GELU(), full)
        self.branch2 = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.GELU(), depthwise)


class Upsample(TwoBranches):
    """[B, Ci, H, W] -> [B, Co, 2H, 2W]."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        full = nn.Conv2d(inputs, inputs, 3, padding=1)
        depthwise = nn.Conv2d(inputs, inputs, 5, padding=2, groups=inputs)
        for name, first in (("branch1", full), ("branch2", depthwise)):
            branch = nn.Sequential(first, nn.GELU(), nn.Conv2d(inputs, 4 * outputs, 1), nn.PixelShuffle(2))
            setattr(self, name, branch)


class Adapter(TwoBranches):
    """[B, Ci, H, W] -> [B, Co, H, W]: a pointwise layer, and a depthwise one between two of them."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        middle = (inputs + outputs) // 2
        self.branch1 = nn.Sequential(
            nn.Conv2d(inputs, middle, 1),
            nn.GELU(),
            nn.Conv2d(middle, middle, 5, padding=2, groups=middle),
            nn.GELU(),
            nn.Conv2d(middle, outputs, 1),
        )
        self.branch2 = nn.Conv2d(inputs, outputs, 1)


class ResidualPrediction(nn.Module):
    """What rounding took away, predicted: two adapters."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        middle = (inputs + outputs) // 2
        self.block = nn.Sequential(Adapter(inputs, middle), Adapter(middle, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)
