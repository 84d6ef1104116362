"""SSIMULACRA2 (Sneyers 2023), version 2.1, as the program of libjxl computes it.

Six scales of the picture in a positive form of XYB; three error maps at each (structure, edges added, edges lost); two
norms of each map; a weighted sum of the 108 figures, and a curve that makes it a score. Written here, because the
packages on PyPI blur the borders in another way than libjxl does and are up to two points off; the constants are
libjxl's.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from latentcodec.image import Pixels
from latentcodec.metrics.distortion import check_pair

SCALES = 6
_LAST_SIDE = 8  # a smaller picture is not scaled down any further
_STABILITY = 0.0009
_ABSORBANCE = (
    (0.30, 0.622, 0.078),
    (0.23, 0.692, 0.078),
    (0.24342268924547819, 0.20476744424496821, 0.5518098665095536),
)
_BIAS = 0.0037930732552754493
# By channel (X, Y, B), scale, norm (1, 4) and map (structure, edges added, edges lost).
_WEIGHTS = (
    0, 7.37660671e-4, 0, 0, 7.79348168e-4, 0, 0, 4.37115573e-4, 0, 1.10417264, 6.62848341e-4, 1.52316328e-4,
    0, 0.00164064375, 0, 1.84224555, 11.4411726, 0, 7.98910944e-4, 1.76816438e-4, 0, 1.8787595, 10.9490699, 0,
    7.28934699e-4, 0.967793708, 0, 1.40034243e-4, 0.998176698, 3.19497559e-4, 4.55099211e-4, 0, 0, 0.00136487662, 0, 0,
    0, 0, 0, 7.46689033, 0, 17.445834, 6.23560163e-4, 0, 0, 6.68367815, 3.7724408e-4, 1.02788994,
    225.205153, 0, 0, 19.2132382, 0.00114015246, 0.00123775564, 176.393176, 0, 0, 24.43301, 0.285208026, 4.48543692e-4,
    0, 0, 0, 34.7790634, 44.8356253, 0, 0, 0, 0, 0, 0, 0,
    0, 8.68055657e-4, 0, 0, 0, 0, 0, 5.31319187e-4, 0, 1.65338142e-4, 0, 0,
    0, 0, 0, 4.1791718e-4, 0.00172908282, 0, 0.00208270058, 0, 0, 8.82698276, 23.1924334, 0,
    95.1080499, 0.986397803, 0.983438279, 0.0012286405, 171.266726, 0.980785887,
    0, 0, 0, 5.13006459e-4, 0, 1.08540579e-4,
)  # fmt: skip


def ssimulacra2(original: Pixels, decoded: Pixels, device: torch.device | str = "cpu") -> float:
    """Score of uint8 [H, W, 3]: 100 for equal pictures, lower is worse, without a lower end. Not symmetric.

    Raises InputError for sides below 8 pixels. Below 113 pixels fewer than six scales exist, and as in libjxl the
    weights then move to other figures: such scores are comparable among themselves only.
    """
    check_pair("ssimulacra2", original, decoded)
    a, b = _linear(original, device), _linear(decoded, device)
    figures = []
    for scale in range(SCALES):
        if min(a.shape[1:]) < _LAST_SIDE:
            break
        if scale:
            a, b = _halve(a), _halve(b)
        figures.append(_figures(_xyb(a), _xyb(b)))
    flat = torch.stack(figures, dim=1).flatten()  # [3 channels, scales, 2 norms, 3 maps]
    return _score(float(flat @ flat.new_tensor(_WEIGHTS[: len(flat)])))


def _score(weighted: float) -> float:
    x = 0.9562382616834844 * weighted
    x = 2.326765642916932 * x - 0.020884521182843837 * x**2 + 6.248496625763138e-05 * x**3
    return 100 - 10 * x**0.6276336467831387 if x > 0 else 100.0


def _linear(pixels: Pixels, device: torch.device | str) -> Tensor:
    """sRGB uint8 [H, W, 3] -> linear light float32 [3, H, W], 0..1."""
    x = torch.from_numpy(pixels.copy()).to(device).permute(2, 0, 1).float() / 255
    return torch.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def _xyb(linear: Tensor) -> Tensor:
    """Linear light -> XYB, shifted and scaled so that sRGB lies within 0..1 in every channel."""
    light = torch.tensordot(linear.new_tensor(_ABSORBANCE), linear, dims=1) + _BIAS
    red, green, blue = light.clamp(min=0) ** (1 / 3) - _BIAS ** (1 / 3)
    y = (red + green) / 2
    return torch.stack([14 * (red - green) / 2 + 0.42, y + 0.01, blue - y + 0.55])


def _halve(linear: Tensor) -> Tensor:
    """Means of 2x2 pixels, in linear light; an odd last row or column counts twice."""
    height, width = linear.shape[1:]
    return F.avg_pool2d(F.pad(linear[None], (0, width % 2, 0, height % 2), mode="replicate"), 2)[0]


def _figures(a: Tensor, b: Tensor) -> Tensor:
    """XYB [3, H, W] of original and decoded -> [3 channels, 2 norms, 3 maps]."""
    mean_a, mean_b = _blur(a), _blur(b)
    var_a, var_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    luminance = 1 - (mean_a - mean_b) ** 2
    structure = 1 - luminance * (2 * covariance + _STABILITY) / (var_a + var_b + _STABILITY)
    edges = (1 + (b - mean_b).abs()) / (1 + (a - mean_a).abs()) - 1
    maps = torch.stack([structure, edges, -edges], dim=1).clamp(min=0)  # [3, maps, H, W]
    return torch.stack([maps.mean((2, 3)), (maps**4).mean((2, 3)) ** 0.25], dim=1)


def _blur(x: Tensor) -> Tensor:
    """Rows and columns filtered with `_KERNEL`; beyond the border lies zero."""
    reach = len(_KERNEL) // 2
    for axis, padding in ((1, (0, 0, reach, reach)), (2, (reach, reach))):
        padded, x = F.pad(x, padding), torch.zeros_like(x)
        for k, weight in enumerate(_KERNEL):  # faster than a convolution of so few channels
            x.add_(padded.narrow(axis, k, x.shape[axis]), alpha=weight)
    return x


def _cosine_gaussian(sigma: float) -> list[float]:
    """Impulse response of libjxl's recursive filter: a Gaussian as three cosines (Charalampidis 2016, eq. 33 to 57)."""
    radius = round(3.2795 * sigma + 0.2546)
    order = np.array([1, 3, 5])
    omega = order * math.pi / (2 * radius)
    sign = np.array([1, -1, 1])
    p = sign / np.tan(omega / 2)
    r = sign * p**2 / np.sin(omega)
    rho = np.exp(-0.5 * (sigma * omega) ** 2) / radius
    zeta = np.cross(p, r)[:2] / np.cross(p, r)[2]
    constraints = np.array([p, r, [*zeta, 1]])
    beta = np.linalg.solve(constraints, [1, radius**2 - sigma**2, zeta @ rho[:2] + rho[2]])
    taps = np.arange(1 - radius, radius)
    weights: list[float] = (beta @ np.cos(np.outer(omega, taps))).tolist()
    return weights


_KERNEL = _cosine_gaussian(1.5)
