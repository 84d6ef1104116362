"""Frozen vision transformers, through transformers: DINOv2-B/14 and the image side of CLIP ViT-B/32."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentcodec.models.diffusion.config import StableDiffusionConfig
from latentcodec.models.diffusion.packages import transformers
from latentcodec.models.diffusion.stable_diffusion import in_type_of, put_weights

DINO_PATCH = 14
DINO_LAYERS = 4  # whose features `DinoFeatures` returns, evenly spaced, the last one among them
DINO_NAMES = {
    ".attention.attention.query.": ".attention.q_proj.",
    ".attention.attention.key.": ".attention.k_proj.",
    ".attention.attention.value.": ".attention.v_proj.",
    ".attention.output.dense.": ".attention.o_proj.",
}
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and standard deviation of colours
# The vision transformer of CLIP ViT-B/32 (Radford et al. 2021).
CLIP_SIZES = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "patch_size": 32, "projection_dim": 512, "hidden_act": "quick_gelu",
}  # fmt: skip
CLIP_COLOURS = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
CLIP_PARTS = ("vision_model.", "visual_projection.")  # of a file that holds the text side as well
SIDE = 224  # of what either sees


def build_dino(config: StableDiffusionConfig) -> Any:
    """DINOv2 (Oquab et al. 2023) with random weights, frozen."""
    package = transformers()
    network = package.Dinov2Model(
        package.Dinov2Config(
            hidden_size=config.vit_width,
            num_hidden_layers=config.vit_layers,
            num_attention_heads=config.vit_heads,
            patch_size=DINO_PATCH,
            image_size=518,
        )
    )
    return network.requires_grad_(requires_grad=False)


def normalised(pixels: Tensor, colours: tuple[tuple[float, ...], tuple[float, ...]]) -> Tensor:
    """Pictures [B, 3, H, W] in 0..1 -> the same with colours of about zero mean and unit deviation."""
    mean, deviation = (pixels.new_tensor(values)[:, None, None] for values in colours)
    return (pixels - mean) / deviation


class DinoFeatures(nn.Module):
    """Pictures [B, 3, H, W] in 0..1 -> features [B, V, 16, 16] after DINO_LAYERS of the transformer's layers."""

    def __init__(self, config: StableDiffusionConfig, tensors: Mapping[str, Tensor], dtype: torch.dtype):
        super().__init__()
        self.network = build_dino(config)
        put_weights(self.network, tensors, DINO_NAMES, dtype)
        self.network.eval()
        spacing = config.vit_layers / DINO_LAYERS
        self.layers = [round(spacing * (number + 1)) for number in range(DINO_LAYERS)]
        self.channels = [config.vit_width] * DINO_LAYERS

    def forward(self, pixels: Tensor) -> list[Tensor]:
        seen = in_type_of(self.network, normalised(_resized(pixels), IMAGENET))
        hidden = self.network(seen, output_hidden_states=True).hidden_states
        side = SIDE // DINO_PATCH
        return [hidden[number][:, 1:].movedim(1, -1).unflatten(-1, (side, side)).float() for number in self.layers]


class ClipEmbedding(nn.Module):
    """Pictures [B, 3, H, W] in 0..1 -> unit vectors [B, 512] that say what they show."""

    def __init__(self, tensors: Mapping[str, Tensor]):
        super().__init__()
        package = transformers()
        self.network: Any = package.CLIPVisionModelWithProjection(
            package.CLIPVisionConfig(image_size=SIDE, **CLIP_SIZES)
        )
        own = {n: tensors[n] for n in tensors if n.startswith(CLIP_PARTS) and not n.endswith("position_ids")}
        put_weights(self.network, own, {}, torch.float32)
        self.network.eval().requires_grad_(requires_grad=False)

    def forward(self, pixels: Tensor) -> Tensor:
        seen = normalised(_resized(pixels), CLIP_COLOURS)
        return F.normalize(self.network(seen).image_embeds.float(), dim=-1)


def _resized(pixels: Tensor) -> Tensor:
    return F.interpolate(pixels, (SIDE, SIDE), mode="bicubic", antialias=True)
