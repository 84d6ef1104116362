"""Range coding with committed tables: constriction, checked before and translated after. Its only user.

constriction turns probabilities given as floats into 24-bit integers. Passing the integer frequencies minus one makes
that conversion exact: the scale factor is then exactly 1 and the sums are integers below 2^53, so the cumulative
frequencies of the coder are those of `tables.frequencies`, whatever the machine.
"""

from functools import cache

import constriction
import numpy as np
import numpy.typing as npt

from latentcodec.coding.packing import Pack, pack_frequencies
from latentcodec.coding.tables import LARGEST_SYMBOL, TABLES, TOTAL, frequencies
from latentcodec.errors import CorruptError

Symbols = npt.NDArray[np.int32]
WORD_BYTES = 4
_STATE_BYTES = 8


@cache
def _model(table: int, pack: Pack | None = None) -> "constriction.stream.model.Categorical":
    """Of symbols, or of packs of them."""
    return _model_of(frequencies()[table] if pack is None else pack_frequencies(table, pack))


def _model_of(row: npt.NDArray[np.int64]) -> "constriction.stream.model.Categorical":
    if int(row.min()) < 1 or int(row.sum()) != TOTAL:
        raise ValueError(f"frequencies must be positive and sum to {TOTAL}")
    return constriction.stream.model.Categorical((row - 1).astype(np.float64), perfect=False)


def _check_table(table: int) -> None:
    if not 0 <= table < 2 * TABLES:
        raise ValueError(f"table {table} is not in 0..{2 * TABLES - 1}")


class RangeWriter:
    """Symbols -> bytes, first in, first out."""

    def __init__(self) -> None:
        self._encoder = constriction.stream.queue.RangeEncoder()

    def write(self, symbols: Symbols, table: int) -> None:
        """Append int32 symbols in -LARGEST_SYMBOL..LARGEST_SYMBOL, all from one table. Raises ValueError."""
        _check_table(table)
        if symbols.size and int(np.abs(symbols).max()) > LARGEST_SYMBOL:
            raise ValueError(f"symbol {symbols[np.abs(symbols).argmax()]} exceeds {LARGEST_SYMBOL} in size")
        shifted = np.ascontiguousarray(symbols + LARGEST_SYMBOL, dtype=np.int32)
        self._encoder.encode(shifted, _model(table))

    def write_packs(self, codes: Symbols, table: int, pack: Pack) -> None:
        """Append int32 codes of `Pack.join`, all from one table. Raises ValueError."""
        _check_table(table)
        if codes.size and not 0 <= int(codes.min()) <= int(codes.max()) <= pack.escape:
            raise ValueError("not the code of a pack")
        self._encoder.encode(np.ascontiguousarray(codes, dtype=np.int32), _model(table, pack))

    def write_row(self, numbers: Symbols, row: npt.NDArray[np.int64]) -> None:
        """Append int32 numbers 0..len(row) - 1 with frequencies of their own, sum TOTAL, each at least 1."""
        if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) < len(row):
            raise ValueError("a number that the row has no frequency for")
        self._encoder.encode(np.ascontiguousarray(numbers, dtype=np.int32), _model_of(row))

    def finish(self) -> bytes:
        """The shortest byte string that decodes to everything written, given that readers see zeros after its end."""
        words = self._encoder.get_compressed().astype(">u4").tobytes()
        settled, (lower, width) = self._encoder.pos()
        return _shortest(words[: WORD_BYTES * settled], words[WORD_BYTES * settled :], lower, lower + width)


def _shortest(settled: bytes, seal: bytes, lower: int, end: int) -> bytes:
    """Settled words followed by the shortest number inside the coder's final interval [lower, end), end <= 2^65.

    The interval is that of the next eight bytes. `seal` is constriction's own choice in it, one or two words.
    """
    top = 1 << (8 * _STATE_BYTES)
    if end > top:
        # The interval contains 2^64: a carry into the settled words and nothing after them. constriction may have
        # carried already, in which case its own choice lies at the bottom of the wrapped interval.
        carried = int.from_bytes(seal.ljust(_STATE_BYTES, b"\0"), "big") < lower
        value = int.from_bytes(settled, "big") + (0 if carried else 1)
        return value.to_bytes(len(settled), "big").rstrip(b"\0")
    size = 0
    while (value := _round_up(lower, 8 * (_STATE_BYTES - size))) >= end:
        size += 1
    return (settled + value.to_bytes(_STATE_BYTES + 1, "big")[1 : 1 + size]).rstrip(b"\0")


def _round_up(value: int, bits: int) -> int:
    """The smallest multiple of 2^bits that is not less than `value`."""
    return -(-value >> bits) << bits


class RangeReader:
    """Bytes -> symbols, in the order written. Bytes after the end of the payload read as zero."""

    def __init__(self, payload: bytes):
        padded = payload + bytes(-len(payload) % WORD_BYTES)
        words = np.frombuffer(padded, ">u4").astype(np.uint32)
        self._decoder = constriction.stream.queue.RangeDecoder(words)

    def read(self, count: int, table: int) -> Symbols:
        """The next `count` symbols, int32. Raises CorruptError where no valid encoder wrote these bytes."""
        return self._decode(count, table, None) - np.int32(LARGEST_SYMBOL)

    def read_packs(self, count: int, table: int, pack: Pack) -> Symbols:
        """The next `count` codes of packs, int32. Raises CorruptError likewise."""
        return self._decode(count, table, pack)

    def read_row(self, count: int, row: npt.NDArray[np.int64]) -> Symbols:
        """The next `count` numbers that were written with these frequencies. Raises CorruptError likewise."""
        return self._decoded(count, _model_of(row))

    def _decode(self, count: int, table: int, pack: Pack | None) -> Symbols:
        _check_table(table)
        return self._decoded(count, _model(table, pack))

    def _decoded(self, count: int, model: "constriction.stream.model.Categorical") -> Symbols:
        try:
            return np.asarray(self._decoder.decode(model, count), dtype=np.int32)
        except (AssertionError, ValueError) as error:
            raise CorruptError("the payload cannot have been written by a range coder") from error
