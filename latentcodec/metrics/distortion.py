"""PSNR on uint8 pictures [H, W, 3]."""

import math

import numpy as np

from latentcodec.errors import InputError
from latentcodec.image import Pixels


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio in dB over all samples, peak 255; infinite for equal pictures."""
    if a.shape != b.shape:
        raise InputError(f"pictures of different sizes cannot be compared: {a.shape[:2]} and {b.shape[:2]}")
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
