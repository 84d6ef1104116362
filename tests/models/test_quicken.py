"""The quick form of a layer computes what the layer does."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentcodec.models.diffusion import attention, winograd
from latentcodec.models.diffusion.attention import SelfAttention, attend
from latentcodec.models.diffusion.quicken import quicken
from latentcodec.models.diffusion.residual import Residual, is_plain
from latentcodec.models.diffusion.upsampling import PhasedUpsampling
from latentcodec.models.diffusion.winograd import WinogradConv, is_quicker

upsampling = pytest.importorskip("diffusers.models.upsampling")
resnet = pytest.importorskip("diffusers.models.resnet")
attentions = pytest.importorskip("diffusers.models.attention_processor")
SIZES = [(1, 1), (1, 5), (6, 3), (7, 8), (14, 8)]


@pytest.mark.parametrize("size", SIZES)
def test_phases_are_the_layer(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = upsampling.Upsample2D(6, use_conv=True, out_channels=5).double()
    x = torch.randn(2, 6, *size, dtype=torch.float64)
    assert torch.allclose(PhasedUpsampling(layer.conv)(x), layer(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("band", [1 << 22, 1, 16 * 4 * 6 * 2])  # all rows, two of them, four of a width of 8
def test_fewer_products_are_the_convolution(size: tuple[int, int], band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "BAND_VALUES", band)
    torch.manual_seed(0)
    layer = nn.Conv2d(6, 5, 3, padding=1)
    x = torch.randn(2, 6, *size)
    with torch.no_grad():
        assert torch.allclose(WinogradConv(layer)(x), layer(x), atol=1e-5)


def test_the_error_in_bfloat16_is_small() -> None:
    """Relative to that of the convolution itself."""
    torch.manual_seed(0)
    layer, x = nn.Conv2d(256, 256, 3, padding=1), torch.randn(1, 256, 16, 16)
    with torch.no_grad():
        expected = layer(x)
        layer.bfloat16()
        errors = [(conv(x.bfloat16()) - expected).square().mean().sqrt() for conv in (layer, WinogradConv(layer))]
    assert errors[1] < 3 * errors[0]


def test_what_is_convolved_with_fewer_products() -> None:
    assert is_quicker(nn.Conv2d(256, 512, 3, padding=1))
    assert not is_quicker(nn.Conv2d(512, 1024, 3, padding=1))
    assert not is_quicker(nn.Conv2d(128, 512, 3, padding=1))
    assert not is_quicker(nn.Conv2d(256, 512, 3, padding=1, stride=2))
    assert not is_quicker(nn.Conv2d(256, 512, 3))
    assert not is_quicker(nn.Conv2d(256, 512, 1))
    assert not is_quicker(nn.Linear(256, 512))
    assert not is_quicker(nn.Conv2d(256, 512, 3, padding=1, bias=False))
    assert not is_quicker(nn.Conv2d(256, 512, 3, padding=1, padding_mode="reflect"))


@pytest.mark.parametrize("outputs", [8, 4])
@pytest.mark.parametrize("embedding", [None, 6])
def test_residual_blocks(outputs: int, embedding: int | None) -> None:
    torch.manual_seed(0)
    block = resnet.ResnetBlock2D(in_channels=8, out_channels=outputs, temb_channels=embedding, groups=2)
    x = torch.randn(2, 8, 5, 4)
    time = None if embedding is None else torch.randn(2, embedding)
    before = x.clone()
    with torch.no_grad():
        expected = block(x, time)
        assert is_plain(block)
        assert torch.equal(Residual(block)(x, time), expected)
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    "changed", [{"output_scale_factor": 2.0}, {"up": True}, {"dropout": 0.1}, {"time_embedding_norm": "scale_shift"}]
)
def test_other_blocks_stay(changed: dict[str, object]) -> None:
    block = resnet.ResnetBlock2D(in_channels=8, temb_channels=6, groups=2, **changed)
    assert not is_plain(block)
    assert quickened(nn.Sequential(block)) == ["ResnetBlock2D"]


def queries_keys_values(length: int, contrast: float, heads: int = 3, width: int = 8) -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    parts = [torch.randn(2, heads, length, width, dtype=torch.bfloat16) for _ in range(3)]
    return parts[0] * contrast, *parts[1:]


@pytest.mark.parametrize("contrast", [0.0, 1.0, 8.0])
@pytest.mark.parametrize("rows", [256, 100, 1])
def test_attention_in_bfloat16(contrast: float, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most two and a half times as far from the exact result as flash attention, with scores up to 50 too."""
    monkeypatch.setattr(attention, "FEWEST", 1)
    monkeypatch.setattr(attention, "MOST_SCORES", rows * 300)
    parts = queries_keys_values(300, contrast)
    exact = F.scaled_dot_product_attention(*(part.double() for part in parts))
    errors = [(result - exact).norm() for result in (attend(*parts), F.scaled_dot_product_attention(*parts))]
    assert errors[0] < 2.5 * errors[1]


