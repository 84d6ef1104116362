"""The entropy model in floating point, as it is trained: hyperprior, prior of z, quad-tree context.

    y --HyperAnalysis--> z --round--> z^ --HyperSynthesis--> base --Context, step by step--> mean and scale of y

Symbols of y are round(y - mean); everything here lives in the quantised domain (y already multiplied by its gain).
Files are never coded with these networks: `integer_entropy` runs the same networks in integers, after `export`.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentcodec.models.blocks.convs import conv, draw_normal
from latentcodec.models.blocks.information import Symbolise, as_trained, gaussian_information
from latentcodec.models.blocks.quadtree import STEPS, step_mask
from latentcodec.models.blocks.rate import KnotModulation, RateKnots
from latentcodec.models.stablecodec.config import StableCodecConfig

MASKS_KEPT = 16
INITIAL_POSITIONS = (3.0, 18.0)  # at the lowest and highest rate


class HyperAnalysis(nn.Module):
    """y [B, M, h, w] -> z [B, Cz, h/2, w/2], before rounding."""

    def __init__(self, config: StableCodecConfig):
        super().__init__()
        width = config.hyper_width
        self.conv1 = conv(config.y_channels, width)
        self.modulation = KnotModulation(width)
        self.conv2 = conv(width, width, stride=2)
        self.conv3 = conv(width, config.z_channels, kernel=1)

    def forward(self, y: Tensor, rate: Tensor) -> Tensor:
        # Latents in the quantised domain grow with the rate; the logarithm keeps the network's input in range.
        hidden = F.relu(self.modulation(self.conv1(y.sign() * y.abs().log1p()), rate))
        return self.conv3(F.relu(self.conv2(hidden)))


class HyperSynthesis(nn.Module):
    """z^ [B, Cz, h, w] -> base features [B, W, 2h, 2w] that every context step sees."""

    def __init__(self, config: StableCodecConfig):
        super().__init__()
        width = config.hyper_width
        self.conv1 = conv(config.z_channels, width, kernel=1)
        self.modulation = KnotModulation(width)
        self.conv2 = conv(width, width)
        self.conv3 = conv(width, 4 * width, kernel=1)

    def forward(self, z: Tensor, rate: Tensor) -> Tensor:
        hidden = F.relu(self.modulation(self.conv1(z), rate))
        return F.pixel_shuffle(self.conv3(F.relu(self.conv2(hidden))), 2)


class ContextStep(nn.Module):
    """Known symbols and base -> (mean, table position before the offset) for every channel; one of the four steps."""

    def __init__(self, config: StableCodecConfig):
        super().__init__()
        width = config.context_width
        self.known = conv(config.y_channels, width, gain=0.3)
        self.base = nn.Conv2d(config.hyper_width, width, 1, bias=False)
        draw_normal(self.base.weight, 1 / math.sqrt(config.hyper_width))
        self.modulation = KnotModulation(width)
        self.hidden = conv(width, width, kernel=1)
        self.out = conv(width, 2 * config.y_channels, kernel=1, gain=0.1)

    def forward(self, known: Tensor, base: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        hidden = F.relu(self.modulation(self.known(known) + self.base(base), rate))
        mean, position = self.out(F.relu(self.hidden(hidden))).chunk(2, dim=1)
        return mean, position

    def train_positions(self) -> None:
        """The last layer alone, and there nothing that means depend on."""
        self.requires_grad_(requires_grad=False)
        means = self.out.out_channels // 2

        def of_positions(gradient: Tensor) -> Tensor:
            return torch.cat([torch.zeros_like(gradient[:means]), gradient[means:]])

        for parameter in self.out.parameters():
            parameter.requires_grad = True
            parameter.register_hook(of_positions)  # type: ignore[no-untyped-call]


class EntropyModel(nn.Module):
    """Rate of y and z, and y^ as the decoder will see it.

    Table positions of y are the context's output plus an offset per channel and rate: at the lowest rates, where z says
    nothing, it is all that the decoder knows.
    """

    def __init__(self, config: StableCodecConfig):
        super().__init__()
        self.hyper_analysis = HyperAnalysis(config)
        self.hyper_synthesis = HyperSynthesis(config)
        self.steps = nn.ModuleList(ContextStep(config) for _ in range(STEPS))
        self.prior = RateKnots(config.z_channels, *INITIAL_POSITIONS, speed=50.0)
        self.offset = RateKnots(config.y_channels, *INITIAL_POSITIONS, speed=50.0)

    def train_positions(self) -> None:
        """Nothing but which tables code the symbols of latents that stay as they are.

        The weights that means are made of stay: where the decoder knows little else, pictures are made of means. Where
        hyper-latents are rounded with regard to their bits, their symbols follow the prior all the same.
        """
        self.requires_grad_(requires_grad=False)
        for part in (self.prior, self.offset):
            part.requires_grad_(requires_grad=True)
        for step in self.steps:
            assert isinstance(step, ContextStep)
            step.train_positions()

    def forward(self, y: Tensor, rate: Tensor, symbolise: Symbolise = as_trained) -> tuple[Tensor, Tensor]:
        """y [B, M, h, w] (gain applied), rate [B] -> y^ (straight-through rounding) and bits [B]."""
        z = self.hyper_analysis(y, rate)
        prior = self.prior(rate).expand_as(z)
        decoded, counted = symbolise(z, prior, False)
        bits = gaussian_information(counted, prior).sum((1, 2, 3))
        base = self.hyper_synthesis(decoded, rate)
        known = torch.zeros_like(y)
        for number, step in enumerate(self.steps):
            mean, position = step(known, base, rate)
            position = position + self.offset(rate)
            mask = _step_mask(number, y.shape[1:], y.device)
            decoded, counted = symbolise(y - mean, position, True)
            information = gaussian_information(counted, position)
            bits = bits + torch.where(mask, information, 0).sum((1, 2, 3))
            known = torch.where(mask, mean + decoded, known)
        return known, bits


@lru_cache(MASKS_KEPT)
def _step_mask(step: int, shape: tuple[int, int, int], device: torch.device) -> Tensor:
    """bool [M, h, w] on the device: kept there, since every copy to a GPU waits for it."""
    return torch.from_numpy(step_mask(step, *shape)).to(device)
