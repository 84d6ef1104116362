"""Wrote the golden files of method sodec, once. They are never written again: what decodes today decodes for ever.

    python -m tests.golden.sodec.create NAME      add a golden file under a new name

They use the tiny models beside them. Every case has NAME.lcx, the decoded pictures NAME.png and NAME.preview.png, and a
line in golden.json (digest of the exact symbols).
"""

import hashlib
import json
import sys
from pathlib import Path

from latentcodec.coding.symbols import SymbolDecoder
from latentcodec.container import file as container
from latentcodec.container.file import LcodecFile
from latentcodec.image import Picture, read_rgb, write_picture
from latentcodec.models.blocks.shipping import integer_tensors
from latentcodec.models.sodec.config import Z_STRIDE, SodecConfig
from latentcodec.models.sodec.integer_entropy import IntegerHyperprior
from latentcodec.rate import Quality
from latentcodec.weights import store
from tests import tiny_sodec

FOLDER = Path(__file__).parent
PHOTO = FOLDER.parents[1] / "data" / "coffee.png"
CASES = {
    "plain": ((96, 128), 60, tiny_sodec.SODEC_WEIGHTS),
    "one-pixel": ((1, 1), 128, tiny_sodec.SODEC_WEIGHTS),
    "odd-size": ((131, 70), 200, tiny_sodec.SODEC_WEIGHTS),
    "lowest-rate": ((192, 128), 0, tiny_sodec.SODEC_WEIGHTS),
    "highest-rate": ((150, 100), 255, tiny_sodec.SODEC_WEIGHTS),
    "octets": ((150, 100), 150, tiny_sodec.OCTETS_WEIGHTS),
}


def symbols_digest(file: LcodecFile, path: Path) -> str:
    """SHA-256 of z (int32) and y^ in sixteenths (int64), little-endian; `path`: of the weights."""
    weights = store.read_weights(path)
    config = SodecConfig.from_json(weights.metadata["config"])
    arrays = {name: value.numpy() for name, value in integer_tensors(weights.tensors).items()}
    shape = -(-file.height // Z_STRIDE), -(-file.width // Z_STRIDE)
    latents = IntegerHyperprior(arrays).code(SymbolDecoder(file.payload, config.packing), file.rate, shape)
    return hashlib.sha256(latents.z.astype("<i4").tobytes() + latents.y.astype("<i8").tobytes()).hexdigest()


def create(name: str) -> None:
    """Encode one case and record what it decodes to."""
    (width, height), rate, weights = CASES[name]
    path = FOLDER / f"{name}.lcx"
    if path.exists():
        sys.exit(f"{path} exists, and golden files do not change")
    pipeline = tiny_sodec.load(weights)
    pixels = read_rgb(PHOTO)[100 : 100 + height, 200 : 200 + width]
    encoded = pipeline.encode(pixels, Quality(rate * 100 / 255))
    file = LcodecFile(3, width, height, rate, pipeline.fingerprint, encoded.symbols, encoded.payload, ())
    path.write_bytes(container.write(file))
    for suffix, fidelity in (("", 0.0), (".preview", 1.0)):
        picture = Picture(pipeline.decode(encoded, (width, height), fidelity))
        (FOLDER / f"{name}{suffix}.png").write_bytes(write_picture(picture, ".png"))
    index = FOLDER / "golden.json"
    known = json.loads(index.read_text()) if index.exists() else {}
    known[name] = symbols_digest(file, weights)
    index.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    create(sys.argv[1])
