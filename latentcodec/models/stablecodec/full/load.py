"""A weights file and SD-Turbo's networks -> the model, adapters merged."""

from collections.abc import Mapping

import torch
from torch import Tensor

from latentcodec.models.diffusion.stable_diffusion import VAE_NAMES, put_weights
from latentcodec.models.stablecodec.full.checkpoint import check, merge_adapters
from latentcodec.models.stablecodec.full.config import FullConfig
from latentcodec.models.stablecodec.full.model import FullStableCodec

REPLACED = "conv_in."  # of the UNet: the checkpoint has its own


def place(
    config: FullConfig,
    tensors: Mapping[str, Tensor],
    vae: Mapping[str, Tensor],
    unet: Mapping[str, Tensor],
    dtype: torch.dtype,
) -> FullStableCodec:
    """`tensors`: of the weights file, the text among them; `vae`, `unet`: SD-Turbo's. Strict: raises WeightsError.

    SD-Turbo's networks are kept in `dtype`, the codec in float32.
    """
    own = check({name: value for name, value in tensors.items() if name != "prompt"}, config)
    with torch.device("meta"):
        model = FullStableCodec(config)
    first = {f"{REPLACED}{part}": own[f"unet.{REPLACED}{part}"] for part in ("weight", "bias")}
    kept = {name: value for name, value in unet.items() if not name.startswith(REPLACED)}
    put_weights(model.vae.network, vae, VAE_NAMES, torch.float32)
    put_weights(model.unet, kept | first, {}, torch.float32)
    merge_adapters(model.vae.network, "vae", own)
    merge_adapters(model.unet, "unet", own)
    for parameter in (*model.vae.parameters(), *model.unet.parameters()):
        parameter.data = parameter.data.to(dtype)
    for name, module in (("codec", model.codec), ("auxiliary_encoder", model.auxiliary_encoder)):
        prefix = f"{name}."
        state = {k.removeprefix(prefix): v.float() for k, v in own.items() if k.startswith(prefix)}
        module.load_state_dict(state, assign=True)
    model.prompt = tensors["prompt"].float()
    return model.eval().requires_grad_(requires_grad=False)
