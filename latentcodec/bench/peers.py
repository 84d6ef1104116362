"""Figures that others published -> curves to draw beside ours, where images and definitions are the same."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latentcodec.bench.results import Row
from latentcodec.bench.statistics import METRICS, Curve, Estimate, Point
from latentcodec.errors import InputError

BUILT_IN = Path(__file__).with_name("peers.toml")
KODAK = frozenset(f"kodim{number:02}" for number in range(1, 25))
_KODAK_SIDES = {512, 768}


def published(rows: Sequence[Row], path: Path = BUILT_IN) -> tuple[Curve, ...]:
    """Curves of a TOML or JSON file that is laid out like peers.toml, for the images of `rows` if they are Kodak's.

    Every curve keeps only the metrics whose definition is that of METRICS; one without any is left out. Raises
    InputError for a file of another layout.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
        curves = [_curve(record) for record in content["codec"] if record["images"] == "kodak"]
    except KeyError as error:
        raise InputError(f"{path}: a published codec has no {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} holds no published figures: {error}") from error
    if not _are_kodak(rows):
        return ()
    return tuple(curve for curve in curves if any(curve.has(metric) for metric in METRICS))


def _are_kodak(rows: Sequence[Row]) -> bool:
    """Whether the images are the 24 of Kodak, uncropped."""
    whole = all({row.width, row.height} == _KODAK_SIDES for row in rows)
    return whole and {Path(row.image).stem for row in rows} == KODAK


def _curve(record: Mapping[str, Any]) -> Curve:
    columns = {
        metric.column: record["metrics"][metric.column]["values"]
        for metric in METRICS
        if record["metrics"].get(metric.column, {}).get("definition") == metric.definition
    }
    points = []
    for bpp, *figures in zip(record["bpp"], *columns.values(), strict=True):
        values = {column: Estimate(float(figure)) for column, figure in zip(columns, figures, strict=True)}
        points.append(Point("", len(KODAK), Estimate(float(bpp)), values))
    suffix = "" if record["rate"] == "file" else f" ({record['rate']} bpp)"
    source = f"{record['paper']}; {record['table']}"
    return Curve(record["name"] + suffix, tuple(sorted(points, key=lambda point: point.bpp.mean)), source)
