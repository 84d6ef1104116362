"""All metrics together: what they say of equal, constant, tiny and unequal pictures, and why one says nothing."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from latentcodec.bench import results, statistics
from latentcodec.bench.scorer import Scorer, SetScorer
from latentcodec.errors import InputError
from latentcodec.image import Pixels
from latentcodec.metrics.perceptual import LPIPS, AlexNet
from latentcodec.metrics.registry import METRICS, checked_names
from latentcodec.weights import store
from latentcodec.weights.store import Weights


def constant(side: int, value: int) -> Pixels:
    return np.full((side, side, 3), value, np.uint8)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(device="cpu")


def test_every_metric_has_a_column_and_a_place_in_reports() -> None:
    assert set(METRICS) <= set(results.COLUMNS)
    assert [row.column for row in statistics.METRICS] == list(METRICS)


@pytest.mark.parametrize("value", [None, 200], ids=["noise", "constant"])
def test_a_picture_equals_itself(scorer: Scorer, value: int | None) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (161, 161, 3), np.uint8)
    if value is not None:
        picture[:] = value
    for name, score in scorer.score(picture, picture.copy()).items():
        if name in scorer.reasons:
            assert score is None
        else:
            assert score == pytest.approx(METRICS[name].identical, abs=1e-6)


def test_every_metric_has_a_value_or_a_reason(scorer: Scorer) -> None:
    for side in (1, 2, 8, 31):
        scores = scorer.score(constant(side, 0), constant(side, 255))
        assert list(scores) == list(METRICS)
        assert {name for name, score in scores.items() if score is None} == set(scorer.reasons)
        assert all(score is None or math.isfinite(score) for score in scores.values())
        for name, row in METRICS.items():
            if side < row.smallest_side and not (row.program or row.weights):
                assert scorer.reasons[name] == (
                    f"needs sides of at least {row.smallest_side} pixels, and the pictures are {side}x{side}"
                )


def test_reasons_are_those_of_the_last_pair() -> None:
    scorer = Scorer(("ms_ssim",), "cpu")
    small, large = constant(160, 1), constant(161, 1)
    scorer.score(small, small)
    assert list(scorer.reasons) == ["ms_ssim"]
    scorer.score(large, large)
    assert not scorer.reasons


def test_pictures_of_different_sizes_are_refused(scorer: Scorer) -> None:
    with pytest.raises(InputError, match="different sizes cannot be compared: 8x8 and 9x9"):
        scorer.score(constant(8, 0), constant(9, 0))


def test_what_is_missing_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LCODEC_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("latentcodec.metrics.external.find_spec", lambda name: None)
    assert Scorer(device="cpu").reasons == {
        "ms_ssim": "the package pytorch-msssim is not installed; run 'pip install pytorch-msssim'",
        "cvvdp": "no program cvvdp on the PATH; install it apart from lcodec: 'pipx install cvvdp'",
        "flip": "the package flip-evaluator is not installed; run 'pip install flip-evaluator'",
        "lpips_alex": "weights are missing; run 'lcodec weights fetch lpips-alex'",
        "dists": "weights are missing; run 'lcodec weights fetch lpips-vgg dists'",
    }
    sets = SetScorer(device="cpu")
    sets.add(constant(300, 0), constant(300, 1))
    assert sets.score() == {"fid": None, "kid": None}
    assert sets.reasons["fid"] == "weights 'inception-fid' are missing; run 'lcodec weights fetch inception-fid'"


def test_unknown_metrics_are_refused() -> None:
    with pytest.raises(InputError, match="no metric called 'vmaf'; there is psnr, ms_ssim"):
        Scorer(("psnr", "vmaf"))
    assert checked_names(("a", "b", "a"), "abc") == ("a", "b")


def test_features_of_an_original_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Counting(LPIPS):
        def features(self, x: torch.Tensor) -> list[torch.Tensor]:
            seen.append(x)
            return super().features(x)

    monkeypatch.setattr(store, "load", lambda name: Weights({}, {}, 0))
    monkeypatch.setattr("latentcodec.bench.scorer.load_lpips", lambda arrays, network: Counting(AlexNet()).eval())
    scorer = Scorer(("lpips_alex",), "cpu")
    first, second = constant(40, 10), constant(40, 200)
    values = [scorer.score(original, constant(40, 100))["lpips_alex"] for original in (first, first, second, first)]
    assert len(seen) == 4 + 3  # every decoded picture; first, second and first again
    assert values[0] == values[1] == values[3] != values[2]


class Means(torch.nn.Module):
    """Stands for the network of FID: the mean colour of a patch."""

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        return patches.float().mean((2, 3))


def test_sets_are_compared_by_their_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "load", lambda name: Weights({}, {}, 0))
    monkeypatch.setattr("latentcodec.bench.scorer.load_inception", lambda arrays: Means())
    sets = SetScorer(device="cpu")
    sets.add(constant(256, 5), constant(256, 8))
    assert sets.score() == {"fid": None, "kid": None}
    assert sets.reasons["kid"] == "needs two patches of 256x256 pixels at least, and there is 1"
    sets = SetScorer(device="cpu")
    for value in (0, 2):
        sets.add(constant(300, value), constant(300, value + 3))
    assert sets.patches == 2
    assert sets.score()["fid"] == pytest.approx(3 * 9)
    assert not sets.reasons
