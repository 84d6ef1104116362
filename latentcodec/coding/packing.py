"""Four likely symbols as one: the alphabet of quads.

A range coder with 32-bit words loses about 1.5e-4 bits on every symbol, however probable. Most symbols of narrow
tables are zero, and there are tens of thousands of them. So four symbols in a row of the same narrow table are coded as
one symbol of a product alphabet, as long as none of them is larger than the model's reach; otherwise an escape is
coded, and they follow one by one.
"""

from dataclasses import dataclass
from functools import cache
from itertools import product
from math import prod

import numpy as np
import numpy.typing as npt

from latentcodec.coding.tables import LARGEST_SYMBOL, TOTAL, TOTAL_BITS, frequencies

Codes = npt.NDArray[np.int32]
QUAD = 4
ESCAPE_FREQUENCY = 1 << 12


@dataclass(frozen=True)
class Packing:
    """Which symbols a model codes in quads: those of the tables below `tables`, of size 0..`reach`."""

    tables: int = 0
    reach: int = 1

    @property
    def _base(self) -> int:
        return 2 * self.reach + 1

    @property
    def _places(self) -> Codes:
        return np.array([self._base**place for place in reversed(range(QUAD))], np.int32)

    @property
    def escape(self) -> int:
        """The code after those of all quads."""
        return int(self._base**QUAD)

    def pack(self, symbols: npt.NDArray[np.int32]) -> tuple[Codes, npt.NDArray[np.int32]]:
        """Symbols [N] of one table -> codes [N // 4], and what is coded one by one: escaped quads, and the rest."""
        whole = len(symbols) // QUAD * QUAD
        quads = symbols[:whole].reshape(-1, QUAD)
        escaped = (np.abs(quads) > self.reach).any(axis=1)
        codes = np.where(escaped, self.escape, (quads + self.reach) @ self._places).astype(np.int32)
        return codes, np.concatenate([quads[escaped].ravel(), symbols[whole:]])

    def plain_count(self, codes: Codes, count: int) -> int:
        """How many of `count` symbols are coded one by one, given the codes of their quads."""
        return int((codes == self.escape).sum()) * QUAD + count % QUAD

    def unpack(self, codes: Codes, plain: npt.NDArray[np.int32], count: int) -> npt.NDArray[np.int32]:
        """Inverse of `pack` for `count` symbols."""
        quads = codes[:, None] // self._places % self._base - self.reach
        escaped = codes == self.escape
        quads[escaped] = plain[: len(plain) - count % QUAD].reshape(-1, QUAD)
        return np.concatenate([quads.ravel(), plain[len(plain) - count % QUAD :]])


@cache
def quad_frequencies(table: int, reach: int) -> npt.NDArray[np.int64]:
    """int64 [(2 reach + 1)^4 + 1], sum TOTAL: all quads of symbols -reach..reach in order, then the escape.

    Products of the single frequencies, rounded down but at least 1; what is missing goes to four zeros.
    """
    single = [int(f) for f in frequencies()[table, LARGEST_SYMBOL - reach : LARGEST_SYMBOL + reach + 1]]
    shift = TOTAL_BITS * (QUAD - 1)
    found = [max(1, prod(quad) >> shift) for quad in product(single, repeat=QUAD)]
    found[len(found) // 2] += TOTAL - ESCAPE_FREQUENCY - sum(found)
    return np.array([*found, ESCAPE_FREQUENCY], np.int64)


@cache
def quad_information(table: int, reach: int) -> npt.NDArray[np.float64]:
    """-log2 of the probabilities of codes, in bits. For counting bits only."""
    return TOTAL_BITS - np.log2(quad_frequencies(table, reach))
