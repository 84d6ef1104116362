"""A SODEC model small enough for fast tests; its weights are random but the same every time."""

from dataclasses import replace
from pathlib import Path

import torch

from latentcodec.models.autoencoder import AutoencoderConfig
from latentcodec.models.blocks.rate import KnotModulation
from latentcodec.models.sodec.config import SodecConfig
from latentcodec.models.sodec.export import export
from latentcodec.models.sodec.model import Sodec
from latentcodec.pipelines.sodec import SodecPipeline
from latentcodec.weights import store

CONFIG = SodecConfig(
    autoencoder=AutoencoderConfig(latent_channels=4, widths=(4, 8, 8), decoder_depths=(1, 2, 2), noise_planes=2),
    widths=(8, 8, 16),
    codec_widths=(4, 8, 12),
    y_channels=12,
    z_channels=4,
    hyper_width=10,
    prior_width=4,
    embedding=8,
    tokens=8,
    heads=2,
    noise_planes=2,
    packed_octets=0,
)
UNGUIDED = replace(CONFIG, guided=False)
# Without octets, which came later, and with them.
SODEC_WEIGHTS = Path(__file__).parent / "golden" / "sodec" / "tiny.safetensors"
OCTETS_CONFIG = replace(CONFIG, packed_octets=24)
OCTETS_WEIGHTS = SODEC_WEIGHTS.with_name("tiny-octets.safetensors")


def build(seed: int = 0, config: SodecConfig = CONFIG) -> Sodec:
    """Random networks whose rate modulations are not at their identity."""
    torch.manual_seed(seed)
    codec = Sodec(config)
    for module in codec.modules():
        if isinstance(module, KnotModulation):
            torch.nn.init.normal_(module.scale.scaled, std=0.02)
            torch.nn.init.normal_(module.shift.scaled, std=0.02)
    codec.entropy.probability.out.weight.data *= 60  # so that z moves means and tables
    for layer in (codec.preview_decoder.shortcut, codec.transform.shortcut):
        layer.weight.data *= 0.25  # so that pixels are not clamped
    return codec.eval()


def save(path: Path, seed: int = 0, config: SodecConfig = CONFIG) -> Path:
    """Export to a weights file."""
    codec = build(seed, config)
    store.write_tensors(export(codec), path, {"config": codec.config.to_json()})
    return path


def load(path: Path = SODEC_WEIGHTS) -> SodecPipeline:
    """The pipeline with the weights of a file, on the CPU."""
    return SodecPipeline(store.read_weights(path), torch.device("cpu"))
