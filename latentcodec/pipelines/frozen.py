"""The frozen networks of full scale, from their rows of weights.toml."""

import torch

from latentcodec.models.sodec.model import Sodec
from latentcodec.weights import store

ROWS = ("sd21-vae", "sd21-unet", "dinov2-b14")


def put_in_place(codec: Sodec, dtype: torch.dtype) -> None:
    """Load what a full-scale model does not ship. Raises WeightsError if it has not been fetched."""
    if codec.config.stable_diffusion is None:
        return
    from latentcodec.models.sodec.stable_diffusion import Frozen, load_frozen

    vae, unet, vit = (store.load(name).tensors for name in ROWS)
    load_frozen(codec, Frozen(vae, unet, vit), dtype)
