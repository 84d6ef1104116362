"""MS-SSIM in a form to minimise: for training, and for effort at the encoder."""

from torch import Tensor
from torch.nn import functional as F

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, STRIDE = 8, 4
LUMINANCE, CONTRAST = 0.01**2, 0.03**2  # constants of SSIM for pictures in 0..1
SMALLEST_SIDE = WINDOW * 2 ** (len(SCALE_WEIGHTS) - 1)


def ms_ssim(output: Tensor, target: Tensor) -> Tensor:
    """MS-SSIM (Wang et al. 2003, eq. 7) of pictures [B, 3, H, W] in 0..1 -> [B] in 0..1.

    No side is smaller than SMALLEST_SIDE. Windows are boxes of 8 pixels in steps of 4, which cost a tenth of Gaussian
    ones: a term to minimise, no figure to publish.
    """
    result = output.new_ones(output.shape[:2])  # a product per channel, whose mean counts
    for number, weight in enumerate(SCALE_WEIGHTS):
        if number:
            output, target = (F.avg_pool2d(picture, 2, ceil_mode=True) for picture in (output, target))
        luminance, structure = _ssim_parts(output, target)
        last = number == len(SCALE_WEIGHTS) - 1
        parts = structure * luminance if last else structure
        result = result * parts.mean((2, 3)).clamp_min(1e-3).pow(weight)
    return result.mean(1)


def _ssim_parts(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance, and contrast times structure, in every window (Wang et al. 2004, eq. 13)."""

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, WINDOW, STRIDE, ceil_mode=True)  # windows at the border see what there is

    mean_a, mean_b = mean(a), mean(b)
    variances = mean(a * a + b * b) - mean_a * mean_a - mean_b * mean_b
    covariance = mean(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + LUMINANCE) / (mean_a * mean_a + mean_b * mean_b + LUMINANCE)
    return luminance, (2 * covariance + CONTRAST) / (variances + CONTRAST)
