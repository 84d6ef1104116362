"""Rows -> a Markdown table of means, one line per codec and target."""

from collections.abc import Callable, Sequence
from statistics import fmean

from latentcodec.bench.results import Row
from latentcodec.bench.statistics import METRICS

_DIGITS = {metric.column: metric.digits for metric in METRICS}


def summary(rows: Sequence[Row]) -> list[str]:
    """Header, rule and lines; metrics that no row has are left out, a figure that nothing was measured for is '-'."""
    metrics = [name for name in _DIGITS if any(getattr(row, name) is not None for row in rows)]
    titles = ["codec", "target", "pictures", "out of reach", "bpp", "fill mean", "fill min", "over budget"]
    titles += ["overhead max", *metrics, "encode s", "decode s"]
    lines = [" | ".join(titles), "|".join("---" for _ in titles)]
    for codec, target in dict.fromkeys((row.codec, row.target) for row in rows):
        part = [row for row in rows if (row.codec, row.target) == (codec, target)]
        lines.append(
            " | ".join([codec, target, *_cells([row for row in part if row.size_bytes is not None], part, metrics)])
        )
    return [f"| {line} |" if "---" not in line else f"|{line}|" for line in lines]


def _cells(coded: Sequence[Row], everything: Sequence[Row], metrics: Sequence[str]) -> list[str]:
    over = sum(row.budget_bytes is not None and (row.size_bytes or 0) > row.budget_bytes for row in coded)
    return [
        str(len(coded)),
        str(len(everything) - len(coded)),
        _figure(coded, "bpp", ".4f"),
        _figure(coded, "fill", ".2%"),
        _figure(coded, "fill", ".2%", min),
        str(over),
        _figure(coded, "overhead_bytes", ".1f", max),
        *(_figure(coded, name, f".{_DIGITS[name]}f") for name in metrics),
        _figure(coded, "encode_seconds", ".2f"),
        _figure(coded, "decode_seconds", ".2f"),
    ]


def _figure(rows: Sequence[Row], column: str, form: str, reduce: Callable[[list[float]], float] = fmean) -> str:
    """'-' where no row has a value; otherwise how many have one, where that is not all."""
    values = [getattr(row, column) for row in rows if getattr(row, column) is not None]
    if not values:
        return "-"
    return f"{reduce(values):{form}}" + (f" ({len(values)} of {len(rows)})" if len(values) < len(rows) else "")
