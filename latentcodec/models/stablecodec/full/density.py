"""The learned density of z -> integer frequencies, once, when a checkpoint is imported.

Channel c has the cumulative sigmoid(f_c(x)), f_c a chain of small monotonic layers (Balle et al. 2018, appendix 6.1).
What is stored with the weights are integers: no machine computes a probability from the density again.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from latentcodec.coding.tables import TOTAL

REACH = 127  # symbols -REACH..REACH have a frequency
LAYERS = 5


def z_frequencies(bottleneck: Mapping[str, Tensor]) -> Tensor:
    """matrices.N, biases.N, factors.N, quantiles -> int32 [C, 2 REACH + 1], every row sums to TOTAL.

    Column j is the symbol j - REACH, counted from the median, which is the second of the quantiles.
    """
    tensors = {name: value.double() for name, value in bottleneck.items()}
    edges = torch.arange(-REACH, REACH + 2, dtype=torch.float64) - 0.5
    x = tensors["quantiles"][:, :, 1:2] + edges  # [C, 1, N]
    for number in range(LAYERS):
        x = F.softplus(tensors[f"matrices.{number}"]) @ x + tensors[f"biases.{number}"]
        if number < LAYERS - 1:
            x = x + tensors[f"factors.{number}"].tanh() * x.tanh()
    lower, upper = x[:, 0, :-1], x[:, 0, 1:]
    # Where both are positive, the difference of their complements is exact where that of the values is not.
    sign = torch.where(lower + upper > 0, -1.0, 1.0)
    mass = ((sign * upper).sigmoid() - (sign * lower).sigmoid()).abs()
    found = (mass / mass.sum(1, keepdim=True) * TOTAL).floor().clamp_min(1)
    found.scatter_add_(1, found.argmax(1, keepdim=True), TOTAL - found.sum(1, keepdim=True))
    return found.to(torch.int32)
