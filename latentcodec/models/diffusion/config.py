"""Sizes of Stable Diffusion 2.1, of SD-Turbo, which has its layout, and of DINOv2-B/14; smaller ones for tests."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StableDiffusionConfig:
    """`context` and `tokens`: channels and number of the tokens that the denoiser attends to.

    `latent_scale`: what latents are multiplied by. `timestep`: of the schedule, at which the denoiser is called once.
    """

    unet_widths: tuple[int, ...] = (320, 640, 1280, 1280)
    unet_heads: tuple[int, ...] = (5, 10, 20, 20)
    context: int = 1024
    tokens: int = 77
    vae_widths: tuple[int, ...] = (128, 256, 512, 512)
    groups: int = 32
    latent_scale: float = 0.18215
    timestep: int = 999
    lora_rank: int = 16
    vit_width: int = 768
    vit_layers: int = 12
    vit_heads: int = 12
