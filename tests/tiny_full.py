"""A StableCodec of the full scale's layout with few channels, and small networks in the place of frozen ones."""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from latentcodec.models.diffusion.config import StableDiffusionConfig
from latentcodec.models.diffusion.packages import transformers
from latentcodec.models.diffusion.vision import SIDE, build_dino
from latentcodec.models.stablecodec.full.checkpoint import expected_shapes
from latentcodec.models.stablecodec.full.config import FullConfig
from latentcodec.models.stablecodec.full.density import Density
from latentcodec.models.stablecodec.full.load import place
from latentcodec.models.stablecodec.full.model import FullStableCodec

SMALL = StableDiffusionConfig(
    unet_widths=(8, 16), unet_heads=(2, 2), context=16, tokens=5, vae_widths=(8, 8, 8, 8), groups=4,
    vit_width=12, vit_layers=4, vit_heads=2,
)  # fmt: skip
CONFIG = FullConfig(
    channels=32, entry=(16, 16), analysis=(32, 32, 32), auxiliary=(32, 16, 16), elic=(8, 16), stable_diffusion=SMALL
)
CLIP_SIZES = {
    "hidden_size": 12, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 32,
    "projection_dim": 6, "hidden_act": "quick_gelu",
}  # fmt: skip


def tensors(seed: int = 0) -> dict[str, Tensor]:
    """Random weights of the right names and shapes, that predict scales of about 6 for y; the text among them."""
    torch.manual_seed(seed)
    found = {}
    for name, shape in expected_shapes(CONFIG).items():
        fan_in = max(1, int(np.prod(shape[1:])))
        found[name] = torch.randn(shape) / fan_in**0.5 + (1.0 if name.endswith("norm.weight") else 0.0)
    for name, value in found.items():
        if name.startswith("codec.adapter_out."):
            value *= 0.05
    for step in range(4):
        found[f"codec.adapter_out.{step}.branch2.bias"][CONFIG.channels :] += 6
    found |= {f"bottleneck.{name}": value.detach() for name, value in Density(16).state_dict().items()}
    return found | {"prompt": torch.randn(1, SMALL.tokens, SMALL.context)}


def model() -> FullStableCodec:
    """The model of `tensors` and `rows`, in float32."""
    frozen = rows()
    return place(CONFIG, tensors(), frozen["sd-turbo-vae"], frozen["sd-turbo-unet"], torch.float32)


def rows() -> dict[str, dict[str, Tensor]]:
    """Rows of weights.toml that hold small random networks, under the names of their files."""
    torch.manual_seed(1)
    model: Any = FullStableCodec(CONFIG)
    unet = copy.deepcopy(model.unet)
    unet.conv_in = nn.Conv2d(4, SMALL.unet_widths[0], 3, padding=1)
    package = transformers()
    clip = package.CLIPVisionModelWithProjection(package.CLIPVisionConfig(image_size=SIDE, **CLIP_SIZES)).state_dict()
    text = {"text_model.unused": torch.zeros(1), "vision_model.embeddings.position_ids": torch.arange(50)}
    return {
        "sd-turbo-vae": model.vae.network.state_dict(),
        "sd-turbo-unet": unet.state_dict(),
        "dinov2-b14": build_dino(SMALL).state_dict(),
        "clip-vit-b32": {**clip, **text},
    }
