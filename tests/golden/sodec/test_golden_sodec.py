"""Golden files of method sodec: exact symbols by digest, both pictures within the tolerance of floats."""

import json
from pathlib import Path

import numpy as np
import pytest

from latentcodec.container import file as container
from latentcodec.image import read_rgb
from latentcodec.pipelines.base import Encoded
from tests import tiny_sodec
from tests.golden.sodec.create import CASES, symbols_digest

FOLDER = Path(__file__).parent
DIGESTS = json.loads((FOLDER / "golden.json").read_text())
PEAK, RMS = 12, 1.8  # as for the other methods: networks may compute in bfloat16 or in float32


def test_every_golden_file_is_tested() -> None:
    assert {path.stem for path in FOLDER.glob("*.lcx")} == set(DIGESTS) == set(CASES)


@pytest.mark.parametrize("name", DIGESTS)
def test_golden_file(name: str) -> None:
    file = container.read((FOLDER / f"{name}.lcx").read_bytes())
    weights = CASES[name][2]
    pipeline = tiny_sodec.load(weights)
    assert file.weights == pipeline.fingerprint
    assert symbols_digest(file, weights) == DIGESTS[name]
    encoded = Encoded(file.rate, file.symbols, file.payload, 0.0)
    for suffix, fidelity in (("", 0.0), (".preview", 1.0)):
        decoded = pipeline.decode(encoded, (file.width, file.height), fidelity)
        difference = decoded.astype(float) - read_rgb(FOLDER / f"{name}{suffix}.png")
        assert np.abs(difference).max() <= PEAK
        assert np.sqrt(np.mean(difference**2)) <= RMS
