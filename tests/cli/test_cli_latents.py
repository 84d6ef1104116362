"""lcodec latents: what it prints, and what it refuses before it measures."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from latentcodec.cli.main import cli
from latentcodec.image import Picture, read_rgb, write_picture

PHOTOS = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--within", "0.3-0.1"], "'0.3-0.1' is no range of bits per pixel"),
        (["--within", "0.1"], "'0.1' is no range"),
        (["--within", "low-high"], "'low-high' is not a list of numbers"),
        (["--efforts", "1.5"], "'1.5' is not a list of numbers"),
        (["--qualities", "10,20,30"], "a curve takes 4 points"),
    ],
)
def test_refused(options: list[str], said: str) -> None:
    done = CliRunner().invoke(cli, ["latents", str(PHOTOS), *options])
    assert done.exit_code != 0
    assert said in str(done.exception)


def test_rates_within_are_compared_as_well(tmp_path: Path) -> None:
    qualities = "20,25,30,35,40,55"
    (tmp_path / "photos").mkdir()
    photo = Picture(read_rgb(PHOTOS / "coffee.png")[:256, :384])
    (tmp_path / "photos" / "a.png").write_bytes(write_picture(photo, ".png"))
    options = ["--efforts", "1", "--qualities", qualities, "--within", "0.005-0.3", "-o", str(tmp_path / "rows.tsv")]
    done = CliRunner().invoke(cli, ["latents", str(tmp_path / "photos"), *options])
    assert done.exit_code == 0, done.output
    found = re.findall(r"overfit:1 against (\w+)( at 0.005-0.3 bpp)?: BD-rate (\S+) %", done.output)
    rates = {(anchor, bool(where)): float(rate) for anchor, where, rate in found}
    assert sorted(rates) == [(anchor, where) for anchor in ("jxl", "scalar", "webp") for where in (False, True)]
    assert rates["scalar", False] != rates["scalar", True]
    assert len((tmp_path / "rows.tsv").read_text().splitlines()) > 40
