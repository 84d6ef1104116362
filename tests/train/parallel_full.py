"""What each process of test_parallel.py runs at full scale, with few channels.

python -m tests.train.parallel_full FOLDER
"""

import dataclasses
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import torch

from latentcodec.metrics.perceptual import LPIPS, VGG16
from latentcodec.models.diffusion import vision
from latentcodec.models.stablecodec.full.adapted import to_state
from latentcodec.train import objective
from latentcodec.train.loop import Trainer
from latentcodec.train.parallel import processes, rank
from latentcodec.train.stablecodec_full import FullStableCodecTask
from latentcodec.train.stages import STAGES
from latentcodec.weights import store
from tests import tiny_full

STAGE = dataclasses.replace(
    STAGES["stablecodec-ft8-sd-turbo"], steps=2, batch=1, crop=256, warmup_steps=1, ema_decay=0.5
)


def train(folder: Path) -> dict[str, torch.Tensor]:
    """What is trained, after two steps of which every process sees pictures of its own."""
    rows, device, number = tiny_full.rows(), torch.device("cpu"), int(os.environ["RANK"])
    store.load_one_by_one = rows.get  # type: ignore[assignment]
    store.load = lambda name: SimpleNamespace(tensors={})  # type: ignore[assignment,return-value]
    objective.load_lpips = lambda arrays, network: LPIPS(VGG16(1)).requires_grad_(False)  # type: ignore[assignment]
    vision.CLIP_SIZES = tiny_full.CLIP_SIZES
    torch.manual_seed(0)
    task = FullStableCodecTask(STAGE, device, tiny_full.CONFIG)
    state = to_state(tiny_full.tensors(), tiny_full.CONFIG)
    task.start_from({f"codec.{name}": value for name, value in state.items()}, iter(()))
    torch.manual_seed(number)
    pictures = torch.randint(0, 256, (STAGE.steps, 1, 3, 256, 256)).byte()
    Trainer(STAGE, task, folder, device).run(iter(pictures))
    return {name: value.detach() for name, value in task.model.named_parameters() if value.requires_grad}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with processes(torch.device("cpu")):
        out = Path(sys.argv[1])
        torch.save(train(out), out / f"{rank()}.pt")
