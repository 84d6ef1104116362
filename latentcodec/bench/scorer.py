"""All measures of a pair of pictures in one call, with the perceptual networks loaded once."""

import torch
from torch import Tensor

from latentcodec.image import Pixels
from latentcodec.metrics.distortion import psnr
from latentcodec.metrics.perceptual import AlexNet, load_dists, load_lpips
from latentcodec.weights import store


class Scorer:
    """PSNR (dB), LPIPS-Alex and DISTS of uint8 pictures [H, W, 3]. Needs lpips-alex, lpips-vgg and dists fetched."""

    def __init__(self) -> None:
        self._lpips = load_lpips(store.load("lpips-alex").tensors, AlexNet())
        channel_weights = store.load("dists").tensors
        self._dists = load_dists(store.load("lpips-vgg").tensors, channel_weights["alpha"], channel_weights["beta"])

    @torch.inference_mode()
    def score(self, original: Pixels, decoded: Pixels) -> dict[str, float]:
        """Measures by column name, in float32."""
        a, b = _to_tensor(original), _to_tensor(decoded)
        return {
            "psnr": psnr(original, decoded),
            "lpips_alex": self._lpips(a, b).item(),
            "dists": self._dists(a, b).item(),
        }


def _to_tensor(pixels: Pixels) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
