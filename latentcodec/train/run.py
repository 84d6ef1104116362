"""A stage from start to end: data, task, starting weights, loop; and the export of what it trained."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from latentcodec.errors import InputError
from latentcodec.models.stablecodec.config import StableCodecConfig
from latentcodec.models.stablecodec.export import export, restore
from latentcodec.models.stablecodec.model import StableCodec
from latentcodec.train.data import CropSampler, list_images, prefetch
from latentcodec.train.loop import Trainer, load_average
from latentcodec.train.stages import Stage
from latentcodec.train.tasks import TASKS
from latentcodec.weights import store


def train_stage(
    stage: Stage,
    data: Path,
    runs: Path,
    device: torch.device,
    seed: int,
    report: Callable[[int, dict[str, float]], None],
    start: Path | None = None,
) -> None:
    """Train (or resume) `stage` in runs/<stage name>.

    A new run starts from the exported weights in `start`, or from the average of the stage that the recipe names.
    """
    torch.manual_seed(seed)
    trainer = Trainer(stage, TASKS[stage.task](stage, device, None), runs / stage.name, device, report)
    sampler = CropSampler(list_images(data), stage.crop, seed + trainer.step)
    batches = prefetch(sampler, stage.batch)
    if trainer.step == 0:
        if start is not None:
            weights: dict[str, Tensor] | None = _exported_state(start)
        else:
            weights = load_average(runs / stage.start) if stage.start is not None else None
        trainer.start_from(weights, batches)
    trainer.run(batches)


def _exported_state(path: Path) -> dict[str, Tensor]:
    """Shipped weights -> training state of a stablecodec stage."""
    weights = store.read_weights(path)
    codec = StableCodec(StableCodecConfig.from_json(weights.metadata.get("config", "")))
    restore(weights.tensors, codec)
    return {f"codec.{name}": value for name, value in codec.state_dict().items()}


def export_stage(stage: Stage, runs: Path, path: Path) -> str:
    """Averaged weights of a stablecodec stage -> shipped safetensors file; returns its SHA-256."""
    if stage.task != "stablecodec":
        raise InputError(f"stage {stage.name!r} trains no whole codec")
    weights = load_average(runs / stage.name)
    codec = StableCodec(StableCodecConfig())
    codec.load_state_dict({k.removeprefix("codec."): v for k, v in weights.items() if k.startswith("codec.")})
    store.write_tensors(export(codec), path, {"config": codec.config.to_json()})
    return store.sha256_of(path)
