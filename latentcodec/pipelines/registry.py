"""Codec id -> pipeline. The ids are fixed in formats/README.md and never reused."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from latentcodec.errors import InputError, UnsupportedError, WeightsError
from latentcodec.pipelines.base import MSE, PERCEPTUAL, PSNR, SSIM, Pipeline, Settings
from latentcodec.weights import hashing, store
from latentcodec.weights.manifest import row

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Model:
    """What a method codes with: rows of weights.toml, all of which its fingerprint covers."""

    name: str
    weights: tuple[str, ...]


@dataclass(frozen=True)
class Method:
    """A coding method as users name it, and its models: the first one writes new files, all of them are read.

    preview: whether its files hold a faithful picture beside the realistic one. fits: whether its encoder fits a
    function to each picture, for an autoencoder of choice. tunes: what its encoder can be tuned for, by default first.
    """

    name: str
    codec_id: int
    models: tuple[Model, ...]
    preview: bool = False
    fits: bool = False
    tunes: tuple[str, ...] = (PERCEPTUAL, PSNR, SSIM)

    def check(self, settings: Settings) -> None:
        """Raises InputError for what its encoder cannot be tuned for."""
        if settings.tune not in (None, *self.tunes):
            there = ", ".join(self.tunes)
            raise InputError(f"method {self.name} cannot be tuned for {settings.tune}; there is {there}")


FOREIGN_REFERENCE = "overfit-taef2"  # what files of an autoencoder without a reference of its own are relative to
METHODS = (
    Method("stablecodec", 2, (Model("stablecodec-mini", ("stablecodec-mini",)),)),
    Method(
        "overfit",
        1,
        (
            Model("mini", ("stablecodec-mini", "overfit-mini")),
            Model("taef2", ("taef2-encoder", "taef2-decoder", "overfit-taef2")),
            Model("sd-turbo", ("sd-turbo-vae", FOREIGN_REFERENCE)),
        ),
        fits=True,
        tunes=(MSE, PERCEPTUAL),
    ),
    Method("sodec", 3, (Model("sodec-mini", ("sodec-mini",)),), preview=True),
)
DEFAULT_METHOD = "stablecodec"
FULL_SCALE = "stablecodec, sd-turbo"  # what weights say that belong to the published model


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


def sha256_of(model: Model) -> str:
    """SHA-256 of the model's weights file, or of the hashes of its files."""
    hashes = [row(name).sha256 for name in model.weights]
    return hashes[0] if len(hashes) == 1 else _joined(hashes)


def fingerprint_of(model: Model) -> int:
    """Two bytes that name a model in files: the leading ones of its SHA-256."""
    return int(sha256_of(model)[:4], 16)


def _joined(hashes: list[str]) -> str:
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def model_named(method: Method, autoencoder: str | None, weights: str | None = None) -> str:
    """What a method codes with: a model of its own, somebody's autoencoder, or a file of weights. Raises InputError.

    `autoencoder`: name or folder, for a method that fits. `weights`: a file that training has exported, or the name of
    what was imported, for the others.
    """
    if method.fits:
        if weights is not None:
            raise InputError(f"method {method.name} takes an autoencoder, not a file of weights")
        return autoencoder or method.models[0].name
    if autoencoder is not None and autoencoder not in {model.name for model in method.models}:
        raise InputError(f"method {method.name} uses no autoencoder but its own")
    return method.models[0].name if weights is None else _file_of(weights)


def _file_of(weights: str) -> str:
    """Path of a weights file, or the name of an imported one -> path. Raises InputError."""
    if Path(weights).is_file():
        return weights
    found = store.kept(weights)
    if len(found) != 1:
        have = ", ".join(path.name.split(".")[0] for path in store.kept()) or "none"
        what = f"{len(found)} imported weights are called {weights!r}" if found else f"no weights called {weights!r}"
        raise InputError(f"{what}: no file, and imported are {have}")
    return str(found[0])


