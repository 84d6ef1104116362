"""The tiny autoencoders of TAESD (Bohan 2023) for the latents of Stable Diffusion, FLUX and FLUX.2.

    pixels 0..1 -> conv -> three stages of (conv with stride 2, blocks) -> latents              encoder
    latents -> limit -> three stages of (blocks, twice the size) -> pixels 0..1                 decoder

Layers are numbered as in the published files, so that these load as they are. The variant for FLUX.2 has a branch with
a normalisation over the whole picture in the blocks at the smallest size.
"""

import torch
from torch import Tensor, nn

WIDTH = 64
STRIDE = 8
LATENT_LIMIT = 3.0
GROUPS = 4


class TinyAutoencoder(nn.Module):
    """Pixels [B, 3, H, W] in 0..1, H and W multiples of 8 <-> latents [B, C, H/8, W/8]."""

    def __init__(self, latent_channels: int, pooled: bool):
        super().__init__()
        self.latent_channels, self.pooled = latent_channels, pooled
        self.encoder = nn.Sequential(
            _conv(3, WIDTH),
            _Block(),
            *_down(pooled=False),
            *_down(pooled=False),
            *_down(pooled),
            _conv(WIDTH, latent_channels),
        )
        self.decoder = nn.Sequential(
            _Limit(),
            _conv(latent_channels, WIDTH),
            nn.ReLU(),
            *_up(pooled),
            *_up(pooled=False),
            *_up(pooled=False),
            _Block(),
            _conv(WIDTH, 3),
        )

    @classmethod
    def from_state(cls, encoder: dict[str, Tensor], decoder: dict[str, Tensor]) -> "TinyAutoencoder":
        """From the tensors of a pair of published files. Raises RuntimeError for a missing, surplus or odd one."""
        model = cls(decoder["1.weight"].shape[1], pooled=any(".pool." in name for name in decoder))
        model.encoder.load_state_dict({name: value.float() for name, value in encoder.items()})
        model.decoder.load_state_dict({name: value.float() for name, value in decoder.items()})
        return model.eval()

    def encode(self, pixels: Tensor) -> Tensor:
        latents: Tensor = self.encoder(pixels)
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Not clamped."""
        pixels: Tensor = self.decoder(latents)
        return pixels


class _Block(nn.Module):
    def __init__(self, pooled: bool = False):
        super().__init__()
        self.conv = nn.Sequential(_conv(WIDTH, WIDTH), nn.ReLU(), _conv(WIDTH, WIDTH), nn.ReLU(), _conv(WIDTH, WIDTH))
        self.pool = _pool() if pooled else None

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return torch.relu(self.conv(x) + x)


def _pool() -> nn.Sequential:
    wide = GROUPS * WIDTH
    return nn.Sequential(
        nn.Conv2d(WIDTH, wide, 1, bias=False),
        nn.GroupNorm(GROUPS, wide),
        nn.ReLU(),
        nn.Conv2d(wide, WIDTH, 1, bias=False),
    )


class _Limit(nn.Module):
    """A soft clamp of latents to +-LATENT_LIMIT."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / LATENT_LIMIT) * LATENT_LIMIT


def _conv(inputs: int, outputs: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=bias)


def _down(pooled: bool) -> list[nn.Module]:
    return [_conv(WIDTH, WIDTH, stride=2, bias=False), *(_Block(pooled) for _ in range(3))]


def _up(pooled: bool) -> list[nn.Module]:
    return [*(_Block(pooled) for _ in range(3)), nn.Upsample(scale_factor=2), _conv(WIDTH, WIDTH, bias=False)]
