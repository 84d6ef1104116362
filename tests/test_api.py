"""The library: pictures of every kind through encode, inspect and decode with the shipped model."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import latentcodec
from latentcodec import (
    BppBudget,
    ByteBudget,
    Limits,
    Picture,
    Quality,
    decode,
    encode,
    encode_picture,
    inspect,
    parse_target,
    read_picture,
    to_pillow,
    write_picture,
)
from latentcodec.errors import BudgetError, InputError, LimitError
from latentcodec.pipelines import registry
from latentcodec.pipelines.base import Settings
from latentcodec.rate import budget_bytes

PHOTO = read_picture(Path(__file__).parent / "data" / "coffee.png")
METHODS = ("stablecodec", "sodec")  # those whose files hold nothing but symbols
SMALL = PHOTO.pixels[60:188, 200:392]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(1, 1), (1, 70), (65, 3), (64, 64), (130, 127)])
def test_any_size_comes_back(size: tuple[int, int], method: str) -> None:
    width, height = size
    decoded = decode(encode(PHOTO.pixels[:height, :width], method=method))
    assert decoded.size == size
    assert decoded.alpha is None


def test_every_kind_of_source_and_target_gives_the_same_file(tmp_path: Path) -> None:
    expected = encode(Picture(SMALL), BppBudget(0.1))
    image = to_pillow(Picture(SMALL))
    image.save(tmp_path / "small.png")
    for source in (SMALL, image, tmp_path / "small.png", str(tmp_path / "small.png")):
        assert encode(source, "0.1bpp") == expected


def test_what_is_no_picture_is_refused() -> None:
    for source in ([[1, 2]], None, b"bytes", np.zeros((4, 4)), "no such file"):
        with pytest.raises(InputError):
            encode(source)  # type: ignore[arg-type]


def test_chunks_that_nobody_could_decode_are_not_written() -> None:
    with pytest.raises(InputError, match="XMP takes 64000001 bytes"):
        encode(Picture(SMALL, xmp=bytes(64_000_001)))


def test_the_library_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[1] / "docs" / "library.md").read_text()
    (tmp_path / "photo.png").write_bytes(write_picture(Picture(PHOTO.pixels[:200, :300]), ".png"))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert blocks
    exec("\n".join(blocks), {})
    assert {path.name for path in tmp_path.iterdir()} >= {"photo.lcx", "photo.out.png"}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bpp", [0.02, 0.05, 0.1, 0.2])
def test_budgets_are_met_and_filled(bpp: float, method: str) -> None:
    result = encode_picture(SMALL, BppBudget(bpp), method=method)
    budget = budget_bytes(BppBudget(bpp), SMALL.shape[0] * SMALL.shape[1])
    assert budget - max(0.03 * budget, 2) <= len(result.data) <= budget


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("quality", [0, 40, 70, 85, 100])
def test_overhead_is_at_most_fourteen_bytes(quality: int, method: str) -> None:
    for pixels in (SMALL, PHOTO.pixels):  # the range coder loses a little on every symbol
        result = encode_picture(pixels, Quality(quality), method=method)
        assert 0 < len(result.data) - result.information_bits / 8 <= 14


def test_alpha_is_exact_and_counts_towards_the_budget() -> None:
    alpha = np.zeros(SMALL.shape[:2], np.uint8)
    alpha[30:90, 40:120] = np.arange(80)[None]
    data = encode(Picture(SMALL, alpha), ByteBudget(700))
    assert len(data) <= 700
    decoded = decode(data)
    assert decoded.alpha is not None
    assert np.array_equal(decoded.alpha, alpha)


def test_gray_pictures_come_back_gray() -> None:
    plane = SMALL[:, :, 1:2].repeat(3, axis=2)
    decoded = decode(encode(Picture(plane, gray=True)))
    assert decoded.gray
    assert (decoded.pixels == decoded.pixels[:, :, :1]).all()


def test_metadata_travels_unchanged() -> None:
    picture = Picture(SMALL, icc=b"a profile", exif=b"II*\0data", xmp=b"<xmp/>")
    decoded = decode(encode(picture))
    assert (decoded.icc, decoded.exif, decoded.xmp) == (b"a profile", b"II*\0data", b"<xmp/>")


def test_budget_smaller_than_the_metadata_is_out_of_reach() -> None:
    with pytest.raises(BudgetError, match="out of reach"):
        encode(Picture(SMALL, xmp=bytes(900)), ByteBudget(800))


def test_budget_of_less_than_a_byte_is_out_of_reach() -> None:
    with pytest.raises(BudgetError, match=r"^less than a byte is out of reach for this picture: it takes \d+ to "):
        encode(SMALL[:1, :1], BppBudget(0.05))


def test_inspect_tells_what_encode_wrote() -> None:
    parsed = inspect(encode(SMALL, Quality(50)))
    assert (parsed.width, parsed.height, parsed.codec, parsed.rate) == (192, 128, 2, 128)


def test_limits_are_the_callers() -> None:
    with pytest.raises(LimitError):
        decode(encode(SMALL), limits=Limits(max_pixels=1000))


def test_unknown_devices_are_refused() -> None:
    with pytest.raises(InputError, match="unknown device 'tpu'"):
        encode(SMALL, device="tpu")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.05bpp", BppBudget(0.05)),
        (".5bpp", BppBudget(0.5)),
        ("2048B", ByteBudget(2048)),
        ("20kB", ByteBudget(20_000)),
        ("1.5KiB", ByteBudget(1536)),
        ("0.05 BPP", BppBudget(0.05)),
        ("20 kb", ByteBudget(20_000)),
        ("0", Quality(0)),
        ("62.5", Quality(62.5)),
    ],
)
def test_targets_are_parsed(text: str, expected: object) -> None:
    assert parse_target(text) == expected


@pytest.mark.parametrize("text", ["", "x", "-1", "5bits", "1e3B", "0B", "nan", "100.1", "0.05 b pp"])
def test_other_targets_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_target(text)


def test_budget_in_bytes_is_rounded_down() -> None:
    assert budget_bytes(BppBudget(0.01), 768 * 512) == 491
    assert budget_bytes(BppBudget(0.1), 80) == 1


def test_everything_promised_is_exported() -> None:
    for name in latentcodec.__all__:
        assert getattr(latentcodec, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        latentcodec.nothing  # noqa: B018


@pytest.mark.parametrize(("method", "effort"), [("stablecodec", 2), ("overfit", 1)])
def test_the_mode_of_gradients_does_not_matter(method: str, effort: int) -> None:
    expected = encode(SMALL, "20", method=method, settings=Settings(effort))
    registry._shipped.cache_clear()  # loaded within, too
    with torch.inference_mode():
        assert encode(SMALL, "20", method=method, settings=Settings(effort)) == expected
    registry._shipped.cache_clear()
