"""What latents should be for the picture that they decode to: steps towards perception, for `--tune perceptual`.

The fit brings its latents close to those of the picture. Where bits are few, other latents at the same distance decode
to something that looks more like it: the gradient of LPIPS through the autoencoder's decoder says in which direction.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from latentcodec.pipelines.objective import ALEX_STRIDE, SMALLEST_SIDE, PerceptualError, with_unit_size
from latentcodec.pipelines.precision import fast_autocast


class Perception:
    """The perceptual error of decoded latents against one picture [1, 3, H, W] in 0..1."""

    def __init__(self, decode: Callable[[Tensor], Tensor], pixels: Tensor):
        self._decode = decode
        self._pixels, self._error = pixels, PerceptualError(pixels)
        self.sees_texture = min(pixels.shape[2:]) >= SMALLEST_SIDE + ALEX_STRIDE - 1  # at every phase

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [1, C, h, w] -> pixels like the picture's, not clamped."""
        with fast_autocast(self._pixels.device):
            decoded = self._decode(latents.to(self._pixels.device))
        height, width = self._pixels.shape[2:]
        return decoded.float()[:, :, :height, :width]

    @torch.no_grad()
    def error(self, pixels: Tensor) -> float:
        """Mean over all phases of the error of decoded pixels [1, 3, H, W], clamped to 0..1 as a file's are."""
        clamped = pixels.clamp(0, 1)
        return sum(self._error(clamped, phase).item() for phase in range(ALEX_STRIDE)) / ALEX_STRIDE

    def direction(self, latents: Tensor, number: int) -> Tensor:
        """Where to move latents [1, C, h, w]: against the gradient, with a root mean square of one."""
        moved = latents.to(self._pixels.device).clone().requires_grad_()
        with torch.enable_grad():
            loss = self._error(self.decode(moved), number)
            (gradient,) = torch.autograd.grad(loss, moved)
        return -with_unit_size(gradient).to(latents.device)
