"""StableCodec at full scale as it is trained: what it computes is what its files are decoded with."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from latentcodec.coding.symbols import BitCounter
from latentcodec.coding.tables import TOTAL
from latentcodec.models.blocks.information import at_least, interval_information
from latentcodec.models.diffusion import vision
from latentcodec.models.diffusion.vision import ClipEmbedding, DinoFeatures
from latentcodec.models.stablecodec.full import entropy
from latentcodec.models.stablecodec.full.adapted import AdaptedStableCodec, is_foreign, to_file, to_state
from latentcodec.models.stablecodec.full.density import REACH, Density, z_frequencies
from latentcodec.models.stablecodec.full.entropy import code_softly
from latentcodec.models.stablecodec.full.guarded import NEUTRAL_RATE, GuardedEntropy
from latentcodec.models.stablecodec.full.load import place
from latentcodec.pipelines import frozen
from tests import tiny_full

pytest.importorskip("diffusers")
pytest.importorskip("transformers")
CONFIG = tiny_full.CONFIG
BOTTLENECK = "bottleneck."


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return tiny_full.tensors()


@pytest.fixture
def model(tensors: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> AdaptedStableCodec:
    """Random adapters beside random frozen networks."""
    monkeypatch.setattr(frozen.store, "load_one_by_one", tiny_full.rows().get)
    built = AdaptedStableCodec(CONFIG)
    frozen.put_sd_turbo(built, torch.float32)
    missing = built.load_state_dict(to_state(tensors, CONFIG), strict=False).missing_keys
    assert missing
    assert all(is_foreign(name, CONFIG) for name in missing)
    return built


def test_a_state_and_a_file_hold_the_same(tensors: dict[str, Tensor], model: AdaptedStableCodec) -> None:
    for state in (to_state(tensors, CONFIG), model.state_dict()):
        again = to_file(state, CONFIG)
        assert set(again) == set(tensors) - {"prompt"}
        assert all(torch.equal(again[name], tensors[name]) for name in again)


def test_what_is_trained_is_the_codec_adapters_and_the_first_layer(model: AdaptedStableCodec) -> None:
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any(is_foreign(name, CONFIG) for name in trained)
    assert not any(name.startswith(("auxiliary_encoder.", "vae.network.decoder.")) for name in trained)
    own = {name for name, _ in model.named_parameters() if not is_foreign(name, CONFIG)}
    assert own - trained == {name for name in own if name.startswith("auxiliary_encoder.")}
    assert "unet.conv_in.weight" in trained


@torch.inference_mode()
def test_pixels_are_those_of_merged_adapters(tensors: dict[str, Tensor], model: AdaptedStableCodec) -> None:
    rows = tiny_full.rows()
    merged = place(CONFIG, tensors, rows["sd-turbo-vae"], rows["sd-turbo-unet"], torch.float32)
    pixels = torch.rand(1, 3, 256, 512)
    y, expected = model.analyse(*model.prepare(pixels)), merged.analyse(*merged.prepare(pixels))
    torch.testing.assert_close(y, expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(model.synthesise(y), merged.synthesise(y), rtol=1e-3, atol=1e-3)


@torch.inference_mode()
def test_a_picture_costs_in_training_what_its_file_costs(
    tensors: dict[str, Tensor], model: AdaptedStableCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With rounding in place of noise: the same bits but for snapped means and scales, and the same y^."""
    y = 3 * torch.randn(1, 32, 8, 12)
    monkeypatch.setattr(entropy, "_noisy", torch.round)
    decoded, bits = code_softly(model.codec, model.bottleneck, y)
    bottleneck = {k.removeprefix(BOTTLENECK): v for k, v in tensors.items() if k.startswith(BOTTLENECK)}
    guarded = GuardedEntropy(model.codec, z_frequencies(bottleneck).long().numpy(), np.zeros(16))
    counter = BitCounter()
    coded = guarded.code(counter, NEUTRAL_RATE, (2, 3), (model.codec.h_a(y)[0].numpy(), y[0].numpy()))
    assert bits.item() == pytest.approx(counter.bits, rel=0.02)
    difference = np.abs(decoded[0].numpy() - coded.y)
    assert np.median(difference) < 1 / 64
    assert np.mean(difference > 0.1) < 0.05


