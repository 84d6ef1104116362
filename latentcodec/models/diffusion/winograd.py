"""3x3 convolutions with four ninths of the multiplications (Winograd 1980; Lavin and Gray 2016, F(2x2, 3x3)).

A tile Y of 2x2 outputs depends on a tile d of 4x4 inputs. With the filter g transformed beforehand,

    Y = A^T [(G g G^T) * (B^T d B)] A

takes 16 products per pair of input and output channels, where Y by its definition takes 36. Over all tiles they are 16
products of matrices. In bfloat16 these and the transformed inputs are rounded as well as the result: the error of a
layer is two to three times what it would be.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

FILTER_TRANSFORM = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])  # G
# Fewer channels, and the sums take longer than what they save; more weights, and their 16 ninths are too much memory.
FEWEST_CHANNELS = 256
MOST_WEIGHTS = 512 * 512
BAND_VALUES = 1 << 22  # transformed at a time, so that they stay in the cache
BAND_COPIES = 4


class WinogradConv(nn.Module):
    """[B, Ci, H, W] -> [B, Co, H, W], as the convolution that it is made of; channels last."""

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        assert conv.bias is not None
        self.register_buffer("bias", conv.bias.detach())
        taps = conv.weight.detach().permute(2, 3, 1, 0).contiguous()
        filters = torch.kron(FILTER_TRANSFORM, FILTER_TRANSFORM) @ taps.flatten(0, 1).flatten(1).float()
        self.register_buffer("filters", filters.to(taps.dtype).reshape(16, *taps.shape[2:]))

    bias: Tensor
    filters: Tensor

    def forward(self, x: Tensor) -> Tensor:
        (batch, channels, height, width), outputs = x.shape, len(self.bias)
        down, across = -(-height // 2), -(-width // 2)
        result = torch.empty(batch, 2 * down, 2 * across, outputs, dtype=x.dtype, device=x.device)
        rows = max(1, BAND_VALUES // (16 * across * channels)) * 2
        for inputs, picture in zip(_padded(x, 2 * down, 2 * across), result, strict=True):
            for top in range(0, 2 * down, rows):
                self._convolve_band(inputs[top : top + rows + 2], picture[top : top + rows])
        return result.permute(0, 3, 1, 2)[:, :, :height, :width]

    def _convolve_band(self, inputs: Tensor, outputs: Tensor) -> None:
        """[2h + 2, 2w + 2, Ci] -> [2h, 2w, Co], written there."""
        height, width, channels = inputs.shape[0] // 2 - 1, inputs.shape[1] // 2 - 1, inputs.shape[2]
        once = torch.empty(4, height, 2 * width + 2, channels, dtype=inputs.dtype, device=inputs.device)
        twice = torch.empty(4, 4, height, width, channels, dtype=inputs.dtype, device=inputs.device)
        _transform_inputs(inputs.unfold(0, 4, 2), once.unbind(0))
        _transform_inputs(once.unfold(2, 4, 2), twice.unbind(1))
        products = torch.bmm(twice.reshape(16, -1, channels), self.filters)
        for row, parts in enumerate(_transform_outputs(products.reshape(4, 4, height, width, -1))):
            for column, part in enumerate(_transform_outputs(parts)):
                torch.add(part, self.bias, out=outputs[row::2, column::2])


def is_quicker(conv: nn.Module) -> bool:
    """Whether a layer is such a convolution, and of a size at which this pays."""
    return (
        isinstance(conv, nn.Conv2d)
        and conv.kernel_size == (3, 3)
        and conv.stride == conv.padding == conv.dilation == (1, 1)
        and conv.padding_mode == "zeros"
        and conv.groups == 1
        and conv.bias is not None
        and min(conv.in_channels, conv.out_channels) >= FEWEST_CHANNELS
        and conv.in_channels * conv.out_channels <= MOST_WEIGHTS
    )


def _padded(x: Tensor, height: int, width: int) -> Tensor:
    """[B, C, H, W] -> [B, height + 2, width + 2, C], with zeros around x."""
    padded = torch.empty(len(x), height + 2, width + 2, x.shape[1], dtype=x.dtype, device=x.device)
    rows, columns = slice(1, 1 + x.shape[2]), slice(1, 1 + x.shape[3])
    padded[:, rows, columns] = x.permute(0, 2, 3, 1)
    for side, inside in ((padded, rows), (padded.transpose(1, 2), columns)):
        side[:, :1], side[:, inside.stop :] = 0, 0
    return padded


def _transform_inputs(d: Tensor, into: Sequence[Tensor]) -> None:
    """B^T d, along the last side."""
    first, second, third, fourth = d.unbind(-1)
    torch.sub(first, third, out=into[0])
    torch.add(second, third, out=into[1])
    torch.sub(third, second, out=into[2])
    torch.sub(second, fourth, out=into[3])


def _transform_outputs(m: Tensor) -> tuple[Tensor, Tensor]:
    """A^T m, along the first side."""
    first, second, third, fourth = m
    return (first + second).add_(third), (second - third).sub_(fourth)
