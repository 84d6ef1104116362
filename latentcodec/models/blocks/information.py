"""Information of symbols under their models, in floating point: for training and fitting, never for coding."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from latentcodec.coding.tables import GAUSSIAN, LOG_SCALE_STEP, LOGISTIC, SMALLEST_SCALE, TABLES

PROBABILITY_FLOOR = 1e-16
NOISE_FROM_POSITION = 12.0  # standard deviation 0.34
# Latents minus means, positions in the list of tables, whether they are those of y (z has no means) -> stand-ins
# for symbols: to be decoded, and to be counted.
Symbolise = Callable[[Tensor, Tensor, bool], tuple[Tensor, Tensor]]


def round_through(x: Tensor) -> Tensor:
    """Rounding with the gradient of the identity."""
    return x + (x.round() - x).detach()


def scale_of(position: Tensor) -> Tensor:
    """Position in the list of tables (real-valued, clamped) -> standard deviation."""
    return SMALLEST_SCALE * torch.exp(LOG_SCALE_STEP * clamp_softly(position, 0.0, TABLES - 1.0))


def clamp_softly(x: Tensor, low: float, high: float) -> Tensor:
    """Clamp whose gradient still lets values outside move back inside."""
    clamped = x.clamp(low, high)
    return clamped + 0.01 * (x - x.detach())


def gaussian_information(residual: Tensor, position: Tensor) -> Tensor:
    """-log2 of the probability of the unit interval around `residual` under the Gaussian of a committed table."""
    return interval_information(residual, scale_of(position))


def interval_information(residual: Tensor, scale: Tensor) -> Tensor:
    """-log2 of the probability of the unit interval around `residual` under N(0, scale^2) (Balle et al. 2018)."""
    magnitude = residual.abs()
    upper = torch.special.ndtr((0.5 - magnitude) / scale)
    lower = torch.special.ndtr((-0.5 - magnitude) / scale)
    return -torch.log2((upper - lower).clamp_min(PROBABILITY_FLOOR))


def logistic_information(residual: Tensor, position: Tensor) -> Tensor:
    """The same, without a floor, under the logistic distribution that has as much probability of zero."""
    edge = 0.5 / scale_of(position)
    edge = torch.special.log_ndtr(edge) - torch.special.log_ndtr(-edge)  # in units of the logistic scale
    magnitude = residual.abs()
    upper, lower = edge * (1 - 2 * magnitude), edge * (-1 - 2 * magnitude)
    # log(s(u) - s(l)) = log s(u) + log s(-l) + log(1 - exp(l - u)) for the logistic function s
    logarithm = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(lower - upper))
    return logarithm / -math.log(2)


INFORMATION = {GAUSSIAN: gaussian_information, LOGISTIC: logistic_information}  # by the first table of a shape


def as_trained(residual: Tensor, position: Tensor, is_y: bool) -> tuple[Tensor, Tensor]:
    """What stands for a symbol while transforms are trained with it: where it is decoded, and where it is counted."""
    return round_through(residual), rate_proxy(residual, position)


def rate_proxy(x: Tensor, position: Tensor) -> Tensor:
    """What stands for the symbol when its rate is estimated in training.

    Uniform noise is the usual proxy (Balle et al. 2017), but a symbol that is always zero still costs about one bit
    times its scale under noise, and at 0.01 bpp those costs swamp the real ones. So symbols with a small scale are
    rounded, with the gradient of the identity.
    """
    return torch.where(position.detach() > NOISE_FROM_POSITION, x + torch.rand_like(x) - 0.5, round_through(x))


class _AtLeast(torch.autograd.Function):
    """Maximum with a constant. Values below it receive only gradients that would raise them."""

    @staticmethod
    def forward(context: Any, x: Tensor, bound: float) -> Tensor:
        context.save_for_backward(x >= bound)
        return x.clamp_min(bound)

    @staticmethod
    def backward(context: Any, *gradients: Any) -> Any:
        (above,) = context.saved_tensors
        return gradients[0] * (above | (gradients[0] < 0)), None


def at_least(x: Tensor, bound: float) -> Tensor:
    """max(x, bound), of which values below can still come back, but drift no further away."""
    result: Tensor = _AtLeast.apply(x, bound)  # type: ignore[no-untyped-call]
    return result
