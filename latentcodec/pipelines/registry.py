"""Codec id -> pipeline. The ids are fixed in formats/README.md and never reused."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from latentcodec.errors import InputError, UnsupportedError, WeightsError
from latentcodec.pipelines.base import Pipeline
from latentcodec.weights import store
from latentcodec.weights.manifest import row

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Method:
    """A coding method as users name it, and its weights: the first row writes new files, all of them read."""

    name: str
    codec_id: int
    weights: tuple[str, ...]


METHODS = (Method("stablecodec", 2, ("stablecodec-mini",)),)
DEFAULT_METHOD = "stablecodec"


def method_named(name: str) -> Method:
    """The method called `name`. Raises InputError."""
    for method in METHODS:
        if method.name == name:
            return method
    raise InputError(f"no method called {name!r}; there is {', '.join(m.name for m in METHODS)}")


def method_of(codec_id: int) -> Method:
    """The method whose files carry this id. Raises UnsupportedError."""
    for method in METHODS:
        if method.codec_id == codec_id:
            return method
    raise UnsupportedError(f"codec {codec_id} is unknown to this version")


def fingerprint_of(weights: str) -> int:
    """Leading two bytes of the SHA-256 of a weights file, as files name it."""
    return int(row(weights).sha256[:4], 16)


def weights_of(method: Method, fingerprint: int) -> str:
    """The row that a file was written with. Raises WeightsError if this program has none with that fingerprint."""
    known = {fingerprint_of(name): name for name in method.weights}
    if fingerprint not in known:
        have = ", ".join(f"{value:04x}" for value in known)
        raise WeightsError(
            f"the file needs {method.name} weights with fingerprint {fingerprint:04x}; this program has {have}"
        )
    return known[fingerprint]


def resolve_device(device: str) -> "torch.device":
    """'auto', 'cpu', 'cuda' -> device. Raises InputError if CUDA is asked for and absent."""
    import torch

    available = torch.cuda.is_available()
    if device == "auto":
        return torch.device("cuda" if available else "cpu")
    if device == "cuda" and not available:
        raise InputError("no CUDA device was found; use --device cpu")
    if device not in ("cpu", "cuda"):
        raise InputError(f"unknown device {device!r}; there is auto, cpu, cuda")
    return torch.device(device)


@cache
def pipeline(method: Method, weights: str, device: str = "auto") -> Pipeline:
    """The method's pipeline with these weights loaded and verified; kept for further pictures."""
    from latentcodec.pipelines.stablecodec import StableCodecPipeline

    assert method.name == "stablecodec"
    return StableCodecPipeline(store.load(weights), resolve_device(device))
