"""What an encoder with effort minimises: the error of a decoded picture against the original, for `--tune`.

An objective is made for one original [1, 3, H, W] in 0..1, and called with a decoded picture like it, not clamped, and
the number of the round.
"""

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from latentcodec.metrics import structural
from latentcodec.metrics.external import require
from latentcodec.metrics.perceptual import LPIPS, AlexNet, load_lpips
from latentcodec.metrics.registry import METRICS
from latentcodec.models.blocks.shipping import float_tensors
from latentcodec.pipelines.base import PERCEPTUAL, PSNR
from latentcodec.pipelines.precision import fast_autocast
from latentcodec.weights import store

Objective = Callable[[Tensor, int], Tensor]

# Of the squared error beside LPIPS, by rate 0..255, linear between. Where bits are many it brings decibels that cost
# perception nothing; where they are few they do.
RATES, MSE_WEIGHTS = (75, 138, 196), (5.0, 40.0, 80.0)
MS_SSIM_WEIGHT = 0.5  # of 1 - MS-SSIM beside them, which keeps structure: edges and lettering
ALEX_STRIDE = 4
SMALLEST_SIDE = 40  # of what AlexNet can see
SMALLEST_SCALES = 161  # of what five scales of SSIM can see
SMALLEST_WINDOW = 11  # of SSIM


class PerceptualError:
    """LPIPS (AlexNet), with 1 - MS-SSIM and enough of the squared error for colours and edges to stay in place.

    What a picture is too small for is left out.
    """

    def __init__(self, original: Tensor, mse_weight: float = MSE_WEIGHTS[0], ms_ssim_weight: float = 0.0):
        self._original, self._mse_weight = original, mse_weight
        self._ms_ssim_weight = ms_ssim_weight if min(original.shape[2:]) >= structural.SMALLEST_SIDE else 0.0
        self._features: dict[int, list[Tensor]] = {}

    def __call__(self, output: Tensor, number: int) -> Tensor:
        error = self._mse_weight * F.mse_loss(output, self._original)
        if self._ms_ssim_weight:
            error = error + self._ms_ssim_weight * (1 - structural.ms_ssim(output.clamp(0, 1), self._original).mean())
        phase = number % ALEX_STRIDE
        seen = _from_phase(output, phase).clamp(0, 1)
        if min(seen.shape[2:]) < SMALLEST_SIDE:
            return error
        network = _lpips(output.device)
        with fast_autocast(output.device):
            features = network.features(seen)
        return error + network.distance(features, self._features_at(phase)).mean()

    @torch.no_grad()
    def _features_at(self, phase: int) -> list[Tensor]:
        if phase not in self._features:
            with fast_autocast(self._original.device):
                self._features[phase] = _lpips(self._original.device).features(_from_phase(self._original, phase))
        return self._features[phase]


class SquaredError:
    """Mean squared error."""

    def __init__(self, original: Tensor):
        self._original = original

    def __call__(self, output: Tensor, number: int) -> Tensor:
        return F.mse_loss(output, self._original)


class StructuralError:
    """1 - MS-SSIM, with one scale in small pictures, and the squared error in tiny ones. Raises InputError."""

    def __init__(self, original: Tensor):
        require(METRICS["ms_ssim"])
        self._original = original

    def __call__(self, output: Tensor, number: int) -> Tensor:
        from pytorch_msssim import ms_ssim, ssim

        side = min(output.shape[2:])
        if side < SMALLEST_WINDOW:
            return F.mse_loss(output, self._original)
        measure = ms_ssim if side >= SMALLEST_SCALES else ssim
        similarity: Tensor = measure(output.clamp(0, 1), self._original, data_range=1.0)
        return 1 - similarity


def objective_for(tune: str, rate: int) -> Callable[[Tensor], Objective]:
    """What `--tune` stands for at a rate 0..255: an original -> its objective."""
    if tune == PERCEPTUAL:
        mse_weight = float(np.interp(rate, RATES, MSE_WEIGHTS))
        return partial(PerceptualError, mse_weight=mse_weight, ms_ssim_weight=MS_SSIM_WEIGHT)
    return SquaredError if tune == PSNR else StructuralError


def with_unit_size(gradient: Tensor) -> Tensor:
    """The direction alone: with a root mean square of 1."""
    return gradient / gradient.square().mean().sqrt().clamp_min(1e-12)


def _from_phase(picture: Tensor, phase: int) -> Tensor:
    """Without the first rows and columns: AlexNet's first layer would leave a pattern of period four in place."""
    return picture[:, :, phase:, phase * 3 % ALEX_STRIDE :]


@cache
def _lpips(device: torch.device) -> LPIPS:
    return load_lpips(float_tensors(store.load("lpips-alex-int8").tensors), AlexNet()).to(device)
