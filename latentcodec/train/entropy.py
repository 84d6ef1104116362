"""The entropy model alone: what it makes of latents that no longer change, with the symbols that an encoder would code.

Beside the transforms it is trained on stand-ins for symbols, at rates that still move, and with a few pictures per
step. Without networks for pixels and perception a step costs a fraction of that, and every crop serves several rates.
"""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from latentcodec.coding.tables import FIRST_CODED_TABLE, TOTAL_BITS
from latentcodec.models.blocks.information import gaussian_information, rate_proxy
from latentcodec.models.blocks.rate import RATE_STEPS
from latentcodec.models.sodec.model import Sodec
from latentcodec.models.stablecodec.model import StableCodec
from latentcodec.pipelines.neural import RATES, SHARES_OF_Z, THRIFTS
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
    thrift = thrift_in_files(rate, of_z=isinstance(codec, StableCodec))
    known, *_, bits = codec.entropy(y, rate, partial(as_coded, thrift=thrift))
    error = (known - y).square().sum((1, 2, 3))
    per_pixel, target = 1 / (pixels.shape[2] * pixels.shape[3]), target_bpp(rate, rate_range)
    loss = (bits * per_pixel / target).mean()
    return loss, {"rate_ratio": loss.detach(), "error": error.detach().mean() * per_pixel}


class Thrift(NamedTuple):
    """With what an encoder rounds y and z: one number, or one per picture [B, 1, 1, 1]."""

    y: Tensor | float
    z: Tensor | float


def thrift_in_files(rate: Tensor, of_z: bool) -> Thrift:
    """Rates [B] in 0..1 -> with what thrift encoders round there: to fill a budget they take more than the least.

    `of_z`: whether hyper-latents are rounded thriftily as well, where bits are few.
    """
    (low, high), (at_low, at_high) = RATES, THRIFTS
    way = ((RATE_STEPS * rate - low) / (high - low)).clamp(0, 1)
    thrift = (at_low + way * (at_high - at_low)) * torch.empty_like(way).uniform_(*MORE_THRIFT)
    share = SHARES_OF_Z[0] + way * (SHARES_OF_Z[1] - SHARES_OF_Z[0]) if of_z else torch.zeros_like(way)
    return Thrift(thrift[:, None, None, None], (share * thrift)[:, None, None, None])


def as_coded(residual: Tensor, position: Tensor, is_y: bool, thrift: Thrift) -> tuple[Tensor, Tensor]:
    """Symbols as pipelines/rounding.py chooses them, with the gradient of the identity: to decode, and to count."""
    weight = thrift.y if is_y else thrift.z
    with torch.no_grad():
        table, nearest = position.round(), residual.round()
        lower = nearest - nearest.sign()
        # No table spends more than that on a symbol, however improbable.
        dear, cheap = (gaussian_information(x, table).clamp_max(TOTAL_BITS) for x in (nearest, lower))
        saved = dear - cheap
        added = (residual - lower).square() - (residual - nearest).square()
        symbol = torch.where(added < weight * saved, lower, nearest)
        symbol = torch.where(table < FIRST_CODED_TABLE, 0, symbol)
    symbol = residual + (symbol - residual).detach()
    return symbol, symbol


def decoded_as_coded(residual: Tensor, position: Tensor, is_y: bool, thrift: Thrift) -> tuple[Tensor, Tensor]:
    """To decode, symbols as `as_coded` has them; to count, what transforms learn rates from."""
    return as_coded(residual, position, is_y, thrift)[0], rate_proxy(residual, position)
