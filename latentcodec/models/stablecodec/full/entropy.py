"""The entropy model as it is trained: what a picture costs, and y^ as the decoder will see it.

Probabilities are those of values with uniform noise (Balle et al. 2018); what goes on is rounded. Files are coded by
`guarded`, with the same networks.
"""

import torch
from torch import Tensor

from latentcodec.models.blocks.information import at_least, interval_information, round_through
from latentcodec.models.blocks.quadtree import STEPS, step_mask
from latentcodec.models.stablecodec.full.codec import LatentCodec
from latentcodec.models.stablecodec.full.density import Density
from latentcodec.models.stablecodec.full.guarded import SMALLEST_TRAINED_SCALE


def code_softly(codec: LatentCodec, density: Density, y: Tensor) -> tuple[Tensor, Tensor]:
    """y [B, M, h, w] float32, sides multiples of 4 -> y^, with the gradient of y, and bits [B].

    bits = -log2 p(z + u) - sum over the four steps of log2 p(y + u | z^, what the steps before have coded), u uniform
    in -1/2..1/2.
    """
    z = codec.h_a(y)
    bits = density.bits(_noisy(z))
    base = codec.h_s(density.rounded(z))
    total = torch.zeros_like(y)
    for step in range(STEPS):
        mask = torch.from_numpy(step_mask(step, *y.shape[1:])).to(y)
        means, scales = codec.parameters_of_step(step, base)
        residual = y - means
        information = interval_information(_noisy(residual), at_least(scales, SMALLEST_TRAINED_SCALE))
        bits = bits + (information * mask).sum((1, 2, 3))
        decoded = codec.corrected(step, (means + round_through(residual)) * mask, base, mask)
        base = base * (1 - mask) + decoded
        total = total + decoded
    return total, bits


def _noisy(x: Tensor) -> Tensor:
    return x + torch.rand_like(x) - 0.5
