"""Method overfit against simpler ways to store the same latents."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from latentcodec.bench import latents
from latentcodec.bench.latents import MeanRate, Point, bd_rates, measure, to_tsv
from latentcodec.errors import InputError

PHOTO = Path(__file__).parents[1] / "data" / "coffee.png"


def curve(method: str, factor: float) -> list[Point]:
    return [Point("a", method, n, factor * n, math.exp(-n)) for n in range(1, 7)]


def test_bd_rate_of_half_the_bits() -> None:
    rates = bd_rates(curve("scalar", 1.0) + curve("overfit:1", 0.5))
    assert rates == {("scalar", "overfit:1"): MeanRate(pytest.approx(-50), ())}


def test_only_rates_within_count() -> None:
    """Of ours: the curve of the others is whole."""
    points = [Point("a", "scalar", n, n, math.exp(-n)) for n in range(1, 9)]
    points += curve("overfit:1", 1.0)
    points += [Point("a", "overfit:1", n, 6.1 + n / 100, math.exp(-n)) for n in (7, 8)]
    assert bd_rates(points)["scalar", "overfit:1"].percent < -0.1
    assert bd_rates(points, (1.0, 6.0)) == {("scalar", "overfit:1"): MeanRate(pytest.approx(0, abs=0.05), ())}
    for none in ((4.0, 6.0), (40.0, 60.0)):
        with pytest.raises(InputError, match="no picture has 4 points of scalar and of overfit:1"):
            bd_rates(points, none)


def test_pictures_of_too_few_points_are_left_out_and_named() -> None:
    points = curve("scalar", 1.0) + curve("overfit:1", 0.5)
    few = [replace(p, image="b") for p in points][:-3]
    assert bd_rates(points + few) == {("scalar", "overfit:1"): MeanRate(pytest.approx(-50), ("b",))}


def test_adaptive_coder() -> None:
    """Against the product of its probabilities, symbol by symbol."""
    symbols = np.random.default_rng(1).integers(-2, 4, 50).astype(float)
    counts, bits = dict.fromkeys(range(-2, 4), 0.5), 0.0
    for symbol in symbols:
        bits -= math.log2(counts[symbol] / sum(counts.values()))
        counts[symbol] += 1
    assert latents._adaptive_bits(symbols) == pytest.approx(bits)


def test_tiles_come_back() -> None:
    channels = np.random.default_rng(0).integers(0, 256, (11, 5, 7)).astype(np.uint8)
    picture, untile = latents._tiled(channels)
    assert picture.shape == (10, 56)
    assert (untile(picture) == channels).all()


def test_measured_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latents, "CLASSICAL", ("webp",))
    points = list(measure(PHOTO, "mini", (1,), (25.0, 35.0, 45.0, 60.0)))
    for method in ("scalar", "webp", "overfit:1"):
        chosen = sorted((p for p in points if p.method == method), key=lambda p: p.bpp)
        assert len(chosen) >= 4
        assert chosen[0].mse > 3 * chosen[-1].mse
    assert bd_rates(points)["webp", "overfit:1"].percent < 0
    assert to_tsv(points).count("\n") == len(points) + 1
