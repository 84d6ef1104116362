"""Rows and pictures -> a report: curves and BD-rates, as one HTML page that needs nothing but a browser.

Everything that comes from outside travels as JSON in a block that the browser does not run, and the page's script
puts it in place as text. The policy in the page's head lets it run that one script and load nothing from anywhere.
"""

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from latentcodec.bench.peers import BUILT_IN, published
from latentcodec.bench.pictures import Comparison
from latentcodec.bench.results import Row
from latentcodec.bench.statistics import (
    BD_METHOD,
    CONFIDENCE,
    METRICS,
    MIN_OVERLAP,
    MIN_POINTS,
    BdRate,
    Curve,
    Estimate,
    Metric,
    Summary,
    bd_rate,
    summarise,
)
from latentcodec.errors import InputError
from latentcodec.pipelines.registry import METHODS

PAGE = Path(__file__).with_name("page")
SCRIPTS = ("elements.js", "chart.js", "tables.js", "compare.js", "main.js")


@dataclass(frozen=True)
class Report:
    """What pages, plots and tables are made from; BD-rates are relative to the curve called `anchor`."""

    rows: Sequence[Row]
    summary: Summary
    published: tuple[Curve, ...]
    anchor: str

    @property
    def curves(self) -> tuple[Curve, ...]:
        """Measured ones, then published ones."""
        return self.summary.curves + self.published


def prepare(rows: Sequence[Row], anchor: str | None, peers: Path) -> Report:
    """Rows -> report. Without an anchor it is the first codec that is no method of lcodec.

    Raises InputError for a table without rows and for an anchor that has no curve.
    """
    if not rows:
        raise InputError("the table has no rows")
    summary, others = summarise(rows), published(rows, peers)
    if not others and peers != BUILT_IN:
        gap = f"{peers.name}: nothing is drawn, because none of its figures has the table's images and our definitions"
        summary = replace(summary, gaps=(*summary.gaps, gap))
    names = [curve.name for curve in summary.curves + others]
    if anchor is not None and anchor not in names:
        raise InputError(f"no curve of a codec called {anchor!r}; there is {', '.join(names) or 'none'}")
    ours = {method.name for method in METHODS}
    foreign = [name for name in names if name not in ours]
    return Report(rows, summary, others, anchor or next(iter(foreign or names), ""))


def page(report: Report, comparisons: Sequence[Comparison], gaps: Sequence[str]) -> str:
    """The HTML page; `gaps` tells what of the pictures is missing."""
    summary = report.summary
    data = {
        "images": summary.images,
        "metrics": [_metric(metric) for metric in summary.metrics],
        "curves": [_curve(curve) for curve in report.curves],
        "anchor": report.anchor,
        "bd": {a.name: {b.name: _bd_rates(a, b, summary.metrics) for b in report.curves} for a in report.curves},
        "method": {
            "confidence": CONFIDENCE,
            "interpolation": BD_METHOD.upper(),
            "minPoints": MIN_POINTS,
            "minOverlap": MIN_OVERLAP,
        },
        "comparisons": [_comparison(comparison) for comparison in comparisons],
        "origins": _origins(report.rows),
        "gaps": [*summary.gaps, *gaps],
    }
    style = _read("page.css")
    script = "\n".join(_read(name) for name in SCRIPTS)
    template = _read("page.html").replace("{style-hash}", _hash(style)).replace("{script-hash}", _hash(script))
    before_style, rest = template.split("{style}")
    before_data, rest = rest.split("{data}")
    before_script, after = rest.split("{script}")
    return before_style + style + before_data + _json(data) + before_script + script + after


def _read(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(data: object) -> str:
    # Invariant: no "<" in the block, so that no text from a table can end it.
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _metric(metric: Metric) -> dict[str, Any]:
    return {
        "column": metric.column,
        "title": metric.title,
        "higher": metric.higher_is_better,
        "kind": metric.kind,
        "unit": metric.unit,
        "digits": metric.digits,
    }


def _curve(curve: Curve) -> dict[str, Any]:
    points = [
        {
            "target": point.target,
            "images": point.images,
            "bpp": _estimate(point.bpp),
            "values": {column: _estimate(value) for column, value in point.values.items()},
        }
        for point in curve.points
    ]
    own = not curve.source and curve.name in [method.name for method in METHODS]
    return {"name": curve.name, "source": curve.source, "own": own, "points": points}


def _estimate(value: Estimate) -> list[float | None]:
    return [_short(value.mean), None if value.margin is None else _short(value.margin)]


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _bd_rates(anchor: Curve, test: Curve, metrics: Sequence[Metric]) -> dict[str, Any]:
    return {metric.column: _bd_rate(bd_rate(anchor, test, metric)) for metric in metrics}


def _bd_rate(result: BdRate) -> dict[str, Any]:
    if result.percent is None:
        return {"reason": result.reason}
    return {"percent": round(result.percent, 2), "overlap": round(result.overlap or 0, 3)}


def _comparison(comparison: Comparison) -> dict[str, Any]:
    files = [
        {
            "codec": decoded.row.codec,
            "target": decoded.row.target,
            "bytes": decoded.size_bytes,
            "bpp": _short(decoded.bpp),
            "values": {
                metric.column: _short(value)
                for metric in METRICS
                if (value := getattr(decoded.row, metric.column)) is not None and math.isfinite(value)
            },
            "picture": decoded.uri,
        }
        for decoded in comparison.files
    ]
    width, height = comparison.size
    return {"image": comparison.image, "width": width, "height": height, "original": comparison.original,
            "files": files}  # fmt: skip


def _origins(rows: Sequence[Row]) -> list[dict[str, str]]:
    """What made the rows: versions, weights and devices of every codec, each once."""
    origins = []
    for codec in dict.fromkeys(row.codec for row in rows):
        part = [row for row in rows if row.codec == codec]
        columns = ("codec_version", "weights", "device", "lcodec_version", "commit")
        texts = {column: ", ".join(dict.fromkeys(filter(None, (getattr(row, column) for row in part))))
                 for column in columns}  # fmt: skip
        origins.append({"codec": codec, **texts})
    return origins
