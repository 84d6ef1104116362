"""Rate weights that make the rate parameter mean what it says.

The parameter r in 0..1 is meant to spend about low * (high / low)^r bits per pixel on an average crop, where low and
high are the `rate_range` of the model. Each knot of r holds its own lambda, and a slow integral controller raises it
where too many bits are spent and lowers it where too few: so one model covers the whole range whatever the mix of
losses.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from latentcodec.models.blocks.rate import RATE_KNOTS
from latentcodec.train.stages import Stage

SPEED = 0.01  # at BATCH pictures per step
BATCH = 8
# Unscaled, the lowest rates dominate the gradients of analysis and entropy model; divided by lambda, the highest ones
# those of the synthesis. This power of lambda gives every rate about the same say (docs/training.md).
BALANCE = -0.25
LOG_WEIGHT_RANGE = (math.log(0.01), math.log(20000.0))


def target_bpp(rate: Tensor, rate_range: tuple[float, float]) -> Tensor:
    """Mean bits per pixel that the rate parameter stands for."""
    low, high = rate_range
    return low * (high / low) ** rate


def annealed(stage: Stage, step: int) -> float:
    """Times as many bits as the rate parameter stands for, at this step."""
    first, last = stage.annealing
    share = min(1.0, 2 * step / stage.steps)
    return first ** (1 - share) * last**share


class RateControl(nn.Module):
    """Lambda (distortion per bpp) as a function of the rate parameter, kept in the training state."""

    log_weight: Tensor

    def __init__(self, stage: Stage):
        super().__init__()
        low, high = (math.log(w) for w in stage.rate_weights)
        self.register_buffer("log_weight", torch.linspace(low, high, RATE_KNOTS))

    def weight(self, rate: Tensor) -> Tensor:
        """Lambda of each picture [B]."""
        return (self._hats(rate) @ self.log_weight).exp()

    @torch.no_grad()
    def update(self, rate: Tensor, bpp: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Move lambda by the error of this batch; returns figures to log: rate error and lambdas at three knots.

        The error is not a number where no picture of the batch has such a rate.
        """
        error = (bpp / target).log().clamp(-1, 1)
        self.log_weight += SPEED * BATCH / len(rate) * (self._hats(rate).T @ error)
        self.log_weight.clamp_(*LOG_WEIGHT_RANGE)
        middle = RATE_KNOTS // 2
        figures = {f"lambda{k}": self.log_weight[k].exp() for k in (0, middle, RATE_KNOTS - 1)}
        for number, (low, high) in enumerate(((0, 0.33), (0.33, 0.67), (0.67, 1))):
            inside = (rate >= low) & (rate < high)
            figures[f"rate_ratio{number}"] = torch.where(inside, bpp / target, 0).sum() / inside.sum()
        return figures

    def _hats(self, rate: Tensor) -> Tensor:
        """[B, RATE_KNOTS]: weights of linear interpolation between knots."""
        knots = torch.arange(RATE_KNOTS, device=rate.device)
        return (1 - (rate[:, None] * (RATE_KNOTS - 1) - knots).abs()).clamp_min(0)


class _ScaleGradient(torch.autograd.Function):
    """Identity whose gradient is multiplied by a factor per picture."""

    @staticmethod
    def forward(context: Any, x: Tensor, factor: Tensor) -> Tensor:
        context.save_for_backward(factor)
        return x.view_as(x)

    @staticmethod
    def backward(context: Any, *gradients: Any) -> Any:
        return gradients[0] * context.saved_tensors[0][:, None, None, None], None


def scale_gradient(x: Tensor, factor: Tensor) -> Tensor:
    """Picture by picture, the gradient of x [B, C, h, w] times `factor` [B]."""
    result: Tensor = _ScaleGradient.apply(x, factor)  # type: ignore[no-untyped-call]
    return result
