"""Stable Diffusion's VAE as two chains of layers, between which a large picture can be kept."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layer:
    """[1, C, H/s, W/s] -> [1, C', H/s', W/s'] with the `strides` s, s' and the `channels` C, C'.

    `reach`: how many positions of the larger stride an output depends on, to each side, if not on all: `attends`.
    `norms`: in order of use.
    """

    run: Callable[[Tensor], Tensor]
    norms: tuple[nn.GroupNorm, ...]
    channels: tuple[int, int]
    strides: tuple[int, int]
    reach: int
    attends: bool = False


def decoder_layers(network: Any) -> list[Layer]:
    """Of an AutoencoderKL: latents, not scaled -> pixels in -1..1."""
    decoder = network.decoder
    stride = 1 << (len(decoder.up_blocks) - 1)
    enter = nn.Sequential(network.post_quant_conv, decoder.conv_in)
    layers = [
        Layer(enter, (), (network.post_quant_conv.in_channels, decoder.conv_in.out_channels), (stride, stride), 1)
    ]
    layers += _middle(decoder.mid_block, stride)
    for block in decoder.up_blocks:
        layers += [_residual(resnet, stride) for resnet in block.resnets]
        for upsampler in block.upsamplers or ():
            layers.append(_resampling(upsampler, layers[-1], stride // 2))
            stride //= 2
    leave = nn.Sequential(decoder.conv_norm_out, decoder.conv_act, decoder.conv_out)
    channels = decoder.conv_out.in_channels, decoder.conv_out.out_channels
    return [*layers, Layer(leave, (decoder.conv_norm_out,), channels, (1, 1), 1)]


def encoder_layers(network: Any) -> list[Layer]:
    """Of an AutoencoderKL: pixels in -1..1 -> means and log variances of latents, not scaled."""
    encoder, stride = network.encoder, 1
    layers = [Layer(encoder.conv_in, (), (encoder.conv_in.in_channels, encoder.conv_in.out_channels), (1, 1), 1)]
    for block in encoder.down_blocks:
        layers += [_residual(resnet, stride) for resnet in block.resnets]
        for downsampler in block.downsamplers or ():
            layers.append(_resampling(downsampler, layers[-1], 2 * stride))
            stride *= 2
    layers += _middle(encoder.mid_block, stride)
    leave = nn.Sequential(encoder.conv_norm_out, encoder.conv_act, encoder.conv_out, network.quant_conv)
    channels = encoder.conv_out.in_channels, network.quant_conv.out_channels
    return [*layers, Layer(leave, (encoder.conv_norm_out,), channels, (stride, stride), 1)]


def _middle(block: Any, stride: int) -> Iterator[Layer]:
    first, *others = block.resnets
    yield _residual(first, stride)
    for attention, resnet in zip(block.attentions, others, strict=True):
        norm: nn.GroupNorm = attention.group_norm
        channels = norm.num_channels, norm.num_channels
        yield Layer(partial(_attend, attention), (norm,), channels, (stride, stride), 0, attends=True)
        yield _residual(resnet, stride)


def _residual(resnet: Any, stride: int) -> Layer:
    channels = resnet.in_channels, resnet.out_channels
    return Layer(partial(resnet, temb=None), (resnet.norm1, resnet.norm2), channels, (stride, stride), 2)


def _resampling(module: nn.Module, before: Layer, stride: int) -> Layer:
    """Channels stay as they are."""
    return Layer(module, (), (before.channels[1], before.channels[1]), (before.strides[1], stride), 1)


def _attend(attention: nn.Module, x: Tensor) -> Tensor:
    """The module joins rows, which it cannot in a tile that is a view of the whole."""
    result: Tensor = attention(x.contiguous(memory_format=torch.channels_last))
    return result
