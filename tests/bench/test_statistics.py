"""Means, intervals and BD-rates against figures worked out by hand or published, and the guards around them."""

import math
from dataclasses import replace

import pytest

from latentcodec.bench.results import Row
from latentcodec.bench.statistics import (
    METRICS,
    Curve,
    Estimate,
    Metric,
    Point,
    bd_interval,
    bd_rate,
    estimate,
    summarise,
)
from latentcodec.errors import InputError

PSNR, LPIPS = (next(m for m in METRICS if m.column == column) for column in ("psnr", "lpips_alex"))


def row(image: str, codec: str = "webp", target: str = "q10", bpp: float = 0.1, **figures: float) -> Row:
    return Row(image, codec, target, 768, 512, "", 4915, bpp, **figures)  # type: ignore[arg-type]


def curve(name: str, rates: list[float], values: list[float], metric: Metric = PSNR) -> Curve:
    pairs = zip(rates, values, strict=True)
    points = [Point(str(rate), 1, Estimate(rate), {metric.column: Estimate(value)}) for rate, value in pairs]
    return Curve(name, tuple(sorted(points, key=lambda point: point.bpp.mean)))


# Example of the package's README: x265 at two presets.
ANCHOR = curve("anchor", [9487.76, 4593.60, 2486.44, 1358.24], [40.037, 38.615, 36.845, 34.851])
TEST = curve("test", [9787.80, 4469.00, 2451.52, 1356.24], [40.121, 38.651, 36.970, 34.987])


def test_interval_of_three_figures() -> None:
    # s = 1, t(0.975, 2) = 4.302653: 4.302653 / sqrt(3)
    result = estimate([1.0, 2.0, 3.0])
    assert result.mean == 2
    assert result.margin == pytest.approx(2.484138, abs=1e-6)


def test_one_image_has_no_interval() -> None:
    assert estimate([25.0]) == Estimate(25.0, None)


def test_every_image_counts_once_however_large() -> None:
    small, large = row("a.png", bpp=0.1, psnr=20.0), replace(row("b.png", bpp=0.3, psnr=30.0), width=7680, height=5120)
    (point,) = summarise([small, large]).curves[0].points
    assert point.bpp.mean == pytest.approx(0.2)
    assert point.values["psnr"].mean == 25
    # s = 10 / sqrt(2), t(0.975, 1) = 12.7062: 12.7062 * 5
    assert point.values["psnr"].margin == pytest.approx(63.531, abs=1e-3)


def test_points_are_in_the_order_of_rates_and_codecs_in_that_of_rows() -> None:
    rows = [row("a", "webp", "q50", 0.5), row("a", "webp", "q1", 0.1), row("a", "avif", "q0", 0.2)]
    summary = summarise(rows)
    assert [(c.name, [p.target for p in c.points]) for c in summary.curves] == [
        ("webp", ["q1", "q50"]),
        ("avif", ["q0"]),
    ]


def test_a_target_without_all_images_is_told_and_left_out() -> None:
    rows = [row(image, psnr=25.0) for image in ("a", "b")]
    summary = summarise([*rows, row("b", "avif", "q0", psnr=26.0)])
    assert [c.name for c in summary.curves] == ["webp"]
    assert summary.gaps == ("avif at q0 is left out: no files of a, 2 images in all",)


def test_a_target_out_of_reach_is_told_and_left_out() -> None:
    rows = [row(image, psnr=25.0) for image in "abcde"]
    out = [Row(image, "avif", "0.01bpp", 768, 512) for image in "abcd"]
    summary = summarise([*rows, *out, row("e", "avif", "0.01bpp", psnr=26.0)])
    assert [c.name for c in summary.curves] == ["webp"]
    assert summary.gaps == ("avif at 0.01bpp is left out: out of reach for a, b and 2 more, 5 images in all",)


def test_a_metric_without_all_images_is_told_and_left_out() -> None:
    rows = [row("a", psnr=25.0, dists=0.1), row("b", psnr=math.inf), row("a", target="q20", psnr=math.nan, dists=0.2),
            row("b", target="q20", dists=0.3)]  # fmt: skip
    summary = summarise(rows)
    assert [list(p.values) for p in summary.curves[0].points] == [[], ["dists"]]
    assert summary.gaps == (
        "PSNR of webp at q10 is left out: no finite figure for b",
        "DISTS of webp at q10 is left out: no finite figure for b",
        "PSNR of webp at q20 is left out: no finite figure for any image",
    )
    assert [metric.column for metric in summary.metrics] == ["dists"]


