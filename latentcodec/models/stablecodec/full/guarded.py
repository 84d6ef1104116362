"""Exact coding with networks in floating point: a guard band around every decision, and a list of what lies within.

The networks that predict y run in float64 on the CPU. Two machines may differ in the last bits, by far less than BAND.
Means are snapped to a grid, scales to the list of tables. Where a value lies within BAND of the boundary between
two integers, the encoder writes down which one it took; everywhere else, no error below BAND can change the outcome.
"""

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from latentcodec.coding.fixedpoint import Integers
from latentcodec.coding.symbols import Coder, Frequencies, TableIndex
from latentcodec.coding.tables import LARGEST_SYMBOL, LOG_SCALE_STEP, SMALLEST_SCALE
from latentcodec.errors import CorruptError, WeightsError
from latentcodec.models.blocks.integers import PLAIN, Floats, Quantiser, Rounding, table_index
from latentcodec.models.blocks.quadtree import STEPS, step_mask
from latentcodec.models.stablecodec.full.codec import LatentCodec
from latentcodec.models.stablecodec.full.density import REACH
from latentcodec.models.stablecodec.full.doubles import in_doubles

Doubles = npt.NDArray[np.float64]
MEAN_BITS = 6
BAND = 2.0**-24  # of the distance between two integers
SMALLEST_TRAINED_SCALE = 0.11
COUNT_TABLE, BYTE_TABLE = 6, 63  # of the lists: zero is likely; everything is
NEUTRAL_RATE, RATES_PER_OCTAVE = 128, 32
POSITION_BYTES = 4
LARGEST = 2.0**24  # of a value: beyond, a rounding of float64 comes too close to the band


@dataclass(frozen=True)
class GuardedLatents:
    """What the decoder knows: z symbols int32 [Cz, h, w], those of y joined with their means, y^ for the synthesis."""

    z: npt.NDArray[np.int32]
    joined: Integers
    y: Floats

    def digest(self) -> int:
        """One byte that depends on every symbol; stored in the file."""
        return zlib.crc32(self.joined.astype("<i4").tobytes(), zlib.crc32(self.z.astype("<i4").tobytes())) & 0xFF


def gain_of(rate: int) -> float:
    """Rate 0..255 -> by how much y is multiplied before it is rounded: the model was trained for 1, at NEUTRAL_RATE."""
    return 2.0 ** ((rate - NEUTRAL_RATE) / RATES_PER_OCTAVE)


