"""Wrote the golden files, once. They are never written again: what decodes today decodes for ever.

    python -m tests.golden.create NAME      add a golden file under a new name

Every case has NAME.lcx, NAME.png (the decoded picture) and a line in golden.json (digest of the exact symbols).
They use the tiny model beside them, whose random weights make no picture but fix every step of decoding.
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
CASES = {
    "dissected": ((64, 64), 40, ()),
    "one-pixel": ((1, 1), 128, ()),
    "odd-size": ((131, 70), 200, ()),
    "lowest-rate": ((192, 128), 0, ()),
    "highest-rate": ((96, 128), 255, ()),
    "chunks": ((33, 65), 90, (Chunk(Tag.XMP, b"<x/>"), Chunk(Tag.GRAY, b""), Chunk(Tag.ALPHA, encode_plane(ALPHA)))),
}


def create(name: str) -> None:
    """Encode one case and record what it decodes to."""
    (width, height), rate, chunks = CASES[name]
    path = FOLDER / f"{name}.lcx"
    if path.exists():
        sys.exit(f"{path} exists, and golden files do not change")
    pipeline = tiny.load()
    pixels = read_rgb(PHOTO)[100 : 100 + height, 200 : 200 + width]
    encoded = pipeline.encode(pixels, Quality(rate * 100 / 255))
    assert encoded.rate == rate
    file = LcodecFile(2, width, height, rate, pipeline.fingerprint, encoded.symbols, encoded.payload, chunks)
    path.write_bytes(container.write(file))
    (FOLDER / f"{name}.png").write_bytes(write_picture(Picture(pipeline.decode(encoded, (width, height))), ".png"))
    index = FOLDER / "golden.json"
    known = json.loads(index.read_text()) if index.exists() else {}
    known[name] = symbols_digest(tiny.GOLDEN_WEIGHTS, file)
    index.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    create(sys.argv[1])
