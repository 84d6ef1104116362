"""Predictions as a trained model might make them, and latents that follow them.

No published checkpoint was at hand. What is known of one is its rate; so scales are drawn from a log-normal density,
half of whose spread lies between channels, and moved until the information comes to that rate. How far they spread,
and how much of the information is in z, is not known: both are arguments.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from latentcodec.models.stablecodec.full.codec import LatentCodec
from latentcodec.models.stablecodec.full.density import FILTERS, z_frequencies
from latentcodec.models.stablecodec.full.guarded import SMALLEST_TRAINED_SCALE, GuardedEntropy
from tests.parity import reduced

Doubles = npt.NDArray[np.float64]
Cumulative = Callable[[Doubles], Doubles]
RATES_BPP = (0.00579, 0.01707, 0.03413)  # of the published checkpoints ft32, ft8 and ft2 on Kodak
SPREADS = (0.5, 1.0, 1.5, 2.0)
Y_SHAPE, Z_SHAPE = (320, 8, 12), (160, 2, 3)  # of 768x512 pixels
MEAN_SPREAD = 1.0
Z_REACH = 10  # beyond, the published program escapes at length: its quantiles stay as they were initialised
LARGEST_SCALE = 30.0
SCALES = np.geomspace(0.02, LARGEST_SCALE, 200)
INTEGERS = np.arange(-250.0, 251.0)


@dataclass(frozen=True)
class Drawn:
    """Means, scales and y float64 [M, h, w]; whole numbers z [Mz, h/4, w/4] and the scales [Mz] of their density."""

    means: Doubles
    scales: Doubles
    y: Doubles
    z: Doubles
    z_scales: Doubles

    @classmethod
    def from_predictions(cls, rng: np.random.Generator, means: Doubles, scales: Doubles) -> "Drawn":
        """Latents that follow these predictions, and a z that says nothing."""
        bounded = np.maximum(scales, SMALLEST_TRAINED_SCALE)
        z = np.zeros((len(means) // 2, means.shape[1] // 4, means.shape[2] // 4))
        y = means + bounded * rng.standard_normal(means.shape)
        return cls(means, bounded, y, z, np.full(len(z), SCALES[0]))

    def entropy_model(self) -> GuardedEntropy:
        """Ours, with these predictions in the place of the networks'."""
        frequencies = z_frequencies(logistic_density(self.z_scales)).long().numpy()
        model = GuardedEntropy(LatentCodec(reduced.CONFIG), frequencies, np.zeros(len(self.z)))
        model._codec = Foreseen(self.means, self.scales)
        return model


class Foreseen:
    """A latent codec whose predictions are known before anything is decoded."""

    def __init__(self, means: Doubles, scales: Doubles):
        self.means, self.scales = torch.from_numpy(means)[None], torch.from_numpy(scales)[None]

    def h_s(self, z: Tensor) -> Tensor:
        return torch.zeros_like(self.means)

    def parameters_of_step(self, step: int, base: Tensor) -> tuple[Tensor, Tensor]:
        return self.means, self.scales

    def corrected(self, step: int, decoded: Tensor, base: Tensor, mask: Tensor) -> Tensor:
        return decoded


def draw(rng: np.random.Generator, bits: float, spread: float, share_of_z: float) -> Drawn:
    """Latents of 768x512 pixels with about this information.

    `spread`: standard deviation of the natural logarithm of the scales. `share_of_z`: of the bits, 0..1.
    """
    of_channel, of_element = rng.standard_normal((Y_SHAPE[0], 1, 1)), rng.standard_normal(Y_SHAPE)
    scales = _moved(spread * (of_channel + of_element) / math.sqrt(2), gaussian, bits * (1 - share_of_z))
    scales = np.maximum(scales, SMALLEST_TRAINED_SCALE)
    means = MEAN_SPREAD * rng.standard_normal(Y_SHAPE)
    y = means + scales * rng.standard_normal(Y_SHAPE)
    positions = Z_SHAPE[1] * Z_SHAPE[2]
    z_scales = _moved(spread * rng.standard_normal(Z_SHAPE[0]), logistic, bits * share_of_z / positions)
    z = np.rint(z_scales[:, None, None] * rng.logistic(size=Z_SHAPE)).clip(-Z_REACH, Z_REACH)
    return Drawn(means, scales, y, z, z_scales)


def gaussian(x: Doubles) -> Doubles:
    """Cumulative of the normal density."""
    return torch.erfc(torch.from_numpy(-x / math.sqrt(2))).numpy() / 2


def logistic(x: Doubles) -> Doubles:
    """Cumulative of the logistic density."""
    return torch.from_numpy(x).sigmoid().numpy()


def information(cumulative: Cumulative, x: Doubles, scales: Doubles) -> Doubles:
    """-log2 of the probability of the unit interval around x, in bits."""
    x = np.abs(x)  # where tails are computed without loss
    return -np.log2(cumulative((0.5 - x) / scales) - cumulative((-0.5 - x) / scales))


def logistic_density(scales: Doubles) -> dict[str, Tensor]:
    """A chain of layers as in the published program, whose cumulative for channel c is sigmoid(x / scales[c])."""
    tensors = {"quantiles": torch.tensor([-10.0, 0.0, 10.0]).expand(len(scales), 1, 3).contiguous()}
    for number, (inputs, outputs) in enumerate(itertools.pairwise(FILTERS)):
        slope = 1 / scales if number == 0 else np.full(len(scales), 1 / inputs)
        matrix = torch.from_numpy(slope + np.log(-np.expm1(-slope))).float()  # its softplus is the slope
        tensors[f"matrices.{number}"] = matrix[:, None, None].expand(-1, outputs, inputs).contiguous()
        tensors[f"biases.{number}"] = torch.zeros(len(scales), outputs, 1)
        if number < len(FILTERS) - 2:
            tensors[f"factors.{number}"] = torch.zeros(len(scales), outputs, 1)
    return tensors


def _moved(logarithms: Doubles, cumulative: Cumulative, bits: float) -> Doubles:
    """exp(logarithms + a), with a such that rounded values of these scales have this information, by bisection."""
    mass = cumulative((INTEGERS[:, None] + 0.5) / SCALES) - cumulative((INTEGERS[:, None] - 0.5) / SCALES)
    entropies = -(mass * np.log2(np.maximum(mass, 1e-300))).sum(0)
    low, high = -30.0, 30.0
    for _ in range(50):
        middle = (low + high) / 2
        expected = np.interp(np.exp(logarithms + middle), SCALES, entropies).sum()
        low, high = (middle, high) if expected < bits else (low, middle)
    return np.exp(logarithms + low).clip(SCALES[0], LARGEST_SCALE)
