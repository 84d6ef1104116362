"""Both diffusion methods with networks of the published sizes, random: 512x512 pixels, on the CPU.

LCODEC_TRUE_SIZE=1 pytest -s tests/models/test_true_size.py        prints seconds and peak memory; needs 18 GB
"""

import dataclasses
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from latentcodec.cli.main import cli
from latentcodec.coding.symbols import SymbolDecoder, SymbolEncoder
from latentcodec.image import Picture, read_rgb, resized_crop, write_picture
from latentcodec.metrics.distortion import psnr
from latentcodec.metrics.perceptual import LPIPS, VGG16
from latentcodec.models.diffusion import prompt
from latentcodec.models.diffusion.config import StableDiffusionConfig
from latentcodec.models.diffusion.stable_diffusion import FrozenAutoencoder, build_unet
from latentcodec.models.diffusion.vision import CLIP_SIZES, SIDE, build_dino
from latentcodec.models.sodec.config import SCALES
from latentcodec.models.sodec.export import export
from latentcodec.models.sodec.model import Sodec
from latentcodec.models.stablecodec.full import large
from latentcodec.models.stablecodec.full.adapted import to_state
from latentcodec.models.stablecodec.full.checkpoint import expected_shapes
from latentcodec.models.stablecodec.full.config import FullConfig
from latentcodec.models.stablecodec.full.guarded import BAND
from latentcodec.models.stablecodec.full.load import place
from latentcodec.pipelines import frozen
from latentcodec.pipelines import stablecodec_full as pipeline_module
from latentcodec.pipelines.base import Encoded, Settings
from latentcodec.pipelines.sodec import SodecPipeline
from latentcodec.pipelines.stablecodec_full import FREQUENCIES, FullStableCodecPipeline, as_shipped
from latentcodec.rate import Quality
from latentcodec.train import objective, sodec, stablecodec_full
from latentcodec.train.optimiser import Optimiser
from latentcodec.train.stages import STAGES, LossWeights
from latentcodec.weights import store
from tests.models.test_full_scale import published
from tests.models.test_stablecodec_full import as_saved, decisions, entropy

transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("LCODEC_TRUE_SIZE" not in os.environ, reason="an hour, and 18 GB: LCODEC_TRUE_SIZE=1"),
]
PHOTO = Path(__file__).parents[1] / "data" / "coffee.png"
ROUNDS = 4
PICTURE = resized_crop(read_rgb(PHOTO), (100, 0, 500, 400), 512)


@contextmanager
def measured(what: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"\n{what}: {time.perf_counter() - started:.1f} s, peak so far {peak:.1f} GB", end="")


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random frozen networks in the place of the published ones."""
    torch.set_default_dtype(torch.bfloat16)
    try:
        codec: Any = Sodec(SCALES["sd21"])
    finally:
        torch.set_default_dtype(torch.float32)
    held = {
        "sd21-vae": published(codec.vae.network, {}),
        "sd21-unet": published(codec.unet.network, {}),
        "dinov2-b14": published(codec.guidance.vit, {}),
    }
    monkeypatch.setattr(frozen, "store", SimpleNamespace(load=lambda name: SimpleNamespace(tensors=held[name])))


def test_a_file_and_a_training_step(rows: None, tmp_path: Path) -> None:
    device = torch.device("cpu")
    stage = dataclasses.replace(STAGES["sodec-joint-sd21"], batch=1, loss=LossWeights(l1=0.4, mse=5.0, align=5.0))
    with measured("networks"):
        task = sodec.SodecTask(stage, device, SCALES["sd21"])
        optimiser = Optimiser(task.model)
    batch = torch.from_numpy(PICTURE.copy()).permute(2, 0, 1)[None]
    weight = next(p for name, p in task.codec.unet.named_parameters() if name.endswith(".up"))
    assert not weight.any()
    with measured("training step"):
        loss, _ = task.loss(batch, 0)
        loss.backward()
        optimiser.step(1e-4)
    assert torch.isfinite(loss)
    assert weight.any()
    store.write_tensors(export(task.codec), tmp_path / "w.safetensors", {"config": task.config})
    print(f"\nweights of its own: {(tmp_path / 'w.safetensors').stat().st_size / 2**20:.0f} MB", end="")
    del task, optimiser, loss
    with measured("loading"):
        pipeline = SodecPipeline(store.read_weights(tmp_path / "w.safetensors"), device)
    with measured("encode"):
        encoded = pipeline.encode(PICTURE, Quality(30))
    for what, fidelity in (("preview", 1.0), ("decode", 0.0)):
        with measured(what):
            assert pipeline.decode(encoded, (512, 512), fidelity).shape == (512, 512, 3)


@pytest.fixture(scope="module")
def checkpoint() -> dict[str, Tensor]:
    """Random weights of a published checkpoint's layout."""
    torch.manual_seed(0)
    return {
        name: torch.randn(shape) * max(1, shape[1:].numel()) ** -0.5 + (1.0 if name.endswith("norm.weight") else 0.0)
        for name, shape in expected_shapes(FullConfig()).items()
    }


