"""Random changes of pictures that a discriminator sees, differentiable (Zhao et al. 2020).

They keep it from learning the few thousand photographs of a training set by heart. Restored and real pictures of a
batch are changed alike.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

BRIGHTNESS = 0.25
SHIFT = 1 / 8  # of the side, at most
HOLE = 1 / 2  # side of what is cut out, as a share of the picture's


def augmented(batches: Sequence[Tensor]) -> list[Tensor]:
    """Batches [B, 3, H, W] in 0..1 -> the same, picture by picture of other colours, shifted, with a hole.

    What is shifted in or cut out is grey.
    """
    count, _, height, width = batches[0].shape
    brightness, saturation, contrast = torch.rand(3, count, 1, 1, 1, device=batches[0].device)
    seen = _offsets(count, SHIFT * height, SHIFT * width)
    holes = _offsets(count, height / 2, width / 2)
    changed = []
    for batch in batches:
        x = batch - 0.5 + BRIGHTNESS * (2 * brightness - 1)
        grey = x.mean(1, keepdim=True)
        x = grey + 2 * saturation * (x - grey)
        mean = x.mean((1, 2, 3), keepdim=True)
        x = mean + (0.5 + contrast) * (x - mean)
        pictures = [_pierced(_shifted(p, *by), *hole) for p, by, hole in zip(x, seen, holes, strict=True)]
        changed.append(torch.stack(pictures) + 0.5)
    return changed


def _offsets(count: int, rows: float, columns: float) -> list[tuple[int, int]]:
    """For every picture, a random number of rows and columns, either way."""
    extent = torch.tensor([rows, columns])
    return [(int(r), int(c)) for r, c in ((2 * torch.rand(count, 2) - 1) * extent).round().tolist()]


def _shifted(picture: Tensor, down: int, right: int) -> Tensor:
    return F.pad(picture, (right, -right, down, -down))


def _pierced(picture: Tensor, down: int, right: int) -> Tensor:
    """Zero in a rectangle whose centre lies `down` and `right` of the picture's."""
    height, width = picture.shape[1:]
    rows = (torch.arange(height, device=picture.device) - height / 2 - down).abs() < HOLE * height / 2
    columns = (torch.arange(width, device=picture.device) - width / 2 - right).abs() < HOLE * width / 2
    return picture * ~(rows[:, None] & columns)
