"""The table of results: one row per picture, codec and target, kept as TSV."""

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from latentcodec.errors import InputError
from latentcodec.metrics import registry

METRICS = tuple(registry.METRICS)


@dataclass(frozen=True)
class Row:
    """One picture encoded and decoded by one codec at one target; docs/protocol.md defines every column.

    A figure that was not measured is None, and an empty cell in the file; all are, where the target was out of reach.
    """

    image: str
    codec: str
    target: str
    width: int
    height: int
    setting: str = field(default="")
    size_bytes: int | None = None
    bpp: float | None = None
    budget_bytes: int | None = None
    fill: float | None = None
    overhead_bytes: float | None = None
    encode_seconds: float | None = None
    decode_seconds: float | None = None
    peak_memory_mb: float | None = None
    psnr: float | None = None
    ms_ssim: float | None = None
    ssimulacra2: float | None = None
    cvvdp: float | None = None
    flip: float | None = None
    lpips_alex: float | None = None
    dists: float | None = None
    decoded: str = field(default="")
    codec_version: str = field(default="")
    weights: str = field(default="")
    device: str = field(default="")
    lcodec_version: str = field(default="")
    commit: str = field(default="")

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes a row unique in a table."""
        return self.image, self.codec, self.target


COLUMNS = tuple(f.name for f in fields(Row))
_PARSERS = {"str": str, "int": int, "float": float, "int | None": int, "float | None": float}


def write_tsv(rows: Iterable[Row], path: Path) -> None:
    """All rows under a header line, figures with six significant digits; the file appears whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _to_text(value) for name, value in asdict(row).items()})
    partial.replace(path)


def read_tsv(path: Path) -> list[Row]:
    """Inverse of `write_tsv`. Raises InputError for a file that is no table of results."""
    try:
        return _read(path)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no table of results: it is not UTF-8") from error


def _read(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, delimiter="\t")
        missing = [name for name in ("image", "codec", "target", "bpp") if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(f"{path} is no table of results: it has no column {missing[0]!r}")
        try:
            return [_from_record(record) for record in reader]
        except UnicodeDecodeError:
            raise
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}: line {reader.line_num} cannot be read: {error}") from error


def read_tables(paths: Sequence[Path]) -> list[Row]:
    """Rows of several files in one table, `decoded` relative to the working folder.

    Raises InputError for two rows of one image, codec and target, and for pictures outside of their table's folder.
    """
    rows: dict[tuple[str, str, str], Row] = {}
    for path in paths:
        for row in read_tsv(path):
            if row.key in rows:
                raise InputError(f"{path}: a second row for {row.image}, {row.codec} at {row.target}")
            rows[row.key] = replace(row, decoded=_located(row.decoded, path) if row.decoded else "")
    return list(rows.values())


def _located(decoded: str, table: Path) -> str:
    # A table may come from somebody else; what it names must not lead to other files of the reader.
    if Path(decoded).is_absolute() or ".." in Path(decoded).parts:
        raise InputError(f"{table}: {decoded!r} does not lie beside the table")
    return str(table.parent / decoded)


def _to_text(value: object) -> object:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value


def _from_record(record: dict[str, str]) -> Row:
    values: dict[str, object] = {}
    for column in fields(Row):
        text = record.get(column.name) or ""
        if text or column.type == "str" or column.type is str:
            values[column.name] = _PARSERS[_type_name(column.type)](text)
    return Row(**values)  # type: ignore[arg-type]


def _type_name(annotation: object) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
