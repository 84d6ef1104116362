"""PSNR, and what every metric asks of two pictures: uint8 [H, W, 3] of equal, sufficient size."""

import math

import numpy as np

from latentcodec.errors import InputError
from latentcodec.image import Pixels
from latentcodec.metrics.registry import METRICS


def check_pair(name: str, a: Pixels, b: Pixels) -> None:
    """Raises InputError where the metric of this name is not defined for the two pictures, because of their sizes."""
    if a.shape != b.shape:
        raise InputError(f"pictures of different sizes cannot be compared: {_size(a)} and {_size(b)}")
    smallest = METRICS[name].smallest_side
    if min(a.shape[:2]) < smallest:
        raise InputError(f"needs sides of at least {smallest} pixels, and the pictures are {_size(a)}")


def _size(pixels: Pixels) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio in dB over all samples, peak 255; infinite for equal pictures."""
    check_pair("psnr", a, b)
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
