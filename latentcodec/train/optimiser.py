"""Muon for the convolutions, AdamW for everything else, behind one step; or AdamW alone.

Muon (Jordan et al. 2024) orthogonalises the momentum of a weight matrix. Rate and distortion pull the weights of a
codec in conflicting directions, which is where such an optimiser needs fewer steps than AdamW; docs/training.md has
the comparison. A convolution's weight [O, I, k, k] is handled as the matrix [O, I * k * k].
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

SMALLEST_MATRIX = 16
ADAMW_SHARE = 0.5  # beside Muon: learning rate of AdamW as a share of the stage's
ALONE: dict[str, Any] = {"betas": (0.9, 0.999), "weight_decay": 1e-2}
BESIDE: dict[str, Any] = {"betas": (0.9, 0.98), "weight_decay": 0.0}
MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
UPDATE_SIZE = 0.2  # root mean square of an update relative to the learning rate: about AdamW's (Liu et al. 2025)


class Optimiser:
    """Steps all parameters of a model that require a gradient."""

    def __init__(
        self, model: nn.Module, speeds: Mapping[str, float] | None = None, muon: bool = True, decay: bool = True
    ):
        """`speeds`: learning rate of parameters by name, relative to that of AdamW. `muon`: or AdamW alone, and
        `decay`: with a decay of weights."""
        weights = [p for p in model.parameters() if p.requires_grad]
        convs = [p for p in weights if muon and p.ndim == 4 and min(p.shape[:2]) >= SMALLEST_MATRIX]
        self._share = ADAMW_SHARE if muon else 1.0
        self._muon = Muon(convs)
        chosen = {id(p) for p in convs}
        rest = [p for p in weights if id(p) not in chosen]
        named = {id(p): (speeds or {}).get(name, 1.0) for name, p in model.named_parameters()}
        groups = [
            {"params": [p for p in rest if named[id(p)] == speed], "speed": speed} for speed in set(named.values())
        ]
        alone = ALONE if decay else ALONE | {"weight_decay": 0.0}
        self._adamw = torch.optim.AdamW(groups, **(BESIDE if muon else alone), fused=True)

    def step(self, learning_rate: float, finite: Tensor | None = None) -> None:
        """Update from the parameters' gradients. `finite`: scalar bool on their device; if false, nothing changes.

        That is decided there: to ask a GPU would make the host wait for it at every step.
        """
        for group in self._adamw.param_groups:
            group["lr"] = self._share * learning_rate * group.get("speed", 1.0)
        if finite is not None:
            self._adamw.found_inf = (~finite).float()  # type: ignore[attr-defined]
        self._muon.step(learning_rate, finite)
        self._adamw.step()

    def zero_grad(self) -> None:
        """Forget all gradients."""
        self._muon.zero_grad()
        self._adamw.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Both optimisers' states."""
        return {"muon": self._muon.state_dict(), "adamw": self._adamw.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self._muon.load_state_dict(state["muon"])
        self._adamw.load_state_dict(state["adamw"])


class Muon:
    """Muon for convolutions. On a GPU those of one shape are stacked, so that it has few and large products to do."""

    def __init__(self, weights: Sequence[nn.Parameter]):
        groups: dict[Hashable, list[nn.Parameter]] = defaultdict(list)
        for weight in weights:
            shape = (weight.shape[0], weight[0].numel())
            groups[shape if weight.is_cuda else weight].append(weight)
        self._weights = weights
        self._groups = list(groups.values())
        self._momenta = [torch.zeros_like(_stacked(group)) for group in self._groups]

    @torch.no_grad()
    def step(self, learning_rate: float, finite: Tensor | None = None) -> None:
        """Update from the gradients, unless they are not `finite`."""
        for group, momentum in zip(self._groups, self._momenta, strict=True):
            assert all(weight.grad is not None for weight in group)
            gradients = _stacked([weight.grad for weight in group if weight.grad is not None])
            if finite is not None:
                gradients = gradients.where(finite, momentum)
            momentum.lerp_(gradients, 1 - MOMENTUM)
            update = orthogonalised(gradients.lerp(momentum, MOMENTUM))
            size = -learning_rate * UPDATE_SIZE * math.sqrt(max(update.shape[1:]))
            step = size if finite is None else size * finite
            update = (update * step).to(group[0].dtype)
            torch._foreach_add_(list(group), [u.view(w.shape) for u, w in zip(update, group, strict=True)])

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for group in self._groups:
            for weight in group:
                weight.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Momenta, in the order of the weights."""
        by_weight = self._momentum_of()
        return {"momenta": [by_weight[weight] for weight in self._weights]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        by_weight = self._momentum_of()
        for weight, saved in zip(self._weights, state["momenta"], strict=True):
            by_weight[weight].copy_(saved)

    def _momentum_of(self) -> dict[nn.Parameter, Tensor]:
        pairs = zip(self._groups, self._momenta, strict=True)
        return {weight: momentum for group, stack in pairs for weight, momentum in zip(group, stack, strict=True)}


def orthogonalised(matrices: Tensor) -> Tensor:
    """[N, rows, columns] -> bfloat16 of about the same singular vectors, with singular values near 1.

    Five steps of a quintic Newton-Schulz iteration (Jordan et al. 2024).
    """
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def _stacked(weights: Iterable[Tensor]) -> Tensor:
    """[O, I, k, k] each -> [N, O, I * k * k]."""
    return torch.stack([weight.detach().flatten(1) for weight in weights])
