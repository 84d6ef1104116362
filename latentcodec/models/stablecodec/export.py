"""Trained networks -> shipped tensors: the entropy model becomes integers, everything else float16.

Rounding to integers happens here, once; what is shipped is what every machine computes with.
"""

from collections.abc import Iterator

from torch import Tensor

from latentcodec.coding.fixedpoint import ACTIVATION_BITS
from latentcodec.models.blocks.shipping import (
    IntegerParameter,
    conv_arrays,
    float_tensors,
    integer_tensors,
    knot_arrays,
    knot_parameters,
    layer_parameters,
    modulation_arrays,
    restore_integers,
    shipped_tensors,
)
from latentcodec.models.stablecodec.entropy import ContextStep, EntropyModel, HyperSynthesis
from latentcodec.models.stablecodec.model import StableCodec

SHARED_BIAS = {"known": "base"}  # the two first layers of a step share one bias, which ships with `base`
DECODER_ENTROPY = ("entropy.hyper_synthesis.", "entropy.steps.", "entropy.prior.", "entropy.offset.")


def export(codec: StableCodec) -> dict[str, Tensor]:
    """All tensors that encoder and decoder need; integer ones carry INTEGER_PREFIX."""
    floats = {k: v for k, v in codec.state_dict().items() if not k.startswith(DECODER_ENTROPY)}
    return shipped_tensors(floats, export_entropy(codec.entropy))


def export_entropy(model: EntropyModel) -> dict[str, Tensor]:
    """Integer arrays of the hyper-synthesis, the four context steps and the prior of z."""
    arrays = _hyper(model.hyper_synthesis)
    for number, step in enumerate(model.steps):
        assert isinstance(step, ContextStep)
        arrays |= {f"step{number}.{name}": value for name, value in _step(step).items()}
    # Before the first step nothing is known: its layer for known symbols is never used.
    arrays = {name: value for name, value in arrays.items() if not name.startswith("step0.known.")}
    return arrays | knot_arrays({"prior": model.prior, "offset": model.offset}, ACTIVATION_BITS)


def restore(shipped: dict[str, Tensor], codec: StableCodec) -> None:
    """Inverse of `export`, up to its rounding: shipped tensors -> networks that can be trained further."""
    codec.load_state_dict(float_tensors(shipped), strict=False)
    restore_integers(integer_tensors(shipped), _integer_parameters(codec.entropy))


def _integer_parameters(model: EntropyModel) -> Iterator[IntegerParameter]:
    yield from knot_parameters({"prior": model.prior, "offset": model.offset}, ACTIVATION_BITS)
    yield from layer_parameters("hyper.", model.hyper_synthesis, ("conv1", "conv2", "conv3"))
    for number, step in enumerate(model.steps):
        yield from layer_parameters(f"step{number}.", step, ("known", "base", "hidden", "out"), SHARED_BIAS)


def _hyper(net: HyperSynthesis) -> dict[str, Tensor]:
    arrays: dict[str, Tensor] = {}
    for name in ("conv1", "conv2", "conv3"):
        arrays |= conv_arrays(f"hyper.{name}", getattr(net, name))
    return arrays | {f"hyper.{k}": v for k, v in modulation_arrays(net.modulation).items()}


def _step(net: ContextStep) -> dict[str, Tensor]:
    arrays = modulation_arrays(net.modulation)
    for name in ("known", "base", "hidden", "out"):
        arrays |= conv_arrays(name, getattr(net, name))
    # One bias serves the sum of both first layers; the first step skips `known`, so it stands in `base`.
    arrays["base.bias"], arrays["known.bias"] = arrays["known.bias"], arrays["base.bias"]
    return arrays
