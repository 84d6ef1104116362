"""What an encoder with effort minimises: the error of a decoded picture against the original, for `--tune`."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from latentcodec.metrics.external import require
from latentcodec.metrics.perceptual import LPIPS, AlexNet, load_lpips
from latentcodec.metrics.registry import METRICS
from latentcodec.models.blocks.shipping import float_tensors
from latentcodec.pipelines.base import PERCEPTUAL, PSNR, SSIM
from latentcodec.weights import store

Objective = Callable[[Tensor, Tensor, int], Tensor]  # two pictures [1, 3, h, w] in 0..1, number of the round -> error

MSE_WEIGHT = 5.0
ALEX_STRIDE = 4
SMALLEST_SIDE = 40  # of what AlexNet can see
SMALLEST_SCALES = 161  # of what five scales of SSIM can see


def perceptual_error(output: Tensor, original: Tensor, number: int) -> Tensor:
    """LPIPS (AlexNet), and enough of the mean squared error for colours and edges to stay in place."""
    error = MSE_WEIGHT * F.mse_loss(output, original)
    # Another phase every time: AlexNet's first layer would leave a pattern of period four.
    top, left = number % ALEX_STRIDE, number * 3 // ALEX_STRIDE % ALEX_STRIDE
    seen, true = output[:, :, top:, left:], original[:, :, top:, left:]
    if min(seen.shape[2:]) < SMALLEST_SIDE:
        return error
    distance: Tensor = _lpips(output.device)(seen.clamp(0, 1), true).mean()
    return error + distance


def squared_error(output: Tensor, original: Tensor, number: int) -> Tensor:
    """Mean squared error."""
    return F.mse_loss(output, original)


def structural_error(output: Tensor, original: Tensor, number: int) -> Tensor:
    """1 - MS-SSIM, or 1 - SSIM where the picture is too small for five scales."""
    require(METRICS["ms_ssim"])
    from pytorch_msssim import ms_ssim, ssim

    measure = ms_ssim if min(output.shape[2:]) >= SMALLEST_SCALES else ssim
    similarity: Tensor = measure(output.clamp(0, 1), original, data_range=1.0)
    return 1 - similarity


OBJECTIVES: dict[str, Objective] = {PERCEPTUAL: perceptual_error, PSNR: squared_error, SSIM: structural_error}


@cache
def _lpips(device: torch.device) -> LPIPS:
    return load_lpips(float_tensors(store.load("lpips-alex-int8").tensors), AlexNet()).to(device)
