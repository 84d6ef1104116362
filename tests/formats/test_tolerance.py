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
    monkeypatch.setattr(precision, "fast_dtype", lambda device: torch.float32)
    exact = kind(weights, torch.device("cpu"))
    for quality in (5, 50, 95):
        encoded = exact.encode(PHOTO, Quality(quality))
        pictures = [pipeline.decode(encoded, (600, 400)).astype(float) for pipeline in (fast, exact)]
        difference = pictures[0] - pictures[1]
        assert np.abs(difference).max() <= int(published[1])
        assert np.sqrt(np.mean(difference**2)) <= float(published[2])
