"""Four likely symbols as one: the alphabet of quads.

A range coder with 32-bit words loses about 1.5e-4 bits on every symbol, however probable. Most symbols of narrow
tables are zero, and there are tens of thousands of them. So four symbols in a row of the same narrow table are coded as
one symbol of a product alphabet, as long as all of them are -1, 0 or 1; otherwise an escape is coded, and they follow
one by one.
"""

from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt

from latentcodec.coding.tables import LARGEST_SYMBOL, TOTAL, TOTAL_BITS, frequencies

Codes = npt.NDArray[np.int32]
QUAD = 4
ESCAPE = 3**QUAD
ESCAPE_FREQUENCY = 1 << 12
_PLACES = np.array([27, 9, 3, 1], np.int32)
_ALL_ZERO = ESCAPE // 2


@cache
def quad_frequencies(table: int) -> npt.NDArray[np.int64]:
    """int64 [82], sum TOTAL: code 27 a + 9 b + 3 c + d of the symbols (a - 1, b - 1, c - 1, d - 1), then the escape.

    Products of the single frequencies, rounded down but at least 1; what is missing goes to four zeros.
    """
    single = [int(f) for f in frequencies()[table, LARGEST_SYMBOL - 1 : LARGEST_SYMBOL + 2]]
    shift = TOTAL_BITS * (QUAD - 1)
    found = [max(1, (a * b * c * d) >> shift) for a, b, c, d in product(single, repeat=QUAD)] + [ESCAPE_FREQUENCY]
    found[_ALL_ZERO] += TOTAL - sum(found)
    return np.array(found, np.int64)


@cache
def quad_information() -> npt.NDArray[np.float64]:
    """-log2 of the probabilities of codes, in bits [tables, 82]. For counting bits only."""
    return TOTAL_BITS - np.log2([quad_frequencies(table) for table in range(len(frequencies()))])


def pack(symbols: npt.NDArray[np.int32]) -> tuple[Codes, npt.NDArray[np.int32]]:
    """Symbols [N] of one table -> codes [N // 4], and what is coded one by one: escaped quads, and the rest."""
    whole = len(symbols) // QUAD * QUAD
    quads = symbols[:whole].reshape(-1, QUAD)
    escaped = (np.abs(quads) > 1).any(axis=1)
    codes = np.where(escaped, ESCAPE, (quads + 1) @ _PLACES).astype(np.int32)
    return codes, np.concatenate([quads[escaped].ravel(), symbols[whole:]])


def plain_count(codes: Codes, count: int) -> int:
    """How many of `count` symbols are coded one by one, given the codes of their quads."""
    return int((codes == ESCAPE).sum()) * QUAD + count % QUAD


def unpack(codes: Codes, plain: npt.NDArray[np.int32], count: int) -> npt.NDArray[np.int32]:
    """Inverse of `pack` for `count` symbols."""
    quads = codes[:, None] // _PLACES % 3 - 1
    escaped = codes == ESCAPE
    quads[escaped] = plain[: len(plain) - count % QUAD].reshape(-1, QUAD)
    return np.concatenate([quads.ravel(), plain[len(plain) - count % QUAD :]])
