"""Start a codec as a transform coder: the linear shortcuts become a Karhunen-Loeve transform of VAE latents.

From random weights, thousands of steps go by before analysis and synthesis pass any detail through the channels of y.
Started as the optimal linear transform of blocks of latents, with table offsets that fit its variances, the codec is a
working one before the first step, and the networks only have to improve on it.

Latents are weighted by how much the picture changes with each of their channels, so that an error in y costs about the
same in every channel.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from latentcodec.coding.tables import LOG_SCALE_STEP, SMALLEST_SCALE
from latentcodec.models.autoencoder import PIXEL_GAIN, STRIDE, MiniVAE
from latentcodec.models.blocks.rate import RATE_KNOTS, RateKnots
from latentcodec.models.sodec.config import Y_STRIDE
from latentcodec.models.sodec.model import Sodec
from latentcodec.models.stablecodec.model import StableCodec
from latentcodec.models.stablecodec.transforms import BLOCK

PROBE = 0.1
GAIN_SHIFTS = (-3.0, 3.0)  # of the logarithm
BISECTIONS = 12
CALIBRATION_SPLIT = 8
MAD_TO_STD = 0.8  # symbols are closer to Laplacian than to Gaussian: a smaller scale fits most of them


@torch.no_grad()
def initialise_autoencoder(vae: MiniVAE, crops: Tensor) -> None:
    """Set the shortcuts of an autoencoder from training crops [N, 3, H, W] in 0..1; latents have unit variance."""
    blocks = F.pixel_unshuffle((crops - 0.5) * PIXEL_GAIN, STRIDE).permute(0, 2, 3, 1).flatten(0, 2)
    variances, vectors = torch.linalg.eigh(torch.cov(blocks.T))
    basis = vectors.flip(1)[:, : vae.config.latent_channels]
    deviation = variances.flip(0)[: vae.config.latent_channels].clamp_min(1e-6).sqrt()
    assert vae.encoder.shortcut is not None
    assert vae.decoder.shortcut is not None
    _set(vae.encoder.shortcut, (basis / deviation).T)
    _set(vae.decoder.shortcut, basis * deviation)


@torch.no_grad()
def initialise(codec: StableCodec, latents: Tensor) -> None:
    """Set shortcuts, gains' meaning and table offsets from VAE latents [N, C, h, w] of training crops."""
    importance = _importance(codec.vae, latents[:16]).repeat_interleave(BLOCK * BLOCK)
    blocks = F.pixel_unshuffle(latents, BLOCK).permute(0, 2, 3, 1).flatten(0, 2)
    variances, vectors = torch.linalg.eigh(torch.cov((blocks * importance).T))
    channels = codec.config.y_channels
    basis = vectors.flip(1)[:, :channels]
    _set(codec.analysis.shortcut, (basis * importance[:, None]).T)
    _set(codec.auxiliary_decoder.shortcut, basis / importance[:, None])
    _set_offsets(codec.entropy.offset, codec.log_gain, variances.flip(0)[:channels].clamp_min(1e-6).sqrt())


@torch.no_grad()
def initialise_sodec(codec: Sodec, crops: Tensor) -> None:
    """Set shortcuts and table offsets from training crops [N, 3, H, W] in 0..1.

    x_t starts as the linear estimate of the latents from y, in the least squares sense.
    """
    blocks = F.pixel_unshuffle((crops - 0.5) * PIXEL_GAIN, Y_STRIDE).permute(0, 2, 3, 1).flatten(0, 2)
    variances, vectors = torch.linalg.eigh(torch.cov(blocks.T))
    channels = codec.config.y_channels
    basis = vectors.flip(1)[:, :channels]
    _set(codec.analysis.shortcut, basis.T)
    _set(codec.preview_decoder.shortcut, basis)
    _set_offsets(codec.entropy.offset, codec.log_gain, variances.flip(0)[:channels].clamp_min(1e-6).sqrt())
    latents = torch.cat([codec.vae.encode(batch) for batch in torch.split(crops, CALIBRATION_SPLIT)])
    targets = F.pixel_unshuffle(latents, 2).permute(0, 2, 3, 1).flatten(0, 2) * math.sqrt(codec.config.alpha_bar)
    _set(codec.transform.shortcut, torch.linalg.lstsq(blocks @ basis, targets).solution.T)


@torch.no_grad()
def fit_gains(codec: StableCodec | Sodec, pixels: Tensor, bpp_of: Callable[[Tensor], Tensor]) -> None:
    """Move gains and table offsets of every knot until training crops [N, 3, H, W] cost `bpp_of(rate)` bits per pixel.

    Started far from it, lambda would have to overshoot to get there, and the transforms would pay for that.
    """
    prepared = codec.prepare(pixels)
    area = pixels.shape[2] * pixels.shape[3]
    for knot in range(RATE_KNOTS):
        rate = torch.full((len(pixels),), knot / (RATE_KNOTS - 1), device=pixels.device)
        low, high = GAIN_SHIFTS
        moved = 0.0
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            _shift(codec, knot, middle - moved)
            moved = middle
            bits = codec.entropy(codec.analyse(*prepared, rate), rate)[-1]
            low, high = (low, middle) if bits.mean() / area > bpp_of(rate)[0] else (middle, high)


def _shift(codec: StableCodec | Sodec, knot: int, log_gain: float) -> None:
    """Change the gain of one knot, and the table positions with it."""
    codec.log_gain.scaled[knot] += log_gain / codec.log_gain.speed
    codec.entropy.offset.scaled[knot] += log_gain / LOG_SCALE_STEP / codec.entropy.offset.speed


def _importance(vae: MiniVAE, latents: Tensor) -> Tensor:
    """[C]: root of the mean squared pixel change per unit of a channel, relative to the mean over channels."""
    reference = vae.decode(latents)
    changes = []
    for channel in range(latents.shape[1]):
        moved = latents.clone()
        moved[:, channel] += PROBE * torch.randn_like(moved[:, channel])
        changes.append((vae.decode(moved) - reference).square().mean())
    scale = torch.stack(changes).sqrt()
    return scale / scale.mean()


def _set(layer: torch.nn.Conv2d, matrix: Tensor) -> None:
    layer.weight.copy_(matrix[:, :, None, None])
    assert layer.bias is not None
    layer.bias.zero_()


def _set_offsets(offset: RateKnots, log_gain: RateKnots, deviation: Tensor) -> None:
    """Table position of each channel at each knot, from its standard deviation times the gain."""
    log_scale = log_gain.values + (MAD_TO_STD * deviation).log()
    position = (log_scale - math.log(SMALLEST_SCALE)) / LOG_SCALE_STEP
    offset.scaled.copy_(position.clamp(0, 60) / offset.speed)
