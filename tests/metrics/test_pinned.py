"""Every metric against its reference implementation, on one photograph and three ways to spoil it.

The expected figures were computed by the programs that the tests name, from the same pixels; nothing here is a value
that this code gave.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

from latentcodec.bench.scorer import Scorer
from latentcodec.errors import InputError, WeightsError
from latentcodec.image import Pixels, read_rgb
from latentcodec.metrics.external import cvvdp, flip, ms_ssim
from latentcodec.metrics.registry import METRICS
from latentcodec.metrics.ssimulacra2 import ssimulacra2
from latentcodec.weights import store

ORIGINAL = read_rgb(Path(__file__).parents[1] / "data" / "coffee.png")[72:328, 172:428]


def blocks(side: int) -> Pixels:
    """Every block of side x side pixels replaced with its mean, rounded down."""
    small = ORIGINAL.reshape(256 // side, side, 256 // side, side, 3).astype(np.uint32).sum((1, 3)) // side**2
    return small.astype(np.uint8).repeat(side, 0).repeat(side, 1)


SPOILT = {"blocks of 2": blocks(2), "blocks of 4": blocks(4), "16 levels": ORIGINAL // 16 * 16}


def in_order(*figures: float) -> list[tuple[Pixels, float]]:
    return list(zip(SPOILT.values(), figures, strict=True))


@pytest.mark.parametrize(("decoded", "expected"), in_order(61.79529097, 34.26956947, 62.06286530), ids=SPOILT)
def test_ssimulacra2_equals_libjxl(decoded: Pixels, expected: float) -> None:
    assert ssimulacra2(ORIGINAL, decoded) == pytest.approx(expected, abs=0.03)  # ssimulacra2 of libjxl 0.11.2


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(255, 131, 51.09561924), (131, 255, 40.20182370), (113, 113, 47.44500648), (112, 112, 56.28683666),
     (64, 49, 51.97714798), (17, 9, 70.33086360), (8, 8, 75.52435526)],
)  # fmt: skip
def test_ssimulacra2_of_odd_and_small_pictures_equals_libjxl(width: int, height: int, expected: float) -> None:
    value = ssimulacra2(ORIGINAL[:height, :width], SPOILT["blocks of 4"][:height, :width])
    assert value == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(("decoded", "expected"), in_order(0.04698541, 0.10931779, 0.17366587), ids=SPOILT)
def test_flip_equals_its_authors_pytorch_version(decoded: Pixels, expected: float) -> None:
    assert flip(ORIGINAL, decoded) == pytest.approx(expected, abs=1e-5)


def test_flip_of_constant_pictures_equals_its_formula() -> None:
    # black against white: CIELAB distance 100, to the power 0.7, mapped with p_c = 0.4, p_t = 0.95 (2020, eq. 6, 7);
    # the largest distance is that of green and blue, 203.297
    power, largest = 100**0.7, 203.297**0.7
    expected = 0.95 + 0.05 * (power - 0.4 * largest) / (0.6 * largest)
    black = np.zeros((9, 7, 3), np.uint8)
    assert flip(black, black + 255) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("decoded", SPOILT.values(), ids=SPOILT)
def test_ms_ssim_equals_its_definition(decoded: Pixels) -> None:
    window = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def blur(x: np.ndarray) -> np.ndarray:
        for axis in (0, 1):
            x = np.apply_along_axis(np.convolve, axis, x, window, "valid")
        return x

    def terms(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
        mean_a, mean_b = blur(a), blur(b)
        variances = blur(a * a) - mean_a**2 + blur(b * b) - mean_b**2
        covariance = blur(a * b) - mean_a * mean_b
        contrast = (2 * covariance + 7.65**2) / (variances + 7.65**2)
        luminance = (2 * mean_a * mean_b + 2.55**2) / (mean_a**2 + mean_b**2 + 2.55**2)
        return float((luminance * contrast).mean()), float(contrast.mean())

    expected = []
    for channel in range(3):
        a, b = (x[:, :, channel].astype(float) for x in (ORIGINAL, decoded))
        product = 1.0
        for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
            whole, contrast = terms(a, b)
            product *= (whole if scale == 4 else contrast) ** weight
            a, b = (x.reshape(len(x) // 2, 2, len(x) // 2, 2).mean((1, 3)) for x in (a, b))
        expected.append(product)
    assert ms_ssim(ORIGINAL, decoded) == pytest.approx(np.mean(expected), abs=1e-6)


def learned(metric: str) -> Scorer:
    for name in METRICS[metric].weights:
        try:
            store.verify(name)
        except WeightsError as error:
            pytest.skip(str(error))
    return Scorer((metric,), "cpu")


@pytest.fixture(scope="module")
def lpips() -> Scorer:
    return learned("lpips_alex")


@pytest.fixture(scope="module")
def dists() -> Scorer:
    return learned("dists")


@pytest.mark.parametrize(
    ("decoded", "expected"),
    in_order(0.08512211, 0.31894043, 0.01761667),  # package lpips 0.1.4, with the same AlexNet
    ids=SPOILT,
)
def test_lpips_equals_its_authors_package(lpips: Scorer, decoded: Pixels, expected: float) -> None:
    assert lpips.score(ORIGINAL, decoded)["lpips_alex"] == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize(
    ("decoded", "expected"),
    in_order(0.18591040, 0.32733405, 0.08400977),  # package DISTS-pytorch 0.1, with the same VGG16
    ids=SPOILT,
)
def test_dists_equals_its_authors_package(dists: Scorer, decoded: Pixels, expected: float) -> None:
    assert dists.score(ORIGINAL, decoded)["dists"] == pytest.approx(expected, abs=2e-5)


@pytest.mark.skipif(shutil.which("cvvdp") is None, reason="there is no program called cvvdp")
@pytest.mark.parametrize(("name", "expected"), [("blocks of 2", 9.5262), ("blocks of 4", 8.3636)])
def test_cvvdp_gives_what_version_057_gave(name: str, expected: float) -> None:
    assert cvvdp(ORIGINAL, SPOILT[name]) == pytest.approx(expected, abs=0.01)


PROGRAM = """#!/bin/sh
echo "$@" > "$(dirname "$0")/arguments"
cmp -s "$7" "$9" && echo 10.0000 && exit
{complaint}
"""


def install(folder: Path, complaint: str) -> None:
    """A program called cvvdp that knows only equal pictures."""
    program = folder / "cvvdp"
    program.write_text(PROGRAM.format(complaint=complaint))
    program.chmod(0o755)


def test_cvvdp_is_called_as_its_manual_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    install(tmp_path, "echo 8.3636")
    assert cvvdp(ORIGINAL, ORIGINAL) == 10
    assert cvvdp(ORIGINAL, SPOILT["blocks of 4"]) == 8.3636
    *options, _, reference, _, test = (tmp_path / "arguments").read_text().split()
    assert options == ["--quiet", "--display", "standard_4k", "--device", "cpu"]
    assert (Path(reference).name, Path(test).name) == ("reference.bmp", "test.bmp")


@pytest.mark.parametrize("complaint", ["echo '[ERROR] no memory' >&2", "echo '[ERROR] no memory' >&2; exit 1"])
def test_cvvdp_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, complaint: str) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    install(tmp_path, complaint)
    with pytest.raises(InputError, match=r"cvvdp failed: \[ERROR\] no memory"):
        cvvdp(ORIGINAL, SPOILT["blocks of 4"])


def test_directions_are_as_the_table_says() -> None:
    scorer = Scorer(("psnr", "ms_ssim", "ssimulacra2", "flip"), "cpu")
    better, worse = (scorer.score(ORIGINAL, SPOILT[name]) for name in ("blocks of 2", "blocks of 4"))
    for name, value in better.items():
        assert value is not None
        assert (value > (worse[name] or 0)) == METRICS[name].higher_is_better
