"""Symbols of the grids <-> coder: the context network in integers, coarse to fine, four steps per level.

All channels and positions of a step are coded in one call, so that nothing loops over symbols. Formats are those of
`coding.fixedpoint`: activations with ACTIVATION_BITS after the point, weights with WEIGHT_BITS.
"""

import zlib

import numpy as np
import numpy.typing as npt

from latentcodec.coding.fixedpoint import (
    ACTIVATION_BITS,
    WEIGHT_BITS,
    Arithmetic,
    Integers,
    Numbers,
    shift_round,
)
from latentcodec.coding.symbols import Coder, TableIndex
from latentcodec.coding.tables import TABLES
from latentcodec.models.blocks.products import TORCH
from latentcodec.models.overfit.context import (
    QUARTERS,
    RATE_SHIFT,
    Above,
    Descent,
    Known,
    Region,
    features,
    known,
    regions,
)
from latentcodec.models.overfit.parameters import Parameters
from latentcodec.models.overfit.presets import BANDS, FEATURES, LEVELS, STEPS, Layout

Grids = list[npt.NDArray[np.int32]]
CONTEXT = ("hidden1", "hidden2", "step_bias", "level_bias", "band_bias", "hidden2_bias", "out", "direct")


def code_grids(
    coder: Coder,
    parameters: Parameters,
    layout: Layout,
    rate: int,
    size: tuple[int, int],
    source: Grids | None = None,
    arithmetic: Arithmetic = TORCH,
) -> tuple[Grids, TableIndex]:
    """Grids int32 [bands, C, h, w] per level <-> coder at rate 0..255, for latents of `size` (height, width).

    Returns what the decoder knows: the grids, where symbols of the narrowest tables are not coded, and are zero; and
    the table of every symbol of the finest grid, uint8 [bands, C, h, w].
    """
    network = _Network(parameters, arithmetic, rate, layout.first_table)
    grids: Grids = []
    descent, above = Descent(layout.channels, layout.split, logarithm, _bordered), None
    shapes = layout.grids(*size)
    for level in reversed(range(LEVELS + 1)):
        grid, tables = _code_level(
            coder, network, layout, level, shapes[level], above, None if source is None else source[level]
        )
        grids.insert(0, grid)
        if level:
            above = descent.above_next(np.abs(grid).astype(np.int64), shapes[level - 1][2:])
    return grids, tables


def digest(grids: Grids) -> int:
    """One byte that depends on every symbol; stored in the file."""
    value = 0
    for grid in grids:
        value = zlib.crc32(grid.astype("<i4").tobytes(), value)
    return value & 0xFF


def logarithm(x: Integers) -> Integers:
    """log2(x + 1) with ACTIVATION_BITS after the point, linear between powers of two, rounded down. Exact."""
    after = x + 1
    exponent = np.frexp(after.astype(np.float64))[1].astype(np.int64) - 1
    return ((exponent - 1) << ACTIVATION_BITS) + ((after << ACTIVATION_BITS) >> exponent)


def _bordered(x: Integers) -> Integers:
    return np.pad(x, [(0, 0)] * (x.ndim - 2) + [(1, 1), (1, 1)])


class _Network:
    """The context network at one rate, all in the arithmetic's type."""

    def __init__(self, parameters: Parameters, arithmetic: Arithmetic, rate: int, first_table: int):
        self._arithmetic = arithmetic
        exact = {name: parameters[name].astype(arithmetic.dtype) for name in CONTEXT}
        # Biases have ACTIVATION_BITS after the point, sums both; the identity of the residual layer has weight 1.
        one = 1 << WEIGHT_BITS
        self._hidden1, self._out, self._direct = exact["hidden1"], exact["out"][:, None], exact["direct"][:, None]
        self._hidden2 = exact["hidden2"] + one * np.eye(exact["hidden2"].shape[-1], dtype=arithmetic.dtype)
        self._bias1 = one * (exact["step_bias"][:, None] + exact["level_bias"])  # [STEPS, LEVELS + 1, width]
        self._band_bias, self._bias2 = one * exact["band_bias"], one * exact["hidden2_bias"][:, None]
        self._offset = parameters["offset"].astype(np.int64)
        self._rate, self._first_table = rate, first_table

    def tables(self, level: int, step: int, region: Region, seen: Known, above: Above | None) -> TableIndex:
        """Table index of every symbol of a region, [channels, h, w]."""
        given = features(seen, above, region, logarithm)
        channels, height, width = given[0].shape
        columns = np.zeros((FEATURES, channels, height, width), self._arithmetic.dtype)
        for number, feature in enumerate(given):
            if feature is not None:
                columns[number] = feature
        columns[-1] = self._rate << RATE_SHIFT
        flat = columns.reshape(FEATURES, -1)
        number = step % len(self._out)  # of the network: there may be one for all steps
        sums = self._arithmetic.matmul(self._hidden1[number], flat)
        by_channel = sums.reshape(-1, channels, height * width)
        by_channel += self._first_bias(level, step, region)[:, :, None]
        hidden = self._arithmetic.rectify(sums)
        hidden = self._arithmetic.rectify(self._arithmetic.matmul(self._hidden2[number], hidden) + self._bias2)
        position = self._arithmetic.matmul(self._out[number], hidden)
        position = position + self._arithmetic.matmul(self._direct[number], flat)
        position = position.reshape(channels, height, width).astype(np.int64)
        position += self._offsets(level, region) << WEIGHT_BITS
        table = np.clip(shift_round(position, WEIGHT_BITS + ACTIVATION_BITS), 0, TABLES - 1)
        return (self._first_table + table).astype(np.uint8)

    def _first_bias(self, level: int, step: int, region: Region) -> Numbers:
        """[width, channels of the region], or [width, 1] where there is one band only."""
        common = self._bias1[step, level][:, None]
        if level == LEVELS:
            return common
        channels = self._offset.shape[-1]
        bands = [k // channels for k in range(region.quarter, BANDS * channels, QUARTERS)]
        return common + self._band_bias[bands].T

    def _offsets(self, level: int, region: Region) -> Integers:
        bands = BANDS if level < LEVELS else 1
        return self._offset[level, :bands].reshape(-1)[region.quarter :: QUARTERS, None, None]


def _code_level(
    coder: Coder,
    network: _Network,
    layout: Layout,
    level: int,
    shape: tuple[int, int, int, int],
    above: Above | None,
    source: npt.NDArray[np.int32] | None,
) -> tuple[npt.NDArray[np.int32], TableIndex]:
    flat = (shape[0] * shape[1], *shape[2:])
    grid, chosen = np.zeros(flat, np.int32), np.zeros(flat, np.uint8)
    bordered = np.zeros((flat[0], flat[1] + 2, flat[2] + 2), np.int64)
    wanted = None if source is None else source.reshape(flat)
    for step in range(STEPS):
        seen = known(bordered, layout.channels, logarithm)
        parts = [region for region in regions(step) if grid[region.index].size]
        if not parts:  # a single row or column has no odd phase
            continue
        tables = [network.tables(level, step, region, seen, above) for region in parts]
        symbols = None if wanted is None else np.concatenate([wanted[region.index].ravel() for region in parts])
        coded = coder.code(np.concatenate([table.ravel() for table in tables]), symbols)
        start = 0
        for region, table in zip(parts, tables, strict=True):
            grid[region.index] = coded[start : start + table.size].reshape(table.shape)
            chosen[region.index] = table
            start += table.size
        bordered[:, 1:-1, 1:-1] = np.abs(grid)
    return grid.reshape(shape), chosen.reshape(shape)
