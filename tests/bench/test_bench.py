"""Result files and the table made of them; AVIF as an opponent."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from latentcodec.bench.run import Row, list_pictures, read_tsv, summary, write_tsv
from latentcodec.bench.sheet import avif_within, draw
from latentcodec.image import read_rgb
from latentcodec.rate import Quality

PHOTO = Path(__file__).parents[1] / "data" / "coffee.png"
ROW = Row("a.png", "0.1bpp", 990, 0.099, 1000, 0.99, 13.5, 0.5, 0.25, 25.0, 0.25, 0.125)


def test_results_are_read_as_written(tmp_path: Path) -> None:
    rows = [ROW, dataclasses.replace(ROW, image="b.png", psnr=31.25, fill=1.0, size_bytes=1000)]
    write_tsv(rows, tmp_path / "r.tsv")
    assert read_tsv(tmp_path / "r.tsv") == rows


def test_summary_takes_means_extremes_and_counts() -> None:
    over = dataclasses.replace(ROW, size_bytes=1001, fill=1.001, psnr=27.0, overhead_bytes=14.0)
    assert summary([ROW, over])[2] == (
        "| 0.1bpp | 2 | 0.0990 | 99.55% | 99.00% | 1 | 14.0 B | 26.00 | 0.250 | 0.125 | 0.50 | 0.25 |"
    )


def test_avif_stays_within_the_bytes_it_is_given() -> None:
    pixels = read_rgb(PHOTO)
    roomy, tight = avif_within(pixels, 20_000), avif_within(pixels, 1200)
    assert roomy.scale == 1
    assert tight.scale > 1
    assert 0.9 * 20_000 < roomy.size_bytes <= 20_000
    assert tight.size_bytes <= 1200
    error = [np.abs(o.pixels.astype(int) - pixels).mean() for o in (roomy, tight)]
    assert error[0] < error[1] < 40


def test_contact_sheet_has_three_columns(tmp_path: Path) -> None:
    draw([PHOTO], Quality(30), "stablecodec", "cpu", tmp_path / "sheet.png")
    assert read_rgb(tmp_path / "sheet.png").shape == (200 + 18 + 4, 3 * (300 + 4), 3)
    assert list_pictures(tmp_path) == [tmp_path / "sheet.png"]


def test_corpus_without_pictures_is_empty(tmp_path: Path) -> None:
    assert list_pictures(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        list_pictures(tmp_path / "none")
