"""The continuous rate parameter: values at knots, interpolated linearly.

A file stores the rate as one byte q in 0..255. Networks see rate = q / 256. Per-channel quantities that depend on
the rate (gains, modulations, tables of the prior) are learned at RATE_KNOTS equidistant knots; between knots they are
interpolated, in the log domain where the quantity is positive. The same interpolation in integers is in
`coding.fixedpoint.interpolate_knots`.
"""

import torch
from torch import Tensor, nn

RATE_KNOTS = 9
RATE_STEPS = 256


class RateKnots(nn.Module):
    """Learned values at the knots [RATE_KNOTS, C]; `forward` maps rates [B] in 0..1 to [B, C, 1, 1].

    `speed` multiplies the learning rate: the parameters are the values divided by it.
    """

    def __init__(self, channels: int, low: float = 0.0, high: float = 0.0, speed: float = 1.0):
        super().__init__()
        self.speed = speed
        # On the CPU also where the rest is on the meta device, whose arithmetic would import PyTorch's compiler.
        ramp = torch.linspace(low, high, RATE_KNOTS, device="cpu") / speed
        self.scaled = nn.Parameter(ramp[:, None].repeat(1, channels))

    @property
    def values(self) -> Tensor:
        """[RATE_KNOTS, C]."""
        return self.scaled * self.speed

    def forward(self, rate: Tensor) -> Tensor:
        position = (rate * (RATE_KNOTS - 1)).clamp(0, RATE_KNOTS - 1)
        below = position.floor().long().clamp_max(RATE_KNOTS - 2)
        weight = (position - below)[:, None]
        values = self.values
        return torch.lerp(values[below], values[below + 1], weight)[:, :, None, None]


class KnotModulation(nn.Module):
    """x -> x * (1 + scale(rate)) + shift(rate), per channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.scale = RateKnots(channels, speed=10.0)
        self.shift = RateKnots(channels, speed=10.0)

    def forward(self, x: Tensor, rate: Tensor) -> Tensor:
        return x * (1 + self.scale(rate)) + self.shift(rate)
