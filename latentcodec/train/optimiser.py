"""Muon for the convolutions, AdamW for everything else, behind one step; or AdamW alone.

Muon (Jordan et al. 2024) orthogonalises the momentum of a weight matrix. Rate and distortion pull the weights of a
codec in conflicting directions, which is where such an optimiser needs fewer steps than AdamW; docs/training.md has
the comparison. A convolution's weight [O, I, k, k] is handled as the matrix [O, I * k * k].
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

SMALLEST_MATRIX = 16
ADAMW_SHARE = 0.5  # beside Muon: learning rate of AdamW as a share of the stage's
ALONE: dict[str, Any] = {"betas": (0.9, 0.999), "weight_decay": 1e-2}
BESIDE: dict[str, Any] = {"betas": (0.9, 0.98), "weight_decay": 0.0}


class Optimiser:
    """Steps all parameters of a model that require a gradient."""

    def __init__(self, model: nn.Module, speeds: Mapping[str, float] | None = None, muon: bool = True):
        """`speeds`: learning rate of parameters by name, relative to that of AdamW. `muon`: or AdamW alone."""
        weights = [p for p in model.parameters() if p.requires_grad]
        convs = [p for p in weights if muon and p.ndim == 4 and min(p.shape[:2]) >= SMALLEST_MATRIX]
        self._share = ADAMW_SHARE if muon else 1.0
        chosen = {id(p) for p in convs}
        # Invariant: each matrix shares its storage with the convolution's weight.
        self._pairs = [(p, nn.Parameter(p.data.view(p.shape[0], -1))) for p in convs]
        matrices = [matrix for _, matrix in self._pairs]
        self._muon = torch.optim.Muon(matrices, weight_decay=0.0, adjust_lr_fn="match_rms_adamw") if matrices else None
        rest = [p for p in weights if id(p) not in chosen]
        named = {id(p): (speeds or {}).get(name, 1.0) for name, p in model.named_parameters()}
        groups = [
            {"params": [p for p in rest if named[id(p)] == speed], "speed": speed} for speed in set(named.values())
        ]
        self._adamw = torch.optim.AdamW(groups, **(BESIDE if muon else ALONE), fused=True)

    def step(self, learning_rate: float) -> None:
        """Update from the parameters' gradients."""
        for group in self._adamw.param_groups:
            group["lr"] = self._share * learning_rate * group.get("speed", 1.0)
        if self._muon is not None:
            for group in self._muon.param_groups:
                group["lr"] = learning_rate
            for weight, matrix in self._pairs:
                assert weight.grad is not None
                matrix.grad = weight.grad.reshape(matrix.shape)
            self._muon.step()  # type: ignore[no-untyped-call]
        self._adamw.step()

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for weight, matrix in self._pairs:
            weight.grad = matrix.grad = None
        self._adamw.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Both optimisers' states."""
        muon = {} if self._muon is None else self._muon.state_dict()
        return {"muon": muon, "adamw": self._adamw.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        if self._muon is not None:
            self._muon.load_state_dict(state["muon"])
        self._adamw.load_state_dict(state["adamw"])
