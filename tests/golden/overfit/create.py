"""Wrote the golden files of method overfit, once. They are never written again: what decodes today decodes for ever.

    python -m tests.golden.overfit.create NAME      add a golden file under a new name

The autoencoder is that of the tiny model one folder up; the references beside this file were derived from the shipped
ones of their days. Every case has NAME.lcx, NAME.png and a line in golden.json (digest of the exact symbols and
parameters).
"""

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from latentcodec.container import file as container
from latentcodec.container.file import LcodecFile
from latentcodec.image import Picture, read_rgb, write_picture
from latentcodec.models.autoencoder import STRIDE, MiniVAE
from latentcodec.models.overfit.presets import PRESETS
from latentcodec.pipelines.autoencoders import Autoencoder
from latentcodec.pipelines.base import Encoded, Settings
from latentcodec.pipelines.overfit import OverfitPipeline
from latentcodec.pipelines.overfit_prefix import Prefix
from latentcodec.rate import Quality
from latentcodec.weights import store
from tests import tiny

FOLDER = Path(__file__).parent
PHOTO = FOLDER.parents[1] / "data" / "coffee.png"
REFERENCE = "reference.safetensors"  # one network for all steps
SPLIT = "split.safetensors"  # one for every step; two of four components are split
LOGISTIC = "logistic.safetensors"  # the same, with logistic tables
PREDICTED = "predicted.safetensors"  # the same, with prediction
FINEST = "finest.safetensors"  # the same, with finer steps of coarse bands
# (width, height), quality, effort, number of the preset, autoencoder is foreign, reference
CASES = {
    "plain": ((96, 128), 55, 1, 3, False, REFERENCE),
    "one-pixel": ((1, 1), 80, 1, 0, False, REFERENCE),
    "odd-size": ((131, 70), 85, 5, 1, False, REFERENCE),
    "foreign": ((100, 90), 70, 6, 2, True, REFERENCE),
    "split": ((125, 93), 75, 5, 3, False, SPLIT),
    "split-foreign": ((90, 61), 60, 4, 1, True, SPLIT),
    "logistic": ((109, 87), 65, 4, 2, False, LOGISTIC),
    "logistic-foreign": ((70, 99), 75, 5, 0, True, LOGISTIC),
    "predicted": ((117, 85), 70, 5, 3, False, PREDICTED),
    "predicted-foreign": ((61, 77), 65, 1, 2, True, PREDICTED),
    "finest": ((93, 71), 98, 4, 3, False, FINEST),
    "finest-foreign": ((67, 58), 90, 5, 2, True, FINEST),
    "noise": ((89, 67), 60, 1, 3, False, FINEST),
    "noise-foreign": ((69, 58), 70, 1, 1, True, FINEST),
}
NOISE = {"noise": 7, "noise-foreign": 15}
FINGERPRINTS = {False: 0x1111, True: 0x2222}


def load(name: str) -> OverfitPipeline:
    """The golden autoencoder and the reference of a case, on the CPU."""
    *_, foreign, reference = CASES[name]
    tensors = store.read_weights(tiny.GOLDEN_WEIGHTS).tensors
    vae = MiniVAE(tiny.CONFIG.autoencoder)
    vae.load_state_dict({k.removeprefix("vae."): v.float() for k, v in tensors.items() if k.startswith("vae.")})
    vae = vae.eval().requires_grad_(requires_grad=False)
    autoencoder = Autoencoder(vae, vae.encode, vae.decode, vae.config.latent_channels, STRIDE)
    arrays = {name: value.numpy() for name, value in store.read_weights(FOLDER / reference).tensors.items()}
    return OverfitPipeline(autoencoder, arrays, not foreign, FINGERPRINTS[foreign], torch.device("cpu"))


def symbols_digest(pipeline: OverfitPipeline, file: LcodecFile) -> str:
    """SHA-256 of the parameters (int16) in the order of their declaration and of all grids (int32), little-endian."""
    encoded = Encoded(file.rate, file.symbols, file.payload, 0.0)
    exact = pipeline.decode_exactly(encoded, (file.height, file.width))
    digest = hashlib.sha256()
    for value in exact.parameters.values():
        digest.update(value.astype("<i2").tobytes())
    for grid in exact.grids:
        digest.update(grid.astype("<i4").tobytes())
    return digest.hexdigest()


def create(name: str) -> None:
    """Encode one case and record what it decodes to."""
    (width, height), quality, effort, preset, *_ = CASES[name]
    path = FOLDER / f"{name}.lcx"
    if path.exists():
        sys.exit(f"{path} exists, and golden files do not change")
    pipeline = load(name)
    pixels = read_rgb(PHOTO)[100 : 100 + height, 200 : 200 + width]
    encoded = pipeline.encode(pixels, Quality(quality), Settings(effort), PRESETS[preset])
    prefix, data = Prefix.read(encoded.payload)
    encoded = replace(encoded, payload=replace(prefix, noise=NOISE.get(name, 0)).write() + data)
    file = LcodecFile(1, width, height, encoded.rate, pipeline.fingerprint, encoded.symbols, encoded.payload, ())
    path.write_bytes(container.write(file))
    (FOLDER / f"{name}.png").write_bytes(write_picture(Picture(pipeline.decode(encoded, (width, height))), ".png"))
    index = FOLDER / "golden.json"
    known = json.loads(index.read_text()) if index.exists() else {}
    known[name] = symbols_digest(pipeline, file)
    index.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    create(sys.argv[1])