@pytest.mark.parametrize("bpp", [0.0, math.nan, -1.0, math.inf])
def test_a_rate_that_is_none_is_an_error(bpp: float) -> None:
    with pytest.raises(InputError, match=r"a, webp at q10: .* bits per pixel"):
        summarise([row("a", bpp=bpp)])


def test_bd_rate_of_the_packages_example() -> None:
    result = bd_rate(ANCHOR, TEST, PSNR)
    assert result.percent == pytest.approx(-4.417485, abs=1e-6)
    assert result.overlap == pytest.approx((40.037 - 34.987) / (40.121 - 34.851))


@pytest.mark.parametrize("metric", [PSNR, LPIPS], ids=["higher is better", "lower is better"])
def test_half_the_bits_are_minus_fifty_percent(metric: Metric) -> None:
    rates, values = [0.1, 0.2, 0.3, 0.5], [1.0, 2.0, 2.5, 3.0]
    if not metric.higher_is_better:
        values = [4 - value for value in values]
    full = curve("full", rates, values, metric)
    half = curve("half", [rate / 2 for rate in rates], values, metric)
    assert bd_rate(full, half, metric).percent == pytest.approx(-50)
    assert bd_rate(half, full, metric).percent == pytest.approx(100)
    assert bd_rate(full, full, metric).percent == pytest.approx(0)


def test_targets_that_led_to_the_same_files_are_one_point() -> None:
    floor = curve("floor", [1.0, 1.0, 2.0, 3.0, 4.0], [20.0, 20.0, 21.0, 22.0, 23.0])
    assert bd_rate(floor, curve("x", [1, 2, 3, 4], [20, 21, 22, 23]), PSNR).percent == pytest.approx(0)
    short = curve("short", [1.0, 1.0, 2.0, 3.0], [20.0, 20.0, 21.0, 22.0])
    assert bd_rate(ANCHOR, short, PSNR).reason == "short has 3 of 4 points"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([20.0, 21.0, 22.0], "x has 3 of 4 points"),
        ([20.0, 22.0, 21.0, 23.0], "x does not improve with every step of rate"),
        ([20.0, 21.0, 22.0, 23.0], "no overlap"),
        ([30.0, 32.0, 34.0, 36.0], "overlap of 11.4% is below 50%"),
    ],
)
def test_curves_that_cannot_be_compared_say_why(values: list[float], reason: str) -> None:
    result = bd_rate(ANCHOR, curve("x", [1.0, 2.0, 3.0, 4.0][: len(values)], values), PSNR)
    assert (result.percent, result.reason) == (None, reason)


def pair(image: str, saving: float) -> list[Row]:
    """Two codecs on one image: the second one spends (1 - saving) of the bits for the same quality."""
    return [
        row(image, codec, f"q{level}", 0.05 * 2**level * factor, psnr=20.0 + 2 * level)
        for codec, factor in (("old", 1.0), ("new", 1 - saving))
        for level in range(5)
    ]


def test_interval_of_a_bd_rate_over_images() -> None:
    alike = [entry for number in range(8) for entry in pair(f"{number}.png", 0.2)]
    low, high = bd_interval(alike, "old", "new", PSNR) or (0.0, 0.0)
    assert low == pytest.approx(-20, abs=0.1)
    assert high == pytest.approx(-20, abs=0.1)
    mixed = [entry for number in range(8) for entry in pair(f"{number}.png", 0.05 * number)]
    interval = bd_interval(mixed, "old", "new", PSNR)
    assert interval is not None
    curves = summarise(mixed).curves
    middle = bd_rate(curves[0], curves[1], PSNR).percent
    assert middle is not None
    assert interval[0] < middle - 2 < middle + 2 < interval[1]
    assert bd_interval(mixed, "old", "new", PSNR) == interval
    assert bd_interval([r for r in mixed if r.target != "q2"][:9], "old", "new", PSNR) is None