def test_scores_that_stand_out_in_some_columns() -> None:
    """Of a picture with rows of 64: none of the keys looked at may be among them, if these go by columns."""
    queries, keys, values = queries_keys_values(2048, 1.0)
    queries[..., 0], keys[:, :, 3::8, 0] = 10, 12
    exact = F.scaled_dot_product_attention(queries.double(), keys.double(), values.double())
    flash = F.scaled_dot_product_attention(queries, keys, values)
    assert (attend(queries, keys, values) - exact).norm() < 2.5 * (flash - exact).norm()


@pytest.mark.parametrize("shape", [(2, 40, 16), (2, 16, 5, 8)])
@pytest.mark.parametrize("norm", [None, 4])
def test_attention_layers(shape: tuple[int, ...], norm: int | None) -> None:
    torch.manual_seed(0)
    layer = attentions.Attention(16, heads=2, dim_head=8, norm_num_groups=norm, residual_connection=norm is not None)
    x = torch.randn(shape)
    with torch.no_grad():
        if len(shape) == len("BLC"):
            layer.group_norm = None
        assert attention.is_plain(layer)
        expected, before = layer(x), x.clone()
        assert torch.allclose(SelfAttention(layer)(x, temb=None), expected, atol=1e-6)
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    "changed",
    [{"cross_attention_dim": 4}, {"qk_norm": "layer_norm"}, {"rescale_output_factor": 2.0}, {"scale_qk": False}],
)
def test_attention_of_other_kinds_stays(changed: dict[str, object]) -> None:
    assert quickened(nn.Sequential(attentions.Attention(16, heads=2, dim_head=8, **changed))) == ["Attention"]


def test_only_such_layers_are_replaced() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        upsampling.Upsample2D(4, use_conv=True), upsampling.Upsample2D(4), nn.Conv2d(4, 256, 3),
        nn.Conv2d(256, 256, 3, padding=1),
    )  # fmt: skip
    x = torch.randn(1, 4, 4, 4)
    with torch.no_grad():
        before = network(x)
        assert quickened(network) == ["PhasedUpsampling", "Upsample2D", "Conv2d", "WinogradConv"]
        assert torch.allclose(network(x), before, atol=1e-5)


def test_layers_within_blocks_are_replaced() -> None:
    block = resnet.ResnetBlock2D(in_channels=256, temb_channels=None)
    network = nn.Sequential(nn.Sequential(block))
    quicken(network)
    assert isinstance(network[0][0].conv2, WinogradConv)


def test_other_sizes_are_refused() -> None:
    layer = PhasedUpsampling(nn.Conv2d(2, 2, 3))
    assert layer(torch.zeros(1, 2, 3, 3), (6, 6)).shape == (1, 2, 6, 6)
    with pytest.raises(ValueError, match="multiples"):
        layer(torch.zeros(1, 2, 3, 3), (5, 6))


def quickened(network: nn.Sequential) -> list[str]:
    quicken(network)
    return [type(layer).__name__ for layer in network]
