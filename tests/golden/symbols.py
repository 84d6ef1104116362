"""Exact symbols of a file, without any network in floating point."""

import hashlib
from pathlib import Path

from latentcodec.coding.symbols import SymbolDecoder
from latentcodec.container.file import LcodecFile
from latentcodec.models.blocks.shipping import INTEGER_PREFIX
from latentcodec.models.stablecodec.config import Z_STRIDE, StableCodecConfig
from latentcodec.models.stablecodec.integer_entropy import IntegerEntropy
from latentcodec.weights import store


def symbols_digest(weights: Path, file: LcodecFile) -> str:
    """SHA-256 of z (int32) and y^ in sixteenths (int64), little-endian."""
    read = store.read_weights(weights)
    tensors, config = read.tensors, StableCodecConfig.from_json(read.metadata["config"])
    arrays = {k.removeprefix(INTEGER_PREFIX): v.numpy() for k, v in tensors.items() if k.startswith(INTEGER_PREFIX)}
    shape = -(-file.height // Z_STRIDE), -(-file.width // Z_STRIDE)
    latents = IntegerEntropy(arrays).code(SymbolDecoder(file.payload, config.packing), file.rate, shape)
    return hashlib.sha256(latents.z.astype("<i4").tobytes() + latents.y.astype("<i8").tobytes()).hexdigest()
