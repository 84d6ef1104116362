"""Tables out of formats/*.md."""

from pathlib import Path

FORMATS = Path(__file__).parents[2] / "formats"


def text(name):
    return (FORMATS / name).read_text()


def table_after(name, heading):
    """Rows of the first table whose head begins with `heading`."""
    return tables_of(name, heading)[0]


def tables_of(name, heading):
    """Rows of every table whose head begins with `heading`."""
    lines, found = text(name).splitlines(), []
    for start, line in enumerate(lines):
        if line.startswith(f"| {heading} |"):
            body = lines[start + 2 :]
            end = next((i for i, row in enumerate(body) if not row.startswith("|")), len(body))
            found.append([[cell.strip() for cell in row.strip("|").split("|")] for row in body[:end]])
    return found
