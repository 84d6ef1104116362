"""A grid of latents in overlapping tiles, so that decoding a large picture takes little more memory than a small one.

A tile is decoded with a margin of latents around it that is thrown away afterwards. The networks at mini scale see a
little further than the usual margin, but what lies there hardly matters: docs/results.md has the difference.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import EllipsisType

import torch
from torch import Tensor

LARGEST_SIDE = 32  # of what is decoded at once, margins included; positions of z, which are 64 pixels wide
MARGIN = 4


@dataclass(frozen=True)
class Tile:
    """Rows and columns of the grid: `seen` are decoded, `kept` are used; `inside` is the latter within the former."""

    seen: tuple[slice, slice]
    kept: tuple[slice, slice]

    @property
    def inside(self) -> tuple[slice, slice]:
        """`kept`, counted from the start of `seen`."""
        rows, columns = (
            slice(kept.start - seen.start, kept.stop - seen.start)
            for kept, seen in zip(self.kept, self.seen, strict=True)
        )
        return rows, columns


def tiles(height: int, width: int, largest: int | None = None, margin: int | None = None) -> Iterator[Tile]:
    """Tiles whose `kept` parts cover a grid of latents once; a small grid is one tile without margins."""
    largest, margin = largest or LARGEST_SIDE, MARGIN if margin is None else margin
    for seen_rows, kept_rows in _cut(height, largest, margin):
        for seen_columns, kept_columns in _cut(width, largest, margin):
            yield Tile((seen_rows, seen_columns), (kept_rows, kept_columns))


def at(part: tuple[slice, slice], times: int) -> tuple[EllipsisType, slice, slice]:
    """Rows and columns of a grid -> an index into [..., h, w] of that many times the positions."""
    rows, columns = (slice(times * side.start, times * side.stop) for side in part)
    return ..., rows, columns


def joined(parts: Iterable[tuple[Tile, Tensor]], size: tuple[int, int], times: int) -> Tensor:
    """Tiles [1, C, h, w] of that many times the positions of the grid -> what is kept of them, of `size` (h, w)."""
    result = None
    for tile, part in parts:
        if result is None:
            shape = 1, part.shape[1], *size
            result = torch.empty(shape, dtype=part.dtype, device=part.device, memory_format=torch.channels_last)
        result[at(tile.kept, times)] = part[at(tile.inside, times)]
        del part  # while the next one is made
    assert result is not None
    return result


def _cut(length: int, largest: int, margin: int) -> Iterator[tuple[slice, slice]]:
    """(seen, kept) along one side."""
    if length <= largest:
        yield slice(0, length), slice(0, length)
        return
    step = largest - 2 * margin
    for start in range(0, length, step):
        end = min(start + step, length)
        yield slice(max(start - margin, 0), min(end + margin, length)), slice(start, end)
