"""A weights file and SD-Turbo's networks -> the model, adapters merged; or the same from what was merged before."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from latentcodec.errors import WeightsError
from latentcodec.models.diffusion.stable_diffusion import VAE_NAMES, put_weights
from latentcodec.models.stablecodec.full.checkpoint import check, merged
from latentcodec.models.stablecodec.full.config import FullConfig
from latentcodec.models.stablecodec.full.model import FullStableCodec

PROMPT = "prompt"


def place(
    config: FullConfig,
    tensors: Mapping[str, Tensor],
    vae: Mapping[str, Tensor],
    unet: Mapping[str, Tensor],
    dtype: torch.dtype,
) -> FullStableCodec:
    """`tensors`: of the weights file, the text among them; `vae`, `unet`: SD-Turbo's. Strict: raises WeightsError.

    SD-Turbo's networks are kept in `dtype`, the codec in float32. Adapters are merged in float32, tensor by tensor.
    """
    model, own = _with_codec(config, tensors)
    put_weights(model.vae.network, vae, VAE_NAMES, dtype, partial(merged, own, "vae", dtype))
    put_weights(model.unet, unet, {}, dtype, partial(merged, own, "unet", dtype))
    return model.eval().requires_grad_(requires_grad=False)


def place_merged(config: FullConfig, tensors: Mapping[str, Tensor], done: Mapping[str, Tensor]) -> FullStableCodec:
    """`done`: what `merged_tensors` made of the same checkpoint. Raises WeightsError."""
    model, _ = _with_codec(config, tensors)
    for prefix, network in _networks(model):
        state = {k.removeprefix(prefix): _channels_second(v) for k, v in done.items() if k.startswith(prefix)}
        if not state:
            raise WeightsError(f"no tensors of {prefix[:-1]} among the merged ones")
        put_weights(network, state, {}, next(iter(state.values())).dtype)
    return model.eval().requires_grad_(requires_grad=False)


def merged_tensors(model: FullStableCodec) -> dict[str, Tensor]:
    """SD-Turbo's networks with the adapters in them, as a file holds them: the channels of the input are last."""
    return {
        prefix + name: _channels_last(value)
        for prefix, network in _networks(model)
        for name, value in network.state_dict().items()
    }


def _networks(model: FullStableCodec) -> tuple[tuple[str, nn.Module], ...]:
    return ("vae.", model.vae.network), ("unet.", model.unet)


def _with_codec(config: FullConfig, tensors: Mapping[str, Tensor]) -> tuple[FullStableCodec, dict[str, Tensor]]:
    """The model without SD-Turbo's weights, and the checkpoint's tensors."""
    own = check({name: value for name, value in tensors.items() if name != PROMPT}, config)
    with torch.device("meta"):
        model = FullStableCodec(config)
    for name, module in (("codec", model.codec), ("auxiliary_encoder", model.auxiliary_encoder)):
        prefix = f"{name}."
        # Copied, so that the file, most of which are adapters and what runs in other types, need not stay in memory.
        state = {k.removeprefix(prefix): v.to(torch.float32, copy=True) for k, v in own.items() if k.startswith(prefix)}
        module.load_state_dict(state, assign=True)
    model.prompt = _prompt(tensors, config).to(torch.float32, copy=True)
    return model, own


def _prompt(tensors: Mapping[str, Tensor], config: FullConfig) -> Tensor:
    sizes = config.stable_diffusion
    found = tensors.get(PROMPT)
    if found is None or found.shape != (1, sizes.tokens, sizes.context) or not found.isfinite().all():
        raise WeightsError(f"{PROMPT} is no state of {sizes.tokens} tokens with {sizes.context} channels")
    return found


def _channels_last(value: Tensor) -> Tensor:
    return value.movedim(1, -1).contiguous() if value.dim() > 1 else value


def _channels_second(value: Tensor) -> Tensor:
    return value.movedim(-1, 1) if value.dim() > 1 else value
