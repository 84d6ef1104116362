"""The model as it is trained: adapters beside SD-Turbo's frozen weights, and the density of z.

A weights file and a state of this model hold the same tensors, but for SD-Turbo's: `to_state` and `to_file` change the
names and shapes of adapters, nothing else.
"""

from collections.abc import Mapping
from functools import cache

from torch import Tensor

from latentcodec.models.blocks.lora import ADAPTERS, adapt
from latentcodec.models.stablecodec.full.checkpoint import (
    ADAPTED_UNET,
    ADAPTED_VAE,
    ALPHA,
    RANK_UNET,
    RANK_VAE,
    adapted,
    check,
    expected_shapes,
)
from latentcodec.models.stablecodec.full.config import FullConfig
from latentcodec.models.stablecodec.full.density import Density
from latentcodec.models.stablecodec.full.load import PROMPT
from latentcodec.models.stablecodec.full.model import FullStableCodec


class AdaptedStableCodec(FullStableCodec):
    """Trained are adapters, the first layer of the denoiser, the latent codec and the density of z.

    SD-Turbo's networks and the auxiliary encoder are frozen, the VAE decoder without adapters among them.
    """

    def __init__(self, config: FullConfig):
        super().__init__(config)
        for network, pattern, rank in (
            (self.vae.network, ADAPTED_VAE, RANK_VAE),
            (self.unet, ADAPTED_UNET, RANK_UNET),
        ):
            adapt(network, [name for name, _ in adapted(network, pattern)], rank, ALPHA / rank)
        self.unet.conv_in.requires_grad_(requires_grad=True)
        self.auxiliary_encoder.requires_grad_(requires_grad=False)
        self.bottleneck = Density(config.channels // 2)


def is_foreign(name: str, config: FullConfig) -> bool:
    """Whether a tensor of the model is SD-Turbo's own."""
    return name != PROMPT and name not in _own_names(config)


def to_state(tensors: Mapping[str, Tensor], config: FullConfig) -> dict[str, Tensor]:
    """Tensors of a weights file, the text among them -> state of the model. Raises WeightsError."""
    own = check({name: value for name, value in tensors.items() if name != PROMPT}, config)
    state = {_own_name(name): value.flatten(1) if _is_adapter(name) else value for name, value in own.items()}
    return {name: value.float() for name, value in (state | {PROMPT: tensors[PROMPT]}).items()}


def to_file(state: Mapping[str, Tensor], config: FullConfig) -> dict[str, Tensor]:
    """State of the model, without SD-Turbo's tensors -> those of a weights file, the text not among them.

    Inverse of `to_state`. Raises WeightsError.
    """
    shapes = expected_shapes(config)
    return check({name: state[_own_name(name)].reshape(shape) for name, shape in shapes.items()}, config)


@cache
def _own_names(config: FullConfig) -> frozenset[str]:
    return frozenset(_own_name(name) for name in expected_shapes(config))


def _own_name(name: str) -> str:
    """vae.encoder.conv_in.down, of a weights file -> what the model calls it."""
    if not _is_adapter(name):
        return name
    module, _, part = name.rpartition(".")
    return module.replace("vae.", "vae.network.", 1) + ADAPTERS + part


def _is_adapter(name: str) -> bool:
    return name.startswith(("vae.", "unet.")) and name.endswith((".down", ".up"))
