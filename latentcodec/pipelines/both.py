"""Two coders in one walk: the file and the count of its bits come from the same symbols."""

import numpy as np
import numpy.typing as npt

from latentcodec.coding.symbols import BitCounter, SymbolEncoder


class Both:
    """Encoder and bit counter in one walk."""

    def __init__(self, encoder: SymbolEncoder, counter: BitCounter):
        self._encoder, self._counter = encoder, counter

    def code_rows(
        self, rows: npt.NDArray[np.int64], count: int, numbers: npt.NDArray[np.int32] | None
    ) -> npt.NDArray[np.int32]:
        self._counter.code_rows(rows, count, numbers)
        return self._encoder.code_rows(rows, count, numbers)

    def code(self, tables: npt.NDArray[np.uint8], symbols: npt.NDArray[np.int32] | None) -> npt.NDArray[np.int32]:
        self._counter.code(tables, symbols)
        return self._encoder.code(tables, symbols)
