"""Writes gaussian.bin, the probability tables that every file is coded with. Run once; the result is normative.

    python -m latentcodec.coding.build_tables FILE

Uses erfc of the machine that runs it, which is why the tables are committed and checked by digest instead of being
built where they are used: two C libraries may disagree in the last bit.
"""

import math
import sys
from pathlib import Path

import numpy as np

from latentcodec.coding.tables import LARGEST_SYMBOL, LOG_SCALE_STEP, SMALLEST_SCALE, TABLES, TOTAL


def half_table(scale: float) -> list[int]:
    """Frequencies of 0, 1, ..., LARGEST_SYMBOL under a Gaussian rounded to integers; at least 1 each.

    Invariant: f[0] + 2 * sum(f[1:]) == TOTAL. What the floor of 1 takes is taken from f[0].
    """

    def tail(x: float) -> float:
        return 0.5 * math.erfc(x / (scale * math.sqrt(2)))

    rest = [max(1, round(TOTAL * (tail(k - 0.5) - tail(k + 0.5)))) for k in range(1, LARGEST_SYMBOL + 1)]
    return [TOTAL - 2 * sum(rest), *rest]


def main(path: Path) -> None:
    """Write all tables, as little-endian uint32 [TABLES, LARGEST_SYMBOL + 1]."""
    scales = [SMALLEST_SCALE * math.exp(LOG_SCALE_STEP * k) for k in range(TABLES)]
    path.write_bytes(np.array([half_table(scale) for scale in scales], dtype="<u4").tobytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
