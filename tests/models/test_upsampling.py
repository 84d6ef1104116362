"""The quick form of a layer computes what the layer does."""

import pytest
import torch
from torch import nn

from latentcodec.models.diffusion.upsampling import PhasedUpsampling, quicken

upsampling = pytest.importorskip("diffusers.models.upsampling")


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (6, 3)])
def test_phases_are_the_layer(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = upsampling.Upsample2D(6, use_conv=True, out_channels=5).double()
    x = torch.randn(2, 6, *size, dtype=torch.float64)
    assert torch.allclose(PhasedUpsampling(layer.conv)(x), layer(x), rtol=1e-5, atol=1e-6)


def test_only_such_layers_are_replaced() -> None:
    network = nn.Sequential(upsampling.Upsample2D(4, use_conv=True), upsampling.Upsample2D(4), nn.Conv2d(4, 4, 3))
    x = torch.randn(1, 4, 4, 4)
    with torch.no_grad():
        before = network(x)
        quicken(network)
        assert [type(layer).__name__ for layer in network] == ["PhasedUpsampling", "Upsample2D", "Conv2d"]
        assert torch.allclose(network(x), before, atol=1e-5)


def test_other_sizes_are_refused() -> None:
    layer = PhasedUpsampling(nn.Conv2d(2, 2, 3))
    assert layer(torch.zeros(1, 2, 3, 3), (6, 6)).shape == (1, 2, 6, 6)
    with pytest.raises(ValueError, match="multiples"):
        layer(torch.zeros(1, 2, 3, 3), (5, 6))
