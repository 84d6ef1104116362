"""Codec 3: the mini SODEC model. Its preview is a picture of its own, and can be blended into the result."""

from typing import Any

import torch
from torch import Tensor

from latentcodec.models.blocks.lora import merge
from latentcodec.models.blocks.shipping import integer_tensors
from latentcodec.models.diffusion.quicken import quicken
from latentcodec.models.sodec.config import Y_STRIDE, Z_STRIDE, SodecConfig
from latentcodec.models.sodec.export import NOT_FLOATS, is_foreign
from latentcodec.models.sodec.integer_entropy import IntegerHyperprior
from latentcodec.models.sodec.model import Sodec
from latentcodec.pipelines.frozen import put_in_place
from latentcodec.pipelines.neural import NeuralPipeline, load_networks
from latentcodec.pipelines.precision import fast_dtype
from latentcodec.weights.store import Weights


class SodecPipeline(NeuralPipeline[Sodec]):
    """The model with its weights on one device."""

    codec_id = 3
    y_per_z = Z_STRIDE // Y_STRIDE

    def __init__(self, weights: Weights, device: torch.device):
        config = SodecConfig.from_json(weights.metadata.get("config", "{}"))
        entropy = IntegerHyperprior({k: v.numpy() for k, v in integer_tensors(weights.tensors).items()})
        self.refinable = config.stable_diffusion is None
        super().__init__(weights.fingerprint, _load(weights.tensors, config, device), entropy, device)

    def _synthesise(self, z: Tensor, y: Tensor, rate: Tensor, fidelity: float) -> Tensor:
        """Realistic at fidelity 0, the preview at 1, linear between (Freirich et al. 2021)."""
        preview = self._networks.preview(y, rate).float()
        if fidelity == 1:
            return preview
        realistic = self._networks.synthesise(y, z, preview, rate).float()
        return torch.lerp(realistic, preview, fidelity) if fidelity else realistic


def _load(tensors: dict[str, Tensor], config: SodecConfig, device: torch.device) -> Sodec:
    """Networks with the float tensors, without what only training needs."""
    if config.stable_diffusion is not None:
        return _load_full_scale(tensors, config, device)
    with torch.device("meta"):
        codec = Sodec(config)
    load_networks(codec, tensors, NOT_FLOATS)
    del codec.vae.encoder
    return _without_entropy(codec)


def _load_full_scale(tensors: dict[str, Tensor], config: SodecConfig, device: torch.device) -> Sodec:
    """The frozen networks come from files of their own; the adapters of the denoiser become part of it."""
    with torch.device("meta"):
        codec = Sodec(config)
    put_in_place(codec, fast_dtype(device))
    foreign = tuple(name for name in codec.state_dict() if is_foreign(name, config))
    load_networks(codec, tensors, (*NOT_FLOATS, *foreign))
    merge(codec.unet)
    if device.type == "cpu":
        autoencoder: Any = codec.vae.network
        del autoencoder.encoder, autoencoder.quant_conv
        for network in (autoencoder, codec.unet):
            quicken(network)
    return _without_entropy(codec)


def _without_entropy(codec: Sodec) -> Sodec:
    """Its integer form does the coding."""
    del codec.entropy.probability, codec.entropy.prior, codec.entropy.offset
    return codec
