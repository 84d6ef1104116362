"""The committed probability tables."""

import math

import numpy as np
import pytest

from latentcodec.coding import build_tables, tables


def test_every_table_sums_to_the_total_and_is_symmetric() -> None:
    frequencies = tables.frequencies()
    assert frequencies.shape == (tables.TABLES, 2 * tables.LARGEST_SYMBOL + 1)
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


def test_a_damaged_file_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "SHA256", "0" * 64)
    tables.frequencies.cache_clear()
    with pytest.raises(RuntimeError, match="damaged"):
        tables.frequencies()
    monkeypatch.undo()
    assert tables.frequencies().shape[0] == tables.TABLES


def test_builder_reproduces_the_file_up_to_the_last_bit_of_erfc() -> None:
    for index in (0, 17, 63):
        built = build_tables.half_table(tables.SMALLEST_SCALE * math.exp(tables.LOG_SCALE_STEP * index))
        committed = tables.frequencies()[index][tables.LARGEST_SYMBOL :]
        assert np.abs(np.array(built) - committed).max() <= 4
