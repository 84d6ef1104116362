"""Trained networks -> shipped tensors: the entropy model becomes integers, everything else float16.

Rounding to integers happens here, once; what is shipped is what every machine computes with.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from latentcodec.coding.fixedpoint import ACTIVATION_BITS, WEIGHT_BITS, WEIGHT_LIMIT
from latentcodec.errors import WeightsError
from latentcodec.models.blocks.rate import KnotModulation, RateKnots
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


@torch.no_grad()
def restore(shipped: dict[str, Tensor], codec: StableCodec) -> None:
    """Inverse of `export`, up to its rounding: shipped tensors -> networks that can be trained further."""
    floats = {k: v.float() for k, v in shipped.items() if not k.startswith(INTEGER_PREFIX)}
    integers = {k.removeprefix(INTEGER_PREFIX): v for k, v in shipped.items() if k.startswith(INTEGER_PREFIX)}
    codec.load_state_dict(floats, strict=False)
    targets = {name: parameter for name, parameter, _ in _integer_parameters(codec.entropy)}
    scales = {name: scale for name, _, scale in _integer_parameters(codec.entropy)}
    for name, value in integers.items():
        if name in targets:
            unbiased = value.double() - (1 << WEIGHT_BITS if name.endswith(".scale") else 0)
            targets[name].copy_((unbiased / scales[name]).reshape(targets[name].shape))


def _integer_parameters(model: EntropyModel) -> Iterator[tuple[str, nn.Parameter, float]]:
    """(shipped name, trained parameter, integers per unit of the parameter)."""
    for name in ("prior", "offset"):
        knots: RateKnots = getattr(model, name)
        yield name, knots.scaled, knots.speed * 2**ACTIVATION_BITS
    yield from _conv_parameters("hyper.", model.hyper_synthesis, ("conv1", "conv2", "conv3"))
    for number, step in enumerate(model.steps):
        yield from _conv_parameters(f"step{number}.", step, ("known", "base", "hidden", "out"))


def _conv_parameters(prefix: str, net: nn.Module, names: tuple[str, ...]) -> Iterator[tuple[str, nn.Parameter, float]]:
    for name in names:
        layer = getattr(net, name)
        yield f"{prefix}{name}.weight", layer.weight, 2**WEIGHT_BITS
        if layer.bias is not None:
            # The two first layers of a step share one bias, which ships with `base`.
            shipped = "base" if name == "known" else name
            yield f"{prefix}{shipped}.bias", layer.bias, 2 ** (WEIGHT_BITS + ACTIVATION_BITS)
    for kind, bits in (("scale", WEIGHT_BITS), ("shift", ACTIVATION_BITS)):
        knots: RateKnots = getattr(net.modulation, kind)
        yield f"{prefix}{kind}", knots.scaled, knots.speed * 2**bits


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
    """Nearest integers of values * 2^bits, int64. Raises WeightsError for what int32 cannot hold."""
    integers = (values.detach().double() * 2**bits).round()
    if not integers.abs().max() < 2**31:
        raise WeightsError("a value of the entropy model is too large, or not a number")
    return integers.long()
