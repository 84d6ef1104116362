"""Golden files decode for ever: exact symbols by digest, pixels within the tolerance of floating point."""

import json
from pathlib import Path

import numpy as np
import pytest

from latentcodec.container import file as container
from latentcodec.container.chunks import Tag
from latentcodec.image import decode_plane, read_rgb
from latentcodec.pipelines.base import Encoded
from tests import tiny
from tests.golden.create import ALPHA
from tests.golden.symbols import symbols_digest

FOLDER = Path(__file__).parent
DIGESTS = json.loads((FOLDER / "golden.json").read_text())

# Pixels come from float networks: bfloat16 where the processor multiplies it, else float32. Measured between the two
# on these files: peak 6, root mean square 0.9.
PEAK, RMS = 12, 1.8


def test_every_golden_file_is_tested() -> None:
    assert {path.stem for path in FOLDER.glob("*.lcx")} == set(DIGESTS)


@pytest.mark.parametrize("name", DIGESTS)
def test_symbols_are_exact(name: str) -> None:
    file = container.read((FOLDER / f"{name}.lcx").read_bytes())
    assert symbols_digest(tiny.weights_of(file.weights), file) == DIGESTS[name]


@pytest.mark.parametrize("name", DIGESTS)
def test_pixels_are_within_the_tolerance(name: str) -> None:
    file = container.read((FOLDER / f"{name}.lcx").read_bytes())
    pipeline = tiny.load(tiny.weights_of(file.weights))
    encoded = Encoded(file.rate, file.symbols, file.payload, 0.0)
    decoded = pipeline.decode(encoded, (file.width, file.height)).astype(float)
    difference = decoded - read_rgb(FOLDER / f"{name}.png")
    assert np.abs(difference).max() <= PEAK
    assert np.sqrt(np.mean(difference**2)) <= RMS


def test_chunks_are_read() -> None:
    file = container.read((FOLDER / "chunks.lcx").read_bytes())
    assert file.chunk(Tag.XMP) == b"<x/>"
    assert file.chunk(Tag.GRAY) == b""
    alpha = file.chunk(Tag.ALPHA)
    assert alpha is not None
    assert np.array_equal(decode_plane(alpha, (33, 65)), ALPHA)
