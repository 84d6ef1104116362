"""A StableCodec small enough for fast tests; its weights are random but the same every time."""

from dataclasses import replace
from pathlib import Path

import torch

from latentcodec.models.autoencoder import AutoencoderConfig
from latentcodec.models.blocks.rate import KnotModulation
from latentcodec.models.stablecodec.config import StableCodecConfig
from latentcodec.models.stablecodec.export import export
from latentcodec.models.stablecodec.model import StableCodec
from latentcodec.pipelines.stablecodec import StableCodecPipeline
from latentcodec.weights import store

CONFIG = StableCodecConfig(
    autoencoder=AutoencoderConfig(
        latent_channels=4, widths=(4, 8, 8), decoder_depths=(1, 2, 2), shortcut=False, noise_planes=0
    ),
    widths=(8, 8, 16),
    encoder_depths=(1, 2),
    y_channels=16,
    z_channels=4,
    hyper_width=12,
    context_width=12,
    embedding=8,
    noise_planes=0,
    packed_tables=0,
)
# As in the shipped model: a linear shortcut in the autoencoder, narrow symbols coded in quads.
QUADS_CONFIG = replace(CONFIG, autoencoder=replace(CONFIG.autoencoder, shortcut=True), packed_tables=13, packed_reach=1)
GOLDEN_WEIGHTS = Path(__file__).parent / "golden" / "tiny.safetensors"
QUADS_WEIGHTS = Path(__file__).parent / "golden" / "tiny-quads.safetensors"
# Quads with a longer reach, as later models have them.
REACH_CONFIG = replace(QUADS_CONFIG, packed_tables=19, packed_reach=2)
REACH_WEIGHTS = Path(__file__).parent / "golden" / "tiny-reach.safetensors"


def build(seed: int = 0, config: StableCodecConfig = CONFIG) -> StableCodec:
    """Random networks whose rate modulations are not at their identity."""
    torch.manual_seed(seed)
    codec = StableCodec(config)
    for module in codec.modules():
        if isinstance(module, KnotModulation):
            torch.nn.init.normal_(module.scale.scaled, std=0.02)
            torch.nn.init.normal_(module.shift.scaled, std=0.02)
    for step in codec.entropy.steps:
        step.out.weight.data *= 60  # so that context moves means and tables
    codec.analysis.stack.layers[-1].weight.data *= 0.3
    return codec.eval()


def save(path: Path, seed: int = 0, config: StableCodecConfig = CONFIG) -> Path:
    """Export to a weights file."""
    codec = build(seed, config)
    store.write_tensors(export(codec), path, {"config": codec.config.to_json()})
    return path


def load(path: Path = GOLDEN_WEIGHTS) -> StableCodecPipeline:
    """The pipeline with the weights of a file, on the CPU."""
    return StableCodecPipeline(store.read_weights(path), torch.device("cpu"))


def weights_of(fingerprint: int) -> Path:
    """The golden weights that a golden file names."""
    return {load(path).fingerprint: path for path in (GOLDEN_WEIGHTS, QUADS_WEIGHTS, REACH_WEIGHTS)}[fingerprint]
