"""Writes the generated pages: docs/cli.md from --help, dissected files in formats, docs/results.md.

python tests/generate_docs.py           write
python tests/generate_docs.py --check   fail if a page is stale
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from latentcodec import __version__
from latentcodec.bench.markdown import tables
from latentcodec.bench.peers import BUILT_IN
from latentcodec.bench.report import prepare
from latentcodec.bench.results import read_tsv
from latentcodec.bench.summary import summary
from latentcodec.cli.main import cli
from latentcodec.container import file as container
from latentcodec.container.fields import BitField, unpack
from latentcodec.container.header import HEADER, HEADER_BYTES
from latentcodec.models.overfit.parameters import UNCHANGED
from latentcodec.pipelines.overfit_prefix import CHANGES, FOREIGN, PREFIX, Prefix
from latentcodec.pipelines.registry import METHODS

ROOT = Path(__file__).parents[1]
CLI_PAGE = ROOT / "docs" / "cli.md"
CONTAINER_PAGE = ROOT / "formats" / "container.md"
OVERFIT_PAGE = ROOT / "formats" / "overfit.md"
DISSECTED = ROOT / "tests" / "golden" / "dissected.lcx"
OVERFITTED = ROOT / "tests" / "golden" / "overfit" / "finest-foreign.lcx"
RESULTS_PAGE = ROOT / "docs" / "results.md"
RESULTS = ROOT / "docs" / "results" / __version__
ANCHOR = "avif"
LONGEST_HEX = 48
START, END = "<!-- dissection -->", "<!-- end of dissection -->"
RESULTS_START, RESULTS_END = "<!-- results -->", "<!-- end of results -->"


def cli_page() -> str:
    """Help of every command, as a user sees it at 100 columns."""
    parts = ["# Command line\n\nGenerated from `lcodec --help`.\n"]
    for path, command in _commands("lcodec", cli):
        settings: Any = {"max_content_width": 100, "terminal_width": 100, **cli.context_settings}
        context = click.Context(command, info_name=path, **settings)
        parts.append(f"## {path}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def _commands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            child = command.get_command(click.Context(command), name)
            assert child is not None
            yield from _commands(f"{path} {name}", child)


def dissection(path: Path, *parts: Sequence[BitField], channels: int = 0) -> str:
    """A golden file, field by field: header, parts of the payload, mean and scale of channels, range-coded symbols."""
    data = path.read_bytes()
    name = path.relative_to(ROOT).as_posix()
    lines = [f"`{name}`, {len(data)} bytes:", "", "```text", *_hex_lines(data), "```", ""]
    lines += ["| bits | field | stored | value |", "|---|---|---|---|"]
    offset = 0
    for part in (HEADER, *parts):
        values = container.read_header(data) if part is HEADER else unpack(part, data[offset // 8 :])
        for field in part:
            lines.append(_field_row(field, offset, values[field.name]))
            offset += field.bits
    for title, kind in (("m", "i1"), ("s", "u1")) if channels else ():
        stored = data[offset // 8 :][:channels]
        numbers = ", ".join(map(str, np.frombuffer(stored, kind)))
        lines.append(f"| {offset}-{offset + 8 * channels - 1} | {title} | {stored.hex()} | {numbers} |")
        offset += 8 * channels
    coded = data[offset // 8 :].hex()
    shown = coded if len(coded) <= LONGEST_HEX else f"{coded[:LONGEST_HEX]}..."
    lines.append(f"| {offset}-{8 * len(data) - 1} | payload | {shown} | range-coded symbols |")
    return "\n".join(lines)


def _hex_lines(data: bytes) -> list[str]:
    return [f"{start:04x}  {data[start : start + 16].hex(' ')}" for start in range(0, len(data), 16)]


def _field_row(field: BitField, offset: int, value: int) -> str:
    return f"| {offset}-{offset + field.bits - 1} | {field.name} | {value - field.bias:#x} | {value} |"


def container_page() -> str:
    """formats/container.md with the dissection replaced."""
    return _replaced(CONTAINER_PAGE, dissection(DISSECTED))


def overfit_page() -> str:
    """formats/overfit.md with the dissection replaced."""
    prefix, _ = Prefix.read(OVERFITTED.read_bytes()[HEADER_BYTES:])
    assert prefix.affine is not None
    assert prefix.changes != UNCHANGED
    parts = (PREFIX, CHANGES, FOREIGN)
    return _replaced(OVERFIT_PAGE, dissection(OVERFITTED, *parts, channels=len(prefix.affine.mean)))


def _replaced(page: Path, text: str) -> str:
    before, rest = page.read_text().split(START)
    after = rest.split(END)[1] if END in rest else rest
    return f"{before}{START}\n\n{text}\n\n{END}{after}"


def results_page() -> str:
    """Tables of the committed measurements between the hand-written parts."""
    before, rest = RESULTS_PAGE.read_text().split(RESULTS_START)
    after = rest.split(RESULTS_END)[1]
    rows = read_tsv(RESULTS / "kodak.tsv")
    ours = [row for row in rows if row.codec in [method.name for method in METHODS]]
    report = prepare(rows, ANCHOR, BUILT_IN)
    plots = (RESULTS / "plots").relative_to(RESULTS_PAGE.parent).as_posix()
    parts = ["### Budgets", "\n".join(summary(ours)), tables(report, plots).strip()]
    return before + "\n\n".join([RESULTS_START, *parts, RESULTS_END]) + after


def main() -> None:
    stale = []
    pages = {
        CLI_PAGE: cli_page(),
        CONTAINER_PAGE: container_page(),
        OVERFIT_PAGE: overfit_page(),
        RESULTS_PAGE: results_page(),
    }
    for page, text in pages.items():
        if "--check" not in sys.argv:
            page.write_text(text)
        elif not page.exists() or page.read_text() != text:
            stale.append(str(page.relative_to(ROOT)))
    if stale:
        sys.exit(f"stale, run 'make docs': {', '.join(stale)}")


if __name__ == "__main__":
    main()
