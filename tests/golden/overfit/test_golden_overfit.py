"""Golden files of method overfit: exact symbols and parameters by digest, pixels within the tolerance of floats."""

import json
from pathlib import Path

import numpy as np
import pytest

from latentcodec.container import file as container
from latentcodec.image import read_rgb
from latentcodec.pipelines.base import Encoded
from tests.golden.overfit.create import CASES, load, symbols_digest

FOLDER = Path(__file__).parent
DIGESTS = json.loads((FOLDER / "golden.json").read_text())
PEAK, RMS = 12, 1.8  # as for the other method: the autoencoder may compute in bfloat16 or in float32


def test_every_golden_file_is_tested() -> None:
    assert {path.stem for path in FOLDER.glob("*.lcx")} == set(DIGESTS) == set(CASES)


@pytest.mark.parametrize("name", DIGESTS)
def test_golden_file(name: str) -> None:
    file = container.read((FOLDER / f"{name}.lcx").read_bytes())
    pipeline = load(name)
    assert symbols_digest(pipeline, file) == DIGESTS[name]
    decoded = pipeline.decode(Encoded(file.rate, file.symbols, file.payload, 0.0), (file.width, file.height))
    difference = decoded.astype(float) - read_rgb(FOLDER / f"{name}.png")
    assert np.abs(difference).max() <= PEAK
    assert np.sqrt(np.mean(difference**2)) <= RMS
