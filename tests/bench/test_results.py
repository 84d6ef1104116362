"""The table of results as a file."""

from pathlib import Path

import pytest

from latentcodec.bench.results import COLUMNS, METRICS, Row, read_tsv, write_tsv
from latentcodec.errors import InputError

FULL = Row(
    "a.png", "avif/2", "0.1bpp", 400, 200, "3", 990, 0.099, 1000, 0.99, 13.5, 0.5, 0.25, 100.0, *range(1, 8), "k/a.png"
)
EMPTY = Row("b.png", "avif", "0.1bpp", 400, 200, "out of reach", budget_bytes=12)


def test_results_are_read_as_written(tmp_path: Path) -> None:
    write_tsv([FULL, EMPTY], tmp_path / "r.tsv")
    assert read_tsv(tmp_path / "r.tsv") == [FULL, EMPTY]
    assert [path.name for path in tmp_path.iterdir()] == ["r.tsv"]


def test_every_metric_has_a_column() -> None:
    assert set(METRICS) <= set(COLUMNS)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "no column 'image'"),
        ("image\tcodec\ttarget\n", "no column 'bpp'"),
        ("image\tcodec\ttarget\tbpp\twidth\theight\na\tb\tc\tx\t1\t1\n", "line 2 cannot be read"),
        ("image\tcodec\ttarget\tbpp\na\tb\tc\t1\n", "line 2 cannot be read"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "r.tsv").write_text(text)
    with pytest.raises(InputError, match=error):
        read_tsv(tmp_path / "r.tsv")
