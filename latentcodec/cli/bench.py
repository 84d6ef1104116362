"""lcodec bench"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from latentcodec.cli.console import split_names
from latentcodec.errors import InputError
from latentcodec.metrics.registry import METRICS

if TYPE_CHECKING:
    from latentcodec.bench.scorer import Scorer


@click.command("bench")
@click.argument("corpus", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--codecs", default="stablecodec", show_default=True,
              help="Methods of lcodec, with effort, tuned: stablecodec:5, stablecodec:5:psnr, overfit:mini:5; jpeg, "
              "webp, avif, jxl, jpeg2000, heic, x265; on smaller pictures: avif/2, avif/4; vae:mini, an "
              "autoencoder that is not coded. Separated by commas.")  # fmt: skip
@click.option("--rates", default="50,0.01bpp,0.03bpp,0.067bpp,0.15bpp,0.3bpp", show_default=True,
              help="Targets as encode -q takes them, separated by commas; the same for every codec.")  # fmt: skip
@click.option("--metrics", default=",".join(METRICS), show_default=True,
              help="Separated by commas; one that cannot be measured is named, with the reason.")  # fmt: skip
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path),
              help="One TSV row per picture, codec and rate; what the file has is not measured again.")  # fmt: skip
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path),
              help="Folder for the decoded pictures, for lcodec report; beside the TSV file.")  # fmt: skip
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path),
              help="Draw a contact sheet at the first rate, of one codec beside AVIF, or of several.")  # fmt: skip
@click.option("--crops", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="TSV with name, image, x, y, width, height of parts to show on the sheet at full size.")  # fmt: skip
@click.option("--speed", type=click.IntRange(1), metavar="ROUNDS",
              help="Time the codecs side by side on the first picture at the first rate, and no more.")  # fmt: skip
@click.option("--quiet", is_flag=True, help="No progress bar.")
def bench_command(
    corpus: Path,
    codecs: str,
    rates: str,
    metrics: str,
    device: str,
    output: Path | None,
    keep: Path | None,
    sheet: Path | None,
    crops: Path | None,
    speed: int | None,
    quiet: bool,
) -> None:
    """Encode, decode and score every picture of a folder with every codec at every rate; print means as a table.

    Needs the networks of the perceptual metrics: lcodec weights fetch lpips-alex lpips-vgg dists
    """
    from latentcodec.bench.run import list_pictures
    from latentcodec.rate import parse_target

    paths = list_pictures(corpus)
    if not paths:
        raise InputError(f"no pictures in {corpus}")
    targets, names = split_names(rates), split_names(codecs)
    for target in targets:
        parse_target(target)
    if crops is not None and sheet is None:
        raise InputError("--crops is for --sheet")
    if sheet is not None:
        _draw(paths, targets[0], names, device, sheet, crops)
    elif speed is not None:
        _speed(paths[0], names, targets[0], device, speed)
    else:
        _measure(paths, names, targets, split_names(metrics), device, output, keep, quiet)


def _measure(
    paths: list[Path],
    names: tuple[str, ...],
    targets: tuple[str, ...],
    metrics: tuple[str, ...],
    device: str,
    output: Path | None,
    keep: Path | None,
    quiet: bool,
) -> None:
    from latentcodec.bench.codecs import codec_named
    from latentcodec.bench.provenance import machine
    from latentcodec.bench.results import read_tsv, write_tsv
    from latentcodec.bench.run import Bench
    from latentcodec.bench.summary import summary
    from latentcodec.cli.console import progress
    from latentcodec.pipelines.registry import resolve_device

    known = []
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        known = read_tsv(output) if output.exists() else []
        if keep is not None and keep.parent.resolve() != output.parent.resolve():
            raise InputError("--keep must name a folder beside the TSV file, which refers to it")
    codecs = [codec_named(name, device) for name in names]
    scorer = _scorer(metrics, device)
    bench = Bench(paths, codecs, targets, scorer, machine(resolve_device(device)), keep, known)
    rows = {row.key: row for row in known}
    measured = bench.rows()
    with progress(range(len(bench)), "files", enabled=not quiet) as steps:
        for _ in steps:
            row = next(measured)
            if rows.get(row.key) is not row:
                rows[row.key] = row
                if output is not None:
                    write_tsv(rows.values(), output)  # after every row: an interrupted run keeps what it measured
    for (name, reason), pictures in bench.unmeasured.items():
        more = f" and {len(pictures) - 1} more" if len(pictures) > 1 else ""
        click.echo(f"lcodec: {name} is not measured for {pictures[0]}{more}: {reason}", err=True)
    shown = {path.name for path in paths}
    wanted = [row for row in rows.values() if row.codec in names and row.target in targets and row.image in shown]
    click.echo("\n".join(summary(wanted)))


def _draw(paths: list[Path], target: str, names: tuple[str, ...], device: str, sheet: Path, crops: Path | None) -> None:
    from latentcodec.bench.sheet import draw, read_crops
    from latentcodec.image import FORMATS
    from latentcodec.rate import parse_target

    if sheet.suffix.lower() not in FORMATS:
        raise InputError(f"cannot draw a sheet as {sheet.name}; there is {' '.join(FORMATS)}")
    draw(paths, parse_target(target), names, device, sheet, None if crops is None else read_crops(crops))


def _scorer(names: tuple[str, ...], device: str) -> "Scorer":
    """What measures; says what cannot be measured, and why."""
    from latentcodec.bench.scorer import Scorer

    scorer = Scorer(names, device)
    for name, reason in scorer.reasons.items():
        click.echo(f"lcodec: {name} is not measured: {reason}", err=True)
    return scorer


def _speed(path: Path, names: tuple[str, ...], target: str, device: str, rounds: int) -> None:
    from latentcodec.bench.speed import table, time_side_by_side
    from latentcodec.bench.utilisation import measure
    from latentcodec.image import read_picture
    from latentcodec.pipelines.registry import METHODS
    from latentcodec.rate import Quality, budget_bytes, parse_target

    parsed = parse_target(target)
    if isinstance(parsed, Quality):
        raise InputError("--speed needs a budget as the first of --rates, the same for all codecs")
    pixels = read_picture(path).pixels
    size = pixels.shape[0] * pixels.shape[1]
    timings, notes = time_side_by_side(pixels, names, budget_bytes(parsed, size), device, rounds)
    for note in notes:
        click.echo(f"lcodec: {note}", err=True)
    click.echo("\n".join(table(timings)))
    for method in [method.name for method in METHODS if method.name in names]:
        click.echo(f"\n{method} {measure(pixels, device, method).describe(size)}")
