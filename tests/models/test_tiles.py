"""Tiles cover a grid once and agree with decoding it whole."""

from typing import Any

import numpy as np
import pytest

from latentcodec.models.blocks import tiles as tiling
from latentcodec.models.blocks.tiles import LARGEST_SIDE, MARGIN, tiles
from latentcodec.rate import Quality
from tests import tiny, tiny_sodec


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (65, 3), (200, 130), (48, 512)])
def test_tiles_cover_a_grid_once_with_margins(size: tuple[int, int]) -> None:
    covered = np.zeros(size, int)
    numbers = np.arange(size[0] * size[1]).reshape(size)
    for tile in tiles(*size):
        covered[tile.kept] += 1
        seen = numbers[tile.seen]
        assert max(seen.shape) <= LARGEST_SIDE
        assert np.array_equal(seen[tile.inside], numbers[tile.kept])
        for kept, whole, length in zip(tile.kept, tile.seen, size, strict=True):
            assert whole.start == 0 or kept.start - whole.start == MARGIN or length <= LARGEST_SIDE
            assert whole.stop == length or whole.stop - kept.stop == MARGIN
    assert (covered == 1).all()


@pytest.mark.parametrize("load", [tiny.load, tiny_sodec.load])
def test_a_picture_in_tiles_is_the_same_picture(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = load()
    pixels = np.random.default_rng(0).integers(0, 256, (700, 1100, 3)).astype(np.uint8)
    encoded = pipeline.encode(pixels, Quality(60))
    whole = pipeline.decode(encoded, (1100, 700))
    monkeypatch.setattr(tiling, "LARGEST_SIDE", 11)
    assert len(list(tiles(11, 18))) > 1
    difference = pipeline.decode(encoded, (1100, 700)).astype(int) - whole
    assert np.abs(difference).max() <= 3  # a handful of pixels of noise, by how bfloat16 rounds
    assert np.abs(difference).mean() < 0.1
