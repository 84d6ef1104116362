"""StableCodec (Zhang et al. 2025) as published, with its adapters merged into SD-Turbo.

pixels --VAE encoder--> latents --+                              F[0..3] = x_t
pixels --ELIC g_a-----------------+--> codec.g_a --> y ... y^ --> codec.g_s --> F --UNet, t = 999--> noise
pixels <--VAE decoder-- x_0 + residual <-- one step --------------------------------+   y^ --codec.aux--> residual
"""

import torch
from torch import Tensor, nn

from latentcodec.models.denoiser import one_step_x0
from latentcodec.models.diffusion.stable_diffusion import (
    LATENT_CHANNELS,
    FrozenAutoencoder,
    build_unet,
    in_type_of,
)
from latentcodec.models.stablecodec.full.codec import LatentCodec
from latentcodec.models.stablecodec.full.config import FullConfig
from latentcodec.models.stablecodec.full.elic import ElicAnalysis

EVERYWHERE = slice(None), slice(None)


class FullStableCodec(nn.Module):
    """All networks of one checkpoint. The text that the denoiser attends to is always the same: a tensor."""

    prompt: Tensor

    def __init__(self, config: FullConfig):
        super().__init__()
        self.config = config
        self.vae = FrozenAutoencoder(config.stable_diffusion)
        self.unet = build_unet(config.stable_diffusion)
        self.unet.conv_in = nn.Conv2d(config.channels, config.stable_diffusion.unet_widths[0], 3, padding=1)
        self.codec = LatentCodec(config)
        self.auxiliary_encoder = ElicAnalysis(*config.elic)
        diffusion = config.stable_diffusion
        self.register_buffer("prompt", torch.zeros(1, diffusion.tokens, diffusion.context))

    def prepare(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels [B, 3, H, W] in 0..1, sides multiples of 256 -> VAE latents and auxiliary features."""
        return self.vae.encode(pixels), self.auxiliary_encoder(pixels)

    def analyse(self, latents: Tensor, auxiliary: Tensor) -> Tensor:
        """What `prepare` returned -> y [B, M, H/64, W/64], not rounded."""
        return self.codec.g_a(latents, auxiliary)

    def synthesise_latents(self, y: Tensor, inside: tuple[slice, slice] = EVERYWHERE) -> Tensor:
        """y^ -> denoised VAE latents [B, 4, 8h, 8w].

        `inside`: rows and columns [8h, 8w] that the denoiser sees and returns; what lies around is for the codec only.
        """
        residual = self.codec.aux(y)[..., *inside]
        # So early in the diffusion the denoiser leaves a fifteenth of x_t, and with it all of its error: not bfloat16.
        with torch.autocast(y.device.type, enabled=False):
            features = self.codec.g_s(y.float())[..., *inside]
        text = self.prompt.expand(len(y), -1, -1)
        known, text = in_type_of(self.unet, features), in_type_of(self.unet, text)
        noise = self.unet(known, self.config.stable_diffusion.timestep, encoder_hidden_states=text).sample
        return one_step_x0(features[:, :LATENT_CHANNELS], noise, self.config.alpha_bar) + residual

    def synthesise(self, y: Tensor) -> Tensor:
        """y^ -> pixels [B, 3, 64h, 64w], not clamped."""
        return self.vae.decode(self.synthesise_latents(y))
