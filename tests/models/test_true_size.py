"""Both diffusion methods with networks of the published sizes, random: 512x512 pixels, on the CPU.

LCODEC_TRUE_SIZE=1 pytest -s tests/models/test_true_size.py        prints seconds and peak memory; needs 16 GB
"""

import dataclasses
import json
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from latentcodec.image import read_rgb, resized_crop
from latentcodec.models.diffusion.stable_diffusion import FrozenAutoencoder, build_unet
from latentcodec.models.sodec.config import SCALES
from latentcodec.models.sodec.export import export
from latentcodec.models.sodec.model import Sodec
from latentcodec.models.stablecodec.full.checkpoint import expected_shapes
from latentcodec.models.stablecodec.full.config import FullConfig
from latentcodec.models.stablecodec.full.density import z_frequencies
from latentcodec.pipelines import frozen, stablecodec_full
from latentcodec.pipelines.registry import FULL_SCALE
from latentcodec.pipelines.sodec import SodecPipeline
from latentcodec.pipelines.stablecodec_full import FREQUENCIES, FullStableCodecPipeline
from latentcodec.rate import Quality
from latentcodec.train import sodec
from latentcodec.train.optimiser import Optimiser
from latentcodec.train.stages import STAGES, LossWeights
from latentcodec.weights import store
from tests.models.test_full_scale import published

pytestmark = pytest.mark.skipif("LCODEC_TRUE_SIZE" not in os.environ, reason="minutes, and 16 GB: LCODEC_TRUE_SIZE=1")
PHOTO = Path(__file__).parents[1] / "data" / "coffee.png"
PICTURE = resized_crop(read_rgb(PHOTO), (100, 0, 500, 400), 512)


@contextmanager
def measured(what: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
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


def test_a_file_of_the_published_stablecodec(monkeypatch: pytest.MonkeyPatch) -> None:
    config = FullConfig()
    torch.manual_seed(0)
    tensors = {
        name: torch.randn(shape) * max(1, shape[1:].numel()) ** -0.5 + (1.0 if name.endswith("norm.weight") else 0.0)
        for name, shape in expected_shapes(config).items()
    }
    bottleneck = {k.removeprefix("bottleneck."): v for k, v in tensors.items() if k.startswith("bottleneck.")}
    tensors |= {FREQUENCIES: z_frequencies(bottleneck), "prompt": torch.randn(1, 77, 1024)}
    torch.set_default_dtype(torch.float16)
    try:
        rows = {
            "sd-turbo-vae": FrozenAutoencoder(config.stable_diffusion).network.state_dict(),
            "sd-turbo-unet": build_unet(config.stable_diffusion).state_dict(),
        }
    finally:
        torch.set_default_dtype(torch.float32)
    monkeypatch.setattr(stablecodec_full.store, "load_one_by_one", rows.get)
    described = {"model": json.dumps({"kind": FULL_SCALE, "config": config.to_json()})}
    with measured("loading, adapters merged"):
        pipeline = FullStableCodecPipeline(store.Weights(tensors, described, 1), torch.device("cpu"))
    with measured("encode"):
        encoded = pipeline.encode(PICTURE, Quality(50))
    for turn in ("decode, first", "decode, again"):
        with measured(turn):
            assert pipeline.decode(encoded, (512, 512)).shape == (512, 512, 3)
