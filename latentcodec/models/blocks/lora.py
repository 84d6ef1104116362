"""Low-rank adaptation (Hu et al. 2022): a frozen weight W becomes W + factor B A, and only A and B are trained.

A convolution's weight [O, I, k, k] is handled as the matrix [O, I * k * k]. B starts at zero: the network is at first
what it was.
"""

import math
from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

PARAMETRIZED = ".parametrizations.weight.original"
ADAPTERS = ".parametrizations.weight.0."


class LowRank(nn.Module):
    """W -> W + factor B A, in the type of W."""

    def __init__(self, weight: Tensor, rank: int, factor: float):
        super().__init__()
        self.factor = factor
        outputs, inputs = weight.shape[0], weight[0].numel()
        self.down = nn.Parameter(torch.randn(rank, inputs, device=weight.device) / math.sqrt(inputs))
        self.up = nn.Parameter(torch.zeros(outputs, rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        change = self.factor * (self.up @ self.down)
        return weight + change.reshape(weight.shape).to(weight.dtype)


def adapt(network: nn.Module, names: Collection[str], rank: int, factor: float | None = None) -> None:
    """Freeze a network and give the layers whose names end with one of `names` a low-rank adapter.

    `factor`: of the change; None: 1 / sqrt(rank).
    """
    network.requires_grad_(False)
    factor = 1 / math.sqrt(rank) if factor is None else factor
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d | nn.Linear) and any(f".{name}".endswith(f".{ending}") for ending in names):
            # `unsafe`: no check that the type stays the same, which would compute every weight once.
            parametrize.register_parametrization(module, "weight", LowRank(module.weight, rank, factor), unsafe=True)


def merge(network: nn.Module) -> None:
    """Put every adapter into its weight: decoding needs no adapters."""
    for module in list(network.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)


def adapted_names(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """A state of the network as it was before `adapt`, under the names that its weights have now."""
    now = network.state_dict().keys()
    renamed = {name: name.removesuffix(".weight") + PARAMETRIZED for name in state}
    return {renamed[name] if renamed[name] in now else name: value for name, value in state.items()}
