"""Two-dimensional wavelet transform by lifting (Sweldens 1996), for latents [B, C, H, W].

The 9/7 wavelet of JPEG 2000 (Daubechies and Sweldens 1998). Each lifting step adds to every sample of one phase a
multiple of its two neighbours of the other phase; at borders a neighbour outside is replaced by the one inside.
Multiples that were learned lowered what training minimises, but lost the near-orthogonality that fits live on.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

LIFTING = (-1.586134342, -0.052980118, 0.882911075, 0.443506852)
_NORM = 1.149604398  # makes both filters nearly orthonormal


def analyse(x: Tensor) -> tuple[Tensor, Tensor]:
    """[..., C, H, W] -> low band [..., C, H/2, W/2] and details [..., 3, C, H/2, W/2]."""
    even = F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2), mode="replicate")
    low, high = _split(even, -2)
    low_low, low_high = _split(low, -1)
    high_low, high_high = _split(high, -1)
    return low_low, torch.stack([low_high, high_low, high_high], dim=-4)


def synthesise(low: Tensor, details: Tensor) -> Tensor:
    """Inverse of `analyse`."""
    low_high, high_low, high_high = details.unbind(-4)
    return join(join(low, low_high, -1), join(high_low, high_high, -1), -2)


def _split(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    even, odd = _phase(x, dim, 0), _phase(x, dim, 1)
    odd = odd + LIFTING[0] * _after(even, dim)
    even = even + LIFTING[1] * _before(odd, dim)
    odd = odd + LIFTING[2] * _after(even, dim)
    even = even + LIFTING[3] * _before(odd, dim)
    return even * _NORM, odd / _NORM


def join(low: Tensor, high: Tensor, dim: int) -> Tensor:
    """Both halves along one dimension, -1 or -2, -> twice as many samples."""
    even, odd = low / _NORM, high * _NORM
    even = even - LIFTING[3] * _before(odd, dim)
    odd = odd - LIFTING[2] * _after(even, dim)
    even = even - LIFTING[1] * _before(odd, dim)
    odd = odd - LIFTING[0] * _after(even, dim)
    return torch.stack([even, odd], dim).flatten(dim - 1, dim)


def _phase(x: Tensor, dim: int, phase: int) -> Tensor:
    return x[..., phase::2] if dim == -1 else x[..., phase::2, :]


def _after(even: Tensor, dim: int) -> Tensor:
    """Sum of the neighbours on both sides of every odd sample."""
    last = even.narrow(dim, even.shape[dim] - 1, 1)
    return even + torch.cat([even.narrow(dim, 1, even.shape[dim] - 1), last], dim)


def _before(odd: Tensor, dim: int) -> Tensor:
    """Sum of the neighbours on both sides of every even sample."""
    first = odd.narrow(dim, 0, 1)
    return odd + torch.cat([first, odd.narrow(dim, 0, odd.shape[dim] - 1)], dim)
