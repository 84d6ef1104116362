"""The committed probability tables."""

import math

import numpy as np
import pytest

from latentcodec.coding import build_tables, tables


def test_every_table_sums_to_the_total_and_is_symmetric() -> None:
    frequencies = tables.frequencies()
    assert frequencies.shape == (2 * tables.TABLES, 2 * tables.LARGEST_SYMBOL + 1)
    assert (frequencies.sum(1) == tables.TOTAL).all()
    assert (frequencies >= 1).all()
    assert np.array_equal(frequencies, frequencies[:, ::-1])


@pytest.mark.parametrize("index", [0, 1, 20, 40, 50])
def test_tables_follow_the_gaussian_they_stand_for(index: int) -> None:
    scale = tables.SMALLEST_SCALE * math.exp(tables.LOG_SCALE_STEP * index)
    frequencies = tables.frequencies()[index] / tables.TOTAL
    edges = (np.arange(-tables.LARGEST_SYMBOL, tables.LARGEST_SYMBOL + 2) - 0.5) / (scale * math.sqrt(2))
    expected = np.diff([0.5 * math.erfc(-x) for x in edges])
    assert np.abs(frequencies - expected).max() < 1e-4


@pytest.mark.parametrize("index", [14, 20, 40, 50])
def test_logistic_tables_have_as_many_zeros_and_more_large_symbols(index: int) -> None:
    gaussian, logistic = tables.frequencies()[[index, tables.LOGISTIC + index], tables.LARGEST_SYMBOL :] / tables.TOTAL
    assert abs(logistic[0] - gaussian[0]) < 2e-4
    assert logistic[1] < gaussian[1]
    deviation = tables.SMALLEST_SCALE * math.exp(tables.LOG_SCALE_STEP * index)
    assert logistic[int(4 * deviation) + 1 :].sum() > 5 * gaussian[int(4 * deviation) + 1 :].sum()


@pytest.mark.parametrize("name", tables.SHA256)
def test_a_damaged_file_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(tables.SHA256, name, "0" * 64)
    tables.frequencies.cache_clear()
    with pytest.raises(RuntimeError, match="damaged"):
        tables.frequencies()
    monkeypatch.undo()
    assert tables.frequencies().shape[0] == 2 * tables.TABLES


@pytest.mark.parametrize(
    ("first", "tail"), [(tables.GAUSSIAN, build_tables.gaussian_tail), (tables.LOGISTIC, build_tables.logistic_tail)]
)
def test_builder_reproduces_the_files_up_to_the_last_bit_of_erfc(first: int, tail: build_tables.Scaled) -> None:
    for index in (0, 17, 63):
        built = build_tables.half_table(tail(tables.SMALLEST_SCALE * math.exp(tables.LOG_SCALE_STEP * index)))
        committed = tables.frequencies()[first + index][tables.LARGEST_SYMBOL :]
        assert np.abs(np.array(built) - committed).max() <= 4