@pytest.fixture
def sd_turbo(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Tensor]]:
    """Random networks in the place of SD-Turbo's, and of what judges pictures in training."""
    sizes = FullConfig().stable_diffusion
    torch.set_default_dtype(torch.float16)
    try:
        rows = {
            "sd-turbo-vae": FrozenAutoencoder(sizes).network.state_dict(),
            "sd-turbo-unet": build_unet(sizes).state_dict(),
            "sd-turbo-text": transformers.CLIPTextModel(transformers.CLIPTextConfig(**prompt.SIZES)).state_dict(),
            "dinov2-b14": build_dino(sizes).state_dict(),
            "clip-vit-b32": clip_tensors(),
        }
    finally:
        torch.set_default_dtype(torch.float32)
    load = store.load
    held = {name: store.Weights(tensors, {}, 0) for name, tensors in rows.items()}
    monkeypatch.setattr(store, "load_one_by_one", rows.get)
    monkeypatch.setattr(store, "load", lambda name: held.get(name) or load(name))
    return rows


def clip_tensors() -> dict[str, Tensor]:
    package = transformers.CLIPVisionModelWithProjection, transformers.CLIPVisionConfig
    vision_side = package[0](package[1](image_size=SIDE, **CLIP_SIZES)).state_dict()
    text_side = {"text_model.unused": torch.zeros(1), "vision_model.embeddings.position_ids": torch.arange(50)}
    return {**vision_side, **text_side}


def test_a_file_of_the_published_stablecodec(
    checkpoint: dict[str, Tensor], sd_turbo: dict[str, dict[str, Tensor]]
) -> None:
    tensors, metadata = as_shipped(checkpoint, torch.randn(1, 77, 1024), FullConfig())
    with measured("loading, adapters merged"):
        pipeline = FullStableCodecPipeline(store.Weights(tensors, metadata, 1), torch.device("cpu"))
    plain = plain_networks(FullConfig().stable_diffusion)
    with measured("encode"):
        encoded = pipeline.encode(PICTURE, Quality(50))
    for turn in ("decode, first", "decode, again"):
        with measured(turn):
            assert pipeline.decode(encoded, (512, 512)).shape == (512, 512, 3)
    ratios = []
    for _ in range(ROUNDS):
        bare, whole = seconds(plain), seconds(lambda: pipeline.decode(encoded, (512, 512)))
        ratios.append(whole / bare)
        print(f"\nplain UNet and VAE decoder {bare:.1f} s, decode {whole:.1f} s, ratio {ratios[-1]:.2f}", end="")
    assert median(ratios) < 1
    # Weights are random, and pictures are noise of a deviation of 40: the same but for how bfloat16 rounds.
    quick, exact = pipeline.decode(encoded, (512, 512)), in_float32(tensors, pipeline, encoded)
    most = np.abs(exact.astype(int) - quick).max()
    print(f"\nmedian {median(ratios):.2f}; against float32: {psnr(exact, quick):.1f} dB, {most} of 255 at most", end="")
    assert psnr(exact, quick) > 45


