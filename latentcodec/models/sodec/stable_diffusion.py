"""SODEC at full scale: the frozen networks are Stable Diffusion 2.1 and a DINOv2 vision transformer.

They stand where the mini scale has MiniVAE, MiniUNet and Guidance, behind the same calls. Of the denoiser, low-rank
adapters are trained; of the guidance, the projector to 77 tokens of 1024 channels, which take the place of a text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentcodec.models.blocks.convs import draw_normal
from latentcodec.models.blocks.lora import adapt
from latentcodec.models.diffusion.config import StableDiffusionConfig
from latentcodec.models.diffusion.stable_diffusion import (
    VAE_NAMES,
    build_unet,
    in_type_of,
    put_weights,
)
from latentcodec.models.diffusion.vision import DINO_NAMES, IMAGENET, build_dino, normalised

if TYPE_CHECKING:
    from latentcodec.models.sodec.model import Sodec

ADAPTED = (
    "to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2", "conv_shortcut", "conv", "proj_in", "proj_out",
    "ff.net.0.proj", "ff.net.2",
)  # fmt: skip
VIT_SCALE = 7 / 8  # of the preview: multiples of 64 pixels become multiples of its patches of 14


class AdaptedUNet(nn.Module):
    """Noisy latents [B, 4, h, w] and tokens [B, N, D] -> predicted noise, at one time step and whatever the rate."""

    def __init__(self, config: StableDiffusionConfig):
        super().__init__()
        self.config = config
        self.network = build_unet(config)
        adapt(self.network, ADAPTED, config.lora_rank)

    def forward(self, features: Tensor, embedding: Tensor, tokens: Tensor | None = None) -> Tensor:
        if tokens is None:
            tokens = features.new_zeros(len(features), 1, self.config.context)
        features, tokens = in_type_of(self.network, features), in_type_of(self.network, tokens)
        noise: Tensor = self.network(features, self.config.timestep, encoder_hidden_states=tokens).sample
        return noise.float()


class VitGuidance(nn.Module):
    """Preview [B, 3, H, W] in 0..1 -> tokens [B, 77, 1024]: a frozen vision transformer, then a projector."""

    def __init__(self, config: StableDiffusionConfig):
        super().__init__()
        self.vit = build_dino(config)
        self.projector = Projector(config)

    def forward(self, preview: Tensor) -> Tensor:
        size = [round(side * VIT_SCALE) for side in preview.shape[2:]]
        seen = F.interpolate(preview.clamp(0, 1), size, mode="bilinear", antialias=True)
        features = self.vit(in_type_of(self.vit, normalised(seen, IMAGENET))).last_hidden_state[:, 1:]
        return self.projector(features.float())


class Projector(nn.Module):
    """Features [B, N, V] of any number of patches -> tokens [B, T, D]: learned queries attend to them."""

    def __init__(self, config: StableDiffusionConfig):
        super().__init__()
        width = config.context
        self.queries = nn.Parameter(torch.empty(config.tokens, width))
        draw_normal(self.queries, 0.02)
        self.enter = nn.Sequential(nn.LayerNorm(config.vit_width), nn.Linear(config.vit_width, width))
        self.attention = nn.MultiheadAttention(width, max(1, width // 64), batch_first=True)
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, features: Tensor) -> Tensor:
        entered = self.enter(features)
        queries = self.queries.expand(len(features), -1, -1)
        tokens = queries + self.attention(queries, entered, entered, need_weights=False)[0]
        return tokens + self.leave(tokens)


@dataclass(frozen=True)
class Frozen:
    """Published tensors of the frozen networks, under the names of their files."""

    vae: Mapping[str, Tensor]
    unet: Mapping[str, Tensor]
    vit: Mapping[str, Tensor]


def load_frozen(codec: "Sodec", frozen: Frozen, dtype: torch.dtype) -> None:
    """Put the frozen networks of a Sodec in place, in this type. Strict: raises WeightsError.

    bfloat16 takes half of the memory, where the hardware multiplies it.
    """
    networks: list[tuple[Any, Mapping[str, Tensor], Mapping[str, str]]]
    networks = [(codec.vae.network, frozen.vae, VAE_NAMES), (codec.unet.network, frozen.unet, {})]
    if codec.guidance is not None:
        networks.append((codec.guidance.vit, frozen.vit, DINO_NAMES))
    for network, tensors, names in networks:
        put_weights(network, tensors, names, dtype)
