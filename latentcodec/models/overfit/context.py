"""What the context network sees: logarithms of magnitudes of symbols that are known already. Integers or floats.

The same code runs on numpy integers, where it decides probabilities, and on torch tensors, where they are estimated and
differentiated; only the logarithm differs. Arrays are [..., K, h, w] with K = bands * channels; channel k belongs to
band k // C and component k % C. In step s, the channels k with k % 4 == QUARTER_OF[s][p] are coded at the positions of
phase p (models/blocks/quadtree.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from latentcodec.models.blocks.quadtree import QUARTER_OF, phase_slices
from latentcodec.models.overfit.presets import BANDS

QUARTERS = 4
RATE_SHIFT = 4  # the rate 0..255, shifted by this much, is an activation: 0 to 16
Array = Any  # numpy int64 or torch float, the same operators


@dataclass(frozen=True)
class Region:
    """Channels, rows and columns that are coded together: one quarter of the channels at one phase."""

    quarter: int
    phase: int

    @property
    def index(self) -> tuple[Any, ...]:
        """Into [..., K, h, w]."""
        return (..., slice(self.quarter, None, QUARTERS), *phase_slices(self.phase))

    def neighbour(self, down: int, right: int, shape: tuple[int, int]) -> tuple[Any, ...]:
        """Into an array [..., K, h + 2, w + 2] with a border of one: the neighbours in this direction."""
        top, left = self.phase // 2 + 1 + down, self.phase % 2 + 1 + right
        rows, columns = slice(top, shape[0] + 1 + down, 2), slice(left, shape[1] + 1 + right, 2)
        return (..., slice(self.quarter, None, QUARTERS), rows, columns)


def regions(step: int) -> list[Region]:
    """What one of the four steps codes, in order."""
    return [Region(QUARTER_OF[step][phase], phase) for phase in range(QUARTERS)]


@dataclass(frozen=True)
class Above:
    """Logarithms of what is above a level, at its size: same component [..., K, h, w], sums [..., h, w].

    Above a band of a wavelet is the same band of the next coarser level. Above a component that is only split into its
    phases are its coarser samples, all of them: the nearest of these are a symbol's next neighbours.
    """

    own: Array
    total: Array
    around: Array


# Offsets of the coarser samples next to one in an odd column, in an odd row, and in both: bands 0, 1 and 2.
NEAREST = (((0, 0), (0, 1)), ((0, 0), (1, 0)), ((0, 0), (0, 1), (1, 0), (1, 1)))
ODD = ((0, 1), (1, 0), (1, 1))  # first row and column of each band's samples


class Descent:
    """Goes from the coarsest level to the finest, and says what is above each.

    split: components that are no wavelet's. log: of magnitudes. pad: adds a border of one.
    """

    def __init__(
        self, channels: int, split: Sequence[int], log: Callable[[Array], Array], pad: Callable[[Array], Array]
    ):
        self._channels, self._split = channels, list(split)
        self._lifted = [component for component in range(channels) if component not in self._split]
        self._log, self._pad = log, pad
        self._samples: Array | None = None

    def above_next(self, level: Array, size: tuple[int, int]) -> Above:
        """Magnitudes of a level [..., bands, C, h, w] -> what is above the next finer one, whose bands have `size`.

        Called once for each level, the coarsest first.
        The coarsest details have the low band above them, of the same size; every other level one of half the size.
        """
        log, pad, split = self._log, self._pad, self._split
        own, wavelets = log(level), level[..., self._lifted, :, :].sum(-3).sum(-3)
        around = box(pad(wavelets))
        if self._samples is None:
            samples = level[..., 0, split, :, :]
            own = _repeat_bands(own)
        else:
            samples = _interleave(self._samples, level[..., split, :, :], size)
            own = _twice(own.reshape(*own.shape[:-4], -1, *own.shape[-2:]), size)
            wavelets, around = _twice(wavelets, size), _twice(around, size)
        self._samples = samples
        bordered = pad(samples)
        for band, places in enumerate(NEAREST):
            components = [band * self._channels + component for component in split]
            height, width = size
            near = sum(bordered[..., 1 + r : 1 + r + height, 1 + c : 1 + c + width] for r, c in places)
            own[..., components, :, :] = log(near)
        total = samples.sum(-3)
        return Above(own, log(wavelets + total), log(around + box(pad(total))))


def _interleave(low: Array, details: Array, size: tuple[int, int]) -> Array:
    """Samples [..., S, h, w] and those between them [..., BANDS, S, h, w] -> [..., S, *size]."""
    result = _twice(low, size)
    for band, (row, column) in enumerate(ODD):
        height, width = (size[0] + 1 - row) // 2, (size[1] + 1 - column) // 2
        result[..., row::2, column::2] = details[..., band, :, :height, :width]
    return result


def _repeat_bands(low: Array) -> Array:
    """[..., 1, C, h, w] -> [..., BANDS * C, h, w], by indexing, which numpy and torch share."""
    channels = low.shape[-3]
    return low[..., 0, [k % channels for k in range(BANDS * channels)], :, :]


def _twice(x: Array, size: tuple[int, int]) -> Array:
    """Nearest neighbours, twice the size or one less."""
    rows = x[..., [row // 2 for row in range(size[0])], :]
    return rows[..., [column // 2 for column in range(size[1])]]


def box(bordered: Array) -> Array:
    """[..., h + 2, w + 2] -> sums over 3x3 neighbourhoods [..., h, w]."""
    rows = bordered[..., :-2, :] + bordered[..., 1:-1, :] + bordered[..., 2:, :]
    return rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]


@dataclass(frozen=True)
class Known:
    """Magnitudes known before a step: bordered [..., K, h + 2, w + 2]; logarithms of what sums over channels."""

    bordered: Array
    component: Array  # [..., C, h, w], summed over bands
    total: Array  # [..., h, w]
    around: Array  # [..., h, w]


def known(bordered: Array, channels: int, log: Callable[[Array], Array]) -> Known:
    """From magnitudes with a border of zeros, zero where not yet known."""
    inner = bordered[..., 1:-1, 1:-1]
    by_band = inner.reshape(*inner.shape[:-3], -1, channels, *inner.shape[-2:])
    return Known(bordered, log(by_band.sum(-4)), log(inner.sum(-3)), log(box(bordered.sum(-3))))


def features(seen: Known, above: Above | None, region: Region, log: Callable[[Array], Array]) -> list[Array]:
    """FEATURES - 1 arrays of the region's shape, or of one that broadcasts to it; None: zeros."""
    shape = seen.total.shape[-2:]
    rows, columns = phase_slices(region.phase)

    def near(down: int, right: int) -> Array:
        return seen.bordered[region.neighbour(down, right, shape)]

    cross = near(-1, 0) + near(1, 0) + near(0, -1) + near(0, 1)
    diagonal = near(-1, -1) + near(-1, 1) + near(1, -1) + near(1, 1)
    channels = seen.component.shape[-3]
    count = seen.bordered.shape[-3]
    components = [k % channels for k in range(region.quarter, count, QUARTERS)]
    own = [
        log(cross),
        log(diagonal),
        seen.total[..., None, rows, columns],
        seen.around[..., None, rows, columns],
        seen.component[..., components, rows, columns],
    ]
    if above is None:
        return [*own, None, None, None]
    sums = (x[..., None, rows, columns] for x in (above.total, above.around))
    return [*own, above.own[region.index], *sums]
