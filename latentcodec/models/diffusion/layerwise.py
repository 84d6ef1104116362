"""A chain of layers over a picture too large for memory, with the result of the whole picture.

A group norm divides by what it sees. If that is a tile, every tile is brought to the same mean and contrast, and the
picture falls apart into tones. Statistics of a part of the picture, or of a smaller one, are near, but dozens of norms
in a row amplify what they are off by. Here they are those of all tiles:

    for every stage, which is a few layers long:
        for every norm in it, in order:   all tiles up to that norm, whose sums are gathered
        all tiles through the stage       its output is kept, its input forgotten

Stages are as short as memory allows. At best they are one layer long, which takes up to twice the time of the picture
at once; through one of many layers every tile has to go many times, and of many tiles a random part stands for all.

Attention is a stage of its own, and sees the whole picture up to ATTENTION_POSITIONS: 4K. Its time grows with the
square of what it sees, so in larger pictures it sees tiles that overlap, of some 2900 pixels, with 700 or more around
what is kept.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from math import isqrt
from random import Random

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentcodec.models.blocks.tiles import Tile, at, joined, tiles
from latentcodec.models.diffusion.layers import Layer
from latentcodec.models.diffusion.winograd import BAND_COPIES, BAND_VALUES

TILE_VALUES = 1 << 26  # of a tile in its widest layer
COPIES = 4  # of these that are in memory at once
ATTENTION_POSITIONS = 150_000
ATTENTION_COPIES = 7  # of what goes into attention: with normalised values, queries, keys, values and two results
ATTENTION_STRIDE = 8
ATTENTION_MARGIN = 4  # what part of a tile's side
CHUNKS = 8  # of channels, so that the float32 copy of what is summed stays small
MANY_NORMS, MANY_TILES = 4, 64  # in a stage of more norms, of more tiles, a part of the tiles is looked at


def tile_bytes(itemsize: int) -> int:
    """What the tile at work takes."""
    return (COPIES * TILE_VALUES + BAND_COPIES * BAND_VALUES) * itemsize


def attention_bytes(pixels: int, channels: int, itemsize: int) -> int:
    """What attention takes, with all that is kept meanwhile."""
    positions = pixels // ATTENTION_STRIDE**2
    if positions <= ATTENTION_POSITIONS:
        return ATTENTION_COPIES * channels * positions * itemsize
    return (2 * channels * positions + ATTENTION_COPIES * TILE_VALUES) * itemsize


def run_in_tiles(layers: Sequence[Layer], x: Tensor, kept: int) -> Tensor:
    """Whole input [1, C, h, w] of a chain -> whole output, in the type that the last layer gives it.

    `kept`: how many values input and output of a stage may have together, where a longer stage can help it.
    """
    pixels = x.shape[2] * x.shape[3] * layers[0].strides[0] ** 2
    for stage in _stages(layers, kept / pixels):
        x = _Stage(stage).run(x)
    return x


def _stages(layers: Sequence[Layer], kept: float) -> Iterator[tuple[Layer, ...]]:
    """The chain, cut wherever this many values per pixel can be kept, and around attention."""
    stage: list[Layer] = []
    for layer, following in zip(layers, [*layers[1:], None], strict=True):
        stage.append(layer)
        first = stage[0].channels[0] / stage[0].strides[0] ** 2
        fits = first + layer.channels[1] / layer.strides[1] ** 2 <= kept
        if fits or following is None or layer.attends or following.attends:
            yield tuple(stage)
            stage = []


class _Stage:
    """Some layers in a row. Tiles are cut in positions of the largest stride within."""

    def __init__(self, layers: tuple[Layer, ...]):
        self._layers = layers
        self._unit = max(stride for layer in layers for stride in layer.strides)
        self._before, self._after = self._unit // layers[0].strides[0], self._unit // layers[-1].strides[1]

    def run(self, x: Tensor) -> Tensor:
        """Whole input -> whole output."""
        height, width = (side // self._before for side in x.shape[2:])
        cut = self._tiles(height, width)
        norms = _Norms([norm for layer in self._layers for norm in layer.norms])
        part = max(1, min(len(norms.all) // MANY_NORMS, len(cut) // MANY_TILES))
        looked_at = Random(0).sample(cut, -(-len(cut) // part))
        with norms.replaced():
            for norm in norms.all:
                for tile in looked_at:
                    with norms.gathering(tile):
                        self._forward(x[at(tile.seen, self._before)])
                norms.settle(norm)
            parts = ((tile, self._forward(x[at(tile.seen, self._before)])) for tile in cut)
            return joined(parts, (self._after * height, self._after * width), self._after)

    def _forward(self, x: Tensor) -> Tensor:
        for layer in self._layers:
            x = layer.run(x)
        return x

    def _tiles(self, height: int, width: int) -> list[Tile]:
        """Of the picture; a third of a side at least is kept."""
        margin = -(-sum(layer.reach * max(layer.strides) for layer in self._layers) // self._unit)
        widest = max(
            channels * (self._unit // stride) ** 2
            for layer in self._layers
            for channels, stride in zip(layer.channels, layer.strides, strict=True)
        )
        attends = any(layer.attends for layer in self._layers)
        if height * width * widest <= TILE_VALUES or (attends and height * width <= ATTENTION_POSITIONS):
            return list(tiles(height, width, max(height, width)))
        side = max(isqrt(TILE_VALUES // widest), 3 * margin)
        return list(tiles(height, width, side, max(margin, side // ATTENTION_MARGIN) if attends else margin))


class _Norms:
    """Group norms that use the statistics of the whole picture, once they are known."""

    def __init__(self, norms: Sequence[nn.GroupNorm]):
        self.all = norms
        self._known: dict[nn.GroupNorm, tuple[Tensor, Tensor]] = {}
        self._sums: list[Tensor] = []
        self._tile: Tile | None = None

    @contextmanager
    def replaced(self) -> Iterator[None]:
        """Within, the norms work as said above."""
        try:
            for norm in self.all:
                norm.forward = partial(self._normalise, norm)  # type: ignore[method-assign]
            yield
        finally:
            for norm in self.all:
                norm.__dict__.pop("forward", None)

    @contextmanager
    def gathering(self, tile: Tile) -> Iterator[None]:
        """Within, the network runs as far as the first norm of which nothing is known, which adds to its sums."""
        self._tile = tile
        with suppress(_ReachedError):
            yield

    def settle(self, norm: nn.GroupNorm) -> None:
        """The sums gathered are those of this norm."""
        count, first, second = torch.stack(self._sums).sum(0).reshape(3, norm.num_groups, -1).sum(2)
        mean = first / count
        group = (mean, second / count - mean.square())
        mean, variance = (part.repeat_interleave(norm.num_channels // norm.num_groups).float() for part in group)
        self._known[norm] = mean, variance
        self._sums = []

    def _normalise(self, norm: nn.GroupNorm, x: Tensor) -> Tensor:
        if norm not in self._known:
            assert self._tile is not None
            self._sums.append(_sums(_inside(x, self._tile)))
            raise _ReachedError
        # normalising with known statistics is what batch norm does after training
        return F.batch_norm(x, *self._known[norm], norm.weight.float(), norm.bias.float(), eps=norm.eps)


class _ReachedError(Exception):
    """What follows in the network is of no interest yet."""


def _inside(x: Tensor, tile: Tile) -> Tensor:
    """[1, C, k h, k w] or [1, C, k h k w] of a tile [h, w], for any k -> the part of it that is kept."""
    height, width = (part.stop - part.start for part in tile.seen)
    times = isqrt(x[0, 0].numel() // (height * width))
    return x.reshape(1, x.shape[1], times * height, times * width)[at(tile.inside, times)]


def _sums(x: Tensor) -> Tensor:
    """[1, C, h, w] -> number of values, their sum and that of their squares by channel, float64 [3, C]."""
    count = x[0, 0].numel()
    moments = [torch.var_mean(part.float(), dim=(0, 2, 3), correction=0) for part in x.chunk(CHUNKS, dim=1)]
    variance, mean = (torch.cat(parts).double() for parts in zip(*moments, strict=True))
    return count * torch.stack([torch.ones_like(mean), mean, variance + mean.square()])
