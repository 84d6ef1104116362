"""lcodec decode"""

import time
from pathlib import Path

import click

from latentcodec.cli.files import Job, plan, read_input, run, write_output
from latentcodec.errors import InputError


@click.command("decode")
@click.argument("inputs", nargs=-1, required=True)
@click.option("-o", "--output", help="Output file, or folder for several inputs; '-' is standard output (PNG).")
@click.option("--format", "suffix", default=None, help="Image format where no name tells it.  (default: png)")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--vae", default=None, metavar="FOLDER",
              help="Folder of the autoencoder, for files of method overfit that need one.")  # fmt: skip
@click.option("--model", default=None, metavar="FILE|NAME",
              help="File of weights, as lcodec train --export writes it.")  # fmt: skip
@click.option("--preview", is_flag=True,
              help="Write the faithful preview of a sodec file, in a fraction of the time; --fidelity 1.")  # fmt: skip
@click.option("--fidelity", type=click.FloatRange(0, 1), default=None,
              help="Of a sodec file: from realistic (0, default) to faithful (1, the preview).")  # fmt: skip
@click.option(
    "--max-pixels", type=click.IntRange(1), default=100_000_000, show_default=True, help="Refuse larger pictures."
)
@click.option("--max-memory", default=None, metavar="SIZE",
              help="What stablecodec at full scale may take: 8GB.  (default: most of what is free)")  # fmt: skip
@click.option("-n", "--no-clobber", is_flag=True, help="Do not overwrite existing files.")
@click.option("-v", "--verbose", is_flag=True, help="Tell more about each file.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
@click.pass_context
def decode_command(
    context: click.Context,
    inputs: tuple[str, ...],
    output: str | None,
    suffix: str | None,
    device: str,
    vae: str | None,
    model: str | None,
    preview: bool,
    fidelity: float | None,
    max_pixels: int,
    max_memory: str | None,
    no_clobber: bool,
    verbose: bool,
    quiet: bool,
) -> None:
    """Decode .lcx files to pictures, in the format that the output's suffix names.

    \b
    lcodec decode photo.lcx                      photo.png, unless there is one
    lcodec decode photo.lcx -o photo.jpg
    lcodec decode *.lcx -o out/ --format webp
    lcodec decode photo.lcx --preview            of a sodec file
    lcodec decode - < photo.lcx > photo.png
    """
    from latentcodec.image import check_suffix
    from latentcodec.limits import Limits
    from latentcodec.units import parse_bytes

    limits = Limits(max_pixels, max_memory_bytes=None if max_memory is None else parse_bytes(max_memory))
    if preview and fidelity is not None:
        raise InputError("--preview is --fidelity 1: give one of them")
    blend = 1.0 if preview else fidelity or 0.0
    default_suffix = "." + (suffix or "png").lstrip(".").lower()
    jobs = plan(inputs, output, default_suffix)
    for job in jobs:
        if suffix is not None and _suffix(job, default_suffix).lower() != default_suffix:
            raise InputError(f"--format {suffix} and -o {output} are two formats: give one of them")
        try:
            check_suffix(_suffix(job, default_suffix))
        except InputError as error:
            raise InputError(f"{job.name}: {error}") from error

    def work(job: Job) -> str:
        from latentcodec.api import decode
        from latentcodec.image import left_out, write_picture

        data = read_input(job.source)
        started = time.perf_counter()
        picture = decode(data, device=device, limits=limits, vae=vae, model=model, fidelity=blend)
        seconds = time.perf_counter() - started
        kind = _suffix(job, default_suffix)
        if not quiet:
            for note in left_out(picture, kind):
                click.echo(f"{job.name}: {note}", err=True)
        write_output(job.target, write_picture(picture, kind))
        message = f"{job.name} -> {job.target}: {picture.size[0]}x{picture.size[1]}"
        return message + (f", {seconds:.2f} s" if verbose else "")

    # An output that nobody has named may be the original.
    advice = "; -o writes over it" if output is None else ""
    context.exit(run(jobs, work, no_clobber=no_clobber or output is None, quiet=quiet, advice=advice))


def _suffix(job: Job, default: str) -> str:
    return Path(job.target).suffix or default
