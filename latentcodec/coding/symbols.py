"""One method, three coders: write symbols, read them, or count their bits.

`code(tables, symbols)` takes the table index of every symbol. The encoder writes and returns the given symbols, the
decoder ignores them and returns what it reads, the counter adds up their information. So a model walks over its
latents once, in code that does not know which of the three it drives.

Within one call, symbols are ordered by table, and by position among equals. Symbols of the tables below
FIRST_CODED_TABLE are not coded at all: they are zero. That saves time, and the fraction of a bit that a range coder
loses on every symbol, however probable.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from latentcodec.coding.rangecoder import RangeReader, RangeWriter, Symbols
from latentcodec.coding.tables import FIRST_CODED_TABLE, LARGEST_SYMBOL, information

TableIndex = npt.NDArray[np.uint8]


class Coder(Protocol):
    """What a model needs to code its latents."""

    def code(self, tables: TableIndex, symbols: Symbols | None) -> Symbols:
        """Table index [N] and symbols [N] (None when decoding) -> symbols [N] as the decoder will know them."""


def _runs(tables: TableIndex) -> Iterator[tuple[int, npt.NDArray[np.intp]]]:
    """(table, positions) for each coded table in use, in ascending order."""
    order = np.argsort(tables, kind="stable")
    bounds = np.searchsorted(tables[order], np.arange(257))
    for table in range(FIRST_CODED_TABLE, 256):
        if bounds[table] < bounds[table + 1]:
            yield table, order[bounds[table] : bounds[table + 1]]


def codable(tables: TableIndex, symbols: Symbols) -> Symbols:
    """Symbols with those that are not coded set to zero and the rest limited to the tables' range."""
    limited = np.clip(symbols, -LARGEST_SYMBOL, LARGEST_SYMBOL)
    return np.where(tables < FIRST_CODED_TABLE, 0, limited).astype(np.int32)


class SymbolEncoder:
    """Writes symbols; `finish` returns the payload."""

    def __init__(self) -> None:
        self._writer = RangeWriter()

    def code(self, tables: TableIndex, symbols: Symbols | None) -> Symbols:
        assert symbols is not None
        known = codable(tables, symbols)
        for table, positions in _runs(tables):
            self._writer.write(known[positions], table)
        return known

    def finish(self) -> bytes:
        return self._writer.finish()


class SymbolDecoder:
    """Reads symbols from a payload."""

    def __init__(self, payload: bytes):
        self._reader = RangeReader(payload)

    def code(self, tables: TableIndex, symbols: Symbols | None) -> Symbols:
        known = np.zeros(len(tables), np.int32)
        for table, positions in _runs(tables):
            known[positions] = self._reader.read(len(positions), table)
        return known


class BitCounter:
    """Adds up -log2 p of the symbols in `bits`, from the same integer tables."""

    def __init__(self) -> None:
        self.bits = 0.0

    def code(self, tables: TableIndex, symbols: Symbols | None) -> Symbols:
        assert symbols is not None
        known = codable(tables, symbols)
        self.bits += float(information()[tables, known + LARGEST_SYMBOL][tables >= FIRST_CODED_TABLE].sum())
        return known
