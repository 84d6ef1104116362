"""What integer entropy models share: layers by name, the prior of z, and the latents that come out.

Inputs are integers, every layer is exact (`coding.fixedpoint`), the results are a mean in sixteenths and the index of a
table: no float selects a probability.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from latentcodec.coding.fixedpoint import (
    ACTIVATION_BITS,
    Arithmetic,
    IntegerConv,
    Integers,
    interpolate_knots,
    modulate,
    shift_round,
)
from latentcodec.coding.symbols import Coder, TableIndex
from latentcodec.coding.tables import TABLES
from latentcodec.models.blocks.products import TORCH

MEAN_BITS = 4
MEAN_LIMIT = 1 << 14
KNOT_ARRAYS = ("scale", "shift", "prior", "offset")
Floats = npt.NDArray[np.float32]
Quantiser = Callable[[Floats, TableIndex], npt.NDArray[np.int32]]  # values minus means, tables -> symbols


def nearest(x: Floats, tables: TableIndex) -> npt.NDArray[np.int32]:
    """Plain rounding, halves to even."""
    return np.rint(x).astype(np.int32)


@dataclass(frozen=True)
class Rounding:
    """How an encoder makes symbols of z, and of y minus its means. No decoder needs to know.

    Models at full scale always take the nearest for z.
    """

    z: Quantiser = nearest
    y: Quantiser = nearest


PLAIN = Rounding()


def table_index(position: Integers) -> TableIndex:
    """Position in the list of tables -> the nearest there is."""
    return np.clip(position, 0, TABLES - 1).astype(np.uint8)


@dataclass(frozen=True)
class CodedLatents:
    """What the decoder knows: z symbols int32 [Cz, h, w] and y^ in sixteenths, int64 [M, s h, s w]."""

    z: npt.NDArray[np.int32]
    y: Integers

    def digest(self) -> int:
        """One byte that depends on every symbol; stored in the file."""
        return zlib.crc32(self.y.astype("<i4").tobytes(), zlib.crc32(self.z.astype("<i4").tobytes())) & 0xFF

    def values(self) -> Floats:
        """y^ as float32, exact."""
        return (self.y / (1 << MEAN_BITS)).astype(np.float32)


class IntegerEntropyModel(Protocol):
    """Latents <-> coder."""

    def code(
        self,
        coder: Coder,
        rate: int,
        shape: tuple[int, int],
        source: tuple[Floats, Floats] | None = None,
        rounding: Rounding = PLAIN,
    ) -> CodedLatents:
        """Latents <-> coder at rate 0..255. `shape` is that of z, (height, width); `source` is (z, y) when encoding.

        Prediction sees only what the coder returned, so encoder and decoder run the same steps on the same integers.
        """


class IntegerNetworks:
    """Layers and knots as integer arrays, by the names that the export of a model gives them."""

    def __init__(self, arrays: Mapping[str, npt.NDArray[np.generic]], arithmetic: Arithmetic = TORCH):
        self.knots = {k: v.astype(np.int32) for k, v in arrays.items() if k.rpartition(".")[2] in KNOT_ARRAYS}
        self.convs = {
            k.removesuffix(".weight"): IntegerConv.build(
                v.astype(np.int16), arrays[k.removesuffix("weight") + "bias"].astype(np.int64), arithmetic
            )
            for k, v in arrays.items()
            if k.endswith(".weight")
        }
        self.z_channels: int = arrays["prior"].shape[1]
        self.y_channels: int = arrays["offset"].shape[1]

    def code_z(
        self, coder: Coder, rate: int, shape: tuple[int, int], z: Floats | None, quantise: Quantiser
    ) -> npt.NDArray[np.int32]:
        """z [Cz, h, w], each channel with the table that its prior has at this rate."""
        positions = interpolate_knots(self.knots["prior"], rate)
        channel_tables = table_index(shift_round(positions, ACTIVATION_BITS))
        tables = np.repeat(channel_tables, shape[0] * shape[1])
        symbols = None if z is None else quantise(z.ravel(), tables)
        return coder.code(tables, symbols).reshape(self.z_channels, *shape)

    def sums(self, name: str, x: Integers) -> Integers:
        """The convolution called `name`, not shifted back yet."""
        return self.convs[name].sums(x)

    def modulate(self, name: str, x: Integers, rate: int) -> Integers:
        """Activations scaled and shifted by what the knots called `name` hold at this rate."""
        scale = interpolate_knots(self.knots[f"{name}.scale"], rate)
        shift = interpolate_knots(self.knots[f"{name}.shift"], rate)
        return modulate(x, scale, shift)