def plain_networks(sizes: StableDiffusionConfig) -> Callable[[], None]:
    """UNet and VAE decoder as diffusers has them, in bfloat16: what decoding 512x512 pixels takes at the least."""
    torch.set_default_dtype(torch.bfloat16)
    try:
        decoder, unet = FrozenAutoencoder(sizes).network.decoder.eval(), build_unet(sizes).eval()
    finally:
        torch.set_default_dtype(torch.float32)
    decoder, unet = (network.to(memory_format=torch.channels_last) for network in (decoder, unet))
    latents = torch.randn(1, 4, 64, 64).bfloat16().contiguous(memory_format=torch.channels_last)
    text = torch.randn(1, 77, 1024).bfloat16()

    @torch.inference_mode()
    def run() -> None:
        decoder(unet(latents, 999, encoder_hidden_states=text).sample)

    return run


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


@torch.inference_mode()
def in_float32(tensors: dict[str, Tensor], pipeline: FullStableCodecPipeline, encoded: Encoded) -> np.ndarray:
    """The picture of a file with every network in float32, as diffusers has it."""
    kept = {name: value for name, value in tensors.items() if name != FREQUENCIES}
    vae, unet = (store.load_one_by_one(name) for name in ("sd-turbo-vae", "sd-turbo-unet"))
    model = place(FullConfig(), kept, vae, unet, torch.float32)
    y = torch.from_numpy(pipeline._decode_symbols(encoded, 512, 512).y)[None]
    picture = (255 * model.synthesise(y).clamp(0, 1)).round().byte()
    return picture[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("rate", [0, 128, 255])
def test_errors_of_another_machine(rate: int, checkpoint: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative errors of 1e-13 in every layer, hundreds of times those of float64, against half the band."""
    size = 1, 2
    z, y = (torch.randn(channels, *shape).numpy() for channels, shape in ((160, size), (320, (4, 8))))
    decided = decisions(monkeypatch)
    encoder = SymbolEncoder()
    coded = entropy(checkpoint, config=FullConfig()).code(encoder, rate, size, (z, y))
    decoder = SymbolDecoder(encoder.finish())
    decoded = entropy(checkpoint, noise=1e-13, config=FullConfig()).code(decoder, rate, size)
    moved = np.abs(np.concatenate(decided[:4]) - np.concatenate(decided[4:]))
    print(f"\nrate {rate}: decisions move by 2^{np.log2(moved.max()):.1f} at most, half the band is 2^-25", end="")
    assert 0 < moved.max() < BAND / 2
    assert np.array_equal(decoded.joined, coded.joined)


def test_a_picture_in_tiles(checkpoint: dict[str, Tensor], sd_turbo: dict[str, dict[str, Tensor]]) -> None:
    """As whole, within a level of 255, from a file of the same size."""
    tensors, metadata = as_shipped(checkpoint, torch.randn(1, 77, 1024), FullConfig())
    pipeline = FullStableCodecPipeline(store.Weights(tensors, metadata, 1), torch.device("cpu"))
    picture, size = np.tile(PICTURE, (2, 2, 1)), (1024, 1024)
    least = pipeline._memory.least_bytes(1024 * 1024) + 2**20
    assert least < pipeline._memory.whole_bytes(1024 * 1024)
    with measured("encode in tiles"):
        in_tiles = pipeline.encode(picture, Quality(50), Settings(max_memory_bytes=least))
    with measured("encode"):
        encoded = pipeline.encode(picture, Quality(50))
    assert len(in_tiles.payload) == pytest.approx(len(encoded.payload), rel=0.01)
    with measured("decode in tiles"):
        tiled = pipeline.decode(encoded, size, max_memory_bytes=least)
    with measured("decode"):
        whole = pipeline.decode(encoded, size)
    difference = np.abs(tiled.astype(int) - whole)
    print(f"\nbytes {len(in_tiles.payload)}, {len(encoded.payload)}; difference {difference.mean():.3f} of 255", end="")
    assert 0 < difference.mean() < 1


def test_the_denoiser_in_windows(
    checkpoint: dict[str, Tensor], sd_turbo: dict[str, dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As beyond 4K: within a level of 255. Random networks make no picture, so that says little of seams to the eye."""
    tensors, metadata = as_shipped(checkpoint, torch.randn(1, 77, 1024), FullConfig())
    pipeline = FullStableCodecPipeline(store.Weights(tensors, metadata, 1), torch.device("cpu"))
    encoded = pipeline.encode(np.tile(PICTURE, (2, 2, 1)), Quality(50))
    whole = pipeline.decode(encoded, (1024, 1024))
    for module, name in ((large, "LARGEST_WHOLE"), (pipeline_module, "LARGEST_WHOLE_PIXELS")):
        monkeypatch.setattr(module, name, 0)
    with measured("decode in windows"):
        windows = pipeline.decode(encoded, (1024, 1024), max_memory_bytes=10**10)
    difference = np.abs(windows.astype(int) - whole)
    print(f"\ndifference {difference.mean():.2f} of 255 where the deviation is {whole.std():.0f}", end="")
    assert 0 < difference.mean() < 1


def test_commands_at_true_size(
    checkpoint: dict[str, Tensor],
    sd_turbo: dict[str, dict[str, Tensor]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As typed, from a checkpoint as it is published."""
    monkeypatch.setenv("LCODEC_CACHE", str(tmp_path / "cache"))
    states, elic = as_saved(checkpoint, old=True)
    torch.save(states, tmp_path / "stablecodec_ft8.pkl")
    torch.save(elic, tmp_path / "elic_official.pth")
    photo, coded, decoded = (str(tmp_path / name) for name in ("photo.png", "photo.lcx", "decoded.png"))
    Path(photo).write_bytes(write_picture(Picture(PICTURE), ".png"))
    for arguments in (
        ("weights", "import", str(tmp_path / "stablecodec_ft8.pkl")),
        ("weights", "merge", "stablecodec_ft8"),
        ("encode", photo, "--scale", "sd-turbo", "-q", "0.3bpp", "--best-effort", "-o", coded),
        ("decode", coded, "-o", decoded),
    ):
        with measured(f"lcodec {arguments[0]}"):
            cli.main(arguments, standalone_mode=False)
    assert read_rgb(Path(decoded)).shape == PICTURE.shape


def test_a_training_step_of_the_published_stablecodec(
    checkpoint: dict[str, Tensor], sd_turbo: dict[str, dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its second stage, which has every loss."""
    monkeypatch.setattr(objective, "load_lpips", lambda arrays, network: LPIPS(VGG16()).requires_grad_(False))
    monkeypatch.setattr(store, "load", lambda name: SimpleNamespace(tensors=sd_turbo.get(name, {})))
    with measured("networks"):
        stage = dataclasses.replace(STAGES["stablecodec-ft8-sd-turbo"], batch=1)
        task = stablecodec_full.FullStableCodecTask(stage, torch.device("cpu"))
        state = to_state(checkpoint | {"prompt": torch.randn(1, 77, 1024)}, FullConfig())
        task.start_from({f"codec.{name}": value for name, value in state.items()}, iter(()))
        optimiser = Optimiser(task.model)
    trained = {name: p for name, p in task.model.named_parameters() if p.requires_grad}
    before = {name: p.detach().clone() for name, p in trained.items()}
    with measured("training step"):
        loss, _ = task.loss(torch.from_numpy(PICTURE.copy()).permute(2, 0, 1)[None], 0)
        loss.backward()
        optimiser.step(1e-4)
    assert torch.isfinite(loss)
    assert [name for name, p in trained.items() if torch.equal(p, before[name])] == []
