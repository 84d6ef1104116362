"""Table index -> integer probabilities of the symbols -LARGEST_SYMBOL..LARGEST_SYMBOL.

Table k is a zero-mean Gaussian with standard deviation SMALLEST_SCALE * exp(k * LOG_SCALE_STEP), rounded to integers.
The frequencies are read from a committed file and checked by digest; nothing here computes a probability.
"""

import hashlib
import math
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

TABLES = 64
LARGEST_SYMBOL = 255
FIRST_CODED_TABLE = 4  # symbols of the tables below it are not coded: they are zero with probability above 0.9997
TOTAL_BITS = 24
TOTAL = 1 << TOTAL_BITS
SMALLEST_SCALE = 0.1
LARGEST_SCALE = 64.0
LOG_SCALE_STEP = math.log(LARGEST_SCALE / SMALLEST_SCALE) / (TABLES - 1)
SHA256 = "e1f490e4a6c80acc5ca60be627a664c60bdbccbc15ae082d680a02ad498b0460"


@cache
def frequencies() -> npt.NDArray[np.int64]:
    """int64 [TABLES, 2 * LARGEST_SYMBOL + 1], every row sums to TOTAL; column j is symbol j - LARGEST_SYMBOL."""
    data = files(__package__).joinpath("gaussian.bin").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256:
        raise RuntimeError(f"gaussian.bin has SHA-256 {digest}, expected {SHA256}: this installation is damaged")
    half = np.frombuffer(data, "<u4").reshape(TABLES, LARGEST_SYMBOL + 1).astype(np.int64)
    return np.concatenate([half[:, :0:-1], half], axis=1)


@cache
def information() -> npt.NDArray[np.float64]:
    """-log2 of the probabilities, in bits, laid out as `frequencies`. For counting bits only."""
    return TOTAL_BITS - np.log2(frequencies())
