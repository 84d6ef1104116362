"""Writes gaussian.bin and logistic.bin, the probability tables that files are coded with. Run once; they are normative.

    python -m latentcodec.coding.build_tables FOLDER

Uses erfc and exp of the machine that runs it, which is why the tables are committed and checked by digest instead of
being built where they are used: two C libraries may disagree in the last bit.
"""

import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from latentcodec.coding.tables import LARGEST_SYMBOL, LOG_SCALE_STEP, SMALLEST_SCALE, TABLES, TOTAL

Tail = Callable[[float], float]  # of a distribution: probability of more than x
Scaled = Callable[[float], Tail]  # of the distribution with a scale


def gaussian_tail(scale: float) -> Tail:
    """Of a Gaussian with a standard deviation."""
    return lambda x: 0.5 * math.erfc(x / (scale * math.sqrt(2)))


def logistic_tail(scale: float) -> Tail:
    """Of the logistic distribution that is rounded to zero as often as that Gaussian."""
    one = gaussian_tail(scale)(0.5)
    steepness = math.log((1 - one) / one) / 0.5
    return lambda x: 1 / (1 + math.exp(min(steepness * x, 700.0)))


def half_table(tail: Tail) -> list[int]:
    """Frequencies of 0, 1, ..., LARGEST_SYMBOL under a distribution rounded to integers; at least 1 each.

    Invariant: f[0] + 2 * sum(f[1:]) == TOTAL. What the floor of 1 takes is taken from f[0].
    """
    rest = [max(1, round(TOTAL * (tail(k - 0.5) - tail(k + 0.5)))) for k in range(1, LARGEST_SYMBOL + 1)]
    return [TOTAL - 2 * sum(rest), *rest]


def main(folder: Path) -> None:
    """Write both files, each little-endian uint32 [TABLES, LARGEST_SYMBOL + 1]."""
    scales = [SMALLEST_SCALE * math.exp(LOG_SCALE_STEP * k) for k in range(TABLES)]
    shapes: dict[str, Scaled] = {"gaussian.bin": gaussian_tail, "logistic.bin": logistic_tail}
    for name, tail in shapes.items():
        (folder / name).write_bytes(np.array([half_table(tail(scale)) for scale in scales], dtype="<u4").tobytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
