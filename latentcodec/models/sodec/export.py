"""Trained networks -> shipped tensors: P and the prior of z become integers; what makes pixels, 8 or 16 bits.

At full scale, the frozen networks do not ship with the weights: they have files of their own.
"""

from collections.abc import Iterator

from torch import Tensor

from latentcodec.coding.fixedpoint import ACTIVATION_BITS
from latentcodec.models.blocks.lora import ADAPTERS
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
from latentcodec.models.sodec.config import SodecConfig
from latentcodec.models.sodec.entropy import EntropyModel
from latentcodec.models.sodec.model import Sodec

CONVS = ("conv1", "conv2", "conv3", "conv4", "conv5", "out")
VAE = "vae."
# Of the 8-bit weights outside the VAE, where less is not seen: both models that ship have to fit in the package.
LARGEST = 71
# What the decoder has as integers, and what only training needs.
NOT_FLOATS = ("entropy.probability.", "entropy.prior.", "entropy.offset.", "vae.encoder.")


def is_foreign(name: str, config: SodecConfig) -> bool:
    """Whether a tensor of the model belongs to the frozen networks of the full scale."""
    if config.stable_diffusion is None:
        return False
    return name.startswith(("vae.", "guidance.vit.")) or (name.startswith("unet.") and ADAPTERS not in name)


def export(codec: Sodec) -> dict[str, Tensor]:
    """All tensors that encoder and decoder need, but for the frozen networks of the full scale."""
    state = codec.state_dict()
    floats = {k: v for k, v in state.items() if not k.startswith(NOT_FLOATS) and not is_foreign(k, codec.config)}
    vae = {name: value for name, value in floats.items() if name.startswith(VAE)}
    rest = {name: value for name, value in floats.items() if not name.startswith(VAE)}
    return shipped_tensors(vae, {}) | shipped_tensors(rest, export_entropy(codec.entropy), LARGEST)


def export_entropy(model: EntropyModel) -> dict[str, Tensor]:
    """Integer arrays of P, of the prior of z and of the table offsets of y."""
    net = model.probability
    arrays = knot_arrays({"prior": model.prior, "offset": model.offset}, ACTIVATION_BITS)
    for name in CONVS:
        arrays |= conv_arrays(f"probability.{name}", getattr(net, name))
    return arrays | {f"probability.{k}": v for k, v in modulation_arrays(net.modulation).items()}


def restore(shipped: dict[str, Tensor], codec: Sodec) -> None:
    """Inverse of `export`, up to its rounding; what is not shipped stays as it is."""
    codec.load_state_dict(float_tensors(shipped), strict=False)
    restore_integers(integer_tensors(shipped), _integer_parameters(codec.entropy))


def _integer_parameters(model: EntropyModel) -> Iterator[IntegerParameter]:
    yield from knot_parameters({"prior": model.prior, "offset": model.offset}, ACTIVATION_BITS)
    yield from layer_parameters("probability.", model.probability, CONVS)
