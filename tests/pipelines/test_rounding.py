"""Rate-distortion-optimised rounding against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentcodec.coding.tables import LARGEST_SYMBOL, information
from latentcodec.pipelines.rounding import rate_distortion_rounding


@given(st.floats(-300, 300), st.integers(0, 63), st.floats(0, 1))
def test_the_cheaper_of_two_neighbours_is_chosen(x: float, table: int, weight: float) -> None:
    values, tables = np.array([x], np.float32), np.array([table], np.uint8)
    symbol = int(rate_distortion_rounding(weight)(values, tables)[0])
    nearest = int(np.clip(np.rint(values[0]), -LARGEST_SYMBOL, LARGEST_SYMBOL))
    lower = nearest - int(np.sign(nearest))

    def cost(s: int) -> float:
        return float((values[0] - s) ** 2 + weight * information()[table, s + LARGEST_SYMBOL])

    assert symbol in (nearest, lower)
    assert cost(symbol) <= min(cost(nearest), cost(lower)) + 1e-3


def test_weight_zero_is_plain_rounding() -> None:
    values = np.array([-2.5, -0.6, 0.4, 0.5, 1.5, 400.0], np.float32)
    assert rate_distortion_rounding(0)(values, np.full(6, 4, np.uint8)).tolist() == [-2, -1, 0, 0, 2, 255]


@pytest.mark.parametrize(("table", "expected"), [(4, 0), (40, 1)])
def test_an_expensive_one_becomes_zero(table: int, expected: int) -> None:
    assert rate_distortion_rounding(0.12)(np.array([0.8], np.float32), np.array([table], np.uint8)) == expected
