"""The learned density of z: bits in training; integer frequencies, once, when a file of weights is written.

Channel c has the cumulative sigmoid(f_c(x)), f_c a chain of small monotonic layers (Balle et al. 2018, appendix 6.1).
What is stored with the weights are integers: no machine computes a probability from the density again.
"""

import itertools
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentcodec.coding.tables import TOTAL
from latentcodec.errors import WeightsError
from latentcodec.models.blocks.information import round_through

REACH = 127  # symbols -REACH..REACH have a frequency
FILTERS = (1, 3, 3, 3, 3, 1)  # of the chain
LAYERS = len(FILTERS) - 1
INITIAL_WIDTH = 10.0  # of the density, about: as the published program starts
PROBABILITY_FLOOR = 1e-9


class Density(nn.Module):
    """Parameters under the names of a checkpoint. The medians are never trained, as in the published program.

    They only say where the grid lies that z is rounded to, and the last bias of the hyper-analysis moves z on it.
    """

    quantiles: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.matrices, self.biases, self.factors = nn.ParameterList(), nn.ParameterList(), nn.ParameterList()
        for number, (inputs, outputs) in enumerate(itertools.pairwise(FILTERS)):
            # Every layer shrinks x by the same factor, INITIAL_WIDTH together.
            slope = math.log(math.expm1(INITIAL_WIDTH ** (-1 / LAYERS) / outputs))
            self.matrices.append(nn.Parameter(torch.full((channels, outputs, inputs), slope)))
            self.biases.append(nn.Parameter(torch.rand(channels, outputs, 1) - 0.5))
            if number < LAYERS - 1:
                self.factors.append(nn.Parameter(torch.zeros(channels, outputs, 1)))
        edges = torch.tensor([-INITIAL_WIDTH, 0.0, INITIAL_WIDTH])
        self.register_buffer("quantiles", edges.repeat(channels, 1, 1))

    def bits(self, z: Tensor) -> Tensor:
        """z [B, C, h, w], rounded or with noise -> [B]: -log2 of the unit intervals around its elements."""
        rows = z.transpose(0, 1).flatten(1)[:, None]
        tensors = dict(self.named_parameters())
        mass = _between(*(_logits(tensors, rows + half) for half in (-0.5, 0.5)))
        information = -mass.clamp_min(PROBABILITY_FLOOR).log2()
        return information.reshape(z.shape[1], z.shape[0], -1).sum((0, 2))

    def rounded(self, z: Tensor) -> Tensor:
        """z [B, C, h, w] -> z^, integers away from the medians, with the gradient of z."""
        medians = self.quantiles[:, 0, 1, None, None]
        return round_through(z - medians) + medians


def z_frequencies(bottleneck: Mapping[str, Tensor]) -> Tensor:
    """matrices.N, biases.N, factors.N, quantiles -> int32 [C, 2 REACH + 1], every row sums to TOTAL.

    Column j is the symbol j - REACH, counted from the median, which is the second of the quantiles.
    """
    tensors = {name: value.double() for name, value in bottleneck.items()}
    edges = torch.arange(-REACH, REACH + 2, dtype=torch.float64) - 0.5
    x = _logits(tensors, tensors["quantiles"][:, :, 1:2] + edges)[:, 0]
    mass = _between(x[:, :-1], x[:, 1:])
    found = (mass / mass.sum(1, keepdim=True) * TOTAL).floor().clamp_min(1)
    found.scatter_add_(1, found.argmax(1, keepdim=True), TOTAL - found.sum(1, keepdim=True))
    return found.to(torch.int32)


def checked_frequencies(found: Tensor, channels: int) -> Tensor:
    """Frequencies of a weights file -> int64 [C, 2 REACH + 1]. Raises WeightsError for others."""
    fits = channels > 0 and found.dtype == torch.int32 and found.shape == (channels, 2 * REACH + 1)
    if not fits or found.min() < 1 or (found.long().sum(1) != TOTAL).any():
        raise WeightsError("the weights file holds no frequencies of z")
    return found.long()


def _logits(tensors: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """f_c of x [C, 1, N]."""
    for number in range(LAYERS):
        x = F.softplus(tensors[f"matrices.{number}"]) @ x + tensors[f"biases.{number}"]
        if number < LAYERS - 1:
            x = x + tensors[f"factors.{number}"].tanh() * x.tanh()
    return x


def _between(lower: Tensor, upper: Tensor) -> Tensor:
    """sigmoid(upper) - sigmoid(lower)."""
    # Where both are positive, the difference of their complements is exact where that of the values is not.
    sign = torch.where(lower + upper > 0, -1.0, 1.0)
    return ((sign * upper).sigmoid() - (sign * lower).sigmoid()).abs()
