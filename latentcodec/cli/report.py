"""lcodec report"""

import os
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from latentcodec.cli.files import write_output
from latentcodec.errors import InputError

if TYPE_CHECKING:
    from latentcodec.bench.pictures import Comparison
    from latentcodec.bench.results import Row

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("report")
@click.argument("tables", nargs=-1, required=True, type=EXISTING)
@click.option("-o", "--output", metavar="FILE", help="The page, one HTML file.")
@click.option("--images", metavar="NAMES", help="Images to compare on the page: names separated by commas, all or "
              "none.  [default: the first four that have decoded pictures]")  # fmt: skip
@click.option("--anchor", metavar="CODEC", help="What BD-rates are relative to.  [default: the first that is not "
              "lcodec]")  # fmt: skip
@click.option("--plots", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
              help="Draw the curves there, one SVG and one PNG file per metric.")  # fmt: skip
@click.option("--markdown", metavar="FILE", help="Write the tables as Markdown, with links to the plots.")
@click.option("--peers", type=EXISTING, metavar="FILE",
              help="Published figures to draw, TOML or JSON.  [default: those lcodec knows, for Kodak]")  # fmt: skip
@click.option("--quiet", is_flag=True, help="Print errors only.")
def report_command(
    tables: tuple[Path, ...],
    output: str | None,
    images: str | None,
    anchor: str | None,
    plots: Path | None,
    markdown: str | None,
    peers: Path | None,
    quiet: bool,
) -> None:
    """Draw what lcodec bench measured: curves, BD-rates, and pictures side by side.

    \b
    lcodec report results.tsv -o report.html
    lcodec report lcodec.tsv others.tsv -o report.html --images kodim01,kodim07
    lcodec report results.tsv --plots docs/plots --markdown docs/tables.md
    """
    if output is None and plots is None and markdown is None:
        raise InputError("nothing to write; give -o FILE, --plots DIR or --markdown FILE")
    _require_packages()
    from latentcodec.bench.markdown import tables as to_markdown
    from latentcodec.bench.peers import BUILT_IN
    from latentcodec.bench.plots import draw
    from latentcodec.bench.report import page, prepare
    from latentcodec.bench.results import read_tables

    report = prepare(read_tables(tables), anchor, peers or BUILT_IN)
    files: dict[str, bytes] = {}
    if output is not None:
        gaps: list[str] = []
        files[output] = page(report, list(_compare(report.rows, images, gaps, quiet)), gaps).encode()
    if markdown is not None:
        folder = None if plots is None else Path(os.path.relpath(plots, Path(markdown).parent)).as_posix()
        files[markdown] = to_markdown(report, folder).encode()
    if plots is not None:
        files |= {str(plots / name): data for name, data in draw(report).items()}
    _refuse_inputs(files, tables)
    if plots is not None:
        plots.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        write_output(name, data)
    if not quiet:
        for line in (*(f"{name}: {len(data)} bytes" for name, data in files.items()), *report.summary.gaps):
            click.echo(line, err=True)


def _require_packages() -> None:
    for name in ("bjontegaard", "matplotlib", "scipy"):
        if find_spec(name) is None:
            raise InputError(f"lcodec report needs {name}; pip install 'lcodec[bench]'")


def _refuse_inputs(outputs: Iterable[str], inputs: Sequence[Path]) -> None:
    for name in outputs:
        if Path(name).resolve() in [path.resolve() for path in inputs]:
            raise InputError(f"{name}: the output would replace the input")


def _compare(rows: Sequence["Row"], names: str | None, gaps: list[str], quiet: bool) -> Iterator["Comparison"]:
    """The chosen images under a progress bar: lossless pictures take a while."""
    from latentcodec.bench.pictures import choose, compare
    from latentcodec.cli.console import progress

    if names == "none":
        return
    everything = list(dict.fromkeys(row.image for row in rows if row.decoded))
    chosen = everything if names == "all" else choose(rows, None if names is None else names.split(","))
    with progress(chosen, "images", enabled=not quiet) as images:
        for image in images:
            yield from compare(rows, [image], gaps)
