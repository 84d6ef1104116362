"""Pixels of the shipped models in the working precision against float32: within the tolerance that is published."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from documents import text

from latentcodec.image import read_rgb
from latentcodec.pipelines import precision
from latentcodec.pipelines.sodec import SodecPipeline
from latentcodec.pipelines.stablecodec import StableCodecPipeline
from latentcodec.rate import Quality
from latentcodec.weights import store

PHOTO = read_rgb(Path(__file__).parents[1] / "data" / "coffee.png")


@pytest.mark.slow
@pytest.mark.parametrize(("method", "kind"), [("stablecodec", StableCodecPipeline), ("sodec", SodecPipeline)])
def test_pixels_are_within_the_published_tolerance(
    method: str, kind: type[StableCodecPipeline] | type[SodecPipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    published = re.search(
        rf"{method}-mini: at most (\d+) of 255 anywhere, ([\d.]+) root mean square", text(f"{method}.md")
    )
    assert published is not None
    weights = store.load(f"{method}-mini")
    fast = kind(weights, torch.device("cpu"))
    with monkeypatch.context() as patch:
        patch.setattr(precision, "fast_dtype", lambda device: torch.float32)
        exact = kind(weights, torch.device("cpu"))
        encoded = [exact.encode(PHOTO, Quality(quality)) for quality in (5, 50, 95)]
        expected = [exact.decode(file, (600, 400)).astype(float) for file in encoded]
    for file, picture in zip(encoded, expected, strict=True):
        difference = fast.decode(file, (600, 400)) - picture
        assert np.abs(difference).max() <= int(published[1])
        assert np.sqrt(np.mean(difference**2)) <= float(published[2])
        assert difference.any() == (precision.fast_dtype(torch.device("cpu")) != torch.float32)
