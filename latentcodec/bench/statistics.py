"""Rows of results -> curves with intervals -> BD-rates.

A point of a curve is one codec at one target: means over the images, each image counting once however large it is.
Its interval is Student's t for the mean over images. A point stands for all images of the table or it is not drawn:
what is missing is told in `Summary.gaps`.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from latentcodec.bench.results import Row
from latentcodec.errors import InputError
from latentcodec.metrics import registry

CONFIDENCE = 0.95
# PCHIP is what the common test conditions of the video groups use; it stays between the points that it joins.
BD_METHOD = "pchip"
MIN_POINTS = 4
MIN_OVERLAP = 0.5
RESAMPLES = 100


@dataclass(frozen=True)
class Metric:
    """How reports show a metric of `metrics.registry`. `definition` is what others' figures must share with ours."""

    column: str
    title: str
    definition: str
    kind: str = "perception"
    digits: int = 3

    @property
    def higher_is_better(self) -> bool:
        """Which way is better."""
        return registry.METRICS[self.column].higher_is_better

    @property
    def unit(self) -> str:
        """Empty for figures without one."""
        return registry.METRICS[self.column].unit


METRICS = (
    Metric("psnr", "PSNR", "RGB", "distortion", 2),
    Metric("ms_ssim", "MS-SSIM", "RGB", "distortion"),
    Metric("ssimulacra2", "SSIMULACRA 2", "2.1", digits=1),
    Metric("cvvdp", "ColorVideoVDP", "standard_4k", digits=2),
    Metric("flip", "FLIP", "LDR"),
    Metric("lpips_alex", "LPIPS-Alex", "AlexNet, 0.1"),
    Metric("dists", "DISTS", "VGG16"),
)


@dataclass(frozen=True)
class Estimate:
    """A mean over images, and half the width of its confidence interval; None where one image cannot tell."""

    mean: float
    margin: float | None = None


@dataclass(frozen=True)
class Point:
    """One codec at one target, averaged over `images` images; `values` by column, only what every image has."""

    target: str
    images: int
    bpp: Estimate
    values: dict[str, Estimate]


@dataclass(frozen=True)
class Curve:
    """The points of one codec in the order of their rates. `source` cites whoever published it, empty for our own."""

    name: str
    points: tuple[Point, ...]
    source: str = ""

    def has(self, metric: Metric) -> bool:
        """Whether any point carries the metric."""
        return any(metric.column in point.values for point in self.points)


@dataclass(frozen=True)
class Summary:
    """All curves of a table, its images, and in words what could not be averaged."""

    images: tuple[str, ...]
    curves: tuple[Curve, ...]
    gaps: tuple[str, ...]

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Those that some curve has."""
        return tuple(metric for metric in METRICS if any(curve.has(metric) for curve in self.curves))


@dataclass(frozen=True)
class BdRate:
    """Bits that a codec spends more than the anchor at equal quality, in percent; or None and the reason in words."""

    percent: float | None
    overlap: float | None = None
    reason: str = ""


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and Student-t interval of figures of independent images."""
    from scipy.special import stdtrit

    count = len(values)
    mean = math.fsum(values) / count
    if count < 2:
        return Estimate(mean)
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    return Estimate(mean, float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * math.sqrt(variance / count))


def summarise(rows: Sequence[Row]) -> Summary:
    """Curves of every codec in the order of the rows. Raises InputError for a rate that is none."""
    images = tuple(dict.fromkeys(row.image for row in rows))
    measured = [metric for metric in METRICS if any(getattr(row, metric.column) is not None for row in rows)]
    gaps: list[str] = []
    curves = []
    for codec in dict.fromkeys(row.codec for row in rows):
        part = [row for row in rows if row.codec == codec]
        points = []
        for target in dict.fromkeys(row.target for row in part):
            files = [row for row in part if row.target == target]
            if sum(row.bpp is not None for row in files) < len(images):
                gaps.append(_not_averaged(files, images))
            else:
                points.append(_point(files, measured, gaps))
        if points:
            curves.append(Curve(codec, tuple(sorted(points, key=lambda point: point.bpp.mean))))
    return Summary(images, tuple(curves), tuple(gaps))


def _not_averaged(files: Sequence[Row], images: Sequence[str]) -> str:
    reached = {row.image for row in files if row.bpp is not None}
    missing = [image for image in images if image not in reached]
    why = "out of reach for" if {row.image for row in files}.issuperset(missing) else "no files of"
    return f"{files[0].codec} at {files[0].target} is left out: {why} {_listed(missing)}, {len(images)} images in all"


