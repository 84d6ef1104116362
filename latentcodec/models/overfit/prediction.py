"""Prediction of the finest details from what is next to them, all components from all components.

    +---+---+---+      even rows and columns: the low band
    | L | 0 | L |      0: from the low band to the left and to the right
    +---+---+---+      1: from the low band above and below
    | 1 | 2 | 1 |      2: from the low band at the corners, from 0 above and below, and from 1 to the left and right
    +---+---+---+
    | L | 0 | L |      One matrix [C, C] for each of these twelve neighbours; outside, the nearest one inside.
    +---+---+---+

A component that says nothing of its own neighbours may say something of those of others, as an edge across a block of
pixels goes with a difference between the means of blocks. Grids hold what prediction has left.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from latentcodec.models.overfit.presets import BANDS, PREDICTION_TAPS

LAST = BANDS - 1
FIRST = (0, 2, 4, PREDICTION_TAPS)  # matrix of every band, and the end
FROM_FIRST, FROM_SECOND = 8, 10  # the first matrices that see the other bands
Size = tuple[int, int]  # height and width of the samples that low band and details make up


def predict(low: Tensor, left: Tensor, matrices: Tensor, size: Size) -> Tensor:
    """Low band [B, C, h, w] and what prediction has left of details [B, 3, C, h, w] -> the details."""
    first = left[:, 0] + _predicted(neighbours(low, low, low, 0), matrices, 0, size)
    second = left[:, 1] + _predicted(neighbours(low, low, low, 1), matrices, 1, size)
    last = left[:, 2] + _predicted(neighbours(low, first, second, 2), matrices, 2, size)
    return torch.stack([first, second, last], 1)


def unpredict(low: Tensor, details: Tensor, matrices: Tensor, size: Size) -> Tensor:
    """Inverse of `predict`."""
    first, second = details[:, 0], details[:, 1]
    predicted = [_predicted(neighbours(low, first, second, band), matrices, band, size) for band in range(BANDS)]
    return details - torch.stack(predicted, 1)


def neighbours(low: Tensor, first: Tensor, second: Tensor, band: int) -> list[Tensor]:
    """What predicts a band, each [B, C, h, w]; `first` and `second`, the other bands, predict the last one alone."""
    if band < LAST:
        return [low, _shifted(low, down=band, right=1 - band)]
    corners = [_shifted(low, down, right) for down in (0, 1) for right in (0, 1)]
    return [*corners, first, _shifted(first, 1, 0), second, _shifted(second, 0, 1)]


def predicted_norms(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Squared norm of what a unit adds to the predictions it takes part in: of the low band [C], of details [3, C]."""
    energy = matrices.square().sum(1)  # [PREDICTION_TAPS, C]
    first, second = energy[FROM_FIRST:FROM_SECOND].sum(0), energy[FROM_SECOND:].sum(0)
    return energy[:FROM_FIRST].sum(0), torch.stack([first, second, torch.zeros_like(first)])


def _predicted(inputs: list[Tensor], matrices: Tensor, band: int, size: Size) -> Tensor:
    """Matrices [C, C] times neighbours [B, C, h, w]; zero where a band has only what pads odd sides."""
    weight = matrices[FIRST[band] : FIRST[band + 1]].transpose(0, 1).flatten(1)[:, :, None, None]
    summed = F.conv2d(torch.cat(inputs, 1), weight)
    inside = summed.new_zeros(summed.shape[2:])
    inside[: (size[0] + (band == 0)) // 2, : (size[1] + (band == 1)) // 2] = 1
    return summed * inside


def _shifted(x: Tensor, down: int, right: int) -> Tensor:
    """The neighbours in a direction; the last row and column once more."""
    return F.pad(x, (0, right, 0, down), mode="replicate")[..., down:, right:]
