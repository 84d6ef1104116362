"""A contact sheet: every picture beside what codecs make of it with the same number of bytes."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latentcodec.bench.codecs import Codec, codec_named
from latentcodec.errors import BudgetError, InputError
from latentcodec.image import Pixels, label_strip, read_picture, resize, write_sheet
from latentcodec.rate import ByteBudget, Quality, Target, budget_bytes

AVIF = "avif"
SIDES = ("x", "y", "width", "height")
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


@dataclass(frozen=True)
class Crop:
    """A named part of a picture, in pixels."""

    name: str
    image: str
    x: int
    y: int
    width: int
    height: int

    def of(self, pixels: Pixels) -> Pixels:
        """Raises InputError where the picture has no such part."""
        part = pixels[self.y : self.y + self.height, self.x : self.x + self.width]
        if part.shape[:2] != (self.height, self.width):
            raise InputError(f"crop {self.name!r} lies outside of {self.image}")
        return part


def read_crops(path: Path) -> list[Crop]:
    """TSV with the columns of `Crop` -> crops. Raises InputError."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    try:
        crops = [Crop(row["name"], row["image"], *(int(row[side]) for side in SIDES)) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: a crop has the columns name, image, {', '.join(SIDES)}") from error
    if not crops or any(min(crop.x, crop.y) < 0 or min(crop.width, crop.height) < 1 for crop in crops):
        raise InputError(f"{path}: no crops, or one without pixels")
    return crops


def draw(
    paths: Sequence[Path],
    target: Target,
    names: Sequence[str],
    device: str,
    output: Path,
    crops: Sequence[Crop] | None = None,
) -> None:
    """Write the sheet: one row per picture, the original and every codec, each half its size, with bytes.

    "avif" is the best that AVIF does at any size within the bytes of the codec before it; a codec alone gets it for
    company. With `crops`, one row per crop at full size, of pictures that are coded whole.
    """
    codecs = [codec_named(name, device) for name in (names if len(names) > 1 or AVIF in names else (*names, AVIF))]
    rows = []
    for path in paths:
        wanted = [crop for crop in crops or () if crop.image == path.name]
        if crops is not None and not wanted:
            continue
        cells = list(_versions(path, target, codecs))
        rows += [_row([(f"{crop.name}: {text}", crop.of(pixels)) for text, pixels in cells]) for crop in wanted]
        if crops is None:
            rows.append(_row([(text, _halved(pixels)) for text, pixels in cells]))
    if not rows:
        raise InputError("none of the crops is of one of these pictures")
    widest = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 0), (0, widest - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    write_sheet(np.concatenate(padded), output)


def _versions(path: Path, target: Target, codecs: Sequence[Codec]) -> Iterator[tuple[str, Pixels]]:
    """The original, and what every codec makes of it, with what to write below."""
    pixels = read_picture(path).pixels
    height, width = pixels.shape[:2]
    yield f"{path.stem}, original", pixels
    spent = 0 if isinstance(target, Quality) else budget_bytes(target, width * height)
    for codec in codecs:
        if codec.name == AVIF:
            opponent = avif_within(pixels, spent)
            yield f"{opponent.name.upper()}, {opponent.size_bytes} bytes", opponent.pixels
            continue
        data = codec.encode(pixels, target).data
        spent = len(data)
        yield f"{_short(codec.name)}, {spent} bytes", codec.decode(data, (width, height))


def _short(name: str) -> str:
    """Without the folder and the suffix of a file of weights."""
    codec, _, weights = name.partition("@")
    return f"{codec} {Path(weights).stem}" if weights else codec


def _row(cells: Sequence[tuple[str, Pixels]]) -> Pixels:
    return np.concatenate([_cell(pixels, text) for text, pixels in cells], axis=1)


def _halved(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    return resize(pixels, (max(1, width // 2), max(1, height // 2)))


def _cell(pixels: Pixels, text: str) -> Pixels:
    labelled = np.concatenate([pixels, label_strip(text, pixels.shape[1])])
    return np.pad(labelled, ((2, 2), (2, 2), (0, 0)), constant_values=255)
