"""Pixels of the shipped models in the working precision against float32: within the tolerance that is published."""

import re
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from documents import text

from latentcodec.image import read_rgb
from latentcodec.pipelines import overfit, precision
from latentcodec.pipelines.base import Settings
from latentcodec.pipelines.registry import method_named, pipeline
from latentcodec.pipelines.sodec import SodecPipeline
from latentcodec.pipelines.stablecodec import StableCodecPipeline
from latentcodec.rate import Quality
from latentcodec.weights import store

PHOTO = read_rgb(Path(__file__).parents[1] / "data" / "coffee.png")


@pytest.mark.slow
@pytest.mark.parametrize("vae", ["mini", "taef2"])
def test_pixels_of_method_overfit_are_within_the_published_tolerance(vae: str, monkeypatch: pytest.MonkeyPatch) -> None:
    published = re.search(rf"{vae}: at most (\d+) of 255 anywhere, ([\d.]+) root mean square", text("overfit.md"))
    assert published is not None
    if vae == "taef2" and not all(store.path_of(f"taef2-{part}").exists() for part in ("encoder", "decoder")):
        pytest.skip("taef2 was not fetched")
    codec = pipeline(method_named("overfit"), vae, "cpu")
    encoded = [codec.encode(PHOTO, Quality(quality), Settings(1)) for quality in (20, 50, 95)]
    fast = [codec.decode(file, (600, 400)).astype(float) for file in encoded]
    with monkeypatch.context() as patch:
        patch.setattr(overfit, "fast_autocast", lambda device: nullcontext())
        exact = [codec.decode(file, (600, 400)) for file in encoded]
    for a, b in zip(fast, exact, strict=True):
        assert np.abs(a - b).max() <= int(published[1])
        assert np.sqrt(np.mean((a - b) ** 2)) <= float(published[2])
        assert (a != b).any() == (precision.fast_dtype(torch.device("cpu")) != torch.float32)


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
