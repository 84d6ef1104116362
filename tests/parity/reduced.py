"""The published layout at a fraction of its width, with weights and inputs that anybody can make again.

A weight is named as in the published checkpoints, and its name decides its values: neither a file of weights nor the
random numbers of some version of a library are needed to run the published program, or ours, on the same model.
"""

import math
import zlib

import numpy as np
import torch
from torch import Tensor, nn

from latentcodec.models.stablecodec.full.config import FullConfig

# What each width of the published program becomes. All are of different use there, so they differ here.
WIDTHS = {64: 8, 128: 16, 160: 8, 192: 24, 256: 8, 320: 16, 640: 32, 960: 48}
CONFIG = FullConfig(channels=16, entry=(16, 8), analysis=(24, 8, 16), auxiliary=(16, 8, 24), elic=(8, 16))
INPUTS = {
    "pixels": (1, 3, 64, 96),
    "latents": (1, 4, 64, 96),
    "auxiliary": (1, 16, 32, 48),
    "y": (1, 16, 8, 12),
    "noise": (1, 4, 24, 32),
    "adapted": (2, 4, 6, 8),
}
Y_SPREAD = 6.0
CORNER = np.s_[:, :, :3, :4]  # of y^, from which features and residual are made


def pattern(name: str, shape: tuple[int, ...]) -> Tensor:
    """Float32 values in [-1, 1) with 23 bits: the raw numbers of PCG64, seeded with the CRC-32 of the name."""
    numbers = np.random.PCG64(zlib.crc32(name.encode())).random_raw(math.prod(shape))
    return torch.from_numpy((numbers >> np.uint64(40)).astype(np.float32).reshape(shape) * np.float32(2**-23) - 1)


def inputs() -> dict[str, Tensor]:
    """What the stages start from; pixels are in 0..1."""
    found = {name: pattern(name, shape) for name, shape in INPUTS.items()}
    return found | {"pixels": (found["pixels"] + 1) / 2, "y": Y_SPREAD * found["y"]}


def weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """The pattern, scaled by the number of inputs, so that values neither grow nor vanish from layer to layer."""
    values = pattern(name, shape)
    if len(shape) == 1:
        return values / 4 + float(name.endswith("norm.weight"))
    return values * 2.0 ** -round(math.log2(math.prod(shape[1:])) / 2)


@torch.no_grad()
def fill(module: nn.Module) -> None:
    """Values for all parameters of a module."""
    for name, parameter in module.named_parameters():
        parameter.copy_(weight(name, tuple(parameter.shape)))


class Adapted(nn.Module):
    """A convolution and a linear layer that are called what has an adapter, in the VAE and in the UNet."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict(
            {"conv1": nn.Conv2d(4, 8, 3, stride=2, padding=1), "to_out": nn.ModuleList([nn.Linear(8, 8)])}
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder["to_out"][0](self.encoder["conv1"](x).movedim(1, -1))
