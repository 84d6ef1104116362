"""lcodec info: every field of a file, without decoding it."""

import json

import click

from latentcodec.cli.files import read_input
from latentcodec.container import file as container
from latentcodec.container.chunks import Tag
from latentcodec.container.header import CODECS, HEADER, HEADER_BYTES
from latentcodec.errors import LcodecError
from latentcodec.limits import HEADER_ONLY


@click.command("info")
@click.argument("inputs", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per file.")
@click.pass_context
def info_command(context: click.Context, inputs: tuple[str, ...], as_json: bool) -> None:
    """Show every field of .lcx files. Checks the file's checksum; decodes nothing.

    \b
    lcodec info photo.lcx
    lcodec info --json photo.lcx
    """
    code = 0
    for source in inputs:
        try:
            figures = describe(source, read_input(source))
        except LcodecError as error:
            click.echo(f"lcodec: {source}: {error}", err=True)
            code = code or error.exit_code
            continue
        if as_json:
            click.echo(json.dumps(figures))
            continue
        for name, value in figures.items():
            text = ", ".join(f"{k}: {v}" for k, v in value.items()) or "none" if isinstance(value, dict) else value
            click.echo(f"{name:<14}{text}")
    context.exit(code)


def describe(name: str, data: bytes) -> dict[str, object]:
    """Fields of the header as declared, then what follows from them."""
    parsed = container.read(data, HEADER_ONLY)
    header = container.read_header(data)
    fields: dict[str, object] = {field.name: header[field.name] for field in HEADER}
    fields["magic"] = f"{header['magic']:03x}"
    for hexadecimal, digits in (("weights", 4), ("symbols", 2), ("checksum", 4)):
        fields[hexadecimal] = f"{header[hexadecimal]:0{digits}x}"
    chunks = {Tag(chunk.tag).name.lower(): len(chunk.data) for chunk in parsed.chunks}
    return {
        "file": name,
        "bytes": len(data),
        "bpp": round(8 * len(data) / (parsed.width * parsed.height), 5),
        **fields,
        "method": CODECS.get(header["codec"], "unknown"),
        "header_bytes": HEADER_BYTES,
        "chunk_bytes": len(data) - HEADER_BYTES - len(parsed.payload),
        "payload_bytes": len(parsed.payload),
        "chunks": chunks,
    }
