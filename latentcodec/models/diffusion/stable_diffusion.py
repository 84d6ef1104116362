"""Autoencoder and denoiser of Stable Diffusion, through diffusers, which is imported here only, and when needed."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from latentcodec.errors import WeightsError
from latentcodec.models.blocks.lora import ADAPTERS, adapted_names
from latentcodec.models.diffusion.config import StableDiffusionConfig
from latentcodec.models.diffusion.layers import decoder_layers, encoder_layers
from latentcodec.models.diffusion.layerwise import run_in_tiles
from latentcodec.models.diffusion.packages import diffusers

LATENT_CHANNELS = 4
# What published files call what the libraries call otherwise today.
VAE_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


class FrozenAutoencoder(nn.Module):
    """AutoencoderKL: pixels [B, 3, H, W] in 0..1 <-> scaled latents (the posterior's mode) [B, 4, H/8, W/8]."""

    def __init__(self, config: StableDiffusionConfig):
        super().__init__()
        levels = len(config.vae_widths)
        self.latent_scale = config.latent_scale
        self.latent_channels, self.stride = LATENT_CHANNELS, 1 << (levels - 1)
        self.network = (
            diffusers()
            .AutoencoderKL(
                block_out_channels=config.vae_widths,
                down_block_types=("DownEncoderBlock2D",) * levels,
                up_block_types=("UpDecoderBlock2D",) * levels,
                layers_per_block=2,
                latent_channels=self.latent_channels,
                norm_num_groups=config.groups,
            )
            .requires_grad_(requires_grad=False)
        )

    def encode(self, pixels: Tensor) -> Tensor:
        """-> latents, times the constant that gives them about unit variance."""
        mode: Tensor = self.network.encode(in_type_of(self.network, 2 * pixels - 1)).latent_dist.mode()
        return mode.float() * self.latent_scale

    def decode(self, latents: Tensor) -> Tensor:
        """-> pixels, not clamped."""
        pixels: Tensor = self.network.decode(in_type_of(self.network, latents / self.latent_scale)).sample
        return (pixels.float() + 1) / 2

    def encode_large(self, pixels: Tensor, kept_bytes: int) -> Tensor:
        """uint8 [1, 3, H, W] -> what `encode` gives, with a bounded memory; `kept_bytes`: see layerwise.py."""
        first, *others = encoder_layers(self.network)
        enter = replace(first, run=lambda part: first.run(in_type_of(self.network, 2 * (part.float() / 255) - 1)))
        moments = run_in_tiles([enter, *others], pixels, kept_bytes // self.itemsize)
        return moments[:, : self.latent_channels].float() * self.latent_scale

    def decode_large(self, latents: Tensor, kept_bytes: int) -> Tensor:
        """[1, 4, h, w] -> uint8 [1, 3, 8h, 8w]: what `decode` gives, rounded, with a bounded memory."""
        *others, last = decoder_layers(self.network)
        leave = replace(last, run=lambda x: _as_bytes((last.run(x).float() + 1) / 2))
        entering = in_type_of(self.network, latents / self.latent_scale)
        return run_in_tiles([*others, leave], entering, kept_bytes // self.itemsize)

    @property
    def itemsize(self) -> int:
        """Bytes of a value within."""
        return next(self.network.parameters()).element_size()


def build_unet(config: StableDiffusionConfig) -> Any:
    """UNet2DConditionModel of the layout of Stable Diffusion 2.1, with random weights."""
    cross, plain = "CrossAttn{}Block2D", "{}Block2D"
    kinds = [cross] * (len(config.unet_widths) - 1) + [plain]
    return diffusers().UNet2DConditionModel(
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=config.unet_widths,
        attention_head_dim=config.unet_heads,
        cross_attention_dim=config.context,
        down_block_types=tuple(kind.format("Down") for kind in kinds),
        up_block_types=tuple(kind.format("Up") for kind in reversed(kinds)),
        use_linear_projection=True,
        norm_num_groups=config.groups,
    )


def in_type_of(network: nn.Module, x: Tensor) -> Tensor:
    """x in the type of the network's weights."""
    return x.to(next(network.parameters()).dtype)


def load_autoencoder(tensors: Mapping[str, Tensor]) -> FrozenAutoencoder:
    """The autoencoder of Stable Diffusion 1, 2 or Turbo, which are of one layout, in float32. Raises WeightsError."""
    with torch.device("meta"):
        autoencoder = FrozenAutoencoder(StableDiffusionConfig())
    put_weights(autoencoder.network, tensors, VAE_NAMES, torch.float32)
    return autoencoder


def put_weights(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    names: Mapping[str, str],
    dtype: torch.dtype,
    change: Callable[[str, Tensor], Tensor] = lambda _, value: value,
) -> None:
    """Published tensors -> a network, in this type, channels last. Strict: raises WeightsError.

    `names`: what the tensors call otherwise. `change`: name in the network and tensor -> what takes its place. Tensors
    are asked for one after the other, so that a mapping that reads them from a file needs memory for one.
    """
    state = {}
    for published in tensors:
        name = _renamed(published, names)
        value = change(name, tensors[published])
        state[name] = value.contiguous(memory_format=channels_last(value)).to(dtype)
    kind = type(network).__name__
    try:
        result = network.load_state_dict(adapted_names(state, network), strict=False, assign=True)
    except RuntimeError as error:
        raise WeightsError(f"not the weights of {kind}: {str(error).splitlines()[1]}") from error
    wrong = [name for name in result.missing_keys if ADAPTERS not in name] + result.unexpected_keys
    if wrong:
        raise WeightsError(f"{kind}: a tensor too few or too many: {wrong[0]}")


def channels_last(weight: Tensor) -> torch.memory_format:
    """The layout that a convolution's weight has, so that it need not be copied into it; others stay as they are."""
    return torch.channels_last if weight.dim() == len("OIHW") else torch.contiguous_format


def _renamed(name: str, names: Mapping[str, str]) -> str:
    for old, new in names.items():
        name = name.replace(old, new)
    return name


def _as_bytes(pixels: Tensor) -> Tensor:
    """0..1, not clamped -> uint8."""
    return (pixels.clamp(0, 1) * 255).round().byte()
