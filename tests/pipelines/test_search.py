"""The rate search, on codecs whose sizes are known in closed form."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentcodec.pipelines.base import OutOfReachError, PayloadBudget
from latentcodec.pipelines.search import Curve, fill_budget

EXPECTED = Curve(1000.0, 0.02)  # five times too large at rate 0, and a little too steep


class ToyCodec:
    """Sizes grow exponentially with the rate, with bumps, and shrink with thrift."""

    def __init__(self, smallest: float = 200, growth: float = 60, bumps: float = 0.0):
        self.smallest, self.growth, self.bumps = smallest, growth, bumps
        self.calls = 0

    def __call__(self, rate: int, thrift: float) -> tuple[int, tuple[int, float]]:
        self.calls += 1
        bump = 1 + self.bumps * math.sin(rate * 1.7)
        size = int(self.smallest * self.growth ** (rate / 255) * bump * math.exp(-1.5 * thrift))
        return size, (rate, thrift)

    def size(self, result: tuple[int, float]) -> int:
        return self(*result)[0]


def test_budget_is_filled_in_few_trials() -> None:
    for budget in range(220, 11_000, 137):
        codec = ToyCodec()
        result = fill_budget(codec, PayloadBudget(budget), EXPECTED)
        calls = codec.calls
        assert 0.985 * budget - 2 <= codec.size(result) <= budget
        assert calls <= 12


@given(st.integers(1, 20_000), st.floats(1, 1e5), st.floats(0.001, 0.1), st.floats(0, 0.05))
def test_budget_is_never_exceeded(budget: int, at_zero: float, slope: float, bumps: float) -> None:
    codec, guess = ToyCodec(bumps=bumps), Curve(at_zero, slope)
    if 85 <= budget <= 11_000:
        assert codec.size(fill_budget(codec, PayloadBudget(budget), guess)) <= budget
    elif not 78 <= budget <= 12_700:
        with pytest.raises(OutOfReachError):
            fill_budget(codec, PayloadBudget(budget), guess)


@pytest.mark.parametrize(("budget", "expected"), [(10, (0, 0.6)), (10**6, (255, 0.0))], ids=["too small", "too large"])
def test_out_of_reach_is_an_error_or_clamped(budget: int, expected: tuple[int, float]) -> None:
    codec: Callable[[int, float], tuple[int, tuple[int, float]]] = ToyCodec()
    with pytest.raises(OutOfReachError, match="81 to 12000"):
        fill_budget(codec, PayloadBudget(budget), EXPECTED)
    assert fill_budget(codec, PayloadBudget(budget, clamp=True), EXPECTED) == expected
