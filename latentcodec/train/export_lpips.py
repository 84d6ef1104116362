"""The perceptual network that ships: LPIPS with AlexNet, rounded to 8 bits, for encoders with effort.

python -m latentcodec.train.export_lpips lpips-alex-int8.safetensors
"""

import sys
from pathlib import Path

from latentcodec.models.blocks.shipping import shipped_tensors
from latentcodec.weights import hashing, store


def export(path: Path) -> str:
    """Write the weights; returns their SHA-256. Needs `lpips-alex`, fetched."""
    store.write_tensors(shipped_tensors(store.load("lpips-alex").tensors, {}), path)
    return hashing.sha256_of(path)


if __name__ == "__main__":
    sys.stdout.write(f"{export(Path(sys.argv[1]))}\n")