def model_of(method: Method, fingerprint: int, autoencoder: str | None = None, weights: str | None = None) -> str:
    """What `model_named` calls the model that a file was written with. Raises WeightsError."""
    if weights is not None and method.fits:
        raise InputError(f"method {method.name} takes an autoencoder, not a file of weights")
    if weights is not None:
        return _checked(_file_of(weights), fingerprint)
    known = {fingerprint_of(model): model.name for model in method.models}
    if fingerprint in known:
        if autoencoder not in (None, known[fingerprint]):
            raise WeightsError(f"the file was written with {known[fingerprint]}, not with {autoencoder}")
        return known[fingerprint]
    if autoencoder in known.values():
        raise WeightsError(f"the file needs autoencoder {fingerprint:04x}, not {autoencoder}")
    imported = [] if method.fits else store.kept(fingerprint=fingerprint)
    if imported:
        return _checked(str(imported[0]), fingerprint)
    if autoencoder is not None and method.fits:
        have = _foreign_fingerprint(autoencoder)
        if have == fingerprint:
            return autoencoder
        raise WeightsError(f"the file needs autoencoder {fingerprint:04x}; {autoencoder} is {have:04x}")
    have_all = ", ".join(f"{value:04x}" for value in known)
    hint = "; name the folder of its autoencoder with --vae" if method.fits else "; name a file of them with --model"
    raise WeightsError(
        f"the file needs {method.name} weights with fingerprint {fingerprint:04x}; this program has {have_all}{hint}"
    )


def _checked(path: str, fingerprint: int) -> str:
    """The path, if the file is what its name says. Raises WeightsError."""
    have = int(hashing.sha256_of(Path(path))[:4], 16)
    if have != fingerprint:
        raise WeightsError(f"the file needs weights {fingerprint:04x}; {path} is {have:04x}")
    return path


def _foreign_fingerprint(folder: str) -> int:
    from latentcodec.pipelines.autoencoders import folder_sha256

    return int(_joined([folder_sha256(folder), row(FOREIGN_REFERENCE).sha256])[:4], 16)


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


def pipeline(method: Method, model: str, device: str = "auto") -> Pipeline:
    """The method's pipeline with the weights of a model loaded and verified; kept for further pictures.

    Of what lies in somebody's files, which may be gigabytes, the last is kept, as long as they do not change.
    """
    if model in {known.name for known in method.models}:
        return _shipped(method, model, device)
    if method.fits:
        from latentcodec.pipelines.autoencoders import folder_sha256

        return _from_files(method, model, device, folder_sha256(model))
    return _from_files(method, model, device, store.verify_kept(Path(model)))


@lru_cache(maxsize=1)
def _from_files(method: Method, model: str, device: str, state: str) -> Pipeline:
    return _built(method, model, device)


@cache
def _shipped(method: Method, model: str, device: str) -> Pipeline:
    return _built(method, model, device)


@contextmanager
def with_gradients() -> Iterator[None]:
    """Gradients can be taken within, whatever mode the caller is in; tensors made in inference mode never have one."""
    import torch

    with torch.inference_mode(mode=False), torch.enable_grad():
        yield


@with_gradients()
def _built(method: Method, model: str, device: str) -> Pipeline:
    resolved = resolve_device(device)
    if method.fits:
        return _overfit(method, model, resolved)
    if method.name == "sodec":
        from latentcodec.pipelines.sodec import SodecPipeline

        return SodecPipeline(_weights(model, method), resolved)
    weights = _weights(model, method)
    if described(weights).get("kind") == FULL_SCALE:
        from latentcodec.pipelines.stablecodec_full import FullStableCodecPipeline

        return FullStableCodecPipeline(weights, resolved)
    from latentcodec.pipelines.stablecodec import StableCodecPipeline

    return StableCodecPipeline(weights, resolved)


def described(weights: store.Weights) -> dict[str, str]:
    """What imported weights say about themselves; nothing for others."""
    try:
        found = json.loads(weights.metadata.get("model", "{}"))
    except (ValueError, RecursionError):
        found = {}
    return found if isinstance(found, dict) else {}


def _weights(model: str, method: Method) -> store.Weights:
    """Of a model by name, or in a file."""
    known = {known.name for known in method.models}
    return store.load(model) if model in known else store.read_weights(Path(model))


def _overfit(method: Method, model: str, device: "torch.device") -> Pipeline:
    from latentcodec.pipelines.autoencoders import load_autoencoder
    from latentcodec.pipelines.overfit import OverfitPipeline

    native = {known.name: known for known in method.models}.get(model)
    reference = store.load(FOREIGN_REFERENCE if native is None else native.weights[-1])
    fingerprint = _foreign_fingerprint(model) if native is None else fingerprint_of(native)
    if native is None and fingerprint in {fingerprint_of(known) for known in method.models}:
        raise WeightsError(f"{model} cannot be told from an autoencoder that this program knows")
    arrays = {name: tensor.numpy() for name, tensor in reference.tensors.items()}
    own = native is not None and native.weights[-1] == f"overfit-{native.name}"
    return OverfitPipeline(load_autoencoder(model, device), arrays, own, fingerprint, device)
