"""What each process of test_parallel.py runs, on its share of the batches. python parallel_training.py FOLDER"""

import json
import os
import sys
from pathlib import Path

import torch

from latentcodec.train.loop import Trainer
from latentcodec.train.parallel import processes, rank
from latentcodec.train.stages import LossWeights, Stage

STAGE = Stage("toy", "toy", None, 4, 4, 32, 1e-2, LossWeights(), warmup_steps=1)


class Toy:
    """Two convolutions learn to brighten pictures; a buffer counts, as a controller of the rate does."""

    config = ""
    speeds: dict[str, float] = {}  # noqa: RUF012

    def __init__(self) -> None:
        self.model = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.Conv2d(16, 16, 3, padding=1))
        self.model.register_buffer("count", torch.zeros(()))

    def is_foreign(self, name: str) -> bool:
        return False

    def loss(self, batch: torch.Tensor, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        pixels = batch.float() / 255
        self.model.count += 1
        return (self.model(pixels).mean(1) - pixels.mean(1) - 0.1).square().mean(), {}


def train(folder: Path) -> dict:
    """Losses of all steps, and the weights after them."""
    world, number = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    pictures = torch.randint(0, 256, (4, 4, 3, 32, 32), generator=torch.Generator().manual_seed(1)).byte()
    torch.manual_seed(7 * number)  # processes need not agree on the start: the first one's counts
    losses = []
    trainer = Trainer(STAGE, Toy(), folder, torch.device("cpu"))
    step = trainer._train_step
    trainer._train_step = lambda *arguments: losses.append(step(*arguments)) or losses[-1]
    trainer.run(iter([batch.chunk(world)[number] for batch in pictures]))
    weights = {name: value.flatten().tolist() for name, value in trainer.task.model.state_dict().items()}
    return {"losses": [row["loss"].item() for row in losses], "weights": weights, "rank": rank()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    with processes(torch.device("cpu")):
        result = train(out)
        (out / f"{result['rank']}.json").write_text(json.dumps(result))
