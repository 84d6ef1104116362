"""Encoding effort: the latents of one picture, moved by what the frozen decoder makes of them.

    y --code, exactly as in the file--> y^ --decode--> picture --error against the original--> gradient for y^
    ^------------------------------- a step against it, as if rounding were not there <-------------------'

An analysis transform knows neither how its latents will be rounded nor what the decoder makes of their neighbours; this
does. Means and tables are those of each round's own symbols, but no gradient goes through the context, along which it
would diverge. Steps keep some of the direction of those before, and are of the same length at first. Latents that are
all but zero drift together until they flip together, so a step that makes the picture worse is taken back, and steps
are half as long from there on. Whatever a step costs in bits is made up for by the rate parameter, so that every round
has a payload of about the same size.

Straight-through gradients: Bengio et al. 2013. Why encoders gain from it: Campos et al. 2019, Yang et al. 2020.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from latentcodec.models.blocks.integers import CodedLatents, Floats
from latentcodec.pipelines.base import Settings
from latentcodec.pipelines.objective import with_unit_size
from latentcodec.pipelines.search import HIGHEST_RATE, Curve

STEP = 0.02  # root mean square of the first step, in rounding intervals
SHORTEST = 1 / 16  # of that; with steps this short nothing more is gained
# Of earlier directions in a step, by rate 0..255, linear between: where bits are few, a symbol that goes the same way
# twice has gone too far.
RATES, MOMENTUM = (75, 138), (0.0, 0.5)
ERROR_PER_RATE = 0.4  # how the logarithm of an error falls with that of the bits, where they are few
LEAN = 0.35  # of a step of the rate: how far beyond the size a round may be
FIRST_MOVES, MOVES = 4, 2  # of the rate, in a round
STEEPEST = 10  # times the slope of files; pictures of a few bits jump
ROUNDS = {1: 0, 2: 1, 3: 1, 4: 2, 5: 3, 6: 6, 7: 10, 8: 16, 9: 28, 10: 48}  # by effort
Source = tuple[Floats, Floats]


@dataclass(frozen=True)
class Comparison:
    """A decoded picture, its error, and the gradient of that for y^, [1, M, h, w], if it was asked for."""

    picture: Tensor
    error: float
    gradient: Tensor | None


class Refinable(Protocol):
    """What a codec with frozen networks offers, for one picture. y: float32 [1, M, h, w]."""

    def gain(self, rate: int) -> Tensor:
        """[1, M, 1, 1], by which y is larger the higher the rate is."""

    def with_hyper_latents(self, y: Tensor, rate: int) -> Source:
        """-> (z, y), not rounded."""

    def measure(self, source: Source, rate: int) -> tuple[CodedLatents, float]:
        """-> what a decoder would know, and the bits that it costs."""

    def compare(self, coded: CodedLatents, rate: int, number: int, with_gradient: bool) -> Comparison:
        """Decode and compare with the original, of which every round, by `number`, sees a little more or less."""

    def error(self, picture: Tensor, number: int) -> float:
        """What `compare` would have found in another round."""


@dataclass(frozen=True)
class _Round:
    """y before rounding, at gain 1; what became of it."""

    y: Tensor
    rate: int
    bits: float
    comparison: Comparison


class Refinement:
    """y [1, M, h, w] as analysed for a rate, and what is better; `slope` is that of log(bits) per step of the rate."""

    def __init__(self, codec: Refinable, y: Tensor, rate: int, bits: float, slope: float):
        self._codec, self._slope = codec, slope
        # Latents that are not analysed anew for another rate grow faster with it: learned from round to round.
        self._steepness = slope
        self._y, self._rate, self._bits = y / codec.gain(rate), rate, max(bits, 1.0)

    def run(self, settings: Settings) -> None:
        """As many rounds as the effort stands for, or until it is stopped, or until nothing more is gained."""
        rounds, length = ROUNDS[settings.effort or 1], STEP
        best = self._round(self._y, self._rate, 0, with_gradient=rounds > 0)
        momentum, direction = float(np.interp(self._rate, RATES, MOMENTUM)), torch.zeros_like(self._y)
        for number in range(1, rounds + 1):
            gradient = best.comparison.gradient
            if settings.stopped() or length < SHORTEST * STEP or gradient is None or not gradient.isfinite().all():
                break
            direction = with_unit_size(with_unit_size(gradient) + momentum * direction)
            step = length * direction / self._codec.gain(best.rate)
            tried = self._round(best.y - step, best.rate, number, with_gradient=number < rounds)
            before = self._codec.error(best.comparison.picture, number)
            if _score(tried.comparison.error, tried.bits) < _score(before, best.bits):
                best = tried
            else:
                length /= 2
            settings.report(number, rounds, best.bits, f"error {best.comparison.error:.4f}")
        self._y, self._rate, self._bits = best.y, best.rate, best.bits

    def _round(self, y: Tensor, rate: int, number: int, with_gradient: bool) -> _Round:
        """Code, at the rate that keeps the size, and decode."""
        coded, bits = self._measure(y, rate)
        nearest = rate, coded, bits
        for _ in range(MOVES if number else FIRST_MOVES):
            move = math.floor(math.log(self._bits / bits) / self._steepness + LEAN)
            moved = min(max(rate + move, 0), HIGHEST_RATE)
            if moved == rate:
                break
            coded, bits_there = self._measure(y, moved)
            learned = math.log(bits_there / bits) / (moved - rate)
            self._steepness = min(max(learned, self._slope), STEEPEST * self._slope)
            rate, bits = moved, bits_there
            if abs(math.log(bits / self._bits)) < abs(math.log(nearest[2] / self._bits)):
                nearest = rate, coded, bits
        rate, coded, bits = nearest
        return _Round(y, rate, bits, self._codec.compare(coded, rate, number, with_gradient))

    def _measure(self, y: Tensor, rate: int) -> tuple[CodedLatents, float]:
        """Never no bits at all: a flat picture may come close to it."""
        coded, bits = self._codec.measure(self._codec.with_hyper_latents(y * self._codec.gain(rate), rate), rate)
        return coded, max(bits, 1.0)

    def source(self, rate: int) -> Source:
        """-> (z, y) for any rate, best near the one that it was made for."""
        return self._codec.with_hyper_latents(self._y * self._codec.gain(rate), rate)

    @property
    def expected(self) -> Curve:
        """Sizes of payloads around the rate that was found."""
        return Curve(self._bits / 8 * math.exp(-self._steepness * self._rate), self._steepness)


def _score(error: float, bits: float) -> float:
    """An error, as it would be with as many bits as others have."""
    return error * math.exp(ERROR_PER_RATE * math.log(bits))


def refines(settings: Settings) -> bool:
    """Whether there is anything to do."""
    return ROUNDS[settings.effort or 1] > 0
