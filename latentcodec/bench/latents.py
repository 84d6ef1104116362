"""Method overfit against simpler ways to store the same latents: rate and squared error of the latents themselves.

Opponents: scalar quantisation with an adaptive coder per channel, whose range of symbols is known for nothing and whose
frequencies start equal; and the latents as an 8-bit picture in a classical codec, one tile per channel.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from latentcodec.bench import classical
from latentcodec.bench.statistics import BD_METHOD
from latentcodec.errors import InputError
from latentcodec.image import read_rgb
from latentcodec.pipelines.base import Settings
from latentcodec.pipelines.overfit import OverfitPipeline
from latentcodec.pipelines.registry import method_named, model_named, pipeline
from latentcodec.rate import Quality

Latents = npt.NDArray[np.float32]
STEPS = tuple(2.0**exponent for exponent in np.arange(4, -3.6, -0.25))
TILES_PER_ROW = 8
FITTED = "overfit"  # what methods of ours start with; an effort follows
FEWEST_POINTS = 4
CLASSICAL = ("webp", "jxl")
OCTAVES = tuple(range(0, 100, 6))  # settings of a classical codec, as shares of its list


@dataclass(frozen=True)
class Point:
    """One picture, one way to store its latents, one setting.

    `mse` is that of the latents; the times are of the fit, and of the way from payload to latents.
    """

    image: str
    method: str
    setting: float
    bpp: float
    mse: float
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0


def measure(path: Path, vae: str, efforts: tuple[int, ...], qualities: tuple[float, ...]) -> Iterator[Point]:
    """Every point of one picture."""
    codec = pipeline(method_named("overfit"), model_named(method_named("overfit"), vae), "cpu")
    assert isinstance(codec, OverfitPipeline)
    pixels = read_rgb(path)
    latents, count = codec.latents(pixels)[0].numpy(), pixels.shape[0] * pixels.shape[1]
    for step in STEPS:
        bits, mse = _scalar(latents, step)
        yield Point(path.name, "scalar", step, bits / count, mse)
    for name in CLASSICAL:
        yield from (Point(path.name, name, s, b / count, mse) for s, b, mse in _as_picture(latents, name))
    for effort in efforts:
        for quality in qualities:
            started = time.perf_counter()
            encoded = codec.encode(pixels, Quality(quality), Settings(effort))
            encoded_at = time.perf_counter()
            exact = codec.decode_exactly(encoded, pixels.shape[:2])
            restored = codec.synthesise(exact, encoded.rate, pixels.shape[:2])[0].numpy()
            times = encoded_at - started, time.perf_counter() - encoded_at
            bpp, mse = 8 * len(encoded.payload) / count, float(np.square(restored - latents).mean())
            yield Point(path.name, f"{FITTED}:{effort}", quality, bpp, mse, *times)


def _scalar(latents: Latents, step: float) -> tuple[float, float]:
    """-> bits of an adaptive coder per channel, mean squared error."""
    mean = latents.mean((1, 2), keepdims=True)
    symbols = np.rint((latents - mean) / step)
    bits = sum(_adaptive_bits(channel) for channel in symbols)
    return bits, float(np.square(symbols * step + mean - latents).mean())


def _adaptive_bits(symbols: Latents) -> float:
    """What an adaptive range coder spends that counts symbols as it goes, each count starting at one half.

    The order does not matter: the product of its probabilities is a Dirichlet-multinomial (Krichevsky, Trofimov 1981).
    """
    counts = np.unique(symbols, return_counts=True)[1]
    alphabet = int(symbols.max() - symbols.min()) + 1
    seen = sum(math.lgamma(n + 0.5) - math.lgamma(0.5) for n in counts)
    return (math.lgamma(counts.sum() + alphabet / 2) - math.lgamma(alphabet / 2) - seen) / math.log(2)


def _as_picture(latents: Latents, name: str) -> Iterator[tuple[float, float, float]]:
    """(setting, bits, mean squared error) of the latents as a gray picture; the range of each channel is free."""
    codec = classical.ENCODERS[name]()
    low, high = latents.min((1, 2), keepdims=True), latents.max((1, 2), keepdims=True)
    span = np.maximum(high - low, 1e-6)
    tiled, untile = _tiled(np.rint((latents - low) / span * 255).astype(np.uint8))
    for share in OCTAVES:
        setting = codec.settings[round(share / 100 * (len(codec.settings) - 1))]
        data = codec.encode(np.repeat(tiled[:, :, None], 3, axis=2), setting)
        restored = untile(codec.decode(data)[:, :, 1]).astype(np.float32) / 255 * span + low
        yield setting, 8.0 * len(data), float(np.square(restored - latents).mean())


def _tiled(
    channels: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.uint8], Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]]:
    """[C, h, w] -> one picture, and the way back."""
    count, height, width = channels.shape
    columns = min(TILES_PER_ROW, count)
    rows = -(-count // columns)
    filled = np.zeros((rows * columns, height, width), np.uint8)
    filled[:count] = channels

    def untile(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        tiles = picture.reshape(rows, height, columns, width).transpose(0, 2, 1, 3)
        return tiles.reshape(rows * columns, height, width)[:count]

    return filled.reshape(rows, columns, height, width).transpose(0, 2, 1, 3).reshape(rows * height, -1), untile


@dataclass(frozen=True)
class MeanRate:
    """Mean over pictures of Bjontegaard's delta rate in latent MSE, in per cent; `without` those of too few points."""

    percent: float
    without: tuple[str, ...]


def bd_rates(points: list[Point], within: tuple[float, float] | None = None) -> dict[tuple[str, str], MeanRate]:
    """By anchor and method. `within`: bits per pixel, of the points of method overfit that count; all do without.

    Raises InputError where no picture has enough points.
    """
    from bjontegaard import bd_rate

    methods, images = (sorted({getattr(p, name) for p in points}) for name in ("method", "image"))
    if within is not None:
        low, high = within
        points = [p for p in points if not p.method.startswith(FITTED) or low <= p.bpp <= high]
    result = {}
    for anchor in methods:
        for method in methods:
            if method == anchor or not method.startswith(FITTED):
                continue
            rates: dict[str, float] = {}
            for image in images:
                ours, theirs = (_curve(points, image, name) for name in (anchor, method))
                if min(len(ours[0]), len(theirs[0])) >= FEWEST_POINTS:
                    rates[image] = bd_rate(*ours, *theirs, BD_METHOD, require_matching_points=False, min_overlap=0)
            if not rates:
                raise InputError(f"no picture has {FEWEST_POINTS} points of {anchor} and of {method} to compare")
            without = tuple(image for image in images if image not in rates)
            result[anchor, method] = MeanRate(float(sum(rates.values()) / len(rates)), without)
    return result


def _curve(points: list[Point], image: str, method: str) -> tuple[list[float], list[float]]:
    """Rates and -10 log10 MSE, rising: points that a cheaper one beats are left out."""
    chosen = sorted(
        (p.bpp, -10 * math.log10(p.mse)) for p in points if (p.image, p.method) == (image, method) and p.bpp and p.mse
    )
    rising: list[tuple[float, float]] = []
    for bpp, quality in chosen:
        if not rising or (bpp > rising[-1][0] and quality > rising[-1][1]):
            rising.append((bpp, quality))
    return [bpp for bpp, _ in rising], [quality for _, quality in rising]


def to_tsv(points: list[Point]) -> str:
    """A table with a header."""
    lines = ["\t".join(field.name for field in fields(Point))]
    lines += ["\t".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in astuple(p)) for p in points]
    return "\n".join(lines) + "\n"
