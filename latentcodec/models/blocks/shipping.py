"""Trained networks <-> shipped tensors: what makes pixels in 8 or 16 bits, what selects probabilities as integers.

Rounding to integers happens here, once; what is shipped is what every machine computes with. Names of integer tensors
begin with INTEGER_PREFIX. Large weights that make pixels are int8 with a step per output channel, under their name and
STEP: that halves the package and costs 0.02 dB (docs/training.md). Of these, a model may use fewer than 8 bits, which
compress better.
"""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from latentcodec.coding.fixedpoint import ACTIVATION_BITS, WEIGHT_BITS, WEIGHT_LIMIT
from latentcodec.errors import WeightsError
from latentcodec.models.blocks.rate import KnotModulation, RateKnots

INTEGER_PREFIX = "integer."
STEP = ".step"
LARGE = 4096  # elements from which a weight is shipped as int8
LARGEST = 127  # in 8 bits
IntegerParameter = tuple[str, nn.Parameter, float]  # shipped name, what was trained, integers per unit of it


def shipped_tensors(
    floats: Mapping[str, Tensor], integers: Mapping[str, Tensor], largest: int = LARGEST
) -> dict[str, Tensor]:
    """All tensors of a weights file; `largest`: magnitude of an int8 weight."""
    shipped: dict[str, Tensor] = {}
    for name, value in floats.items():
        shipped |= (
            _in_steps(name, value, largest)
            if name.endswith(".weight") and value.numel() >= LARGE
            else {name: value.half()}
        )
    integer = {INTEGER_PREFIX + name: value for name, value in integers.items()}
    return {name: value.contiguous() for name, value in (shipped | integer).items()}


def _in_steps(name: str, weight: Tensor, largest: int) -> dict[str, Tensor]:
    """Weight [O, ...] -> int8 of the same shape, and float32 [O, 1, ...] by which to multiply it."""
    others = tuple(range(1, weight.dim()))
    step = weight.detach().float().abs().amax(others, keepdim=True).clamp_min(1e-12) / largest
    return {name: (weight.detach().float() / step).round().to(torch.int8), name + STEP: step}


def float_tensors(shipped: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What makes pixels, as float32."""
    floats = {k: v for k, v in shipped.items() if not k.startswith(INTEGER_PREFIX) and not k.endswith(STEP)}
    return {k: v.float() * shipped[k + STEP] if v.dtype == torch.int8 else v.float() for k, v in floats.items()}


def integer_tensors(shipped: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What selects probabilities, by its names without the prefix."""
    return {k.removeprefix(INTEGER_PREFIX): v for k, v in shipped.items() if k.startswith(INTEGER_PREFIX)}


def conv_arrays(name: str, layer: nn.Conv2d) -> dict[str, Tensor]:
    """Weight int16 and bias int32 of a convolution. Raises WeightsError for a weight without an integer form."""
    weight = _fixed(layer.weight, WEIGHT_BITS)
    if weight.abs().max() > WEIGHT_LIMIT:
        raise WeightsError(f"{name}: a weight exceeds {WEIGHT_LIMIT / 2**WEIGHT_BITS:.1f} and has no integer form")
    bias = torch.zeros(layer.out_channels) if layer.bias is None else layer.bias
    return {
        f"{name}.weight": weight.to(torch.int16),
        f"{name}.bias": _fixed(bias, WEIGHT_BITS + ACTIVATION_BITS).to(torch.int32),
    }


def modulation_arrays(net: KnotModulation) -> dict[str, Tensor]:
    """Scale and shift at every knot, int32."""
    return {
        "scale": _fixed(1 + net.scale.values, WEIGHT_BITS).to(torch.int32),
        "shift": _fixed(net.shift.values, ACTIVATION_BITS).to(torch.int32),
    }


def knot_arrays(knots: Mapping[str, RateKnots], bits: int) -> dict[str, Tensor]:
    """Values at every knot, int32."""
    return {name: _fixed(values.values, bits).to(torch.int32) for name, values in knots.items()}


def _fixed(values: Tensor, bits: int) -> Tensor:
    """Nearest integers of values * 2^bits, int64. Raises WeightsError for what int32 cannot hold."""
    integers = (values.detach().double() * 2**bits).round()
    if not integers.abs().max() < 2**31:
        raise WeightsError("a value of the entropy model is too large, or not a number")
    return integers.long()


def knot_parameters(knots: Mapping[str, RateKnots], bits: int) -> Iterator[IntegerParameter]:
    """What `knot_arrays` ships."""
    for name, values in knots.items():
        yield name, values.scaled, values.speed * 2**bits


def layer_parameters(
    prefix: str, net: nn.Module, names: Iterable[str], biases: Mapping[str, str] | None = None
) -> Iterator[IntegerParameter]:
    """What the convolutions of a network and its modulation ship; biases: layers whose bias has another's name."""
    for name in names:
        layer = getattr(net, name)
        yield f"{prefix}{name}.weight", layer.weight, 2**WEIGHT_BITS
        if layer.bias is not None:
            yield f"{prefix}{(biases or {}).get(name, name)}.bias", layer.bias, 2 ** (WEIGHT_BITS + ACTIVATION_BITS)
    for kind, bits in (("scale", WEIGHT_BITS), ("shift", ACTIVATION_BITS)):
        knots: RateKnots = getattr(net.modulation, kind)
        yield f"{prefix}{kind}", knots.scaled, knots.speed * 2**bits


@torch.no_grad()
def restore_integers(integers: Mapping[str, Tensor], parameters: Iterable[IntegerParameter]) -> None:
    """Shipped integers -> the parameters that they were rounded from."""
    for name, parameter, scale in parameters:
        if name in integers:
            unbiased = integers[name].double() - (1 << WEIGHT_BITS if name.endswith(".scale") else 0)
            parameter.copy_((unbiased / scale).reshape(parameter.shape))
