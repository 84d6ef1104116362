"""Likely symbols as one: the alphabets of quads and octets.

A range coder with 32-bit words loses about 1e-4 bits on every symbol, however probable. Most symbols of narrow
tables are zero, and there are tens of thousands of them. So four or eight symbols in a row of the same narrow table are
coded as one symbol of a product alphabet, as long as none of them is larger than the pack's reach; otherwise an escape
is coded, and they follow one by one. (An octet is eight symbols here, not a byte.)
"""

from dataclasses import dataclass
from functools import cache
from itertools import product
from math import prod

import numpy as np
import numpy.typing as npt

from latentcodec.coding.tables import LARGEST_SYMBOL, TABLES, TOTAL, TOTAL_BITS, frequencies

Codes = npt.NDArray[np.int32]
QUAD, OCTET = 4, 8
ESCAPE_FREQUENCY = 1 << 12


@dataclass(frozen=True)
class Pack:
    """`size` symbols in a row, of magnitude 0..`reach`, as one code."""

    size: int
    reach: int

    @property
    def _base(self) -> int:
        return 2 * self.reach + 1

    @property
    def _places(self) -> Codes:
        return np.array([self._base**place for place in reversed(range(self.size))], np.int32)

    @property
    def escape(self) -> int:
        """The code after those of all packs."""
        return int(self._base**self.size)

    def join(self, symbols: npt.NDArray[np.int32]) -> tuple[Codes, npt.NDArray[np.int32]]:
        """Symbols [N] of one table -> codes [N // size], and what is coded one by one: escaped packs, and the rest."""
        whole = len(symbols) // self.size * self.size
        packs = symbols[:whole].reshape(-1, self.size)
        escaped = (np.abs(packs) > self.reach).any(axis=1)
        codes = np.where(escaped, self.escape, (packs + self.reach) @ self._places).astype(np.int32)
        return codes, np.concatenate([packs[escaped].ravel(), symbols[whole:]])

    def plain_count(self, codes: Codes, count: int) -> int:
        """How many of `count` symbols are coded one by one, given the codes of their packs."""
        return int((codes == self.escape).sum()) * self.size + count % self.size

    def split(self, codes: Codes, plain: npt.NDArray[np.int32], count: int) -> npt.NDArray[np.int32]:
        """Inverse of `join` for `count` symbols."""
        packs = codes[:, None] // self._places % self._base - self.reach
        escaped = codes == self.escape
        packs[escaped] = plain[: len(plain) - count % self.size].reshape(-1, self.size)
        return np.concatenate([packs.ravel(), plain[len(plain) - count % self.size :]])


OCTETS = Pack(OCTET, 1)


@dataclass(frozen=True)
class Packing:
    """Which symbols a model codes in quads: those of the first `tables` tables of a shape, of magnitude 0..`reach`;
    but those of the first `octets` tables in octets, of 0..1."""

    tables: int = 0
    reach: int = 1
    octets: int = 0

    def of(self, table: int) -> Pack | None:
        """How the symbols of a table are coded; None: one by one."""
        number = table % TABLES
        if number < self.octets:
            return OCTETS
        return Pack(QUAD, self.reach) if number < self.tables else None


@cache
def pack_frequencies(table: int, pack: Pack) -> npt.NDArray[np.int64]:
    """int64 [(2 reach + 1)^size + 1], sum TOTAL: all packs of symbols -reach..reach in order, then the escape.

    Products of the single frequencies, rounded down but at least 1; what is missing goes to the zeros.
    """
    single = [int(f) for f in frequencies()[table, LARGEST_SYMBOL:]]
    shift = TOTAL_BITS * (pack.size - 1)
    distinct, where = _magnitudes(pack)
    products = [max(1, prod(single[magnitude] for magnitude in row) >> shift) for row in distinct.tolist()]
    found = np.append(np.array(products, np.int64)[where], ESCAPE_FREQUENCY)
    found[len(where) // 2] += TOTAL - found.sum()
    return found


@cache
def _magnitudes(pack: Pack) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.intp]]:
    """Magnitudes of the symbols of a pack, in ascending order, without repetition; and which of these each code has."""
    packs = np.array(list(product(range(-pack.reach, pack.reach + 1), repeat=pack.size)))
    distinct, where = np.unique(np.sort(np.abs(packs), axis=1), axis=0, return_inverse=True)
    return distinct, where.ravel()


@cache
def pack_information(table: int, pack: Pack) -> npt.NDArray[np.float64]:
    """-log2 of the probabilities of codes, in bits. For counting bits only."""
    return TOTAL_BITS - np.log2(pack_frequencies(table, pack))
