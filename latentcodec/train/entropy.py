"""The entropy model alone: what it makes of latents that no longer change, with the symbols that an encoder would code.

Beside the transforms it is trained on stand-ins for symbols, at rates that still move, and with a few pictures per
step. Without networks for pixels and perception a step costs a fraction of that, and every crop serves several rates.
"""

import torch
from torch import Tensor

from latentcodec.coding.tables import FIRST_CODED_TABLE
from latentcodec.models.blocks.information import gaussian_information, rate_proxy
from latentcodec.models.blocks.rate import RATE_STEPS
from latentcodec.models.sodec.model import Sodec
from latentcodec.models.stablecodec.model import StableCodec
from latentcodec.pipelines.neural import LEAST_THRIFT, RATES, THRIFTS
from latentcodec.train.graph import Figures
from latentcodec.train.loop import autocast
from latentcodec.train.rate import target_bpp

RATES_PER_CROP = 4
MORE_THRIFT = (1.0, 2.5)  # times the least, from a quality to what fills a budget or goes with effort


def entropy_loss(codec: StableCodec | Sodec, pixels: Tensor, rate_range: tuple[float, float]) -> tuple[Tensor, Figures]:
    """Pixels [B, 3, H, W] in 0..1 -> bits relative to what each rate is meant to spend.

    The error of latents is reported, not minimised: with symbols that carry the gradient of the identity it has none.
    """
    rate = torch.rand(RATES_PER_CROP * len(pixels), device=pixels.device)
    with torch.no_grad(), autocast(pixels.device):
        first, second = (part.repeat_interleave(RATES_PER_CROP, 0) for part in codec.prepare(pixels))
        y = codec.analyse(first, second, rate).float()
    known, *_, bits = codec.entropy(y, rate, as_coded)
    error = (known - y).square().sum((1, 2, 3))
    per_pixel, target = 1 / (pixels.shape[2] * pixels.shape[3]), target_bpp(rate, rate_range)
    loss = (bits * per_pixel / target).mean()
    return loss, {"rate_ratio": loss.detach(), "error": error.detach().mean() * per_pixel}


def thrift_in_files(rate: Tensor) -> Tensor:
    """Rates [B] in 0..1 -> with what thrift encoders round there, [B, 1, 1, 1]: to fill a budget they take more."""
    (low, high), (at_low, at_high) = RATES, THRIFTS
    least = at_low + ((RATE_STEPS * rate - low) / (high - low)).clamp(0, 1) * (at_high - at_low)
    return (least * torch.empty_like(least).uniform_(*MORE_THRIFT))[:, None, None, None]


def as_coded(
    residual: Tensor, position: Tensor, thrifty: bool, thrift: Tensor | float = LEAST_THRIFT
) -> tuple[Tensor, Tensor]:
    """Symbols as pipelines/rounding.py chooses them, with the gradient of the identity: to decode, and to count.

    `thrift`: of those that are rounded thriftily, one number or one per picture [B, 1, 1, 1].
    """
    thrift = thrift if thrifty else 0.0
    with torch.no_grad():
        table, nearest = position.round(), residual.round()
        lower = nearest - nearest.sign()
        saved = gaussian_information(nearest, table) - gaussian_information(lower, table)
        added = (residual - lower).square() - (residual - nearest).square()
        symbol = torch.where(added < thrift * saved, lower, nearest)
        symbol = torch.where(table < FIRST_CODED_TABLE, 0, symbol)
    symbol = residual + (symbol - residual).detach()
    return symbol, symbol


def decoded_as_coded(residual: Tensor, position: Tensor, thrifty: bool, thrift: Tensor) -> tuple[Tensor, Tensor]:
    """To decode, symbols as `as_coded` has them; to count, what transforms learn rates from."""
    return as_coded(residual, position, thrifty, thrift)[0], rate_proxy(residual, position)
