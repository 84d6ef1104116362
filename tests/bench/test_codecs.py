"""Codecs under test: budgets are kept and filled, pictures come back, what is missing is said."""

from pathlib import Path

import numpy as np
import pytest

from latentcodec.bench import classical
from latentcodec.bench.codecs import codec_named
from latentcodec.errors import BudgetError, InputError
from latentcodec.image import read_rgb
from latentcodec.metrics.distortion import psnr
from latentcodec.rate import BppBudget, ByteBudget, Quality
from latentcodec.weights import hashing
from tests import tiny_sodec

PIXELS = read_rgb(Path(__file__).parents[1] / "data" / "coffee.png")[:131, :200]


def available(name: str) -> str:
    try:
        codec_named(name)
    except InputError as error:
        pytest.skip(str(error))
    return name


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif", "jxl", "jpeg2000", "heic", "x265", "avif/2", "jpeg/2"])
def test_budget_is_kept_and_used(name: str) -> None:
    codec = codec_named(available(name))
    coded = codec.encode(PIXELS, ByteBudget(2500))
    assert 2000 < len(coded.data) <= 2500
    assert float(coded.setting) >= 0
    decoded = codec.decode(coded.data, (200, 131))
    assert decoded.shape == PIXELS.shape
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - PIXELS).mean() < 12
    with pytest.raises(BudgetError, match="out of reach"):
        codec.encode(PIXELS, ByteBudget(15))


def test_search_finds_the_richest_setting_that_fits() -> None:
    codec = classical.ENCODERS["jpeg"]()
    data, setting = classical.within(codec, PIXELS, 3000)
    assert len(data) <= 3000 < len(codec.encode(PIXELS, setting + 1))


def test_trials_are_remembered_for_one_picture() -> None:
    codec = classical.Remembering(classical.ENCODERS["jpeg"]())
    first = codec.encode(PIXELS, 30)
    assert codec.saved_seconds == 0
    assert codec.encode(PIXELS, 30) is first
    assert codec.saved_seconds > 0
    other = PIXELS[::-1].copy()
    assert codec.encode(other, 30) != first
    assert codec.decode(codec.encode(PIXELS, 30)).shape == PIXELS.shape


def test_quality_is_a_position_among_the_settings() -> None:
    codec = codec_named("jpeg")
    assert [codec.encode(PIXELS, Quality(q)).setting for q in (0, 50, 100)] == ["1", "48", "95"]


def test_lcodec_is_a_codec_like_any_other() -> None:
    codec = codec_named("stablecodec", "cpu")
    coded = codec.encode(PIXELS, ByteBudget(300))
    assert 290 <= len(coded.data) <= 300
    assert coded.overhead_bytes is not None
    assert codec.decode(coded.data, (200, 131)).shape == PIXELS.shape
    assert codec.weights


@pytest.mark.parametrize("name", ["gif", "avif/3", "stablecodec/2", ""])
def test_unknown_codecs_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="unknown codec"):
        codec_named(name)


def test_missing_programs_and_plugins_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classical.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="needs the program ffmpeg"):
        codec_named("x265")
    monkeypatch.setattr(classical, "import_module", lambda name: (_ for _ in ()).throw(ModuleNotFoundError(name)))
    with pytest.raises(InputError, match="pip install pillow-heif"):
        codec_named("heic")


@pytest.mark.parametrize(
    "name",
    [
        "overfit:mini:abc",
        "stablecodec::7",
        "stablecodec:mini",
        "overfit:mini:5:6",
        "overfit:nothing",
        "overfit::11",
        "stablecodec:11",
        "stablecodec:2:3",
        "stablecodec:2:mse",
        "stablecodec:2:psnr:1",
        "overfit:mini:2:psnr",
        "sodec:1.5",
        "sodec:",
        "sodec:preview:1",
        "sodec:nan",
    ],
)
def test_names_of_methods_that_make_no_sense(name: str) -> None:
    with pytest.raises(InputError):
        codec_named(name)


@pytest.mark.slow
def test_a_method_that_is_tuned() -> None:
    """As the encoder tunes: more decibels of as many bytes, above all where these are few."""
    pixels = read_rgb(Path(__file__).parents[1] / "data" / "coffee.png")[:192, :192]
    usual, tuned = (codec_named(name, "cpu") for name in ("stablecodec", "stablecodec:1:psnr"))
    files = [codec.encode(pixels, BppBudget(0.03)).data for codec in (usual, tuned)]
    fidelity = [psnr(pixels, codec.decode(data, (192, 192))) for codec, data in zip((usual, tuned), files, strict=True)]
    assert fidelity[1] > fidelity[0] + 0.3


def test_a_method_with_model_and_effort() -> None:
    assert codec_named("stablecodec:3").weights == codec_named("stablecodec").weights
    assert codec_named("overfit:mini:3").weights == codec_named("overfit").weights != codec_named("stablecodec").weights


def test_weights_of_ones_own(tmp_path: Path) -> None:
    path = tiny_sodec.save(tmp_path / "own.safetensors")
    codec = codec_named(f"sodec@{path}:preview")
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90, 3)).astype(np.uint8)
    assert codec.decode(codec.encode(pixels, Quality(50)).data, (90, 70)).shape == pixels.shape
    assert codec.weights == hashing.sha256_of(path)[:16]
    with pytest.raises(InputError, match="no file"):
        codec_named("sodec@nowhere.safetensors")


def test_a_round_trip_is_what_overfit_comes_close_to() -> None:
    bound, codec = codec_named("vae:mini"), codec_named("overfit:mini:1")
    error = []
    for chosen in (bound, codec):
        decoded = chosen.decode(chosen.encode(PIXELS, Quality(100)).data, (200, 131))
        assert decoded.shape == PIXELS.shape
        error.append(np.square(decoded.astype(float) - PIXELS).mean())
    assert error[0] < error[1] < 1.1 * error[0]
    with pytest.raises(BudgetError, match="name a quality"):
        bound.encode(PIXELS, ByteBudget(2500))
