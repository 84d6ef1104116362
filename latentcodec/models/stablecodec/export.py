"""Trained networks -> shipped tensors: the entropy model becomes integers, everything else float16.

Rounding to integers happens here, once; what is shipped is what every machine computes with.
"""

import torch
from torch import Tensor, nn

from latentcodec.coding.fixedpoint import ACTIVATION_BITS, WEIGHT_BITS, WEIGHT_LIMIT
from latentcodec.errors import WeightsError
from latentcodec.models.blocks.rate import KnotModulation
from latentcodec.models.stablecodec.entropy import ContextStep, EntropyModel, HyperSynthesis
from latentcodec.models.stablecodec.model import StableCodec

INTEGER_PREFIX = "integer."
DECODER_ENTROPY = ("entropy.hyper_synthesis.", "entropy.steps.", "entropy.prior.", "entropy.offset.")


def export(codec: StableCodec) -> dict[str, Tensor]:
    """All tensors that encoder and decoder need; integer ones carry INTEGER_PREFIX."""
    floats = {k: v for k, v in codec.state_dict().items() if not k.startswith(DECODER_ENTROPY)}
    integers = export_entropy(codec.entropy)
    shipped = {k: v.to(torch.float16).contiguous() for k, v in floats.items()}
    return shipped | {INTEGER_PREFIX + k: v.contiguous() for k, v in integers.items()}


def export_entropy(model: EntropyModel) -> dict[str, Tensor]:
    """Integer arrays of the hyper-synthesis, the four context steps and the prior of z."""
    arrays = _hyper(model.hyper_synthesis)
    for number, step in enumerate(model.steps):
        assert isinstance(step, ContextStep)
        arrays |= {f"step{number}.{name}": value for name, value in _step(step).items()}
    # Before the first step nothing is known: its layer for known symbols is never used.
    arrays = {name: value for name, value in arrays.items() if not name.startswith("step0.known.")}
    for name in ("prior", "offset"):
        arrays[name] = _fixed(getattr(model, name).values, ACTIVATION_BITS).to(torch.int32)
    return arrays


def _hyper(net: HyperSynthesis) -> dict[str, Tensor]:
    arrays: dict[str, Tensor] = {}
    for name in ("conv1", "conv2", "conv3"):
        arrays |= _conv(f"hyper.{name}", getattr(net, name))
    return arrays | {f"hyper.{k}": v for k, v in _modulation(net.modulation).items()}


def _step(net: ContextStep) -> dict[str, Tensor]:
    arrays = _modulation(net.modulation)
    for name in ("known", "base", "hidden", "out"):
        arrays |= _conv(name, getattr(net, name))
    # One bias serves the sum of both first layers; the first step skips `known`, so it stands in `base`.
    arrays["base.bias"], arrays["known.bias"] = arrays["known.bias"], arrays["base.bias"]
    return arrays


def _conv(name: str, layer: nn.Conv2d) -> dict[str, Tensor]:
    weight = _fixed(layer.weight, WEIGHT_BITS)
    if weight.abs().max() > WEIGHT_LIMIT:
        raise WeightsError(f"{name}: a weight exceeds {WEIGHT_LIMIT / 2**WEIGHT_BITS:.1f} and has no integer form")
    bias = torch.zeros(layer.out_channels) if layer.bias is None else layer.bias
    return {
        f"{name}.weight": weight.to(torch.int16),
        f"{name}.bias": _fixed(bias, WEIGHT_BITS + ACTIVATION_BITS).to(torch.int32),
    }


def _modulation(net: KnotModulation) -> dict[str, Tensor]:
    return {
        "scale": _fixed(1 + net.scale.values, WEIGHT_BITS).to(torch.int32),
        "shift": _fixed(net.shift.values, ACTIVATION_BITS).to(torch.int32),
    }


def _fixed(values: Tensor, bits: int) -> Tensor:
    """Nearest integers of values * 2^bits, int64."""
    return (values.detach().double() * 2**bits).round().long()
