"""A contact sheet: every picture beside lcodec's and AVIF's version of it at the same number of bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latentcodec.api import decode, encode_picture
from latentcodec.bench.codecs import codec_named
from latentcodec.errors import BudgetError
from latentcodec.image import Pixels, label_strip, read_picture, resize, write_sheet
from latentcodec.rate import ByteBudget, Target

SCALES = ("avif", "avif/2", "avif/4", "avif/8")


@dataclass(frozen=True)
class Opponent:
    """What AVIF makes of a picture within a number of bytes, at the largest size at which it fits at all."""

    pixels: Pixels
    size_bytes: int
    name: str


def avif_within(pixels: Pixels, budget: int) -> Opponent:
    """The best that AVIF does within the budget: the highest quality at the largest size that fits at all."""
    for name in SCALES:
        codec = codec_named(name)
        try:
            data = codec.encode(pixels, ByteBudget(budget)).data
        except BudgetError:
            continue
        return Opponent(codec.decode(data, (pixels.shape[1], pixels.shape[0])), len(data), name)
    return Opponent(np.zeros_like(pixels), 0, "AVIF cannot")


def draw(paths: Sequence[Path], target: Target, method: str, device: str, output: Path) -> None:
    """Write the sheet: one row per picture, original, lcodec, AVIF, each half its size, with bytes."""
    rows = []
    for path in paths:
        picture = read_picture(path)
        data = encode_picture(picture, target, method=method, device=device).data
        opponent = avif_within(picture.pixels, len(data))
        cells = (
            (picture.pixels, f"{path.stem}: original"),
            (decode(data, device=device).pixels, f"lcodec, {len(data)} bytes"),
            (opponent.pixels, f"{opponent.name.upper()}, {opponent.size_bytes} bytes"),
        )
        rows.append(np.concatenate([_cell(pixels, text) for pixels, text in cells], axis=1))
    widest = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 0), (0, widest - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    write_sheet(np.concatenate(padded), output)


def _cell(pixels: Pixels, text: str) -> Pixels:
    height, width = pixels.shape[:2]
    half = resize(pixels, (max(1, width // 2), max(1, height // 2)))
    return np.pad(
        np.concatenate([half, label_strip(text, half.shape[1])]), ((2, 2), (2, 2), (0, 0)), constant_values=255
    )
