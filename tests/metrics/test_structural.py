"""MS-SSIM to minimise against the published one."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from latentcodec.image import read_rgb
from latentcodec.metrics.structural import SMALLEST_SIDE, ms_ssim
from latentcodec.train.stages import LEAST_FOR_MS_SSIM


def test_it_is_near_the_published_one() -> None:
    pytorch_msssim = pytest.importorskip("pytorch_msssim")
    photo = torch.from_numpy(read_rgb(Path(__file__).parents[1] / "data" / "coffee.png").copy())
    original = photo.permute(2, 0, 1)[None, :, :256, :256] / 255
    torch.manual_seed(0)
    for restored in (
        functional.interpolate(functional.avg_pool2d(original, 4), scale_factor=4, mode="bilinear"),
        (original + 0.1 * torch.randn_like(original)).clamp(0, 1),
    ):
        published = pytorch_msssim.ms_ssim(restored, original, data_range=1)
        assert ms_ssim(restored, original).item() == pytest.approx(published.item(), abs=0.03)
    assert ms_ssim(original, original).item() == pytest.approx(1)


def test_the_smallest_pictures_it_can_see() -> None:
    picture = torch.rand(1, 3, SMALLEST_SIDE, SMALLEST_SIDE)
    assert ms_ssim(picture, picture).item() == pytest.approx(1)
    assert SMALLEST_SIDE == LEAST_FOR_MS_SSIM


@pytest.mark.parametrize("side", [129, 150, 191, 193])
def test_borders_are_seen_at_every_scale(side: int) -> None:
    torch.manual_seed(0)
    picture = torch.rand(1, 3, side, side)
    for rows, columns in ((slice(side - 1, None), slice(None)), (slice(None), slice(side - 1, None))):
        changed = picture.clone().requires_grad_()
        (1 - ms_ssim(changed * 0.9, picture)).sum().backward()
        assert changed.grad is not None
        assert (changed.grad[..., rows, columns] != 0).all()
