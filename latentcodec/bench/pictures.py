"""Decoded pictures of a table -> what a page needs to compare them: files' rows beside pictures as data URIs."""

import base64
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from latentcodec.bench.results import Row
from latentcodec.errors import InputError
from latentcodec.image import read_picture, write_picture

ORIGINAL = "original.png"
# Lossless pictures are large; a page with more of them than this is somebody's explicit wish.
DEFAULT_IMAGES = 4


@dataclass(frozen=True)
class Decoded:
    """What one file became."""

    row: Row
    size_bytes: int
    bpp: float
    uri: str


@dataclass(frozen=True)
class Comparison:
    """One image with everything that was decoded from its files, all of one size (width, height)."""

    image: str
    size: tuple[int, int]
    original: str
    files: tuple[Decoded, ...]


def choose(rows: Sequence[Row], names: Collection[str] | None) -> list[str]:
    """Images of the table by name, with or without suffix; the first few that have pictures where none are named.

    Raises InputError for a name that is not in the table.
    """
    images = list(dict.fromkeys(row.image for row in rows))
    if names is None:
        return list(dict.fromkeys(row.image for row in rows if row.decoded))[:DEFAULT_IMAGES]
    unknown = [name for name in names if not any(name in (image, Path(image).stem) for image in images)]
    if unknown:
        raise InputError(f"no image called {unknown[0]!r} in the table; there is {', '.join(images)}")
    return [image for image in images if image in names or Path(image).stem in names]


def compare(rows: Sequence[Row], images: Collection[str], gaps: list[str]) -> Iterator[Comparison]:
    """Read the decoded pictures of `images` and their originals. What cannot be shown is told in `gaps`."""
    for image in images:
        named = [row for row in rows if row.image == image and row.decoded]
        if not named:
            gaps.append(f"{image} has no decoded pictures in the table")
            continue
        try:
            original, size = _embed(Path(named[0].decoded).with_name(ORIGINAL))
        except InputError as error:
            gaps.append(f"{image} cannot be shown: {error}")
            continue
        yield Comparison(image, size, original, tuple(_decoded(named, size, gaps)))


def _decoded(rows: Sequence[Row], size: tuple[int, int], gaps: list[str]) -> Iterator[Decoded]:
    for row in rows:
        try:
            uri, own_size = _embed(Path(row.decoded))
        except InputError as error:
            gaps.append(str(error))
            continue
        if own_size != size:
            gaps.append(f"{row.decoded} is {own_size[0]}x{own_size[1]}, its original {size[0]}x{size[1]}")
        elif row.size_bytes is None or row.bpp is None:
            gaps.append(f"{row.decoded} belongs to a file without a size in the table")
        else:
            yield Decoded(row, row.size_bytes, row.bpp, uri)


def _embed(path: Path) -> tuple[str, tuple[int, int]]:
    """A picture as a data URI of lossless WebP, and its size. Raises InputError with its name."""
    try:
        picture = read_picture(path)
        data = write_picture(picture, ".webp")
    except (InputError, OSError) as error:
        raise InputError(f"{path}: {error}") from error
    return f"data:image/webp;base64,{base64.b64encode(data).decode()}", picture.size
