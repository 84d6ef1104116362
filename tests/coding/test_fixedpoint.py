"""Integer networks: exact in any arithmetic and any order."""

import numpy as np
import pytest

from latentcodec.coding import fixedpoint
from latentcodec.coding.fixedpoint import (
    ACTIVATION_LIMIT,
    DEFINITION,
    FAST,
    WEIGHT_LIMIT,
    Arithmetic,
    IntegerConv,
    interpolate_knots,
    modulate,
    pixel_shuffle,
    rescale,
    shift_round,
)
from latentcodec.models.blocks.products import TORCH


def extreme_layer(rng: np.random.Generator, channels: int, kernel: int) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of eight outputs, at the limits of their types."""
    weight = rng.choice([-WEIGHT_LIMIT, WEIGHT_LIMIT, 1, 0], (8, channels, kernel, kernel)).astype(np.int16)
    return weight, rng.integers(-(2**30), 2**30, 8)


@pytest.mark.parametrize("arithmetic", [FAST, TORCH])
@pytest.mark.parametrize("kernel", [1, 3])
def test_float64_equals_int64_at_the_limits(kernel: int, arithmetic: Arithmetic) -> None:
    rng = np.random.default_rng(0)
    weight, bias = extreme_layer(rng, 512, kernel)
    x = rng.choice([-ACTIVATION_LIMIT, ACTIVATION_LIMIT, 1], (512, 5, 6)).astype(np.int64)
    fast = IntegerConv.build(weight, bias, arithmetic).sums(x)
    assert np.abs(fast).max() > 2**40
    assert np.array_equal(fast, IntegerConv.build(weight, bias, DEFINITION).sums(x))


def test_order_of_summation_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    weight, bias = extreme_layer(rng, 256, 3)
    x = rng.integers(-ACTIVATION_LIMIT, ACTIVATION_LIMIT, (256, 4, 4))
    expected = IntegerConv.build(weight, bias).sums(x)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(256)
        assert np.array_equal(IntegerConv.build(weight[:, order], bias).sums(x[order]), expected)


def test_convolution_matches_its_definition() -> None:
    rng = np.random.default_rng(2)
    weight = rng.integers(-5, 6, (2, 3, 3, 3)).astype(np.int16)
    x = rng.integers(-9, 10, (3, 4, 5))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    expected = np.zeros((2, 4, 5), np.int64)
    for o, row, column in np.ndindex(2, 4, 5):
        expected[o, row, column] = (weight[o] * padded[:, row : row + 3, column : column + 3]).sum() + o
    assert np.array_equal(IntegerConv.build(weight, np.arange(2)).sums(x), expected)


def test_bands_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    weight, bias = extreme_layer(rng, 16, 3)
    x = rng.integers(-ACTIVATION_LIMIT, ACTIVATION_LIMIT, (16, 11, 7))
    expected = IntegerConv.build(weight, bias).sums(x)
    for limit in (1, 16 * 9 * 7 * 3, 16 * 9 * 7 * 10):
        monkeypatch.setattr(fixedpoint, "LARGEST_BAND", limit)
        assert np.array_equal(IntegerConv.build(weight, bias).sums(x), expected)


def test_rounding_is_half_up_for_both_signs() -> None:
    assert shift_round(np.array([-24, -8, -1, 7, 8, 24]), 4).tolist() == [-1, 0, 0, 0, 1, 2]


def test_rescale_clamps() -> None:
    assert rescale(np.array([2**50, -(2**50), 4096])).tolist() == [ACTIVATION_LIMIT, -ACTIVATION_LIMIT, 1]


def test_knots_are_met_and_interpolated_downwards() -> None:
    knots = (np.arange(9)[:, None] * np.array([[32, -33]])).astype(np.int32)
    assert interpolate_knots(knots, 0).tolist() == [0, 0]
    assert interpolate_knots(knots, 64).tolist() == [64, -66]
    assert interpolate_knots(knots, 65).tolist() == [65, -68]
    assert interpolate_knots(knots, 255).tolist() == [255, -263]


def test_modulation_by_one_and_zero_is_the_identity() -> None:
    x = np.arange(-8, 8).reshape(1, 4, 4)
    assert np.array_equal(modulate(x, np.array([4096]), np.array([0])), x)


def test_pixel_shuffle_agrees_with_torch() -> None:
    torch = pytest.importorskip("torch")
    x = np.arange(2 * 4 * 3 * 5).reshape(8, 3, 5)
    expected = torch.nn.functional.pixel_shuffle(torch.from_numpy(x)[None], 2)[0].numpy()
    assert np.array_equal(pixel_shuffle(x), expected)
