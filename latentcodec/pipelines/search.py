"""Find the rate whose payload fills a byte budget without exceeding it.

Payload sizes grow with the rate parameter almost exponentially, so a few evaluations with interpolation in
log(bytes) bracket the budget between two neighbouring rates. What the lower one leaves is filled by the higher one
with thrift: rounding that favours cheaper symbols (rounding.py), an encoder's freedom.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from latentcodec.pipelines.base import OutOfReachError, PayloadBudget

HIGHEST_RATE = 255
LARGEST_THRIFT = 0.6
THRIFT_TRIALS = 4
FURTHER_TRIALS = 4  # as long as the file is less than NEARLY_FULL
FULL_ENOUGH = 0.996
NEARLY_FULL = 0.99
AIM = 0.998
LOG_BYTES_PER_THRIFT = 1.5


T = TypeVar("T")


@dataclass(frozen=True)
class Trial(Generic[T]):
    """One evaluation: its parameters, the payload's size and the result."""

    rate: int
    size_bytes: int
    result: T


@dataclass(frozen=True)
class Curve:
    """What a model expects: payload bytes = at_zero * exp(slope * rate), for rates 0..255. A search starts from it."""

    at_zero: float
    slope: float

    def rate_for(self, size: int) -> int:
        """Rate at which a payload of `size` bytes is expected, not limited to valid rates."""
        return round(math.log(max(size, 1) / self.at_zero) / self.slope)


def fill_budget(evaluate: Callable[[int, float], tuple[int, T]], budget: PayloadBudget, expected: Curve) -> T:
    """Result with the largest payload within the budget. `evaluate(rate, thrift)` -> (payload bytes, result).

    Raises OutOfReachError if even the lowest rate is too large, or the highest too small, unless the budget clamps.
    """
    below, above = bracket(evaluate, budget.size_bytes, expected)
    if below is None and above is not None:
        return _lowest(evaluate, budget, above)
    assert below is not None
    if above is None:
        if budget.clamp or below.size_bytes >= FULL_ENOUGH * budget.size_bytes:
            return below.result
        raise OutOfReachError(evaluate(0, LARGEST_THRIFT)[0], below.size_bytes)
    if below.size_bytes >= FULL_ENOUGH * budget.size_bytes:
        return below.result
    return _fill(evaluate, budget.size_bytes, below, above).result


def bracket(
    evaluate: Callable[[int, float], tuple[int, T]], size: int, expected: Curve
) -> tuple[Trial[T] | None, Trial[T] | None]:
    """Trials at neighbouring rates, the lower within `size` and the upper beyond it; None past either end."""
    below: Trial[T] | None = None
    above: Trial[T] | None = None
    rate = min(max(expected.rate_for(size), 0), HIGHEST_RATE)
    while True:
        trial = Trial(rate, *evaluate(rate, 0.0))
        if trial.size_bytes <= size:
            below = trial
        else:
            above = trial
        low = below.rate if below else -1
        high = above.rate if above else HIGHEST_RATE + 1
        if high - low <= 1:
            return below, above
        rate = min(max(_interpolate(below, above, size, expected.slope), low + 1), high - 1)


def _interpolate(below: Trial[T] | None, above: Trial[T] | None, size: int, slope: float) -> int:
    """Next rate to try, from log(bytes) being nearly linear in the rate."""
    if below and above:
        span = math.log(above.size_bytes / max(below.size_bytes, 1))
        share = math.log(max(size, 1) / max(below.size_bytes, 1)) / span if span > 0 else 0.5
        return below.rate + round(share * (above.rate - below.rate))
    trial = below or above
    assert trial is not None
    distance = math.log(max(size, 1) / max(trial.size_bytes, 1)) / slope
    step = round(distance) + (2 if below else -2)
    return trial.rate + step


def _lowest(evaluate: Callable[[int, float], tuple[int, T]], budget: PayloadBudget, above: Trial[T]) -> T:
    """Below the lowest rate there is still thrift."""
    size, result = evaluate(0, LARGEST_THRIFT)
    smallest = Trial(0, size, result)
    if size <= budget.size_bytes:
        return _fill(evaluate, budget.size_bytes, smallest, above, (LARGEST_THRIFT, size)).result
    if budget.clamp:
        return result
    raise OutOfReachError(size, evaluate(HIGHEST_RATE, 0.0)[0])


def _fill(
    evaluate: Callable[[int, float], tuple[int, T]],
    size: int,
    best: Trial[T],
    above: Trial[T],
    fits: tuple[float, int] | None = None,
) -> Trial[T]:
    """Search the thrift at the upper rate for the largest payload within `size`.

    `fits` is the smallest (thrift, payload bytes) known to fit, if any.
    """
    exceeds = (0.0, above.size_bytes)
    for trials in range(THRIFT_TRIALS + FURTHER_TRIALS):
        if best.size_bytes >= (FULL_ENOUGH if trials < THRIFT_TRIALS else NEARLY_FULL) * size:
            break
        thrift = _next_thrift(exceeds, fits, size)
        trial = Trial(above.rate, *evaluate(above.rate, thrift))
        if trial.size_bytes <= size:
            fits = (thrift, trial.size_bytes)
            best = max(best, trial, key=lambda t: t.size_bytes)
        else:
            exceeds = (thrift, trial.size_bytes)
    return best


def _next_thrift(exceeds: tuple[float, int], fits: tuple[float, int] | None, size: int) -> float:
    """Thrift expected to give just less than `size`, from log(bytes) being nearly linear in it."""
    excess = math.log(exceeds[1] / max(AIM * size, 1))
    if fits is None:
        return min(exceeds[0] + max(excess / LOG_BYTES_PER_THRIFT, 0.005), LARGEST_THRIFT)
    span = math.log(exceeds[1] / max(fits[1], 1))
    share = min(max(excess / span, 0.1), 0.9) if span > 0 else 0.5
    return exceeds[0] + share * (fits[0] - exceeds[0])
