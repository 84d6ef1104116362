"""Sizes of the fitted function: presets as rows, and what follows from one for a number of latent channels.

Latents [C, h, w] are represented by bands of a wavelet transform with LEVELS levels. Level l < LEVELS has three bands
of C components at stride 2^(l + 1), level LEVELS one band of C components at stride 2^LEVELS. Sizes are rounded up.
"""

import math
from dataclasses import dataclass

from latentcodec.coding.tables import GAUSSIAN

LEVELS = 5
BANDS = 3
FEATURES = 9  # of the context, per symbol
STEPS = 4
LIFTING_STEPS = 4
REFINEMENT_KERNEL = 3
PREDICTION_TAPS = 12  # prediction.py
STEPS_PER_UNIT = 40  # where a reference does not say


@dataclass(frozen=True)
class Preset:
    """Widths of the context network's two hidden layers, and of the hidden layer that refines latents."""

    name: str
    context_width: int
    refinement_width: int


PRESETS = (Preset("vlop", 4, 2), Preset("lop", 7, 4), Preset("mop", 10, 9), Preset("hop", 12, 11))


@dataclass(frozen=True)
class Layout:
    """A preset for latents with a number of channels.

    networks: that see the context, one for every step, or one for all of them. split: components whose bands are the
    phases of their samples, not a wavelet's. first_table: of the shape that symbols have. predicts: whether the finest
    details are predicted. steps_per_unit: at most, of a basis function whose norm is one, for latents of amplitude one.
    """

    preset: Preset
    channels: int
    networks: int = STEPS
    split: tuple[int, ...] = ()
    first_table: int = GAUSSIAN
    predicts: bool = False
    steps_per_unit: int = STEPS_PER_UNIT

    def bands(self, level: int) -> int:
        return BANDS if level < LEVELS else 1

    def grids(self, height: int, width: int) -> list[tuple[int, int, int, int]]:
        """[bands, channels, h, w] of every level for latents of this size, which the grids cover."""
        sizes = low_sizes(height, width)
        return [(self.bands(level), self.channels, *sizes[min(level + 1, LEVELS)]) for level in range(LEVELS + 1)]

    def macs(self, height: int, width: int) -> int:
        """Multiplications to decode latents of this size: context network, mixing, and what follows it."""
        hidden, refined = self.preset.context_width, self.preset.refinement_width
        symbols = sum(bands * channels * h * w for bands, channels, h, w in self.grids(height, width))
        context = symbols * (FEATURES * hidden + hidden * hidden + hidden + FEATURES)
        mixing = symbols * self.channels
        prediction = PREDICTION_TAPS * math.prod(self.grids(height, width)[0][1:]) * self.channels * self.predicts
        # Every step multiplies once for two samples, in both directions.
        lifting = sum(LIFTING_STEPS * self.channels * 4 * h * w for h, w in low_sizes(height, width)[1:])
        refinement = height * width * self.channels * refined * (REFINEMENT_KERNEL**2 + 1)
        return context + mixing + prediction + lifting + refinement


def low_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Sizes of the low band before the first level and after each."""
    sizes = [(height, width)]
    for _ in range(LEVELS):
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return sizes
