"""A contact sheet: every picture beside lcodec's and AVIF's version of it at the same number of bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latentcodec.api import decode, encode_picture
from latentcodec.image import Pixels, encode_avif, label_strip, read_picture, resize, write_sheet
from latentcodec.rate import Target

LOWEST_SCALE = 8


@dataclass(frozen=True)
class Opponent:
    """What AVIF makes of a picture within a number of bytes; `scale` is how much smaller it had to be coded."""

    pixels: Pixels
    size_bytes: int
    scale: int


def avif_within(pixels: Pixels, budget: int) -> Opponent:
    """The best that AVIF does within the budget: the highest quality at the largest size that fits at all."""
    height, width = pixels.shape[:2]
    for scale in range(1, LOWEST_SCALE + 1):
        small = resize(pixels, (max(1, width // scale), max(1, height // scale)))
        low, high, best = 0, 100, None
        while low <= high:
            quality = (low + high) // 2
            size, decoded = encode_avif(small, quality)
            if size <= budget:
                best, low = (size, decoded), quality + 1
            else:
                high = quality - 1
        if best is not None:
            return Opponent(resize(best[1], (width, height)), best[0], scale)
    return Opponent(np.zeros_like(pixels), 0, LOWEST_SCALE)


def draw(paths: Sequence[Path], target: Target, method: str, device: str, output: Path) -> None:
    """Write the sheet: one row per picture, original, lcodec, AVIF, each half its size, with bytes."""
    rows = []
    for path in paths:
        picture = read_picture(path)
        data = encode_picture(picture, target, method=method, device=device).data
        opponent = avif_within(picture.pixels, len(data))
        shrunk = f", coded at 1/{opponent.scale} size" if opponent.scale > 1 else ""
        cells = (
            (picture.pixels, f"{path.stem}: original"),
            (decode(data, device=device).pixels, f"lcodec, {len(data)} bytes"),
            (opponent.pixels, f"AVIF, {opponent.size_bytes} bytes{shrunk}"),
        )
        rows.append(np.concatenate([_cell(pixels, text) for pixels, text in cells], axis=1))
    widest = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 0), (0, widest - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    write_sheet(np.concatenate(padded), output)


def _cell(pixels: Pixels, text: str) -> Pixels:
    height, width = pixels.shape[:2]
    half = resize(pixels, (width // 2, height // 2))
    return np.pad(
        np.concatenate([half, label_strip(text, half.shape[1])]), ((2, 2), (2, 2), (0, 0)), constant_values=255
    )
