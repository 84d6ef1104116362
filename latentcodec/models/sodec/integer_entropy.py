"""The entropy model in integers, as files are coded with it: all symbols of z, then all symbols of y.

Same network as `entropy.Probability`, exported by `export_entropy`.
"""

import numpy as np
import numpy.typing as npt

from latentcodec.coding.fixedpoint import (
    ACTIVATION_BITS,
    WEIGHT_BITS,
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
    Rounding,
    table_index,
)


class IntegerHyperprior(IntegerNetworks):
    """The network P as integer arrays, by the names that `export_entropy` gives them."""

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
        mean, tables = self._parameters(z, rate)
        symbols = None
        if source is not None:
            residual = source[1] - (mean / (1 << MEAN_BITS)).astype(np.float32)
            symbols = rounding.y(residual.ravel(), tables.ravel())
        coded = coder.code(tables.ravel(), symbols).astype(np.int64).reshape(mean.shape)
        return CodedLatents(z, (coded << MEAN_BITS) + mean)

    def _parameters(self, z: npt.NDArray[np.int32], rate: int) -> tuple[Integers, TableIndex]:
        """z^ [Cz, h, w] -> mean in sixteenths and table index, both [M, 4h, 4w]."""
        hidden = rescale(self.sums("probability.conv1", z.astype(np.int64) << ACTIVATION_BITS))
        hidden = relu(self.modulate("probability", hidden, rate))
        for first, second in (("conv2", "conv3"), ("conv4", "conv5")):
            hidden = relu(rescale(self.sums(f"probability.{first}", hidden)))
            hidden = relu(pixel_shuffle(rescale(self.sums(f"probability.{second}", hidden))))
        sums = self.sums("probability.out", hidden)
        mean = shift_round(sums[: self.y_channels], WEIGHT_BITS + ACTIVATION_BITS - MEAN_BITS)
        offset = interpolate_knots(self.knots["offset"], rate)[:, None, None]
        position = shift_round(sums[self.y_channels :] + (offset << WEIGHT_BITS), WEIGHT_BITS + ACTIVATION_BITS)
        return np.clip(mean, -MEAN_LIMIT, MEAN_LIMIT), table_index(position)
