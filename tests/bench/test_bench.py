"""Running a bench: what is measured, kept and resumed; the printed table; the contact sheet."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from latentcodec.bench.codecs import Coded
from latentcodec.bench.results import Row
from latentcodec.bench.run import OUT_OF_REACH, Bench, list_pictures
from latentcodec.bench.sheet import avif_within, draw, read_crops
from latentcodec.bench.summary import summary
from latentcodec.errors import BudgetError, InputError
from latentcodec.image import Picture, Pixels, read_rgb, write_picture
from latentcodec.rate import ByteBudget, Quality, Target, budget_bytes

PHOTO = Path(__file__).parents[1] / "data" / "coffee.png"
ROW = Row(
    "a.png", "avif", "0.1bpp", 400, 200, "3", 990, 0.099, 1000, 0.99, 13.5, 0.5, 0.25, 100.0,
    psnr=25.0, lpips_alex=0.25, dists=0.125,
)  # fmt: skip


class Flat:
    """Codes a picture as its mean colour, in three bytes and as much stuffing as the budget takes; counts its uses."""

    name, version, weights = "flat", "1", ""

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, pixels: Pixels, target: Target) -> Coded:
        self.encoded += 1
        size = 3 if isinstance(target, Quality) else budget_bytes(target, pixels.shape[0] * pixels.shape[1])
        if size < 3:
            raise BudgetError("three bytes at least")
        return Coded(bytes(pixels.mean((0, 1)).astype(np.uint8)) + bytes(size - 3), "mean", 2.5)

    def decode(self, data: bytes, size: tuple[int, int]) -> Pixels:
        return np.broadcast_to(np.frombuffer(data[:3], np.uint8), (size[1], size[0], 3))


class Difference:
    """Stands for the metrics: one that is measured, one that cannot be."""

    def __init__(self) -> None:
        self.reasons = {"dists": "no network"}

    def measurable(self, side: int) -> list[str]:
        return ["psnr"]

    def score(self, original: Pixels, decoded: Pixels) -> dict[str, float | None]:
        return {"psnr": float(np.abs(original.astype(int) - decoded).mean()), "dists": None}


@pytest.fixture
def corpus(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name, value in (("a", 10), ("b", 250)):
        (folder / f"{name}.png").write_bytes(write_picture(Picture(np.full((20, 40, 3), value, np.uint8)), ".png"))
    return list_pictures(folder)


def bench(corpus: list[Path], codec: Flat, **more: object) -> Bench:
    return Bench(corpus, [codec], ["0.1bpp", "0.001bpp", "0"], Difference(), "cpu", **more)  # type: ignore[arg-type]


def test_every_picture_and_target_gives_a_row(corpus: list[Path]) -> None:
    rows = list(bench(corpus, Flat()).rows())
    assert [row.key for row in rows] == [(f"{n}.png", "flat", t) for n in "ab" for t in ("0.1bpp", "0.001bpp", "0")]
    first, unreachable, quality = rows[:3]
    assert (first.size_bytes, first.bpp, first.budget_bytes, first.fill) == (10, 0.1, 10, 1.0)
    assert (first.width, first.height, first.setting, first.overhead_bytes, first.psnr) == (40, 20, "mean", 2.5, 0)
    assert (unreachable.setting, unreachable.size_bytes, unreachable.psnr) == (OUT_OF_REACH, None, None)
    assert (quality.size_bytes, quality.budget_bytes, quality.fill) == (3, None, None)


def test_what_is_known_is_not_measured_again(corpus: list[Path]) -> None:
    rows = list(bench(corpus, Flat()).rows())
    codec = Flat()
    assert list(bench(corpus, codec, known=rows).rows()) == rows
    assert codec.encoded == 0
    list(bench(corpus, codec, known=rows[:-2]).rows())
    assert codec.encoded == 3  # one to warm up, two to measure
    codec.version = "2"
    assert {row.codec_version for row in bench(corpus, codec, known=rows).rows()} == {"2"}


def test_decoded_pictures_are_kept_beside_their_original(corpus: list[Path], tmp_path: Path) -> None:
    rows = list(bench(corpus, Flat(), keep=tmp_path / "kept").rows())
    assert rows[0].decoded == "kept/a.png/flat-0.1bpp.png"
    assert rows[1].decoded == ""
    assert (read_rgb(tmp_path / rows[0].decoded) == 10).all()
    assert (read_rgb(tmp_path / "kept" / "b.png" / "original.png") == 250).all()


def test_what_is_missing_or_stale_is_measured_again(corpus: list[Path], tmp_path: Path) -> None:
    rows = list(bench(corpus, Flat()).rows())
    codec = Flat()
    list(bench(corpus, codec, known=[dataclasses.replace(rows[0], psnr=None), *rows[1:]]).rows())
    assert codec.encoded == 2  # one to warm up, the row without a figure
    corpus[0].write_bytes(write_picture(Picture(np.zeros((8, 8, 3), np.uint8)), ".png"))
    assert {row.width for row in bench(corpus, codec, known=rows).rows() if row.image == "a.png"} == {8}
    kept = list(bench(corpus, codec, known=rows, keep=tmp_path / "kept").rows())
    assert all((tmp_path / row.decoded).exists() for row in kept if row.size_bytes)


def test_what_cannot_be_measured_is_told_with_its_pictures(corpus: list[Path]) -> None:
    run = bench(corpus, Flat())
    list(run.rows())
    assert run.unmeasured == {("dists", "no network"): ["a.png", "b.png"]}


def test_a_broken_picture_is_named(corpus: list[Path]) -> None:
    corpus[1].write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"b\.png: not an image file"):
        list(bench(corpus, Flat()).rows())


def test_summary_takes_means_extremes_and_counts() -> None:
    over = dataclasses.replace(ROW, image="b.png", size_bytes=1001, fill=1.001, psnr=27.0, overhead_bytes=14.0)
    unreachable = Row("c.png", "avif", "0.1bpp", 400, 200, OUT_OF_REACH, budget_bytes=1000)
    assert summary([ROW, over, unreachable]) == [
        "| codec | target | pictures | out of reach | bpp | fill mean | fill min | over budget | overhead max "
        "| psnr | lpips_alex | dists | encode s | decode s |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        "| avif | 0.1bpp | 2 | 1 | 0.0990 | 99.55% | 99.00% | 1 | 14.0 | 26.00 | 0.250 | 0.125 | 0.50 | 0.25 |",
    ]
    assert summary([unreachable])[2].count(" - ") == 6
    assert "| 0.125 (1 of 2) |" in summary([ROW, dataclasses.replace(over, dists=None)])[2]


def test_avif_stays_within_the_bytes_it_is_given() -> None:
    pixels = read_rgb(PHOTO)
    roomy, tight = avif_within(pixels, 20_000), avif_within(pixels, 1200)
    assert roomy.name == "avif"
    assert tight.name.startswith("avif/")
    assert 0.9 * 20_000 < roomy.size_bytes <= 20_000
    assert tight.size_bytes <= 1200
    error = [np.abs(o.pixels.astype(int) - pixels).mean() for o in (roomy, tight)]
    assert error[0] < error[1] < 40


def test_contact_sheet_has_three_columns(tmp_path: Path) -> None:
    draw([PHOTO], Quality(30), ["stablecodec"], "cpu", tmp_path / "sheet.png")
    assert read_rgb(tmp_path / "sheet.png").shape == (200 + 18 + 4, 3 * (300 + 4), 3)
    assert list_pictures(tmp_path) == [tmp_path / "sheet.png"]


def test_sheet_of_crops_at_full_size(tmp_path: Path) -> None:
    listed = tmp_path / "crops.tsv"
    head = "name\timage\tx\ty\twidth\theight\n"
    listed.write_text(head + "cup\tcoffee.png\t10\t20\t64\t48\nspoon\tcoffee.png\t90\t80\t32\t48\n")
    crops = read_crops(listed)
    draw([PHOTO], ByteBudget(9000), ["webp"], "cpu", tmp_path / "sheet.png", crops)
    sheet = read_rgb(tmp_path / "sheet.png")
    assert sheet.shape == (2 * (48 + 18 + 4), 3 * (64 + 4), 3)
    assert np.array_equal(sheet[2:50, 2:66], read_rgb(PHOTO)[20:68, 10:74])
    for wrong in ("", head, head + "cup\tcoffee.png\t1\t2\t3\n", head + "cup\tcoffee.png\t-1\t0\t9\t9\n"):
        listed.write_text(wrong)
        with pytest.raises(InputError, match="crop"):
            read_crops(listed)
    with pytest.raises(InputError, match="crop 'cup' lies outside"):
        draw([PHOTO], ByteBudget(9000), ["webp"], "cpu", tmp_path / "s.png", [dataclasses.replace(crops[0], x=590)])
    other = dataclasses.replace(crops[0], image="other.png")
    with pytest.raises(InputError, match="none of the crops"):
        draw([PHOTO], ByteBudget(9000), ["webp"], "cpu", tmp_path / "s.png", [other])


def test_contact_sheet_of_several_codecs(tmp_path: Path) -> None:
    draw([PHOTO], ByteBudget(900), ["sodec:preview", "avif", "sodec"], "cpu", tmp_path / "sheet.png")
    sheet = read_rgb(tmp_path / "sheet.png")
    assert sheet.shape == (200 + 18 + 4, 4 * (300 + 4), 3)
    cells = [sheet[2:202, 304 * n + 2 : 304 * n + 302].astype(int) for n in range(4)]
    errors = [np.abs(cell - cells[0]).mean() for cell in cells]
    assert errors[0] == 0 < min(errors[1:])
    assert len({error.item() for error in errors}) == 4


def test_corpus_without_pictures_is_empty(tmp_path: Path) -> None:
    assert list_pictures(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        list_pictures(tmp_path / "none")
