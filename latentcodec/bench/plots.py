"""Curves -> static pictures of them, SVG and PNG, in the colours and markers of the page."""

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from latentcodec.bench.report import Report
from latentcodec.bench.statistics import Curve, Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# As in page.css and elements.js.
COLOURS = ("#1552b8", "#d9640b", "#0b5c4a", "#c76bb0", "#5e4a00", "#9a7be8", "#a51d3a", "#23262b")
PUBLISHED_COLOUR = "#666b73"
MARKERS = ("o", "s", "^", "D", "v", "*", "h", "p")
STYLE: dict[Any, Any] = {
    "axes.edgecolor": "#8b8f96",
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 10,
    "grid.color": "#e2dfd9",
    "legend.frameon": False,
    "svg.hashsalt": "lcodec",  # the same curves give the same file
    "text.color": "#1b1d20",
    "text.parse_math": False,  # a codec's name is no formula
}


def draw(report: Report) -> dict[str, bytes]:
    """Contents of one SVG and one PNG file per metric, by file name."""
    return {name: data for metric in report.summary.metrics for name, data in _draw_metric(report.curves, metric)}


def _draw_metric(curves: Sequence[Curve], metric: Metric) -> Iterator[tuple[str, bytes]]:
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    with rc_context(STYLE):
        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.add_subplot()
        axes.set_xscale("log")
        drawn = [curve for curve in curves if curve.has(metric)]
        for published in (False, True):
            for index, curve in enumerate(curve for curve in drawn if bool(curve.source) is published):
                _draw_curve(axes, curve, metric, index)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("bits per pixel")
        unit = f", {metric.unit}" if metric.unit else ""
        axes.set_ylabel(f"{metric.title}{unit} ({'higher' if metric.higher_is_better else 'lower'} is better)")
        figure.legend(loc="outside right upper")
        for suffix, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
            out = io.BytesIO()
            figure.savefig(out, format=suffix, dpi=150, metadata=metadata)
            yield f"{metric.column}.{suffix}", out.getvalue()


def _draw_curve(axes: "Axes", curve: Curve, metric: Metric, index: int) -> None:
    points = [point for point in curve.points if metric.column in point.values]
    values = [point.values[metric.column] for point in points]
    colour = PUBLISHED_COLOUR if curve.source else COLOURS[index % len(COLOURS)]
    bars = axes.errorbar(
        [point.bpp.mean for point in points],
        [value.mean for value in values],
        xerr=[point.bpp.margin or 0 for point in points],
        yerr=[value.margin or 0 for value in values],
        label=curve.name,
        color=colour,
        marker=MARKERS[(index + index // len(COLOURS)) % len(MARKERS)],
        markersize=6,
        markerfacecolor="white" if curve.source else colour,
        linestyle=(0, (5, 3)) if curve.source else "-",
        linewidth=1.2 if curve.source else 1.8,
        elinewidth=0.8,
    )
    for bar in bars.lines[2]:
        bar.set_alpha(0.35)
