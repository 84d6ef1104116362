"""lcodec bench"""

import resource
from pathlib import Path

import click

from latentcodec.errors import InputError


@click.command("bench")
@click.argument("corpus", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--rates", default="50,0.01bpp,0.03bpp,0.067bpp,0.15bpp,0.3bpp", show_default=True,
              help="Targets as encode -q takes them, separated by commas.")  # fmt: skip
@click.option("--method", default=None, help="Coding method.  [default: stablecodec]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="One TSV row per file.")
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path),
              help="Draw a contact sheet beside AVIF at the first rate; measure nothing.")  # fmt: skip
@click.option("--quiet", is_flag=True, help="No progress bar.")
def bench_command(
    corpus: Path, rates: str, method: str | None, device: str, output: Path | None, sheet: Path | None, quiet: bool
) -> None:
    """Encode, decode and score every picture of a folder at every rate; print means as a table.

    Needs the networks of the perceptual metrics: lcodec weights fetch lpips-alex lpips-vgg dists
    """
    from latentcodec.bench.run import list_pictures, measure, summary, write_tsv
    from latentcodec.bench.sheet import draw
    from latentcodec.cli.console import progress
    from latentcodec.pipelines.registry import DEFAULT_METHOD
    from latentcodec.rate import parse_target

    paths = list_pictures(corpus)
    if not paths:
        raise InputError(f"no pictures in {corpus}")
    targets = rates.split(",")
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
    if sheet is not None:
        draw(paths, parse_target(targets[0]), method or DEFAULT_METHOD, device, sheet)
        return
    measured = measure(paths, targets, method or DEFAULT_METHOD, device)
    with progress(range(len(paths) * len(targets)), "files", enabled=not quiet) as steps:
        rows = []
        for _ in steps:
            rows.append(next(measured))
            if output is not None:
                write_tsv(rows, output)  # after every row: an interrupted run keeps what it measured
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    click.echo("\n".join(summary(rows)))
    click.echo(f"\nPeak memory of this process, metric networks included: {peak:.0f} MB")
