"""One picture that a codec with frozen networks is to code better: decoded by tiles, with gradients."""

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from latentcodec.models.blocks.integers import CodedLatents
from latentcodec.models.blocks.tiles import Tile, at, tiles
from latentcodec.pipelines.objective import Objective
from latentcodec.pipelines.refinement import Comparison, Source

LARGEST_SIDE, MARGIN = 16, 2  # of what goes through the networks and back at once, in positions of z
Z_STRIDE = 64


class FrozenCodec(Protocol):
    """What of a pipeline is needed here. Latents are float32 [1, C, h, w]."""

    y_per_z: int

    def gain(self, rate: int) -> Tensor:
        """See `Refinable`."""

    def with_hyper_latents(self, y: Tensor, rate: int) -> Source:
        """See `Refinable`."""

    def decode_tile(self, z: Tensor, y: Tensor, rate: int, tile: Tile) -> Tensor:
        """Latents of the whole picture -> pixels of what a tile sees, in 0..1, not clamped."""


class JudgedPicture:
    """A `Refinable`: a codec, and the picture [1, 3, H, W] in 0..1 that it is to code, padded from `size` (h, w).

    `measure`: how it rounds and counts bits, as `Refinable` has it.
    """

    def __init__(
        self,
        codec: FrozenCodec,
        original: Tensor,
        size: tuple[int, int],
        objective: Callable[[Tensor], Objective],
        measure: Callable[[Source, int], tuple[CodedLatents, float]],
    ):
        self._codec, self._original, self._size, self._objective = codec, original, size, objective
        self.gain, self.with_hyper_latents, self.measure = codec.gain, codec.with_hyper_latents, measure
        height, width = (side // Z_STRIDE for side in original.shape[2:])
        self._at_hand: dict[int, Objective] = {}
        self._tiles = list(tiles(height, width, LARGEST_SIDE, MARGIN))

    def compare(self, coded: CodedLatents, rate: int, number: int, with_gradient: bool) -> Comparison:
        """Decode; every tile's error counts as much as what is kept of it is large."""
        device = self._original.device
        z = torch.from_numpy(coded.z.astype(np.float32))[None].to(device)
        y = torch.from_numpy(coded.values())[None].to(device).requires_grad_(with_gradient)
        picture = torch.empty_like(self._original)
        gradient = torch.zeros_like(y) if with_gradient else None
        total = 0.0
        for index, tile in enumerate(self._tiles):
            with torch.set_grad_enabled(with_gradient):
                pixels = self._codec.decode_tile(z, y, rate, tile).float()
                error = self._share(tile) * self._error(pixels, index, number)
            if gradient is not None:
                kept = at(tile.kept, self._codec.y_per_z)
                gradient[kept] = torch.autograd.grad(error, y)[0][kept]
            total += error.item()
            picture[at(tile.kept, Z_STRIDE)] = pixels.detach()[at(tile.inside, Z_STRIDE)]
        return Comparison(picture, total, gradient)

    def error(self, picture: Tensor, number: int) -> float:
        """Of a decoded picture, as another round sees it."""
        shares = (
            self._share(tile) * self._error(picture[at(tile.seen, Z_STRIDE)], index, number)
            for index, tile in enumerate(self._tiles)
        )
        return math.fsum(share.item() for share in shares)

    def _error(self, pixels: Tensor, index: int, number: int) -> Tensor:
        """Of what a tile sees, without padding."""
        return self._of_tile(index)(self._without_padding(pixels, self._tiles[index]), number)

    def _of_tile(self, index: int) -> Objective:
        """Kept until another tile's turn, with what it has found out about the original."""
        if index not in self._at_hand:
            tile = self._tiles[index]
            seen = self._without_padding(self._original[at(tile.seen, Z_STRIDE)], tile)
            self._at_hand = {index: self._objective(seen)}
        return self._at_hand[index]

    def _without_padding(self, pixels: Tensor, tile: Tile) -> Tensor:
        rows, columns = (side - Z_STRIDE * part.start for side, part in zip(self._size, tile.seen, strict=True))
        return pixels[:, :, :rows, :columns]

    def _share(self, tile: Tile) -> float:
        """Of the picture, that a tile is kept for."""
        rows, columns = (
            min(Z_STRIDE * part.stop, side) - Z_STRIDE * part.start
            for side, part in zip(self._size, tile.kept, strict=True)
        )
        share: float = rows * columns / (self._size[0] * self._size[1])
        return share
