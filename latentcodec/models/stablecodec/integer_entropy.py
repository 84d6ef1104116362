"""The entropy model in integers, as files are coded with it: symbols of z and y <-> coder, through the same steps.

Same networks as `entropy`, exported by `export_entropy`. Inputs are integers, every layer is exact
(`coding.fixedpoint`), the results are a mean in sixteenths and the index of a table: no float selects a probability.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latentcodec.coding.fixedpoint import (
    ACTIVATION_BITS,
    FAST,
    WEIGHT_BITS,
    Arithmetic,
    IntegerConv,
    Integers,
    interpolate_knots,
    modulate,
    pixel_shuffle,
    relu,
    rescale,
    shift_round,
)
from latentcodec.coding.symbols import Coder, TableIndex
from latentcodec.coding.tables import TABLES
from latentcodec.models.blocks.quadtree import QUARTER_OF, STEPS, phase_slices

MEAN_BITS = 4
MEAN_LIMIT = 1 << 14
KNOT_ARRAYS = ("scale", "shift", "prior", "offset")
Floats = npt.NDArray[np.float32]
Quantiser = Callable[[Floats, TableIndex], npt.NDArray[np.int32]]  # values minus means, tables -> symbols


def round_half_even(x: Floats) -> npt.NDArray[np.int32]:
    """Plain rounding to the nearest integer."""
    return np.rint(x).astype(np.int32)


def nearest(x: Floats, tables: TableIndex) -> npt.NDArray[np.int32]:
    """The simplest quantiser."""
    return round_half_even(x)


@dataclass(frozen=True)
class CodedLatents:
    """What the decoder knows: z symbols int32 [Cz, h/2, w/2] and y^ in sixteenths, int64 [M, h, w]."""

    z: npt.NDArray[np.int32]
    y: Integers

    def digest(self) -> int:
        """One byte that depends on every symbol; stored in the file."""
        return zlib.crc32(self.y.astype("<i4").tobytes(), zlib.crc32(self.z.astype("<i4").tobytes())) & 0xFF

    def values(self) -> Floats:
        """y^ as float32, exact."""
        return (self.y / (1 << MEAN_BITS)).astype(np.float32)


class IntegerEntropy:
    """The networks as integer arrays, by the names that `export_entropy` gives them."""

    def __init__(self, arrays: Mapping[str, npt.NDArray[np.generic]], arithmetic: Arithmetic = FAST):
        self._knots = {k: v.astype(np.int32) for k, v in arrays.items() if k.rpartition(".")[2] in KNOT_ARRAYS}
        self._convs = {
            k.removesuffix(".weight"): IntegerConv.build(
                v.astype(np.int16), arrays[k.removesuffix("weight") + "bias"].astype(np.int64), arithmetic
            )
            for k, v in arrays.items()
            if k.endswith(".weight")
        }
        self.z_channels: int = arrays["prior"].shape[1]
        self.y_channels: int = arrays["offset"].shape[1]
        self._quarter_outputs = [
            [self._convs[f"step{step}.out"].rows(self._output_rows(quarter)) for quarter in range(4)]
            for step in range(STEPS)
        ]

    def _output_rows(self, quarter: int) -> npt.NDArray[np.intp]:
        """Rows of a last layer that belong to one channel quarter: its means, then its table positions."""
        size, channels = self.y_channels // 4, self.y_channels
        first = quarter * size
        return np.r_[first : first + size, channels + first : channels + first + size]

    def code(
        self,
        coder: Coder,
        rate: int,
        shape: tuple[int, int],
        source: tuple[Floats, Floats] | None = None,
        quantise: Quantiser = nearest,
    ) -> CodedLatents:
        """Latents <-> coder at rate 0..255. `shape` is that of z, (height, width); `source` is (z, y) when encoding.

        Prediction sees only what the coder returned, so encoder and decoder run the same steps on the same integers.
        """
        z = self._code_z(coder, rate, shape, None if source is None else source[0])
        base = self._base(z, rate)
        known = np.zeros((self.y_channels, 2 * shape[0], 2 * shape[1]), np.int64)
        for step in range(STEPS):
            self._code_step(coder, rate, step, base, known, None if source is None else source[1], quantise)
        return CodedLatents(z, known)

    def _code_z(self, coder: Coder, rate: int, shape: tuple[int, int], z: Floats | None) -> npt.NDArray[np.int32]:
        positions = interpolate_knots(self._knots["prior"], rate)
        channel_tables = _table_index(shift_round(positions, ACTIVATION_BITS))
        tables = np.repeat(channel_tables, shape[0] * shape[1])
        symbols = None if z is None else round_half_even(z).ravel()
        return coder.code(tables, symbols).reshape(self.z_channels, *shape)

    def _base(self, z: npt.NDArray[np.int32], rate: int) -> Integers:
        """z^ [Cz, h, w] -> base activations [W, 2h, 2w]."""
        hidden = rescale(self._sums("hyper.conv1", z.astype(np.int64) << ACTIVATION_BITS))
        hidden = relu(self._modulate("hyper", hidden, rate))
        hidden = relu(rescale(self._sums("hyper.conv2", hidden)))
        return pixel_shuffle(rescale(self._sums("hyper.conv3", hidden)))

    def _code_step(
        self,
        coder: Coder,
        rate: int,
        step: int,
        base: Integers,
        known: Integers,
        y: Floats | None,
        quantise: Quantiser,
    ) -> None:
        """Code the elements of one step and write them into `known`, in sixteenths."""
        hidden = self._hidden(rate, step, base, known)
        quarter = self.y_channels // 4
        regions, means, tables = [], [], []
        for phase in range(4):
            number = QUARTER_OF[step][phase]
            first = number * quarter
            rows, columns = phase_slices(phase)
            mean, table = self._parameters(step, rate, number, hidden[:, rows, columns])
            regions.append((slice(first, first + quarter), rows, columns))
            means.append(mean)
            tables.append(table.ravel())
        flat_means, flat_tables = np.concatenate([mean.ravel() for mean in means]), np.concatenate(tables)
        symbols = None
        if y is not None:
            source = np.concatenate([y[region].ravel() for region in regions])
            symbols = quantise(source - (flat_means / (1 << MEAN_BITS)).astype(np.float32), flat_tables)
        coded = coder.code(flat_tables, symbols).astype(np.int64)
        values = (coded << MEAN_BITS) + flat_means
        start = 0
        for region, mean in zip(regions, means, strict=True):
            known[region] = values[start : start + mean.size].reshape(mean.shape)
            start += mean.size

    def _hidden(self, rate: int, step: int, base: Integers, known: Integers) -> Integers:
        """Activations before the last layer, [width, h, w]."""
        sums = self._sums(f"step{step}.base", base)
        if step:  # before the first step nothing is known, and zeros contribute nothing
            sums = sums + self._sums(f"step{step}.known", known << (ACTIVATION_BITS - MEAN_BITS))
        hidden = relu(self._modulate(f"step{step}", rescale(sums), rate))
        return relu(rescale(self._sums(f"step{step}.hidden", hidden)))

    def _parameters(self, step: int, rate: int, quarter: int, hidden: Integers) -> tuple[Integers, TableIndex]:
        """Hidden activations [width, h, w] -> mean in sixteenths and table index of one channel quarter."""
        size = self.y_channels // 4
        sums = self._quarter_outputs[step][quarter].sums(hidden)
        mean = shift_round(sums[:size], WEIGHT_BITS + ACTIVATION_BITS - MEAN_BITS)
        offset = interpolate_knots(self._knots["offset"], rate)[quarter * size : (quarter + 1) * size, None, None]
        position = shift_round(sums[size:] + (offset << WEIGHT_BITS), WEIGHT_BITS + ACTIVATION_BITS)
        return np.clip(mean, -MEAN_LIMIT, MEAN_LIMIT), _table_index(position)

    def _sums(self, name: str, x: Integers) -> Integers:
        return self._convs[name].sums(x)

    def _modulate(self, name: str, x: Integers, rate: int) -> Integers:
        scale = interpolate_knots(self._knots[f"{name}.scale"], rate)
        shift = interpolate_knots(self._knots[f"{name}.shift"], rate)
        return modulate(x, scale, shift)


def _table_index(position: Integers) -> TableIndex:
    return np.clip(position, 0, TABLES - 1).astype(np.uint8)
