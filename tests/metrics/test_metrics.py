"""Measures against their definitions."""

import math

import numpy as np
import pytest
import torch

from latentcodec.errors import InputError
from latentcodec.metrics.distortion import psnr
from latentcodec.metrics.perceptual import DISTS, LPIPS, VGG16, AlexNet


def pictures(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    a = torch.rand(2, 3, 64, 72, generator=generator)
    return a, (a + 0.1 * torch.randn(a.shape, generator=generator)).clamp(0, 1)


def test_psnr_of_known_errors() -> None:
    black = np.zeros((4, 5, 3), np.uint8)
    assert psnr(black, black) == math.inf
    assert psnr(black, black + 255) == 0
    assert psnr(black, black + 1) == pytest.approx(48.1308, abs=1e-4)
    with pytest.raises(InputError, match="different sizes cannot be compared: 5x4 and 5x3"):
        psnr(black, black[:3])


@pytest.mark.parametrize("network", [AlexNet(), VGG16(3)], ids=["alex", "vgg"])
def test_lpips_equals_its_definition(network: AlexNet | VGG16, monkeypatch: pytest.MonkeyPatch) -> None:
    metric = LPIPS(network).requires_grad_(False)
    for head in metric.heads:
        head.copy_(torch.rand(head.shape))
    a, b = pictures(0)
    expected = torch.zeros(2)
    for fa, fb, head in zip(metric.features(a), metric.features(b), metric.heads, strict=True):
        unit_a = fa / (fa.square().sum(1, keepdim=True).sqrt() + 1e-10)
        unit_b = fb / (fb.square().sum(1, keepdim=True).sqrt() + 1e-10)
        expected += ((unit_a - unit_b).square() * head[:, None, None]).sum(1).mean((1, 2))
    torch.testing.assert_close(metric(a, b), expected, rtol=1e-3, atol=1e-6)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)  # which has its own formula
    torch.testing.assert_close(metric(a, b), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("metric", [LPIPS(AlexNet()), DISTS()], ids=["lpips", "dists"])
def test_perceptual_measures_are_zero_for_equal_pictures_and_symmetric(metric: torch.nn.Module) -> None:
    metric.requires_grad_(False)
    a, b = pictures(1)
    assert metric(a, a).abs().max() < 1e-5
    assert (metric(a, b) > 1e-4).all()
    torch.testing.assert_close(metric(a, b), metric(b, a), rtol=1e-3, atol=1e-6)


def test_dists_of_constant_pictures_is_finite() -> None:
    metric = DISTS().requires_grad_(False)
    value = metric(torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64))
    assert 0 < value.item() <= 1
