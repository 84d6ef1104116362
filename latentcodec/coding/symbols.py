"""One method, three coders: write symbols, read them, or count their bits.

`code(tables, symbols)` takes the table index of every symbol. The encoder writes and returns the given symbols, the
decoder ignores them and returns what it reads, the counter adds up their information. So a model walks over its
latents once, in code that does not know which of the three it drives.

Within one call, symbols are ordered by table, and by position among equals. Symbols of the narrowest tables are not
coded at all: they are zero. That saves time, and the fraction of a bit that a range coder loses on every symbol,
however probable. For the same reason, symbols of narrow tables are coded in quads or octets
(packing.py); a model says which tables these are.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from latentcodec.coding.packing import Pack, Packing, pack_information
from latentcodec.coding.rangecoder import RangeReader, RangeWriter, Symbols
from latentcodec.coding.tables import LARGEST_SYMBOL, TOTAL_BITS, are_coded, information

TableIndex = npt.NDArray[np.uint8]
Frequencies = npt.NDArray[np.int64]
SINGLY = Packing()


class Coder(Protocol):
    """What a model needs to code its latents."""

    def code(self, tables: TableIndex, symbols: Symbols | None) -> Symbols:
        """Table index [N] and symbols [N] (None when decoding) -> symbols [N] as the decoder will know them."""

    def code_rows(self, rows: Frequencies, count: int, numbers: Symbols | None) -> Symbols:
        """Frequencies [R, K], sum TOTAL each, and `count` numbers 0..K - 1 per row, [R, count] -> the numbers."""


def _runs(tables: TableIndex) -> Iterator[tuple[int, npt.NDArray[np.intp]]]:
    """(table, positions) for each coded table in use, in ascending order."""
    order = np.argsort(tables, kind="stable")
    bounds = np.searchsorted(tables[order], np.arange(257))
    used = np.diff(bounds) > 0
    for table in np.flatnonzero(used & are_coded(np.arange(256, dtype=np.uint8))).tolist():
        yield table, order[bounds[table] : bounds[table + 1]]


def codable(tables: TableIndex, symbols: Symbols) -> Symbols:
    """Symbols with those that are not coded set to zero and the rest limited to the tables' range."""
    limited = np.clip(symbols, -LARGEST_SYMBOL, LARGEST_SYMBOL)
    return np.where(are_coded(tables), limited, 0).astype(np.int32)


class SymbolEncoder:
    """Writes symbols, some of them in packs; `finish` returns the payload."""

    def __init__(self, packing: Packing = SINGLY) -> None:
        self._writer = RangeWriter()
        self._packing = packing

    def code(self, tables: TableIndex, symbols: Symbols | None) -> Symbols:
        assert symbols is not None
        known = codable(tables, symbols)
        for table, positions in _runs(tables):
            chosen = known[positions]
            if pack := self._packing.of(table):
                codes, chosen = pack.join(chosen)
                self._writer.write_packs(codes, table, pack)
            self._writer.write(chosen, table)
        return known

    def code_rows(self, rows: Frequencies, count: int, numbers: Symbols | None) -> Symbols:
        assert numbers is not None
        for row, line in zip(rows, numbers, strict=True):
            self._writer.write_row(line, row)
        return numbers

    def finish(self) -> bytes:
        return self._writer.finish()


class SymbolDecoder:
    """Reads symbols from a payload that was written with the same packing."""

    def __init__(self, payload: bytes, packing: Packing = SINGLY):
        self._reader = RangeReader(payload)
        self._packing = packing

    def code(self, tables: TableIndex, symbols: Symbols | None) -> Symbols:
        known = np.zeros(len(tables), np.int32)
        for table, positions in _runs(tables):
            known[positions] = self._read(len(positions), table, self._packing.of(table))
        return known

    def code_rows(self, rows: Frequencies, count: int, numbers: Symbols | None) -> Symbols:
        return np.stack([self._reader.read_row(count, row) for row in rows])

    def _read(self, count: int, table: int, pack: Pack | None) -> Symbols:
        if pack is None:
            return self._reader.read(count, table)
        codes = self._reader.read_packs(count // pack.size, table, pack)
        plain = self._reader.read(pack.plain_count(codes, count), table)
        return pack.split(codes, plain, count)


class BitCounter:
    """Adds up -log2 p of the symbols in `bits`, from the same integer tables."""

    def __init__(self, packing: Packing = SINGLY) -> None:
        self.bits = 0.0
        self._packing = packing

    def code(self, tables: TableIndex, symbols: Symbols | None) -> Symbols:
        assert symbols is not None
        known = codable(tables, symbols)
        for table, positions in _runs(tables):
            chosen = known[positions]
            if pack := self._packing.of(table):
                codes, chosen = pack.join(chosen)
                self.bits += float(pack_information(table, pack)[codes].sum())
            self.bits += float(information()[table, chosen + LARGEST_SYMBOL].sum())
        return known

    def code_rows(self, rows: Frequencies, count: int, numbers: Symbols | None) -> Symbols:
        assert numbers is not None
        self.bits += float((TOTAL_BITS - np.log2(np.take_along_axis(rows, numbers, axis=1))).sum())
        return numbers
