"""The entropy model in integers, as files are coded with it: symbols of z and y <-> coder, through the same steps.

Same networks as `entropy`, exported by `export_entropy`.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from latentcodec.coding.fixedpoint import (
    ACTIVATION_BITS,
    WEIGHT_BITS,
    Arithmetic,
    Integers,
    interpolate_knots,
    pixel_shuffle,
    relu,
    rescale,
    shift_round,
)
from latentcodec.coding.symbols import Coder, TableIndex
from latentcodec.models.blocks.integers import (
    MEAN_BITS,
    MEAN_LIMIT,
    PLAIN,
    CodedLatents,
    Floats,
    IntegerNetworks,
    Quantiser,
    Rounding,
    table_index,
)
from latentcodec.models.blocks.products import TORCH
from latentcodec.models.blocks.quadtree import QUARTER_OF, STEPS, phase_slices


class IntegerEntropy(IntegerNetworks):
    """The networks as integer arrays, by the names that `export_entropy` gives them."""

    def __init__(self, arrays: Mapping[str, npt.NDArray[np.generic]], arithmetic: Arithmetic = TORCH):
        super().__init__(arrays, arithmetic)
        self._quarter_outputs = [
            [self.convs[f"step{step}.out"].rows(self._output_rows(quarter)) for quarter in range(4)]
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
        rounding: Rounding = PLAIN,
    ) -> CodedLatents:
        """See IntegerEntropyModel."""
        z = self.code_z(coder, rate, shape, None if source is None else source[0], rounding.z)
        base = self._base(z, rate)
        known = np.zeros((self.y_channels, 2 * shape[0], 2 * shape[1]), np.int64)
        for step in range(STEPS):
            self._code_step(coder, rate, step, base, known, None if source is None else source[1], rounding.y)
        return CodedLatents(z, known)

    def _base(self, z: npt.NDArray[np.int32], rate: int) -> Integers:
        """z^ [Cz, h, w] -> base activations [W, 2h, 2w]."""
        hidden = rescale(self.sums("hyper.conv1", z.astype(np.int64) << ACTIVATION_BITS))
        hidden = relu(self.modulate("hyper", hidden, rate))
        hidden = relu(rescale(self.sums("hyper.conv2", hidden)))
        return pixel_shuffle(rescale(self.sums("hyper.conv3", hidden)))

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
        sums = self.sums(f"step{step}.base", base)
        if step:  # before the first step nothing is known, and zeros contribute nothing
            sums = sums + self.sums(f"step{step}.known", known << (ACTIVATION_BITS - MEAN_BITS))
        hidden = relu(self.modulate(f"step{step}", rescale(sums), rate))
        return relu(rescale(self.sums(f"step{step}.hidden", hidden)))

    def _parameters(self, step: int, rate: int, quarter: int, hidden: Integers) -> tuple[Integers, TableIndex]:
        """Hidden activations [width, h, w] -> mean in sixteenths and table index of one channel quarter."""
        size = self.y_channels // 4
        sums = self._quarter_outputs[step][quarter].sums(hidden)
        mean = shift_round(sums[:size], WEIGHT_BITS + ACTIVATION_BITS - MEAN_BITS)
        offset = interpolate_knots(self.knots["offset"], rate)[quarter * size : (quarter + 1) * size, None, None]
        position = shift_round(sums[size:] + (offset << WEIGHT_BITS), WEIGHT_BITS + ACTIVATION_BITS)
        return np.clip(mean, -MEAN_LIMIT, MEAN_LIMIT), table_index(position)
