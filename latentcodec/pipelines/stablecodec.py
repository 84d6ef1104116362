"""Codec 2: the mini StableCodec model."""

import torch
from torch import Tensor

from latentcodec.models.blocks.shipping import integer_tensors
from latentcodec.models.stablecodec.config import Y_STRIDE, Z_STRIDE, StableCodecConfig
from latentcodec.models.stablecodec.export import DECODER_ENTROPY
from latentcodec.models.stablecodec.integer_entropy import IntegerEntropy
from latentcodec.models.stablecodec.model import StableCodec
from latentcodec.pipelines.neural import NeuralPipeline, load_networks
from latentcodec.weights.store import Weights


class StableCodecPipeline(NeuralPipeline[StableCodec]):
    """The model with its weights on one device."""

    codec_id = 2
    y_per_z = Z_STRIDE // Y_STRIDE
    thrifty_z = True
    effort_thrift = 0.03  # effort gives back more of what perception measures than thrift takes: docs/training.md

    def __init__(self, weights: Weights, device: torch.device):
        config = StableCodecConfig.from_json(weights.metadata.get("config", "{}"))
        entropy = IntegerEntropy({k: v.numpy() for k, v in integer_tensors(weights.tensors).items()})
        super().__init__(weights.fingerprint, _load(weights.tensors, config), entropy, device)

    def _synthesise(self, z: Tensor, y: Tensor, rate: Tensor, fidelity: float) -> Tensor:
        return self._networks.synthesise(y, rate)


def _load(tensors: dict[str, Tensor], config: StableCodecConfig) -> StableCodec:
    """Networks with the float tensors, without the float entropy networks of the decoder side."""
    with torch.device("meta"):
        codec = StableCodec(config)
    load_networks(codec, tensors, DECODER_ENTROPY)
    del codec.entropy.hyper_synthesis, codec.entropy.steps, codec.entropy.prior, codec.entropy.offset
    return codec
