"""The codecs that a bench compares, each behind the same two calls.

lcodec's methods meet a target themselves; the classical codecs of `classical.py` are searched for the richest setting
within the budget. "avif/2" is AVIF on a picture scaled down by 2 and back up, both with a Lanczos filter: the only fair
opponent where the codec alone cannot get that small. "vae:taef2" is no codec, but what an autoencoder can keep.

To add a codec, write a class with these members and name it in `codec_named`.
"""

import time
from pathlib import Path
from typing import Protocol

from latentcodec import __version__
from latentcodec.api import decode, encode_picture, inspect
from latentcodec.bench import classical
from latentcodec.bench.coded import Coded
from latentcodec.errors import InputError
from latentcodec.image import Pixels, resize
from latentcodec.pipelines.base import DEFAULT_SETTINGS, Settings
from latentcodec.pipelines.registry import METHODS, method_named, model_named, sha256_of
from latentcodec.rate import Quality, Target, budget_bytes
from latentcodec.weights.hashing import sha256_of as sha256_of_file

SCALES = (2, 4, 8)
ROUND_TRIP = "vae"


class Codec(Protocol):
    """What a bench needs of a codec."""

    name: str
    version: str
    weights: str

    def encode(self, pixels: Pixels, target: Target) -> Coded:
        """uint8 [H, W, 3] -> file within the target. Raises BudgetError where that is out of reach."""

    def decode(self, data: bytes, size: tuple[int, int]) -> Pixels:
        """File -> uint8 [H, W, 3] of `size` (width, height)."""


class Learned:
    """A method of lcodec, with what its name says after colons.

    "stablecodec" or "stablecodec:7", with an effort; "stablecodec:7:psnr", tuned; "overfit:taef2:7" and
    "overfit:taef2:7:perceptual", with an autoencoder as well; "sodec", "sodec:0.5" or "sodec:preview", with the
    fidelity of the decoder. "sodec@own.safetensors", with other weights.
    """

    version = __version__

    def __init__(self, name: str, device: str):
        self.name = name
        named, *options = name.split(":")
        self._method, _, weights = named.partition("@")
        self._own, self._model, self._device = weights or None, None, device
        self._settings, self._fidelity = DEFAULT_SETTINGS, 0.0
        chosen = method_named(self._method)
        if chosen.preview and options:
            self._fidelity = _fidelity(name, options)
        elif options:
            self._model, self._settings = _model_and_settings(name, options)
        if self._own is not None:
            self.weights = sha256_of_file(Path(model_named(chosen, None, self._own)))[:16]
            return
        used = next((m for m in chosen.models if m.name == (self._model or chosen.models[0].name)), None)
        if used is None:
            known = ", ".join(m.name for m in chosen.models)
            raise InputError(f"{name}: no model called {self._model!r}; there is {known}")
        self.weights = sha256_of(used)[:16]

    def encode(self, pixels: Pixels, target: Target) -> Coded:
        result = encode_picture(
            pixels,
            target,
            method=self._method,
            device=self._device,
            vae=self._model,
            model=self._own,
            settings=self._settings,
        )
        overhead = len(result.data) - result.information_bits / 8
        return Coded(result.data, str(inspect(result.data).rate), overhead)

    def decode(self, data: bytes, size: tuple[int, int]) -> Pixels:
        return decode(data, device=self._device, model=self._own, fidelity=self._fidelity).pixels


def _fidelity(name: str, options: list[str]) -> float:
    """['preview'] or ['0.5'] -> 0..1. Raises InputError."""
    try:
        (text,) = options
        fidelity = 1.0 if text == "preview" else float(text)
    except ValueError:
        fidelity = -1.0
    if not 0 <= fidelity <= 1:
        raise InputError(
            f"cannot read the codec {name!r}; write sodec:preview or sodec:0.5, with a fidelity from 0 to 1"
        )
    return fidelity


def _model_and_settings(name: str, options: list[str]) -> tuple[str | None, Settings]:
    """['taef2', '7', 'perceptual'] -> autoencoder and settings, any of which may be missing at the end; ['7'] ->
    settings, of a method that has no choice of autoencoders. Raises InputError.
    """
    method = method_named(method_of(name))
    model, effort, tune, *rest = (*options, "", "") if method.fits else ("", *options, "", "")
    if any(rest) or (effort and not effort.isdecimal()):
        raise InputError(
            f"cannot read the codec {name!r}; write stablecodec:7 or overfit:taef2:7, with an effort from 1 to 10, "
            "and what to tune for, as in stablecodec:7:psnr"
        )
    settings = Settings(int(effort) if effort else None, tune or None)
    method.check(settings)
    return model or None, settings


class Classical:
    """A classical codec on the picture itself, or on one scaled down by `factor`."""

    weights = ""

    def __init__(self, codec: classical.Encoder, factor: int = 1):
        self.name = codec.name if factor == 1 else f"{codec.name}/{factor}"
        self.version = codec.version
        self._codec = classical.Remembering(codec)
        self._factor = factor
        self._last: tuple[Pixels, Pixels, float] | None = None  # a picture, the smaller one, seconds that it took

    def encode(self, pixels: Pixels, target: Target) -> Coded:
        """Faster for further targets of the same array, which must not be changed in between."""
        height, width = pixels.shape[:2]
        self._codec.saved_seconds = 0.0
        small = self._smaller(pixels)
        if isinstance(target, Quality):
            data, setting = classical.at_quality(self._codec, small, target.value)
        else:
            data, setting = classical.within(self._codec, small, budget_bytes(target, width * height))
        return Coded(data, f"{setting:g}", saved_seconds=self._codec.saved_seconds)

    def _smaller(self, pixels: Pixels) -> Pixels:
        if self._last is not None and self._last[0] is pixels:
            self._codec.saved_seconds += self._last[2]
            return self._last[1]
        height, width = pixels.shape[:2]
        started = time.perf_counter()
        small = resize(pixels, (-(-width // self._factor), -(-height // self._factor)))
        self._last = pixels, small, time.perf_counter() - started
        return small

    def decode(self, data: bytes, size: tuple[int, int]) -> Pixels:
        return resize(self._codec.decode(data), size)


def method_of(name: str) -> str:
    """'overfit:taef2:7', 'sodec@own.safetensors' -> what `Learned` takes for the method."""
    return name.partition(":")[0].partition("@")[0]


def codec_named(name: str, device: str = "auto") -> Codec:
    """'stablecodec', 'avif/4', 'vae:mini', ... Raises InputError for an unknown one, or if its program is missing."""
    methods = [method.name for method in METHODS]
    if method_of(name) in methods:
        return Learned(name, device)
    if name.partition(":")[0] == ROUND_TRIP:
        from latentcodec.bench.uncoded import Uncoded

        return Uncoded(name, device)
    base, _, factor = name.partition("/")
    if base not in classical.ENCODERS or factor not in ("", *map(str, SCALES)):
        known = ", ".join((*methods, ROUND_TRIP, *classical.ENCODERS))
        raise InputError(f"unknown codec {name!r}; there is {known}, and classical ones scaled: avif/2, avif/4, avif/8")
    return Classical(classical.ENCODERS[base](), int(factor or 1))
