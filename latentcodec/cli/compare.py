"""lcodec compare"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from latentcodec.cli.console import print_table, progress, split_names
from latentcodec.cli.files import STDIO, read_input
from latentcodec.errors import InputError, LcodecError
from latentcodec.metrics.registry import METRICS, SET_METRICS, checked_names

if TYPE_CHECKING:
    from latentcodec.bench.compare import Side

_ALL = METRICS | SET_METRICS


@click.command("compare")
@click.argument("reference", metavar="A")
@click.argument("picture", metavar="B")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; what was not measured is null.")
@click.option("--metrics", "names", metavar="NAMES",
              help=f"Separated by commas: {', '.join(METRICS)}; for folders {' and '.join(SET_METRICS)} as well. Exit "
              "with 4 if one of them cannot be measured.  [default: all]")  # fmt: skip
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.pass_context
def compare_command(
    context: click.Context, reference: str, picture: str, as_json: bool, names: str | None, device: str
) -> None:
    """Measure how far picture B is from the reference A. Either may be an .lcx file, or both may be folders.

    Folders are paired by name without suffix; they give means over the pairs, FID and KID. A metric that cannot be
    measured is listed with the reason. docs/metrics.md defines every figure.

    \b
    lcodec compare photo.png photo.lcx
    lcodec compare --json --metrics psnr,lpips_alex photo.png photo.avif
    lcodec compare originals/ decoded/
    """
    if reference == picture == STDIO:
        raise InputError("only one side can come from standard input")
    folders = [source != STDIO and Path(source).is_dir() for source in (reference, picture)]
    if folders[0] != folders[1]:
        raise InputError("a folder can only be compared with a folder")
    known = _ALL if all(folders) else METRICS
    chosen = tuple(known) if names is None else checked_names(split_names(names), known)
    compare = _compare_folders if all(folders) else _compare_pictures
    report = compare(reference, picture, chosen, device)
    if as_json:
        click.echo(json.dumps(report))
    else:
        _print(report)
    missing = any(figure["value"] is None for figure in report["metrics"].values())
    context.exit(InputError.exit_code if names is not None and missing else 0)


def _compare_pictures(reference: str, picture: str, names: Sequence[str], device: str) -> dict[str, Any]:
    from latentcodec.bench.scorer import Scorer

    a, b = _open(reference, device), _open(picture, device)
    scorer = Scorer(names, device)
    figures = _figures(scorer.score(a.pixels, b.pixels), scorer.reasons)
    return {"reference": _describe(a), "picture": _describe(b), "metrics": figures}


def _compare_folders(reference: str, picture: str, names: Sequence[str], device: str) -> dict[str, Any]:
    from latentcodec.bench.compare import mean_of_known, mean_scores, pair_files
    from latentcodec.bench.scorer import Scorer, SetScorer

    paths = pair_files(Path(reference), Path(picture))
    scorer = Scorer([name for name in names if name in METRICS], device)
    sets = SetScorer([name for name in names if name in SET_METRICS], device)
    pairs, scores = [], []
    with progress(paths, "pairs", enabled=True) as steps:
        for left, right in steps:
            a, b = _open(str(left), device), _open(str(right), device)
            try:
                values = scorer.score(a.pixels, b.pixels)
            except InputError as error:
                raise InputError(f"{right}: {error}") from error
            sets.add(a.pixels, b.pixels)
            scores.append((right.name, values, scorer.reasons))
            figures = _figures(values, scorer.reasons)
            pairs.append({"reference": _describe(a), "picture": _describe(b), "metrics": figures})
    means, reasons = mean_scores(scores)
    measured = means | sets.score()
    report: dict[str, Any] = {
        key: {"folder": folder, "pictures": len(pairs), "bpp": mean_of_known([pair[key]["bpp"] for pair in pairs])}
        for key, folder in (("reference", reference), ("picture", picture))
    }
    figures = _figures({name: measured[name] for name in names}, reasons | sets.reasons)
    patches = {"patches": sets.patches, "too_small": sets.too_small}
    return {**report, **patches, "metrics": figures, "pairs": pairs}


def _open(source: str, device: str) -> "Side":
    from latentcodec.bench.compare import open_side

    try:
        side = open_side(source, read_input(source), device)
    except LcodecError as error:
        raise type(error)(f"{source}: {error}") from error
    for note in side.notes:
        click.echo(f"{source}: {note}", err=True)
    return side


def _describe(side: "Side") -> dict[str, Any]:
    height, width = side.pixels.shape[:2]
    return {"file": side.name, "width": width, "height": height, "bytes": side.coded_bytes, "bpp": side.bpp}


def _figures(values: Mapping[str, float | None], reasons: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What is known of every metric, for JSON, which has no number for infinity: it is the string "inf"."""
    figures = {}
    for name, value in values.items():
        row = _ALL[name]
        figure: dict[str, Any] = {"value": "inf" if value == math.inf else value, "unit": row.unit}
        figure |= {"better": "higher" if row.higher_is_better else "lower", "title": row.title}
        figures[name] = figure | ({"reason": reasons[name]} if value is None else {})
    return figures


def _print(report: Mapping[str, Any]) -> None:
    for key in ("reference", "picture"):
        click.echo(f"{key:<14}{_line(report[key])}")
    if report.get("patches"):
        small = f"; {report['too_small']} pictures are too small for any" if report["too_small"] else ""
        click.echo(f"{'patches':<14}{report['patches']} for FID and KID{small}")
    click.echo()
    rows = [(figure["title"], figure["better"], _text(figure)) for figure in report["metrics"].values()]
    print_table(("metric", "better", "value"), rows)


def _line(side: Mapping[str, Any]) -> str:
    what = f"{side['pictures']} pictures" if "pictures" in side else f"{side['width']}x{side['height']}"
    size = f", {side['bytes']} bytes" if side.get("bytes") is not None else ""
    rate = f", {side['bpp']:.4f} bpp" if side["bpp"] is not None else ""
    return f"{side.get('file') or side['folder']}, {what}{size}{rate}"


def _text(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return f"not measured: {figure['reason']}"
    return f"{float(figure['value']):.4f} {figure['unit']}".rstrip()
