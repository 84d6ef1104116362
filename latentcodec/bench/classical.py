"""Classical codecs as opponents: what one setting makes of a picture, and the search for the best within a budget."""

import io
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image, features

from latentcodec.errors import BudgetError, InputError
from latentcodec.image import Pixels


class Encoder(Protocol):
    """A codec with a list of settings, from the smallest files to the largest."""

    name: str
    version: str
    settings: Sequence[float]

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """uint8 [H, W, 3] -> file."""

    def decode(self, data: bytes) -> Pixels:
        """File -> uint8 [H, W, 3]."""


def within(codec: Encoder, pixels: Pixels, budget: int) -> tuple[bytes, float]:
    """The file of the richest setting that fits the budget in bytes, and the setting. Raises BudgetError."""
    low, high, best = 0, len(codec.settings) - 1, None
    while low <= high:
        middle = (low + high) // 2
        data = codec.encode(pixels, codec.settings[middle])
        if len(data) <= budget:
            best, low = (data, codec.settings[middle]), middle + 1
        else:
            high = middle - 1
    if best is None:
        raise BudgetError(f"{codec.name} takes {len(data)} bytes at least; {budget} are out of reach")
    return best


def at_quality(codec: Encoder, pixels: Pixels, quality: float) -> tuple[bytes, float]:
    """The file at a position 0..100 in the list of settings, and the setting."""
    setting = codec.settings[round(quality / 100 * (len(codec.settings) - 1))]
    return codec.encode(pixels, setting), setting


class Remembering:
    """An encoder that keeps the files of the picture it saw last: searches for several budgets share most trials.

    saved_seconds: what encoding again would have taken, added up since it was last set to zero.
    """

    def __init__(self, codec: Encoder):
        self.name, self.version, self.settings = codec.name, codec.version, codec.settings
        self.saved_seconds = 0.0
        self._codec = codec
        self._pixels: Pixels | None = None
        self._files: dict[float, tuple[bytes, float]] = {}

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        if self._pixels is not pixels:
            self._pixels, self._files = pixels, {}
        if setting in self._files:
            self.saved_seconds += self._files[setting][1]
        else:
            started = time.perf_counter()
            data = self._codec.encode(pixels, setting)
            self._files[setting] = data, time.perf_counter() - started
        return self._files[setting][0]

    def decode(self, data: bytes) -> Pixels:
        return self._codec.decode(data)


class PillowFormat:
    """A format that Pillow writes, by itself or through a plugin."""

    def __init__(
        self,
        name: str,
        kind: str,
        settings: Sequence[float],
        options: Callable[[Any], dict[str, object]],
        version: Callable[[], str],
    ):
        self.name = name
        self.version = version()
        self.settings = settings
        self._kind = kind
        self._options = options

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, self._kind, **self._options(setting))
        return out.getvalue()

    def decode(self, data: bytes) -> Pixels:
        with Image.open(io.BytesIO(data), formats=[self._kind]) as image:
            return np.asarray(image.convert("RGB"))


class X265:
    """x265 through ffmpeg: one intra picture, 4:4:4, slowest preset, constant quantiser; no container."""

    name = "x265"
    settings: Sequence[float] = range(51, -1, -1)
    _coded = ("-vf", "scale=out_color_matrix=bt709:out_range=full", "-pix_fmt", "yuvj444p", "-c:v", "libx265")
    _decoded = ("-vf", "scale=in_color_matrix=bt709:in_range=full", "-pix_fmt", "rgb24", "-c:v", "ppm")

    def __init__(self) -> None:
        program = shutil.which("ffmpeg")
        if program is None or b"libx265" not in run_program(program, "-hide_banner", "-encoders"):
            raise InputError("x265 needs the program ffmpeg, built with libx265")
        self._program = program
        self.version = run_program(program, "-version").decode().splitlines()[0].partition(" Copyright")[0]

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        height, width = pixels.shape[:2]
        source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}")
        speed = ("-preset", "veryslow", "-x265-params", f"qp={setting:g}:keyint=1:log-level=none:info=0")
        return self._convert(pixels.tobytes(), source, (*self._coded, *speed, "-f", "hevc"))

    def decode(self, data: bytes) -> Pixels:
        picture = self._convert(data, ("-f", "hevc"), (*self._decoded, "-f", "image2pipe"))
        with Image.open(io.BytesIO(picture), formats=["PPM"]) as image:
            return np.asarray(image)

    def _convert(self, data: bytes, before: Sequence[str], after: Sequence[str]) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            source, result = Path(folder) / "source", Path(folder) / "result"
            source.write_bytes(data)
            run_program(self._program, "-v", "error", *before, "-i", str(source), "-frames:v", "1", *after, str(result))
            return result.read_bytes()


def run_program(*command: str) -> bytes:
    """Output of a program. Raises InputError with the last line that it printed if it fails."""
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit status {done.returncode}"]
        raise InputError(f"{Path(command[0]).name}: {lines[-1]}")
    return done.stdout


def _pillow(feature: str) -> str:
    return f"Pillow {metadata.version('pillow')}, {feature} {features.version(feature)}"


def _plugin(module: str, package: str) -> str:
    """Load a plugin of Pillow; its version."""
    try:
        plugin = import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(f"this codec needs a plugin: pip install {package}") from error
    if hasattr(plugin, "register_heif_opener"):
        plugin.register_heif_opener()
    return f"{package} {metadata.version(package)}"


# Compression ratios of JPEG 2000, from 4000 down to 2 in steps of 3 %.
_RATIOS = [4000 * 0.97**step for step in range(250)]

ENCODERS: dict[str, Callable[[], Encoder]] = {
    "jpeg": partial(
        PillowFormat, "jpeg", "JPEG", range(1, 96),
        lambda q: {"quality": q, "optimize": True, "progressive": True},
        partial(_pillow, "libjpeg_turbo"),
    ),
    "webp": partial(
        PillowFormat, "webp", "WEBP", range(101), lambda q: {"quality": q, "method": 6}, partial(_pillow, "webp"),
    ),
    "avif": partial(
        PillowFormat, "avif", "AVIF", range(101), lambda q: {"quality": q, "speed": 4}, partial(_pillow, "avif"),
    ),
    "jxl": partial(
        PillowFormat, "jxl", "JXL", range(100), lambda q: {"quality": q, "effort": 7},
        partial(_plugin, "pillow_jxl", "pillow-jxl-plugin"),
    ),
    "jpeg2000": partial(
        PillowFormat, "jpeg2000", "JPEG2000", _RATIOS,
        lambda ratio: {"quality_mode": "rates", "quality_layers": [ratio], "irreversible": True, "no_jp2": True},
        partial(_pillow, "jpg_2000"),
    ),
    "heic": partial(
        PillowFormat, "heic", "HEIF", range(101), lambda q: {"quality": q},
        partial(_plugin, "pillow_heif", "pillow-heif"),
    ),
    "x265": X265,
}  # fmt: skip
