"""Table index -> integer probabilities of the symbols -LARGEST_SYMBOL..LARGEST_SYMBOL.

Tables come in two shapes, Gaussian and logistic. Gaussian table k has mean zero and standard deviation
SMALLEST_SCALE * exp(k * LOG_SCALE_STEP), rounded to integers. Logistic table LOGISTIC + k has the same probability of
zero and heavier tails: for symbols of which only about the scale is known. The frequencies are read from committed
files and checked by digest; nothing here computes a probability.
"""

import hashlib
import math
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

TABLES = 64  # of each shape
GAUSSIAN, LOGISTIC = 0, TABLES  # first table of a shape
LARGEST_SYMBOL = 255
FIRST_CODED_TABLE = 4  # symbols of the tables below it, of either shape, are not coded: they are zero (p > 0.9997)
TOTAL_BITS = 24
TOTAL = 1 << TOTAL_BITS
SMALLEST_SCALE = 0.1
LARGEST_SCALE = 64.0
LOG_SCALE_STEP = math.log(LARGEST_SCALE / SMALLEST_SCALE) / (TABLES - 1)
SHA256 = {
    "gaussian.bin": "e1f490e4a6c80acc5ca60be627a664c60bdbccbc15ae082d680a02ad498b0460",
    "logistic.bin": "a1ed6f3545d1bb17a08afcbb44b318df249ccb97e8d2d5ee264ef05271c146a7",
}


@cache
def frequencies() -> npt.NDArray[np.int64]:
    """int64 [2 * TABLES, 2 * LARGEST_SYMBOL + 1], every row sums to TOTAL; column j is symbol j - LARGEST_SYMBOL."""
    half = np.concatenate([_read(name, digest) for name, digest in SHA256.items()])
    return np.concatenate([half[:, :0:-1], half], axis=1)


def _read(name: str, digest: str) -> npt.NDArray[np.int64]:
    """Frequencies of the symbols from 0 up, [TABLES, LARGEST_SYMBOL + 1]."""
    data = files(__package__).joinpath(name).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise RuntimeError(f"{name} has SHA-256 {found}, expected {digest}: this installation is damaged")
    return np.frombuffer(data, "<u4").reshape(TABLES, LARGEST_SYMBOL + 1).astype(np.int64)


@cache
def information() -> npt.NDArray[np.float64]:
    """-log2 of the probabilities, in bits, laid out as `frequencies`. For counting bits only."""
    return TOTAL_BITS - np.log2(frequencies())


def are_coded(tables: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Whether symbols of these tables are coded."""
    return tables % TABLES >= FIRST_CODED_TABLE
