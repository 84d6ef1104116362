"""The frozen networks of full scale, from their rows of weights.toml."""

import torch

from latentcodec.models.diffusion.stable_diffusion import VAE_NAMES, put_weights
from latentcodec.models.sodec.model import Sodec
from latentcodec.models.stablecodec.full.model import FullStableCodec
from latentcodec.pipelines.stablecodec_full import BASE
from latentcodec.weights import store

ROWS = ("sd21-vae", "sd21-unet", "dinov2-b14")


def put_in_place(codec: Sodec, dtype: torch.dtype) -> None:
    """Load what a full-scale model does not ship. Raises WeightsError if it has not been fetched."""
    if codec.config.stable_diffusion is None:
        return
    from latentcodec.models.sodec.stable_diffusion import Frozen, load_frozen

    vae, unet, vit = (store.load(name).tensors for name in ROWS)
    load_frozen(codec, Frozen(vae, unet, vit), dtype)


def put_sd_turbo(model: FullStableCodec, dtype: torch.dtype) -> None:
    """Load SD-Turbo's networks into a model in training, whose adapters and first layer of the denoiser stay its own.

    Raises WeightsError if they have not been fetched.
    """
    vae, unet = (store.load_one_by_one(name) for name in BASE)
    own = {f"conv_in.{name}": value for name, value in model.unet.conv_in.state_dict().items()}
    put_weights(model.vae.network, vae, VAE_NAMES, dtype)
    put_weights(model.unet, unet, {}, dtype, lambda name, value: own.get(name, value))
    model.unet.conv_in.float()  # it is trained
