"""A contact sheet: every picture beside what codecs make of it with the same number of bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latentcodec.bench.codecs import codec_named
from latentcodec.errors import BudgetError
from latentcodec.image import Pixels, label_strip, read_picture, resize, write_sheet
from latentcodec.rate import ByteBudget, Quality, Target, budget_bytes

AVIF = "avif"
SCALES = (AVIF, "avif/2", "avif/4", "avif/8")


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


def draw(paths: Sequence[Path], target: Target, names: Sequence[str], device: str, output: Path) -> None:
    """Write the sheet: one row per picture, the original and every codec, each half its size, with bytes.

    "avif" is the best that AVIF does at any size within the bytes of the codec before it; a codec alone gets it for
    company.
    """
    codecs = [codec_named(name, device) for name in (names if len(names) > 1 or AVIF in names else (*names, AVIF))]
    rows = []
    for path in paths:
        pixels = read_picture(path).pixels
        height, width = pixels.shape[:2]
        cells = [_cell(pixels, f"{path.stem}: original")]
        spent = 0 if isinstance(target, Quality) else budget_bytes(target, width * height)
        for codec in codecs:
            if codec.name == AVIF:
                opponent = avif_within(pixels, spent)
                cells.append(_cell(opponent.pixels, f"{opponent.name.upper()}, {opponent.size_bytes} bytes"))
                continue
            data = codec.encode(pixels, target).data
            spent = len(data)
            cells.append(_cell(codec.decode(data, (width, height)), f"{_short(codec.name)}, {spent} bytes"))
        rows.append(np.concatenate(cells, axis=1))
    widest = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 0), (0, widest - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    write_sheet(np.concatenate(padded), output)


def _short(name: str) -> str:
    """Without the folder and the suffix of a file of weights."""
    codec, _, weights = name.partition("@")
    return f"{codec} {Path(weights).stem}" if weights else codec


def _cell(pixels: Pixels, text: str) -> Pixels:
    height, width = pixels.shape[:2]
    half = resize(pixels, (max(1, width // 2), max(1, height // 2)))
    return np.pad(
        np.concatenate([half, label_strip(text, half.shape[1])]), ((2, 2), (2, 2), (0, 0)), constant_values=255
    )
