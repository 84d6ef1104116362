"""Wrote the golden files, once. They are never written again: what decodes today decodes for ever.

    python -m tests.golden.create NAME      add a golden file under a new name

Every case has NAME.lcx, NAME.png (the decoded picture) and a line in golden.json (digest of the exact symbols).
They use the tiny models beside them, whose random weights make no picture but fix every step of decoding.
"""

import json
import sys
from pathlib import Path

import numpy as np

from latentcodec.container import file as container
from latentcodec.container.chunks import Chunk, Tag
from latentcodec.container.file import LcodecFile
from latentcodec.image import Picture, encode_plane, read_rgb, write_picture
from latentcodec.rate import Quality
from tests import tiny
from tests.golden.symbols import symbols_digest

FOLDER = Path(__file__).parent
PHOTO = FOLDER.parent / "data" / "coffee.png"
ALPHA = np.arange(65 * 33).reshape(65, 33).astype(np.uint8)
CHUNKS = (Chunk(Tag.XMP, b"<x/>"), Chunk(Tag.GRAY, b""), Chunk(Tag.ALPHA, encode_plane(ALPHA)))
CASES: dict[str, tuple[tuple[int, int], int, tuple[Chunk, ...], Path]] = {
    "dissected": ((64, 64), 40, (), tiny.GOLDEN_WEIGHTS),
    "one-pixel": ((1, 1), 128, (), tiny.GOLDEN_WEIGHTS),
    "odd-size": ((131, 70), 200, (), tiny.GOLDEN_WEIGHTS),
    "lowest-rate": ((192, 128), 0, (), tiny.GOLDEN_WEIGHTS),
    "highest-rate": ((96, 128), 255, (), tiny.GOLDEN_WEIGHTS),
    "chunks": ((33, 65), 90, CHUNKS, tiny.GOLDEN_WEIGHTS),
    "quads": ((150, 100), 30, (), tiny.QUADS_WEIGHTS),
    "reach": ((150, 100), 140, (), tiny.REACH_WEIGHTS),
}


def create(name: str) -> None:
    """Encode one case and record what it decodes to."""
    (width, height), rate, chunks, weights = CASES[name]
    path = FOLDER / f"{name}.lcx"
    if path.exists():
        sys.exit(f"{path} exists, and golden files do not change")
    pipeline = tiny.load(weights)
    pixels = read_rgb(PHOTO)[100 : 100 + height, 200 : 200 + width]
    encoded = pipeline.encode(pixels, Quality(rate * 100 / 255))
    assert encoded.rate == rate
    file = LcodecFile(2, width, height, rate, pipeline.fingerprint, encoded.symbols, encoded.payload, chunks)
    path.write_bytes(container.write(file))
    (FOLDER / f"{name}.png").write_bytes(write_picture(Picture(pipeline.decode(encoded, (width, height))), ".png"))
    index = FOLDER / "golden.json"
    known = json.loads(index.read_text()) if index.exists() else {}
    known[name] = symbols_digest(weights, file)
    index.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    create(sys.argv[1])
