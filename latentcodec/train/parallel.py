"""Several processes train one model, as torchrun starts them: gradients are averaged, everything else stays as it is.

torchrun --nproc_per_node 4 -m latentcodec train sodec --scale sd21 --data photos/ ...
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from latentcodec.train.loop import Task

Loss = Callable[[Tensor, int], tuple[Tensor, dict[str, Tensor]]]


@contextmanager
def processes(device: torch.device) -> Iterator[None]:
    """Within, this process is one of those that torchrun started; alone, it is what it always was."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def rank() -> int:
    """Number of this process: 0 writes states and logs."""
    return distributed.get_rank() if distributed.is_initialized() else 0


class _Loss(nn.Module):
    """A task's loss as the forward pass that DistributedDataParallel wants."""

    def __init__(self, task: "Task"):
        super().__init__()
        self.model = task.model
        self.task_loss = task.loss

    def forward(self, batch: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        return self.task_loss(batch, step)


def shared_loss(task: "Task") -> Loss:
    """The task's loss, whose gradients are averaged over all processes; buffers are those of the first."""
    if not distributed.is_initialized():
        return task.loss
    return DistributedDataParallel(_Loss(task), find_unused_parameters=True)


def mean_over_processes(value: Tensor) -> Tensor:
    """A scalar, averaged."""
    value = value.detach()
    if distributed.is_initialized():
        value = value.clone()
        distributed.all_reduce(value)
        value /= distributed.get_world_size()
    return value


def wait_for_all() -> None:
    """Until every process has come here: what the first one has saved is there for all."""
    if distributed.is_initialized():
        distributed.barrier()


def any_wants(stop: bool) -> bool:
    """Whether one of the processes wants to stop: then all of them do, at the same step."""
    if not distributed.is_initialized():
        return stop
    wish = torch.tensor(float(stop), device="cuda" if distributed.get_backend() == "nccl" else "cpu")
    distributed.all_reduce(wish, distributed.ReduceOp.MAX)
    return bool(wish)