def test_noise_costs_about_what_rounding_costs(model: AdaptedStableCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    y = 3 * torch.randn(1, 32, 8, 12)
    with torch.no_grad():
        noisy = code_softly(model.codec, model.bottleneck, y)[1].item()
        assert noisy != code_softly(model.codec, model.bottleneck, y)[1].item()
        monkeypatch.setattr(entropy, "_noisy", torch.round)
        assert noisy == pytest.approx(code_softly(model.codec, model.bottleneck, y)[1].item(), rel=0.1)


def test_a_density_starts_wide_and_gives_symbols_the_frequencies_that_ship() -> None:
    torch.manual_seed(0)
    density = Density(4)
    rows = z_frequencies(density.state_dict())
    assert (rows.sum(1) == TOTAL).all()
    assert rows.max() < TOTAL / 20
    for symbol in (-9, 0, 4):
        z = torch.full((3, 4, 2, 5), float(symbol))
        expected = -(rows[:, symbol + REACH] / TOTAL).log2().sum() * 10
        assert density.bits(z).tolist() == pytest.approx([expected.item()] * 3, rel=1e-3)


def test_a_density_learns_and_its_medians_stay() -> None:
    torch.manual_seed(0)
    density = Density(4)
    optimiser = torch.optim.Adam(density.parameters(), 0.05)
    z = 1.5 * torch.randn(1, 4, 32, 32) + torch.tensor([0.0, 1.0, -2.0, 4.0])[:, None, None]
    costs = []
    for _ in range(150):
        bits = density.bits(z + torch.rand_like(z) - 0.5).sum() / z.numel()
        optimiser.zero_grad()
        bits.backward()
        optimiser.step()
        costs.append(bits.item())
    entropy_of_z = math.log2(1.5 * math.sqrt(2 * math.pi * math.e))
    assert costs[0] > entropy_of_z + 1
    assert costs[-1] == pytest.approx(entropy_of_z, abs=0.1)
    assert not density.quantiles[:, 0, 1].any()
    assert torch.equal(density.rounded(z), z.round())


def test_scales_below_the_bound_can_come_back_and_drift_no_further() -> None:
    scale = torch.tensor([-1.0, -1.0, 0.5], requires_grad=True)
    residual = torch.tensor([1.0, 0.0, 0.1])
    interval_information(residual, at_least(scale, 0.11)).sum().backward()
    assert scale.grad is not None
    assert scale.grad[0] < 0  # a larger scale would cost less
    assert scale.grad[1] == 0  # a smaller one would, but there is none
    assert scale.grad[2] > 0
    expected = -math.log2(math.erf(0.5 / 0.11 / math.sqrt(2)))
    assert interval_information(torch.zeros(1), torch.tensor([0.11])).item() == pytest.approx(expected, abs=1e-6)


def test_vision_transformers_take_what_their_files_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLIP's file holds more than its image side; both see pictures of any size, and send gradients back."""
    monkeypatch.setattr(vision, "CLIP_SIZES", tiny_full.CLIP_SIZES)
    rows = tiny_full.rows()
    pixels = torch.rand(2, 3, 96, 96, requires_grad=True)
    embedding = ClipEmbedding(rows["clip-vit-b32"])(pixels)
    assert embedding.shape == (2, 6)
    assert embedding.square().sum(1).tolist() == pytest.approx([1, 1], abs=1e-5)
    features = DinoFeatures(tiny_full.SMALL, rows["dinov2-b14"], torch.float32)(pixels)
    assert [f.shape for f in features] == [(2, 12, 16, 16)] * 4
    (embedding.sum() + sum(f.sum() for f in features)).backward()
    assert pixels.grad is not None
    assert pixels.grad.abs().sum() > 0