class GuardedEntropy:
    """The decoder side of the entropy model, in float64."""

    def __init__(self, codec: LatentCodec, frequencies: Frequencies, medians: Doubles):
        self._codec = in_doubles(codec)
        self._frequencies = frequencies
        self._medians = torch.from_numpy(medians)[None, :, None, None]

    @torch.inference_mode()
    def code(
        self,
        coder: Coder,
        rate: int,
        shape: tuple[int, int],
        source: tuple[Floats, Floats] | None = None,
        rounding: Rounding = PLAIN,
    ) -> GuardedLatents:
        """Latents <-> coder at rate 0..255. `shape` is that of z; `source` is (z, y), not scaled, when encoding."""
        z = self._code_z(coder, shape, None if source is None else source[0])
        base = self._codec.h_s(torch.from_numpy(z.astype(np.float64))[None] + self._medians)
        joined = np.zeros(base.shape[1:], np.int64)
        y = torch.zeros_like(base)
        for step in range(STEPS):
            mask = step_mask(step, *joined.shape)
            wanted = None if source is None else source[1][mask]
            joined[mask], values = self._code_step(coder, rate, step, base, mask, wanted, rounding.y)
            decoded = torch.zeros_like(base)
            decoded[0, torch.from_numpy(mask)] = torch.from_numpy(values)
            where = torch.from_numpy(mask)[None].double()
            decoded = self._codec.corrected(step, decoded, base, where)
            base = base * (1 - where) + decoded
            y = y + decoded
        return GuardedLatents(z, joined, y[0].float().numpy())

    def _code_z(self, coder: Coder, shape: tuple[int, int], z: Floats | None) -> npt.NDArray[np.int32]:
        count = shape[0] * shape[1]
        numbers = None
        if z is not None:
            from_median = np.rint(z - self._medians[0].numpy()).clip(-REACH, REACH)
            numbers = (from_median + REACH).astype(np.int32).reshape(len(z), count)
        return (coder.code_rows(self._frequencies, count, numbers) - np.int32(REACH)).reshape(-1, *shape)

    def _code_step(
        self,
        coder: Coder,
        rate: int,
        step: int,
        base: Tensor,
        mask: npt.NDArray[np.bool_],
        y: Floats | None,
        quantise: Quantiser,
    ) -> tuple[Integers, Doubles]:
        """-> symbols and means of the step's elements as one integer each, and their values."""
        gain = gain_of(rate)
        means, scales = (part[0].numpy()[mask] for part in self._codec.parameters_of_step(step, base))
        positions = np.log(np.maximum(scales, SMALLEST_TRAINED_SCALE) * gain / SMALLEST_SCALE) / LOG_SCALE_STEP
        snapped = self._snap(coder, np.concatenate([means * (gain * (1 << MEAN_BITS)), positions]), y is not None)
        mean, tables = snapped[: len(means)], table_index(snapped[len(means) :])
        centre = mean / (1 << MEAN_BITS)
        symbols = None if y is None else quantise((y * gain - centre).astype(np.float32), tables)
        coded = coder.code(tables, symbols).astype(np.int64)
        return (coded << MEAN_BITS) + mean, (coded + centre) / gain

    def _snap(self, coder: Coder, x: Doubles, encoding: bool) -> Integers:
        """Values -> integers, the same on both sides."""
        if not (np.abs(x) < LARGEST).all():  # neither is NaN
            kind = WeightsError if encoding else CorruptError
            raise kind("the weights predict what no table can code")
        below = np.floor(x + 0.5).astype(np.int64)
        boundary = np.rint(x + 0.5).astype(np.int64)  # the nearest place where rounding changes its mind
        doubtful, upper = None, None
        if encoding:
            doubtful = np.flatnonzero(np.abs(x + 0.5 - boundary) < BAND)
            upper = below[doubtful] == boundary[doubtful]
        doubtful, upper = _code_list(coder, doubtful, upper)
        if doubtful.size and int(doubtful.max()) >= len(x):
            raise CorruptError("the file lists an element that does not exist")
        below[doubtful] = boundary[doubtful] - np.where(upper, 0, 1)
        return below


def _code_list(
    coder: Coder, positions: npt.NDArray[np.intp] | None, choices: npt.NDArray[np.bool_] | None
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Positions below 2^31 with a bit each; nearly always there are none, which costs a hundredth of a bit.

    An encoder that would have to list more than LARGEST_SYMBOL leaves the rest to chance, as an encoder without a guard
    would: they are right on its own machine, and almost surely elsewhere.
    """
    known = None if positions is None else np.array([min(len(positions), LARGEST_SYMBOL)], np.int32)
    size = int(coder.code(_tables(COUNT_TABLE, 1), known)[0])
    if size < 0:
        raise CorruptError("the file lists fewer elements than none")
    numbers = None
    if positions is not None and choices is not None:
        joined = 2 * positions.astype(np.int64)[:size] + choices[:size]
        digits = joined[:, None] >> (8 * np.arange(POSITION_BYTES)) & 0xFF
        numbers = (digits.ravel() - 128).astype(np.int32)
    if not size:
        return np.zeros(0, np.intp), np.zeros(0, np.bool_)
    coded = coder.code(_tables(BYTE_TABLE, POSITION_BYTES * size), numbers).astype(np.int64) + 128
    if int(coded.min()) < 0 or int(coded.max()) > 0xFF:
        raise CorruptError("the file lists an element by what is not a byte")
    joined = (coded.reshape(size, POSITION_BYTES) << (8 * np.arange(POSITION_BYTES))).sum(1)
    return (joined >> 1).astype(np.intp), (joined & 1).astype(np.bool_)


def _tables(table: int, count: int) -> TableIndex:
    return np.full(count, table, np.uint8)
