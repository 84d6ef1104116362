"""Rate annealing at toy scale: each stage trains its part, and the export codes pictures."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentcodec.errors import InputError
from latentcodec.image import read_rgb
from latentcodec.models.sodec.model import Sodec
from latentcodec.models.stablecodec.export import export as export_stablecodec
from latentcodec.pipelines.sodec import SodecPipeline
from latentcodec.rate import Quality
from latentcodec.train import sodec
from latentcodec.train.data import CropSampler, list_images, to_unit
from latentcodec.train.loop import Trainer, load_state
from latentcodec.train.run import export_stage, train_stage
from latentcodec.train.sodec import CODEC_SIDE, DIFFUSION_SIDE, HYPER_ANALYSIS, SodecTask
from latentcodec.train.stages import ALL, CODEC, DIFFUSION, ENTROPY, PREVIEW, STAGES, LossWeights, Stage
from latentcodec.weights import store
from tests import tiny, tiny_sodec

CPU = torch.device("cpu")
PRETRAINED = dataclasses.replace(
    tiny.CONFIG, autoencoder=tiny_sodec.CONFIG.autoencoder, widths=tiny_sodec.CONFIG.widths, noise_planes=2
)
LOSS = LossWeights(mse=0.1, align=10.0)  # the tiny autoencoder is random: its pictures teach nothing
TOY = Stage("toy", "sodec", None, 3, 4, 64, 1e-3, LossWeights(mse=10.0, align=1.0), warmup_steps=2)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    photo = Image.open(Path(__file__).parents[1] / "data" / "coffee.png")
    for number in range(12):
        photo.crop((20 * number, 10 * number, 20 * number + 150, 10 * number + 120)).save(folder / f"a-{number}.png")
    return folder


@pytest.fixture(autouse=True)
def pretrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny StableCodec in place of the shipped one."""
    tensors = export_stablecodec(tiny.build(3, PRETRAINED))
    weights = store.Weights(tensors, {"config": PRETRAINED.to_json()}, 0)
    monkeypatch.setattr(sodec.store, "load", lambda name: weights)


def batches(photos: Path):
    sampler = CropSampler(list_images(photos), 64, 0)
    while True:
        yield sampler.batch(4)


def started(photos: Path, stage: Stage) -> SodecTask:
    torch.manual_seed(0)
    task = SodecTask(stage, CPU, tiny_sodec.CONFIG)
    task.start_from(None, batches(photos))
    return task


def test_codec_starts_as_a_transform_coder_at_its_rates(photos: Path) -> None:
    stage = dataclasses.replace(TOY, annealing=(3.0, 1.0))
    task = started(photos, stage)
    pixels = to_unit(next(batches(photos)), CPU)
    with torch.no_grad():
        for value in (0.5, 1.0):
            rate = torch.full((4,), value)
            y, _, bpp = task._code(pixels, rate, task._target(rate, 0))
            assert bpp.mean() / task._target(rate, 0)[0] == pytest.approx(1, abs=0.5)
            preview = task.codec.preview(y, rate)
        linear = (preview - pixels).square().mean()
    assert linear < 0.6 * pixels.var()


def test_denoiser_and_autoencoder_are_those_of_stablecodec(photos: Path) -> None:
    task = started(photos, TOY)
    shipped = tiny.build(3, PRETRAINED)
    for name in ("vae.decoder.layers.0.weight", "unet.in8.conv1.weight", "embedding.linear1.weight"):
        assert torch.allclose(task.codec.state_dict()[name], shipped.state_dict()[name], atol=1e-2), name


def test_x_t_starts_as_the_latents(photos: Path) -> None:
    """Without the denoiser, the linear estimate explains much of the latents at the highest rate."""
    task = started(photos, TOY)
    pixels = to_unit(next(batches(photos)), CPU)
    codec, rate = task.codec, torch.ones(4)
    with torch.no_grad():
        y = codec.analyse(*codec.prepare(pixels), rate) / codec.log_gain(rate).exp()
        noisy = torch.nn.functional.pixel_shuffle(codec.transform.shortcut(y), 2)
        latents = codec.vae.encode(pixels)
        error = noisy / codec.config.alpha_bar**0.5 - latents
    assert error.square().mean() < 0.7 * latents.var()


