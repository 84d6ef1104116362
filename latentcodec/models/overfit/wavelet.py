"""Two-dimensional wavelet transform by lifting (Sweldens 1996), for latents [B, C, H, W].

The 9/7 wavelet of JPEG 2000 (Daubechies and Sweldens 1998). Each lifting step adds to every sample of one phase a
multiple of its two neighbours of the other phase; at borders a neighbour outside is replaced by the one inside.
Multiples that were learned lowered what training minimises, but lost the near-orthogonality that fits live on.

`lifted` [C, 1, 1] is 1 for channels that are transformed and 0 for those that are only split into their four phases: a
wavelet gathers what neighbours have in common, and scatters what they have not.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

LIFTING = (-1.586134342, -0.052980118, 0.882911075, 0.443506852)
_NORM = 1.149604398  # makes both filters nearly orthonormal


def analyse(x: Tensor, lifted: Tensor) -> tuple[Tensor, Tensor]:
    """[..., C, H, W] -> low band [..., C, H/2, W/2] and details [..., 3, C, H/2, W/2]."""
    low, high = _split(_to_even_sides(x, lifted), -2, lifted)
    low_low, low_high = _split(low, -1, lifted)
    high_low, high_high = _split(high, -1, lifted)
    return low_low, torch.stack([low_high, high_low, high_high], dim=-4)


def synthesise(low: Tensor, details: Tensor, lifted: Tensor) -> Tensor:
    """Inverse of `analyse`."""
    low_high, high_low, high_high = details.unbind(-4)
    return join(join(low, low_high, -1, lifted), join(high_low, high_high, -1, lifted), -2, lifted)


def _to_even_sides(x: Tensor, lifted: Tensor) -> Tensor:
    """Odd sides get one more sample, of which nothing is left after the inverse: the last one again where it is lifted,
    which leaves no detail, and zero where there are only samples."""
    if x.shape[-1] % 2 == x.shape[-2] % 2 == 0:
        return x
    more = 0, x.shape[-1] % 2, 0, x.shape[-2] % 2
    return torch.where(lifted > 0, F.pad(x, more, mode="replicate"), F.pad(x, more))


def _split(x: Tensor, dim: int, lifted: Tensor) -> tuple[Tensor, Tensor]:
    even, odd = _phase(x, dim, 0), _phase(x, dim, 1)
    first, second, third, fourth = (multiple * lifted for multiple in LIFTING)
    odd = odd + first * _after(even, dim)
    even = even + second * _before(odd, dim)
    odd = odd + third * _after(even, dim)
    even = even + fourth * _before(odd, dim)
    norm = _NORM**lifted
    return even * norm, odd / norm


def join(low: Tensor, high: Tensor, dim: int, lifted: Tensor) -> Tensor:
    """Both halves along one dimension, -1 or -2, -> twice as many samples."""
    first, second, third, fourth = (multiple * lifted for multiple in LIFTING)
    norm = _NORM**lifted
    even, odd = low / norm, high * norm
    even = even - fourth * _before(odd, dim)
    odd = odd - third * _after(even, dim)
    even = even - second * _before(odd, dim)
    odd = odd - first * _after(even, dim)
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
