"""The programs that compare with the published one, each on a small case."""

import importlib

import numpy as np
import pytest
import torch

from latentcodec.models.stablecodec.full.guarded import NEUTRAL_RATE
from tests.parity import compare_rate
from tests.parity.drawn import draw

SPREAD, SHARE_OF_Z = 1.0, 0.15


def test_what_exactness_costs() -> None:
    ledgers = [
        compare_rate.ledger(draw(np.random.default_rng(s), 12_000, SPREAD, SHARE_OF_Z), NEUTRAL_RATE) for s in (0, 1)
    ]
    for ideal, of_means, of_scales, rest, _ in ledgers:
        assert ideal == pytest.approx(12_000, rel=0.1)
        assert 0 <= of_means < 0.001 * ideal
        assert 0 < of_scales < 0.003 * ideal
        assert abs(rest) < 0.01 * ideal
    assert compare_rate.row("title", ledgers).count("|") == 8


def test_sizes_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("compressai")
    compare_size = importlib.import_module("tests.parity.compare_size")
    conditional = compare_size.GaussianConditional(None)
    conditional.update_scale_table(compare_size.THEIR_SCALES.tolist())
    monkeypatch.setattr(compare_size, "SEEDS", 2)
    sizes = compare_size.compare(0.0058, SPREAD, SHARE_OF_Z, conditional)
    assert sizes[:, 1].sum() < 0.94 * sizes[:, 0].sum()
    assert (sizes[:, 2] < sizes[:, 1]).all()


def test_a_dump_of_our_own_does_not_differ() -> None:
    pytest.importorskip("diffusers")
    from tests import tiny_full
    from tests.parity import compare_stablecodec

    model, dump = tiny_full.model(), {}
    with torch.inference_mode():
        dump["pixels"], dump["prompt"] = torch.rand(1, 3, 256, 256), model.prompt
        dump["latents"], dump["aux"] = model.prepare(dump["pixels"])
        dump["y"] = model.analyse(dump["latents"], dump["aux"])
        dump["z"] = model.codec.h_a(dump["y"])
        dump["z_hat"] = dump["z"].round()
        dump |= compare_stablecodec.steps(model.codec, dump["y"], dump["z_hat"])
        dump["F"], dump["res"] = model.codec.g_s(dump["y_hat"]), model.codec.aux(dump["y_hat"])
        dump["image"] = model.synthesise(dump["y_hat"]).clamp(0, 1) + 1e-3
        dump["x0"] = compare_stablecodec.x0_of(model, dump["F"], dump["prompt"])
    found = dict(compare_stablecodec.differences(model, dump))
    assert len(found) == 20
    assert max(found.values()) == 0
    assert compare_stablecodec.psnr_of_image(model, dump) == pytest.approx(60, abs=0.01)
    changed = {"means2": "means of step 2", "z": "z", "res": "residual latent", "x0": "x_0"}
    for name in changed:
        dump[name] = dump[name] * 1.01
    dump["symbols1"] = dump["symbols1"] + 1
    found = dict(compare_stablecodec.differences(model, dump))
    assert [found[what] for what in changed.values()] == pytest.approx([0.01 / 1.01] * len(changed), rel=1e-3)
    assert found["symbols of step 1 that differ, share"] == pytest.approx(4)
