"""lcodec latents"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from latentcodec.cli.files import write_output
from latentcodec.errors import InputError

if TYPE_CHECKING:
    from latentcodec.bench.latents import Point

T = TypeVar("T")


@click.command("latents")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--vae", default="mini", show_default=True, metavar="NAME|FOLDER", help="Whose latents.")
@click.option("--efforts", default="1,5", show_default=True, help="Of the fit, separated by commas.")
@click.option("--qualities", default="15,30,45,60,75", show_default=True, help="At least four, separated by commas.")
@click.option("--within", metavar="BPP-BPP", help="BD-rates of the points of overfit at these rates, too.")
@click.option("-o", "--output", metavar="FILE", help="Write every point as a table (TSV).")
def latents_command(
    folder: Path, vae: str, efforts: str, qualities: str, within: str | None, output: str | None
) -> None:
    """Compare method overfit with simpler ways to store the latents of pictures, in bits and latent MSE.

    \b
    lcodec latents kodak/ --vae taef2 --efforts 1,5 -o latents.tsv
    """
    from rich.console import Console
    from rich.progress import track

    from latentcodec.bench.latents import FEWEST_POINTS, FITTED, bd_rates, measure, to_tsv
    from latentcodec.bench.run import list_pictures
    from latentcodec.pipelines.base import Settings
    from latentcodec.rate import Quality

    chosen = _numbers(int, efforts), _numbers(float, qualities)
    ranges = {"": None} if within is None else {"": None, f" at {within} bpp": _range(within)}
    if len(chosen[1]) < FEWEST_POINTS:
        raise InputError(f"{len(chosen[1])} qualities; a curve takes {FEWEST_POINTS} points")
    for effort in chosen[0]:
        Settings(effort)  # raises for those out of range
    for quality in chosen[1]:
        Quality(quality)
    pictures = list_pictures(folder)
    if not pictures:
        raise InputError(f"no pictures in {folder}")
    points: list[Point] = []
    console = Console(stderr=True)
    for path in track(pictures, "measuring", console=console, disable=not sys.stderr.isatty()):
        points += measure(path, vae, *chosen)
        if output is not None:
            write_output(output, to_tsv(points).encode())
    for where, rates in ranges.items():
        for (anchor, method), rate in bd_rates(points, rates).items():
            left_out = f", without {', '.join(rate.without)}" if rate.without else ""
            click.echo(f"{method} against {anchor}{where}: BD-rate {rate.percent:+.1f} % (latent MSE, {vae}{left_out})")
    for effort in chosen[0]:
        fits = [p for p in points if p.method == f"{FITTED}:{effort}"]
        encode, decode = (sum(getattr(p, n) for p in fits) / len(fits) for n in ("encode_seconds", "decode_seconds"))
        click.echo(f"{FITTED}:{effort}: {encode:.1f} s to encode, {1000 * decode:.0f} ms from payload to latents")


def _range(text: str) -> tuple[float, float]:
    low, *others = _numbers(float, text, "-")
    if len(others) != 1 or not low < others[0]:
        raise InputError(f"{text!r} is no range of bits per pixel, as 0.005-0.3 is")
    return low, others[0]


def _numbers(kind: Callable[[str], T], text: str, separator: str = ",") -> tuple[T, ...]:
    try:
        return tuple(kind(part) for part in text.split(separator))
    except ValueError as error:
        raise InputError(f"{text!r} is not a list of numbers") from error
