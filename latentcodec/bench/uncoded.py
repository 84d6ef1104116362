"""An autoencoder's round trip, as a codec of a bench: what method overfit can come to with it, at best."""

import numpy as np
import torch

from latentcodec import __version__
from latentcodec.bench.coded import Coded
from latentcodec.errors import BudgetError
from latentcodec.image import Pixels
from latentcodec.pipelines.overfit import OverfitPipeline
from latentcodec.pipelines.registry import method_named, model_named, pipeline, sha256_of
from latentcodec.rate import Quality, Target


class Uncoded:
    """ "vae:mini", "vae:taef2": latents of the autoencoder as they are, float32 [1, C, h, w], whatever the quality."""

    version = __version__

    def __init__(self, name: str, device: str):
        self.name = name
        method = method_named("overfit")
        model = model_named(method, name.partition(":")[2] or None)
        codec = pipeline(method, model, device)
        assert isinstance(codec, OverfitPipeline)
        self._codec = codec
        native = {known.name: known for known in method.models}.get(model)
        self.weights = f"{codec.fingerprint:04x}" if native is None else sha256_of(native)[:16]

    def encode(self, pixels: Pixels, target: Target) -> Coded:
        if not isinstance(target, Quality):
            raise BudgetError(f"{self.name} codes nothing, and has one size: name a quality, whichever it is")
        return Coded(self._codec.latents(pixels).numpy().tobytes())

    def decode(self, data: bytes, size: tuple[int, int]) -> Pixels:
        (width, height), autoencoder = size, self._codec.autoencoder
        rows, columns = (-(-side // autoencoder.stride) for side in (height, width))
        latents = np.frombuffer(data, np.float32).reshape(1, autoencoder.channels, rows, columns)
        return self._codec.paint(torch.from_numpy(latents.copy()).to(self._codec.device), (height, width))
