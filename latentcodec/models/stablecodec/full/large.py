"""Pictures too large for memory: what `FullStableCodec` does with the whole picture, in tiles.

pixels --VAE encoder, layer by layer--> latents --g_a, by tiles with all that it sees--> y      ELIC likewise
y^ --g_s, aux, by tiles with all that they see--> F --UNet, by windows that are blended--> x_0 --VAE decoder, layer by
layer--> pixels

The VAE normalises as if it saw the whole picture (diffusion/layerwise.py). The denoiser takes far less memory and sees
pictures whole up to LARGEST_WHOLE; beyond, where attention's time would grow with the square, windows that overlap,
within which it normalises, as the published program has it.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from latentcodec.models.blocks.tiles import at, joined, tiles
from latentcodec.models.diffusion.layerwise import tile_bytes
from latentcodec.models.stablecodec.full.model import FullStableCodec

LATENTS, FEATURES, PIXELS = 8, 4, 64  # per position of y, along a side
LARGEST_WHOLE = 2160  # positions of y: 3840x2304 pixels, 4K as it is padded
WINDOW, OVERLAP = 12, 4  # of the denoiser, in positions of y: 96 and 32 latents
DENOISER_COPIES = 40  # of a latent with the channels of the denoiser's first level, that are in memory at once
SPREAD = 0.1  # standard deviation of a window's weights, in windows
CODEC_REACH = 14  # positions of y that g_a, g_s and aux see to each side
ANALYSED = 20  # of which g_a gives as many at once
ELIC_SIDE, ELIC_REACH = 16, 3


def analyse_large(model: FullStableCodec, pixels: Tensor, kept_bytes: int) -> Tensor:
    """uint8 [1, 3, H, W], sides multiples of 256 -> y float32 [1, M, H/64, W/64], not rounded.

    `kept_bytes`: what is left for the VAE, beside its tiles.
    """
    latents = model.vae.encode_large(pixels, kept_bytes)
    height, width = (side // PIXELS for side in pixels.shape[2:])
    auxiliary = joined(
        (
            (tile, model.auxiliary_encoder(pixels[at(tile.seen, PIXELS)].float() / 255))
            for tile in tiles(height, width, ELIC_SIDE, ELIC_REACH)
        ),
        (FEATURES * height, FEATURES * width),
        FEATURES,
    )
    with torch.autocast(pixels.device.type, enabled=False):
        parts = (
            (tile, model.analyse(latents[at(tile.seen, LATENTS)], auxiliary[at(tile.seen, FEATURES)].float()))
            for tile in tiles(height, width, ANALYSED + 2 * CODEC_REACH, CODEC_REACH)
        )
        return joined(parts, (height, width), 1)


def synthesise_large(model: FullStableCodec, y: Tensor, kept_bytes: int) -> Tensor:
    """y^ [1, M, h, w] -> pixels uint8 [1, 3, 64h, 64w]."""
    height, width = y.shape[2:]
    itemsize = model.vae.itemsize
    values = DENOISER_COPIES * model.config.stable_diffusion.unet_widths[0] * LATENTS**2 * height * width
    whole = height * width <= LARGEST_WHOLE and values * itemsize <= kept_bytes + tile_bytes(itemsize)
    return model.vae.decode_large(denoise_large(model, y, max(height, width) if whole else WINDOW), kept_bytes)


def denoise_large(model: FullStableCodec, y: Tensor, window: int) -> Tensor:
    """y^ [1, M, h, w] -> VAE latents [1, 4, 8h, 8w], blended from windows of that many positions."""
    height, width = y.shape[2:]
    total = torch.zeros(1, 4, LATENTS * height, LATENTS * width, device=y.device)
    weights = torch.zeros(LATENTS * height, LATENTS * width, device=y.device)
    for rows in _windows(height, window):
        for columns in _windows(width, window):
            seen, inside = zip(_widened(rows, height), _widened(columns, width), strict=True)
            part = model.synthesise_latents(y[at(seen, 1)], at(inside, LATENTS)[1:])
            weight = _bell(part.shape[2], y.device)[:, None] * _bell(part.shape[3], y.device)
            total[at((rows, columns), LATENTS)] += weight * part
            weights[at((rows, columns), LATENTS)] += weight
    return total / weights


def _windows(length: int, window: int) -> Iterator[slice]:
    """Windows that cover a side, at equal distances, which overlap by OVERLAP or more."""
    size = min(window, length)
    steps = -(-(length - size) // (window - OVERLAP))
    for number in range(steps + 1):
        start = round(number * (length - size) / max(steps, 1))
        yield slice(start, start + size)


def _widened(part: slice, length: int) -> tuple[slice, slice]:
    """-> with what the codec sees around, and where the part is therein."""
    seen = slice(max(part.start - CODEC_REACH, 0), min(part.stop + CODEC_REACH, length))
    return seen, slice(part.start - seen.start, part.stop - seen.start)


def _bell(length: int, device: torch.device) -> Tensor:
    """Gaussian weights along a side: at its ends, where the denoiser knows least, next to nothing."""
    positions = (torch.arange(length, device=device) + 0.5) / length - 0.5
    return torch.exp(-(positions**2) / (2 * SPREAD**2))