def _point(files: Sequence[Row], metrics: Iterable[Metric], gaps: list[str]) -> Point:
    rates = {row.image: row.bpp for row in files if row.bpp is not None}
    for image, rate in rates.items():
        if not (math.isfinite(rate) and rate > 0):
            raise InputError(f"{image}, {files[0].codec} at {files[0].target}: {rate} bits per pixel")
    values = {}
    for metric in metrics:
        figures = {row.image: getattr(row, metric.column) for row in files}
        unusable = [image for image, figure in figures.items() if figure is None or not math.isfinite(figure)]
        if unusable:
            gaps.append(
                f"{metric.title} of {files[0].codec} at {files[0].target} is left out: no finite figure for "
                f"{'any image' if len(unusable) == len(files) else _listed(unusable)}"
            )
        else:
            values[metric.column] = estimate(list(figures.values()))
    return Point(files[0].target, len(files), estimate(list(rates.values())), values)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"


def bd_rate(anchor: Curve, test: Curve, metric: Metric) -> BdRate:
    """Bjontegaard's delta rate between two curves of means, guarded: only curves that can be compared are.

    Quality is mirrored where lower figures are better. The overlap is the part of the quality range of both curves
    together in which both have points.
    """
    from bjontegaard import bd_rate as bjontegaard_rate

    ours, theirs = _samples(anchor, metric), _samples(test, metric)
    for curve, samples in ((anchor, ours), (test, theirs)):
        if len(samples) < MIN_POINTS:
            return BdRate(None, reason=f"{curve.name} has {len(samples)} of {MIN_POINTS} points")
        if any(later[1] <= earlier[1] for earlier, later in pairwise(samples)):
            return BdRate(None, reason=f"{curve.name} does not improve with every step of rate")
    (low_a, high_a), (low_b, high_b) = ((samples[0][1], samples[-1][1]) for samples in (ours, theirs))
    overlap = max(0.0, min(high_a, high_b) - max(low_a, low_b)) / (max(high_a, high_b) - min(low_a, low_b))
    if overlap == 0:
        return BdRate(None, 0.0, "no overlap")
    if overlap < MIN_OVERLAP:
        return BdRate(None, overlap, f"overlap of {overlap:.1%} is below {MIN_OVERLAP:.0%}")
    percent = bjontegaard_rate(
        *zip(*ours, strict=True), *zip(*theirs, strict=True), BD_METHOD, require_matching_points=False, min_overlap=0
    )
    return BdRate(float(percent), overlap)


def _samples(curve: Curve, metric: Metric) -> list[tuple[float, float]]:
    """(rate, quality) by rate; targets that led to the same files are one sample."""
    sign = 1 if metric.higher_is_better else -1
    have = [point for point in curve.points if metric.column in point.values]
    return sorted({(point.bpp.mean, sign * point.values[metric.column].mean) for point in have})


def bd_interval(rows: Sequence[Row], anchor: str, test: str, metric: Metric) -> tuple[float, float] | None:
    """Percentile interval of `bd_rate` over images drawn again with replacement, the same for both codecs.

    None where too few of the drawn sets give curves that can be compared.
    """
    samples = {name: _by_target(rows, name, metric.column) for name in (anchor, test)}
    images = sorted({row.image for row in rows})
    random = Random(0)
    found = []
    for _ in range(RESAMPLES):
        drawn = random.choices(images, k=len(images))
        curves = [_mean_curve(name, samples[name], drawn, metric.column) for name in (anchor, test)]
        percent = bd_rate(curves[0], curves[1], metric).percent
        if percent is not None:
            found.append(percent)
    if len(found) < CONFIDENCE * RESAMPLES:
        return None
    found.sort()
    tail = (1 - CONFIDENCE) / 2
    return found[round(tail * (len(found) - 1))], found[round((1 - tail) * (len(found) - 1))]


def _by_target(rows: Sequence[Row], codec: str, column: str) -> dict[str, dict[str, tuple[float, float]]]:
    """{target: {image: (bpp, figure)}}, of the targets that every image has."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for row in rows:
        figure = getattr(row, column)
        if row.codec == codec and row.bpp is not None and figure is not None:
            found.setdefault(row.target, {})[row.image] = row.bpp, figure
    images = {row.image for row in rows}
    return {target: figures for target, figures in found.items() if set(figures) == images}


def _mean_curve(
    name: str, samples: dict[str, dict[str, tuple[float, float]]], drawn: Sequence[str], column: str
) -> Curve:
    points = []
    for target, figures in samples.items():
        rate, value = (math.fsum(figures[image][part] for image in drawn) / len(drawn) for part in (0, 1))
        points.append(Point(target, len(drawn), Estimate(rate), {column: Estimate(value)}))
    return Curve(name, tuple(sorted(points, key=lambda point: point.bpp.mean)))
