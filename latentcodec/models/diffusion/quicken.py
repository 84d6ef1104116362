"""Layers of a network of diffusers that compute the same in less time: for inference on the CPU."""

from typing import Any, cast

from torch import nn

from latentcodec.models.diffusion import attention, residual
from latentcodec.models.diffusion.attention import SelfAttention
from latentcodec.models.diffusion.residual import Residual
from latentcodec.models.diffusion.upsampling import PhasedUpsampling
from latentcodec.models.diffusion.winograd import WinogradConv, is_quicker


def quicken(network: nn.Module) -> None:
    """Replace them, once their weights are in place."""
    for name, child in network.named_children():
        quick = _quick(child)
        setattr(network, name, quick)
        quicken(quick)


def _quick(layer: Any) -> nn.Module:
    """What takes the layer's place, before those within it are looked at."""
    from diffusers.models.attention_processor import Attention
    from diffusers.models.resnet import ResnetBlock2D
    from diffusers.models.upsampling import Upsample2D

    if isinstance(layer, Upsample2D) and layer.use_conv:
        return PhasedUpsampling(cast("nn.Conv2d", layer.conv))
    if isinstance(layer, ResnetBlock2D) and residual.is_plain(layer):
        return Residual(layer)
    if isinstance(layer, Attention) and attention.is_plain(layer):
        return SelfAttention(layer)
    return WinogradConv(layer) if is_quicker(layer) else layer