@pytest.mark.parametrize(
    ("part", "trained", "kept"),
    [
        (CODEC, {*CODEC_SIDE, "preview_decoder"}, {*DIFFUSION_SIDE, "embedding", "vae"}),
        (DIFFUSION, {*DIFFUSION_SIDE, "preview_decoder"}, {*CODEC_SIDE, "embedding", "vae"}),
        (ALL, {*CODEC_SIDE, *DIFFUSION_SIDE, "preview_decoder"}, {"vae"}),
        (PREVIEW, {"preview_decoder"}, {*CODEC_SIDE, *DIFFUSION_SIDE, "embedding", "vae"}),
        (ENTROPY, {"entropy"}, {"analysis", "log_gain", "preview_decoder", *DIFFUSION_SIDE, "embedding", "vae"}),
    ],
)
def test_stages_train_their_part(part: str, trained: set[str], kept: set[str], photos: Path, tmp_path: Path) -> None:
    task = started(photos, dataclasses.replace(TOY, part=part))
    trainer = Trainer(task.stage, task, tmp_path, CPU)
    before = {name: value.clone() for name, value in task.codec.state_dict().items()}
    trainer.run(batches(photos))
    after = task.codec.state_dict()
    changed = {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed & kept == set()
    assert changed >= trained
    if part == ENTROPY:  # of z, pictures are made as well
        assert not any(name.startswith(HYPER_ANALYSIS) and not torch.equal(after[name], before[name]) for name in after)


def test_a_renewed_model_takes_what_stablecodec_is_now_and_keeps_its_own_codec(photos: Path) -> None:
    task = SodecTask(dataclasses.replace(TOY, renewed=True), CPU, tiny_sodec.CONFIG)
    earlier = {f"codec.{name}": value for name, value in tiny_sodec.build().state_dict().items()}
    task.start_from(earlier, batches(photos))
    held, shipped = task.codec.state_dict(), tiny.build(3, PRETRAINED).state_dict()
    for name in ("vae.decoder.layers.0.weight", "unet.in8.conv1.weight"):
        assert torch.allclose(held[name], shipped[name], atol=1e-2), name
        assert not torch.allclose(earlier[f"codec.{name}"], shipped[name], atol=1e-2), name
    for name in ("embedding.linear1.weight", "analysis.shortcut.weight", "preview_decoder.shortcut.weight"):
        assert torch.equal(held[name], earlier[f"codec.{name}"]), name


def test_symbols_as_files_have_them_are_what_the_picture_is_made_of(photos: Path) -> None:
    task = started(photos, dataclasses.replace(TOY, coded=True))
    rate, pixels = torch.full((4,), 0.7), to_unit(next(batches(photos)), CPU)
    y, z, bpp = task._code(pixels, rate, task._target(rate, 0))
    with torch.no_grad():
        mean, _ = task.codec.entropy.probability(z, rate)
    symbols = (y - mean).detach()
    assert (symbols - symbols.round()).abs().max() < 1e-3
    assert (symbols == 0).float().mean() < 1
    plain = started(photos, TOY)._code(pixels, rate, task._target(rate, 0))[0]
    assert not torch.equal(plain, y)  # which rounds to the nearest
    (y.square().sum() + bpp.sum()).backward()
    assert task.codec.analysis.shortcut.weight.grad.abs().sum() > 0


def test_targets_are_annealed() -> None:
    task = SodecTask(dataclasses.replace(TOY, steps=100, annealing=(3.0, 1.0)), CPU, tiny_sodec.CONFIG)
    rate = torch.tensor([0.0])
    first, quarter, half, last = (task._target(rate, step).item() for step in (0, 25, 50, 99))
    assert (first, half, last) == pytest.approx((0.015, 0.005, 0.005))
    assert quarter == pytest.approx(0.005 * 3**0.5)


def test_guidance_reaches_the_picture_and_can_be_left_out() -> None:
    torch.manual_seed(0)
    y, z, rate = torch.randn(1, 12, 8, 8), torch.randn(1, 4, 2, 2), torch.tensor([0.5])
    guided = tiny_sodec.build()
    with torch.no_grad():
        preview = guided.preview(y, rate)
        before = guided.synthesise(y, z, preview, rate)
        assert not torch.equal(before, guided.synthesise(y, z, preview + 0.2, rate))
        unguided = Sodec(tiny_sodec.UNGUIDED).eval()
        assert torch.equal(unguided.synthesise(y, z, preview, rate), unguided.synthesise(y, z, preview + 0.2, rate))
    assert not any("guidance" in name or "attend" in name for name in unguided.state_dict())


@pytest.mark.slow
def test_whole_chain_trains_and_its_export_codes_pictures(photos: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(dataclasses.replace(tiny_sodec.CONFIG, y_channels=96, codec_widths=(16, 16, 16)).to_json())
    stages = [
        dataclasses.replace(STAGES[name], loss=LOSS, steps=steps, batch=4, crop=64, learning_rate=2e-4)
        for name, steps in (("sodec-codec", 30), ("sodec-diffusion", 30), ("sodec-joint", 20), ("sodec", 20))
    ]
    rows: list[dict[str, float]] = []
    for stage in stages:
        train_stage(stage, photos, tmp_path, CPU, 0, lambda step, row: rows.append(row), config=config)
    export_stage(stages[-1], tmp_path, tmp_path / "w.safetensors")
    pipeline = SodecPipeline(store.read_weights(tmp_path / "w.safetensors"), CPU)
    pixels = read_rgb(photos / "a-1.png")
    encoded = pipeline.encode(pixels, Quality(95))
    preview, realistic = (pipeline.decode(encoded, (150, 120), fidelity) for fidelity in (1.0, 0.0))
    assert np.abs(preview.astype(int) - pixels).mean() < np.abs(pixels.mean((0, 1)) - pixels).mean()
    assert realistic.shape == preview.shape
    assert not np.array_equal(realistic, preview)
    average = load_state(tmp_path / "sodec").average
    assert torch.equal(average["codec.vae.scale"], load_state(tmp_path / "sodec-codec").average["codec.vae.scale"])


def test_frozen_networks_stay_what_they_are_when_training_starts_from_exported_weights(
    photos: Path, tmp_path: Path
) -> None:
    """An export holds no VAE encoder: it is that of StableCodec mini. The decoder is its own, which may be older."""
    config = tmp_path / "config.json"
    config.write_text(tiny_sodec.CONFIG.to_json())
    exported = tiny_sodec.save(tmp_path / "w.safetensors")
    stage = dataclasses.replace(TOY, part=DIFFUSION, steps=1)
    train_stage(stage, photos, tmp_path, CPU, 0, lambda step, row: None, start=exported)
    held = load_state(tmp_path / "toy").model
    shipped = tiny.build(3, PRETRAINED).state_dict()
    name = "vae.encoder.layers.0.weight"
    assert torch.allclose(held[f"codec.{name}"], shipped[name], atol=1e-2)
    codec = tiny_sodec.build().state_dict()
    for name in ("analysis.shortcut.weight", "vae.decoder.layers.0.weight", "vae.scale"):
        assert torch.allclose(held[f"codec.{name}"], codec[name], atol=1e-2), name
    assert not torch.allclose(codec["vae.decoder.layers.0.weight"], shipped["vae.decoder.layers.0.weight"], atol=1e-2)
    with pytest.raises(InputError, match="began otherwise"):
        train_stage(stage, photos, tmp_path, CPU, 0, lambda step, row: None, start=exported)
