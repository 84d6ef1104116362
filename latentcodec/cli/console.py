"""Progress bars on stderr, only where a person watches; tables on stdout, drawn only there."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import click

T = TypeVar("T")


@contextmanager
def progress(items: Sequence[T], unit: str, enabled: bool) -> Iterator[Iterator[T]]:
    """Iterate over `items` under a progress bar, or plainly where stderr is no terminal."""
    if not enabled or not sys.stderr.isatty():
        yield iter(items)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield iter(bar.track(items))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A drawn table on a terminal, else columns aligned with spaces."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*header)
        for row in rows:
            table.add_row(*map(Text, row))
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def split_names(text: str) -> tuple[str, ...]:
    """'avif, jxl,avif' -> ('avif', 'jxl'): what an option lists, each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",")))
