"""What latents should be for the picture that they decode to: steps towards perception, for `--tune perceptual`.

The fit brings its latents close to those of the picture. Where bits are few, other latents at the same distance decode
to something that looks more like it: the gradient of LPIPS through the autoencoder's decoder says in which direction.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from latentcodec.metrics.perceptual import AlexNet, load_lpips
from latentcodec.pipelines.precision import fast_autocast
from latentcodec.weights import store

MSE_WEIGHT = 5.0
ALEX_STRIDE = 4
SMALLEST_SIDE = 40  # of what AlexNet can see


class Perception:
    """LPIPS (AlexNet) and mean squared error of decoded latents against one picture [1, 3, H, W] in 0..1."""

    def __init__(self, decode: Callable[[Tensor], Tensor], pixels: Tensor):
        self._decode = decode
        self._pixels = pixels
        self._lpips = load_lpips(store.load("lpips-alex").tensors, AlexNet()).requires_grad_(requires_grad=False)
        self._lpips.to(pixels.device)

    def direction(self, latents: Tensor, number: int) -> Tensor:
        """Where to move latents [1, C, h, w]: against the gradient, with a root mean square of one."""
        moved = latents.to(self._pixels.device).clone().requires_grad_()
        with torch.enable_grad():
            with fast_autocast(self._pixels.device):
                decoded = self._decode(moved)
            height, width = self._pixels.shape[2:]
            output = decoded.float()[:, :, :height, :width]
            # Another phase every time: AlexNet's first layer would leave a pattern of period four.
            top, left = number % ALEX_STRIDE, number * 3 // ALEX_STRIDE % ALEX_STRIDE
            seen, true = output[:, :, top:, left:], self._pixels[:, :, top:, left:]
            if min(seen.shape[2:]) >= SMALLEST_SIDE:
                loss = self._lpips(seen, true).mean() + MSE_WEIGHT * F.mse_loss(output, self._pixels)
            else:
                loss = F.mse_loss(output, self._pixels)
            (gradient,) = torch.autograd.grad(loss, moved)
        return -(gradient / gradient.square().mean().sqrt().clamp_min(1e-12)).to(latents.device)
