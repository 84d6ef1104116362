"""Parameters that move from the reference towards one picture, as far as their bits are worth it.

    minimise  what the fit minimises  +  weight * PRICE * |difference| / 2^UNIT_SHIFT

A difference that is sent costs about PRICE bits per multiple of 2^UNIT_SHIFT, in units of the file's integers, and one
that stays zero next to nothing, so few of them should leave zero: only where the gradient exceeds the price. Without a
price, what is minimised falls further, and then no file can afford to say how (docs/training.md).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from latentcodec.models.overfit.function import FittedFunction
from latentcodec.models.overfit.parameters import DECLARATIONS, Parameter

RATE = 2e-3
# Learning rates relative to that, in training too, which alone changes the prediction: positions in the list of tables
# move by whole units, bases by hundredths.
SPEEDS = {"offset": 15.0, "mixing": 0.1, "mean": 0.1, "prediction": 0.1}
LOWEST_SHARE = 0.1  # of the learning rate, at the end
PRICE = 3.0
UNIT_SHIFT = 6


@dataclass(frozen=True)
class _Adapted:
    declared: Parameter
    value: Tensor
    reference: Tensor


class Adaptation:
    """Of a function whose parameters are the reference's. `weight`: of rate, in what is minimised."""

    def __init__(self, function: FittedFunction, weight: float):
        self._weight = weight
        self._all = [
            _Adapted(declared, value, value.detach().clone())
            for declared in DECLARATIONS
            if declared.group is not None
            for value in [getattr(function, declared.name)]
        ]
        groups = [{"params": [a.value], "speed": SPEEDS.get(a.declared.name, 1.0)} for a in self._all]
        self._optimiser = torch.optim.Adam(groups, betas=(0.9, 0.95))

    @contextmanager
    def differentiable(self) -> Iterator[None]:
        """Within, derivatives are those of parameters as well, in place of earlier ones."""
        self._optimiser.zero_grad()
        for adapted in self._all:
            adapted.value.requires_grad = True
        try:
            yield
        finally:
            for adapted in self._all:
                adapted.value.requires_grad = False

    @torch.no_grad()
    def step(self, left: float) -> None:
        """Down the gradients of the latest derivatives. `left`: what part of the fit is, 1 to 0."""
        before = [adapted.value - adapted.reference for adapted in self._all]
        staying = [self._add_price(adapted, difference) for adapted, difference in zip(self._all, before, strict=True)]
        for group in self._optimiser.param_groups:
            group["lr"] = group["speed"] * RATE * max(LOWEST_SHARE, left)
        self._optimiser.step()
        for adapted, difference, stays in zip(self._all, before, staying, strict=True):
            back = stays | (difference * (adapted.value - adapted.reference) < 0)  # rather than past zero
            adapted.value.copy_(torch.where(back, adapted.reference, adapted.value))
            self._optimiser.state[adapted.value]["exp_avg"][back] = 0  # momentum would take them away again

    def _add_price(self, adapted: _Adapted, difference: Tensor) -> Tensor:
        """To the gradient -> which parameters are at the reference and better stay there."""
        gradient, declared = adapted.value.grad, adapted.declared
        assert gradient is not None
        if declared.per_step:  # networks of the steps move alike, as they do in a file
            gradient.copy_(gradient.sum(0, keepdim=True).expand_as(gradient))
        price = self._weight * PRICE * 2.0 ** (declared.bits - UNIT_SHIFT)
        worth_it = gradient.sign() * (gradient.abs() - price).clamp_min(0)
        gradient.copy_(torch.where(difference == 0, worth_it, gradient + price * difference.sign()))
        return (difference == 0) & (worth_it == 0)
