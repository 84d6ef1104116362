"""lcodec encode"""

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from latentcodec.cli.files import STDIO, Job, plan, read_input, run, write_output
from latentcodec.cli.fitting import fitting
from latentcodec.errors import BudgetError, InputError

if TYPE_CHECKING:
    from latentcodec.image import Picture


@dataclass(frozen=True)
class Figures:
    """What is told about one encoded file."""

    input: str
    output: str
    width: int
    height: int
    bytes: int
    budget_bytes: int | None
    bpp: float
    information_bytes: float
    seconds: float


@click.command("encode")
@click.argument("inputs", nargs=-1, required=True)
@click.option("-o", "--output", help="Output file, or folder for several inputs; '-' is standard output.")
@click.option("-q", "--quality", "--target", "target_text", default="50", show_default=True, metavar="TARGET",
              help="0.05bpp, 20kB or 2048B: a budget for the file, never exceeded; 0 to 100: a quality.")  # fmt: skip
@click.option("--method", default=None, help="Coding method: stablecodec, overfit or sodec.  (default: stablecodec)")
@click.option("--vae", default=None, metavar="NAME|FOLDER",
              help="Autoencoder of method overfit: mini (default), taef2, sd-turbo, or a folder.")  # fmt: skip
@click.option("--model", default=None, metavar="FILE|NAME",
              help="Weights for stablecodec or sodec: an exported file, or an imported name.")  # fmt: skip
@click.option("--scale", type=click.Choice(["mini", "sd-turbo"]), default="mini", show_default=True,
              help="sd-turbo: the imported StableCodec checkpoint nearest to the budget.")  # fmt: skip
@click.option("--effort", type=click.IntRange(1, 10), default=None,
              help="How hard to try: a better picture of the same bytes.  (default: 1; overfit: 5)")  # fmt: skip
@click.option("--tune", type=click.Choice(["perceptual", "psnr", "ssim", "mse"]), default=None,
              help="What to be close in: perceptual (default), psnr or ssim; overfit: mse of latents (default) or "
              "perceptual.")  # fmt: skip
@click.option("--keep-partial", is_flag=True, help="Ctrl-C ends the effort early and keeps the best so far.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--max-memory", default=None, metavar="SIZE",
              help="What stablecodec at full scale may take: 8GB.  (default: most of what is free)")  # fmt: skip
@click.option("--best-effort", is_flag=True, help="Come as close as possible to a budget that is out of reach.")
@click.option("--background", default=None, metavar="COLOUR",
              help="Lay what is transparent over this (white, '#336699') instead of storing alpha.")  # fmt: skip
@click.option("--keep-icc", is_flag=True, help="Store the colour profile instead of converting to sRGB.")
@click.option("--keep-metadata", is_flag=True, help="Store EXIF and XMP; they count towards the budget.")
@click.option("-n", "--no-clobber", is_flag=True, help="Do not overwrite existing files.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per file on standard output.")
@click.option("-v", "--verbose", is_flag=True, help="Tell more about each file.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
@click.pass_context
def encode_command(
    context: click.Context,
    inputs: tuple[str, ...],
    output: str | None,
    target_text: str,
    method: str | None,
    vae: str | None,
    model: str | None,
    scale: str,
    effort: int | None,
    tune: str | None,
    keep_partial: bool,
    device: str,
    max_memory: str | None,
    best_effort: bool,
    background: str | None,
    keep_icc: bool,
    keep_metadata: bool,
    no_clobber: bool,
    as_json: bool,
    verbose: bool,
    quiet: bool,
) -> None:
    """Encode pictures to .lcx files.

    \b
    lcodec encode photo.png                      photo.lcx, quality 50
    lcodec encode photo.png -q 0.05bpp           at most 0.05 bits per pixel
    lcodec encode *.jpg -q 2048B -o small/       each at most 2048 bytes
    cat photo.png | lcodec encode - > photo.lcx
    """
    from latentcodec.image import parse_colour
    from latentcodec.pipelines.registry import DEFAULT_METHOD, method_named
    from latentcodec.rate import Quality, budget_bytes, parse_target
    from latentcodec.units import parse_bytes

    memory = None if max_memory is None else parse_bytes(max_memory)
    target = parse_target(target_text)
    colour = None if background is None else parse_colour(background)
    if isinstance(target, Quality) and 0 < target.value < 1 and not quiet:
        click.echo(f"-q {target_text} is a quality, of 0 to 100; for bits per pixel write {target_text}bpp", err=True)
    if as_json and (output == STDIO or (output is None and STDIO in inputs)):
        raise InputError("--json and the file cannot both go to standard output")
    chosen = method or DEFAULT_METHOD
    coding = method_named(chosen)
    if vae is not None and not coding.fits:
        raise InputError(f"method {chosen} uses no autoencoder but its own: --vae is for overfit")
    jobs = plan(inputs, output, ".lcx")

    def work(job: Job) -> str:
        from latentcodec.api import encode_picture

        picture = _read(job, colour, keep_icc, keep_metadata, quiet)
        started = time.perf_counter()
        hidden, (width, height) = quiet or as_json or len(jobs) > 1, picture.size
        budget = None if isinstance(target, Quality) else budget_bytes(target, width * height)
        try:
            with fitting(effort, tune, keep_partial, hidden, width * height) as settings:
                result = encode_picture(
                    picture,
                    target,
                    method=chosen,
                    device=device,
                    best_effort=best_effort,
                    vae=vae,
                    model=model,
                    scale=scale,
                    settings=replace(settings, max_memory_bytes=memory),
                )
        except BudgetError as error:
            raise BudgetError(f"{error}; --best-effort takes the nearest") from error
        seconds = round(time.perf_counter() - started, 3)
        write_output(job.target, result.data)
        size = len(result.data)
        if budget is not None and size > budget and not quiet:
            click.echo(f"{job.name}: {size} bytes are the fewest that it takes, not {budget}", err=True)
        bpp, information = round(8 * size / (width * height), 6), round(result.information_bits / 8, 2)
        figures = Figures(job.name, job.target, width, height, size, budget, bpp, information, seconds)
        if as_json:
            click.echo(json.dumps(asdict(figures)))
        return _describe(figures, verbose)

    context.exit(run(jobs, work, no_clobber=no_clobber, quiet=quiet or as_json))


def _read(
    job: Job, background: tuple[int, int, int] | None, keep_icc: bool, keep_metadata: bool, quiet: bool
) -> "Picture":
    """The input picture; tells what is left out of it."""
    from latentcodec.image import over, read_picture, without_metadata

    picture = read_picture(read_input(STDIO) if job.source == STDIO else Path(job.source), keep_icc)
    if background is not None:
        picture = over(picture, background)
    notes = list(picture.notes)
    if not keep_metadata and (picture.exif or picture.xmp):
        dropped = len(picture.exif or b"") + len(picture.xmp or b"")
        notes.append(f"{dropped} bytes of EXIF/XMP left out (--keep-metadata stores them)")
        picture = without_metadata(picture)
    if not quiet:
        for note in notes:
            click.echo(f"{job.name}: {note}", err=True)
    return picture


def _describe(figures: Figures, verbose: bool) -> str:
    size = f"{figures.width}x{figures.height}, {figures.bytes} bytes, {figures.bpp:.4f} bpp"
    more = f", {figures.information_bytes} bytes of information, {figures.seconds:.2f} s" if verbose else ""
    return f"{figures.input} -> {figures.output}: {size}{more}"
