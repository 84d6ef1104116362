"""The decoder side of the entropy model in float64, as a CPU runs it quickly.

PyTorch convolves float64 channel group by channel group; depthwise layers alone took half of the time. Here they are
sums of shifted products, and pointwise layers are matrix products of positions by channels.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentcodec.models.stablecodec.full.codec import CODING, LatentCodec


class Depthwise(nn.Module):
    """A depthwise convolution of stride 1 that keeps the size: [B, C, H, W] -> [B, C, H, W]."""

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        rows, columns = conv.kernel_size
        self.padding = (columns // 2, columns // 2, rows // 2, rows // 2)
        self.register_buffer("taps", conv.weight.detach()[:, 0, :, :, None, None].movedim(0, 2).contiguous())
        self.register_buffer("bias", _bias(conv)[:, None, None])

    taps: Tensor
    bias: Tensor

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        padded = F.pad(x, self.padding)
        total = self.bias.expand_as(x).clone(memory_format=torch.channels_last)
        for row, taps in enumerate(self.taps):
            for column, tap in enumerate(taps):
                total.addcmul_(padded[:, :, row : row + height, column : column + width], tap)
        return total


class Pointwise(nn.Module):
    """A convolution of one pixel: [B, Ci, H, W] -> [B, Co, H, W]."""

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        self.register_buffer("weight", conv.weight.detach().flatten(1))
        self.register_buffer("bias", _bias(conv))

    weight: Tensor
    bias: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.movedim(1, -1), self.weight, self.bias).movedim(-1, 1)


def in_doubles(codec: LatentCodec) -> LatentCodec:
    """A copy of what the decoder's entropy model needs, on the CPU in float64; the codec stays as it is."""
    with torch.device("meta"):
        copied = LatentCodec(codec.config)
    for name, _ in list(copied.named_children()):
        if name in CODING:
            setattr(copied, name, copy.deepcopy(getattr(codec, name)).cpu().double())
        else:
            delattr(copied, name)
    _replace(copied)
    return copied


def _replace(module: nn.Module) -> None:
    for name, child in module.named_children():
        if not isinstance(child, nn.Conv2d):
            _replace(child)
        elif child.kernel_size == (1, 1):
            setattr(module, name, Pointwise(child))
        elif child.groups == child.in_channels and child.stride == (1, 1):
            setattr(module, name, Depthwise(child))


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias.detach()
