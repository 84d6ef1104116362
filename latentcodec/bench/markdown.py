"""Curves and BD-rates -> the tables of docs/results.md."""

from collections.abc import Iterator, Sequence

from latentcodec.bench.report import Report
from latentcodec.bench.statistics import CONFIDENCE, Curve, Estimate, Metric, Point, Summary, bd_interval, bd_rate
from latentcodec.errors import InputError
from latentcodec.rate import Quality, parse_target


def tables(report: Report, plots: str | None = None) -> str:
    """Plots in the folder `plots`, a table per budget, BD-rates, what is left out, and sources, as Markdown."""
    summary, metrics = report.summary, report.summary.metrics
    parts = [] if plots is None else [_plots(metrics, plots)]
    parts += [
        f"Means over {len(summary.images)} images, each counting once, with Student-t intervals of {CONFIDENCE:.0%} "
        "over images.",
        *_targets(summary),
        *_bd_rates(report, metrics),
        *_list("Left out", summary.gaps),
        *_list("Published figures", [f"{curve.name}: {curve.source}" for curve in report.published]),
    ]
    return "\n\n".join(parts) + "\n"


def _plots(metrics: Sequence[Metric], folder: str) -> str:
    return "\n".join(f"![{metric.title} over bits per pixel]({folder}/{metric.column}.svg)" for metric in metrics)


def _targets(summary: Summary) -> Iterator[str]:
    """A table for every byte budget, where codecs meet at equal size, and one for all other settings."""
    titles = [metric.title + (f", {metric.unit}" if metric.unit else "") for metric in summary.metrics]
    points = sorted(
        ((curve.name, point) for curve in summary.curves for point in curve.points), key=lambda pair: pair[1].bpp.mean
    )
    budgets = [target for target in dict.fromkeys(point.target for _, point in points) if _is_budget(target)]
    for budget in budgets:
        rows = [[name, *_figures(point, summary.metrics)] for name, point in points if point.target == budget]
        yield f"### {_text(budget)}\n\n{_table(['codec', 'bpp', *titles], rows)}"
    others = [
        [curve.name, point.target, *_figures(point, summary.metrics)]
        for curve in summary.curves
        for point in curve.points
        if point.target not in budgets
    ]
    if others:
        yield f"### Other settings\n\n{_table(['codec', 'target', 'bpp', *titles], others)}"


def _is_budget(target: str) -> bool:
    try:
        return not isinstance(parse_target(target), Quality)
    except InputError:
        return False


def _figures(point: Point, metrics: Sequence[Metric]) -> list[str]:
    return [_figure(point.bpp, 4), *(_figure(point.values.get(metric.column), metric.digits) for metric in metrics)]


def _bd_rates(report: Report, metrics: Sequence[Metric]) -> list[str]:
    curves, anchor = report.curves, report.anchor
    if len(curves) < 2:
        return []
    reference = next(curve for curve in curves if curve.name == anchor)
    rows = [
        [curve.name, *(_percent(report, reference, curve, metric) for metric in metrics)]
        for curve in curves
        if curve is not reference
    ]
    return [
        f"### BD-rate against {_text(anchor)}\n\n"
        "Bits spent more (+) or fewer (-) for equal quality, and the interval that 95 of 100 drawings of the images "
        "with replacement give; where there is no figure, why.",
        _table(["codec", *(metric.title for metric in metrics)], rows),
    ]


def _percent(report: Report, anchor: Curve, curve: Curve, metric: Metric) -> str:
    result = bd_rate(anchor, curve, metric)
    if result.percent is None:
        return result.reason
    published = bool(anchor.source or curve.source)
    interval = None if published else bd_interval(report.rows, anchor.name, curve.name, metric)
    within = "" if interval is None else f" ({interval[0]:+.1f} to {interval[1]:+.1f})"
    return f"{result.percent:+.1f} %{within}"


def _list(title: str, lines: Sequence[str]) -> list[str]:
    return [f"### {title}\n\n" + "\n".join(f"- {_text(line)}" for line in lines)] if lines else []


def _figure(value: Estimate | None, digits: int) -> str:
    if value is None:
        return ""
    margin = "" if value.margin is None else f" ± {value.margin:.{digits}f}"
    return f"{value.mean:.{digits}f}{margin}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_text(cell) for cell in line) + " |" for line in lines)


def _text(text: str) -> str:
    """Text as it is, also where it holds characters that Markdown or HTML would take for their own."""
    return text.translate({ord(character): f"\\{character}" for character in "\\|<`[*_"})
