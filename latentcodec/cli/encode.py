"""lcodec encode"""

import json
import time
from pathlib import Path

import click

from latentcodec.cli.files import STDIO, Job, plan, read_input, run, write_output


@click.command("encode")
@click.argument("inputs", nargs=-1, required=True)
@click.option("-o", "--output", help="Output file, or folder for several inputs; '-' is standard output.")
@click.option("-q", "--target", "target_text", default="50", show_default=True, metavar="TARGET",
              help="0.05bpp, 20kB or 2048B: a budget for the file, never exceeded; 0 to 100: a quality.")  # fmt: skip
@click.option("--method", default=None, help="Coding method.  (default: stablecodec)")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--best-effort", is_flag=True, help="Come as close as possible to a budget that is out of reach.")
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
    device: str,
    best_effort: bool,
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
    from latentcodec.rate import parse_target

    target = parse_target(target_text)
    jobs = plan(inputs, output, ".lcx")

    def work(job: Job) -> str:
        from latentcodec.api import encode_picture
        from latentcodec.image import read_picture, without_metadata
        from latentcodec.pipelines.registry import DEFAULT_METHOD

        picture = read_picture(read_input(STDIO) if job.source == STDIO else Path(job.source), keep_icc)
        if not keep_metadata and (picture.exif or picture.xmp):
            dropped = len(picture.exif or b"") + len(picture.xmp or b"")
            if not quiet:
                click.echo(f"{job.name}: {dropped} bytes of EXIF/XMP left out (--keep-metadata stores them)", err=True)
            picture = without_metadata(picture)
        started = time.perf_counter()
        result = encode_picture(
            picture, target, method=method or DEFAULT_METHOD, device=device, best_effort=best_effort
        )
        seconds = time.perf_counter() - started
        write_output(job.target, result.data)
        width, height = picture.size
        figures = {
            "input": job.name,
            "output": job.target,
            "width": width,
            "height": height,
            "bytes": len(result.data),
            "bpp": round(8 * len(result.data) / (width * height), 6),
            "information_bytes": round(result.information_bits / 8, 2),
            "seconds": round(seconds, 3),
        }
        if as_json:
            click.echo(json.dumps(figures))
        message = f"{job.name} -> {job.target}: {width}x{height}, {len(result.data)} bytes, {figures['bpp']:.4f} bpp"
        if verbose:
            message += f", {figures['information_bytes']} bytes of information, {seconds:.2f} s"
        return message

    context.exit(run(jobs, work, no_clobber=no_clobber, quiet=quiet or as_json))
