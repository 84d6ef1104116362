"""lcodec bench from the command line, with a classical codec and a metric that needs no network."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from latentcodec.bench.results import read_tsv
from latentcodec.cli.main import cli
from latentcodec.image import Picture, read_rgb, write_picture

PHOTO = read_rgb(Path(__file__).parents[1] / "data" / "coffee.png")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(2):
        pixels = PHOTO[64 * number : 64 * number + 64, :64]
        (folder / f"{number}.png").write_bytes(write_picture(Picture(pixels), ".png"))
    return folder


def bench(corpus: Path, *options: str) -> Result:
    return CliRunner().invoke(cli, ["bench", str(corpus), "--codecs", "jpeg", "--quiet", *options])


def test_rows_are_written_resumed_and_completed(corpus: Path) -> None:
    table = corpus.parent / "results.tsv"
    done = bench(corpus, "--rates", "2bpp, 0.1bpp,2bpp", "--metrics", "psnr", "-o", str(table))
    assert done.exit_code == 0, done.output
    rows = read_tsv(table)
    assert [row.key for row in rows] == [(f"{n}.png", "jpeg", t) for n in "01" for t in ("2bpp", "0.1bpp")]
    assert rows[0].psnr is not None
    assert rows[0].flip is None
    assert "threads" in rows[0].device
    assert "| jpeg | 2bpp | 2 | 0 |" in done.output
    again = bench(corpus, "--rates", "2bpp", "--metrics", "psnr,ssimulacra2", "-o", str(table))
    assert again.exit_code == 0, again.output
    assert all(row.ssimulacra2 is not None for row in read_tsv(table) if row.target == "2bpp")


def test_metrics_that_a_picture_is_too_small_for_are_named(corpus: Path) -> None:
    done = bench(corpus, "--rates", "2bpp", "--metrics", "psnr,ms_ssim")
    assert "ms_ssim is not measured for 0.png and 1 more:" in done.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--speed", "1", "--rates", "50"), "--speed needs a budget"),
        (("--sheet", "sheet.xyz"), "cannot draw a sheet as sheet.xyz"),
        (("--rates", "fast"), "fast"),
        (("--metrics", "beauty"), "no metric called 'beauty'"),
    ],
)
def test_mistakes_are_one_line(corpus: Path, options: tuple[str, ...], message: str) -> None:
    from latentcodec.errors import LcodecError

    done = bench(corpus, *options)
    assert isinstance(done.exception, LcodecError)
    assert message in str(done.exception)
