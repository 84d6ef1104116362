"""Integer networks: convolutions whose result is the same on every machine.

Activations are integers with ACTIVATION_BITS fractional bits, weights integers with WEIGHT_BITS, biases and sums with
both. After each layer the sum is shifted back, rounding half up, and clamped. Sums stay below 2^53, so they are exact
in float64 whatever the order of summation: matrix products run on BLAS in float64 and agree to the last bit with
int64 arithmetic. `Arithmetic` names the two, `models.blocks.products` a third, which is what runs; tests compare them.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[Any]  # float64 or int64, holding integers

ACTIVATION_BITS = 8
WEIGHT_BITS = 12
ACTIVATION_LIMIT = 1 << 20
WEIGHT_LIMIT = (1 << 15) - 1
KNOT_SPACING_BITS = 5
LARGEST_BAND = 1 << 23  # elements of a column matrix, 64 MB


@dataclass(frozen=True)
class Arithmetic:
    """The number type in which integers are multiplied and added: float64 (fast) or int64 (the definition)."""

    dtype: type[np.float64] | type[np.int64]

    def matmul(self, weights: Numbers, columns: Numbers) -> Numbers:
        """[O, I] x [I, N] -> [O, N]. Exact: |weights| < 2^15, |columns| <= 2^20, I <= 2^16."""
        return weights @ columns

    def rectify(self, sums: Numbers) -> Numbers:
        """Sums -> activations, as `relu(rescale(sums))`, in the arithmetic's type and in place."""
        if self.dtype is np.float64:  # x / 2^12 + 1/2 is exact, and so is its floor
            sums *= 2.0**-WEIGHT_BITS
            sums += 0.5
            np.floor(sums, out=sums)
        else:
            sums += 1 << (WEIGHT_BITS - 1)
            sums >>= WEIGHT_BITS
        return np.clip(sums, 0, ACTIVATION_LIMIT, out=sums)


FAST = Arithmetic(np.float64)
DEFINITION = Arithmetic(np.int64)


@dataclass(frozen=True)
class IntegerConv:
    """Convolution with stride 1 and zero padding: weight [O, I * k * k] in the arithmetic's type, bias int64 [O]."""

    weight: Numbers
    bias: Integers
    kernel: int
    arithmetic: Arithmetic

    @classmethod
    def build(cls, weight: npt.NDArray[np.int16], bias: Integers, arithmetic: Arithmetic = FAST) -> "IntegerConv":
        """From int16 [O, I, k, k] with WEIGHT_BITS and a bias with WEIGHT_BITS + ACTIVATION_BITS."""
        matrix = weight.reshape(weight.shape[0], -1).astype(arithmetic.dtype)
        return cls(matrix, bias.astype(np.int64), weight.shape[2], arithmetic)

    def rows(self, chosen: npt.NDArray[np.intp]) -> "IntegerConv":
        """The same layer with some of its output channels."""
        return replace(self, weight=self.weight[chosen], bias=self.bias[chosen])

    def sums(self, x: Integers) -> Integers:
        """[I, H, W] -> [O, H, W], not shifted back yet."""
        _, height, width = x.shape
        pad = self.kernel // 2
        padded = np.pad(x.astype(self.arithmetic.dtype), ((0, 0), (pad, pad), (pad, pad)))
        out = np.empty((len(self.bias), height, width), np.int64)
        # In bands of rows, because the columns of a large picture would take gigabytes at once.
        band = max(1, LARGEST_BAND // (self.weight.shape[1] * width))
        for top in range(0, height, band):
            bottom = min(top + band, height)
            columns = _columns(padded[:, top : bottom + 2 * pad], self.kernel)
            flat = self.arithmetic.matmul(self.weight, columns).astype(np.int64)
            out[:, top:bottom] = flat.reshape(len(out), bottom - top, width) + self.bias[:, None, None]
        return out


def _columns(padded: Numbers, kernel: int) -> Numbers:
    """[C, H + k - 1, W + k - 1] -> [C * k * k, H * W]: the neighbourhood of every position."""
    if kernel == 1:
        return padded.reshape(len(padded), -1)
    # Writable because PyTorch takes no other arrays; nobody writes.
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(1, 2), writeable=True)
    return windows.transpose(0, 3, 4, 1, 2).reshape(len(padded) * kernel * kernel, -1)


def shift_round(x: Integers, bits: int) -> Integers:
    """x / 2^bits, rounded half up."""
    return (x + (1 << (bits - 1))) >> bits


def rescale(sums: Integers) -> Integers:
    """Sums -> activations, clamped to +-ACTIVATION_LIMIT."""
    return np.clip(shift_round(sums, WEIGHT_BITS), -ACTIVATION_LIMIT, ACTIVATION_LIMIT)


def relu(x: Integers) -> Integers:
    """max(x, 0)."""
    return np.maximum(x, 0)


def interpolate_knots(knots: npt.NDArray[np.int32], rate: int) -> Integers:
    """Integer values [9, C] at rates 0, 32, ..., 256 -> [C] at rate 0..255, linear, rounded down."""
    below, weight = rate >> KNOT_SPACING_BITS, rate & ((1 << KNOT_SPACING_BITS) - 1)
    low, high = knots[below].astype(np.int64), knots[below + 1].astype(np.int64)
    return (low * ((1 << KNOT_SPACING_BITS) - weight) + high * weight) >> KNOT_SPACING_BITS


def modulate(x: Integers, scale: Integers, shift: Integers) -> Integers:
    """Activations [C, H, W] times scale [C] (WEIGHT_BITS) plus shift [C] (ACTIVATION_BITS), clamped."""
    scaled = shift_round(x * scale[:, None, None], WEIGHT_BITS) + shift[:, None, None]
    return np.clip(scaled, -ACTIVATION_LIMIT, ACTIVATION_LIMIT)


def pixel_shuffle(x: Integers) -> Integers:
    """[4C, H, W] -> [C, 2H, 2W]; channel 4c + 2i + j goes to row 2h + i, column 2w + j."""
    channels, height, width = x.shape[0] // 4, x.shape[1], x.shape[2]
    return x.reshape(channels, 2, 2, height, width).transpose(0, 3, 1, 4, 2).reshape(channels, 2 * height, 2 * width)
