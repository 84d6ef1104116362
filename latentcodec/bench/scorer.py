"""All metrics of a pair of pictures, or of two sets of pictures, in one call, with the networks loaded once."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial

import numpy as np
import torch
from torch import Tensor

from latentcodec.errors import InputError, WeightsError
from latentcodec.image import Pixels
from latentcodec.metrics.distortion import check_pair, psnr
from latentcodec.metrics.external import cvvdp, flip, ms_ssim, require
from latentcodec.metrics.frechet import Features, frechet_distance, kernel_distance
from latentcodec.metrics.inception import Inception, load_inception, patches, to_tensor
from latentcodec.metrics.perceptual import DISTS, LPIPS, AlexNet, load_dists, load_lpips
from latentcodec.metrics.registry import METRICS, SET_METRICS, Metric, checked_names
from latentcodec.metrics.ssimulacra2 import ssimulacra2
from latentcodec.pipelines.registry import resolve_device
from latentcodec.weights import store

Measure = Callable[[Pixels, Pixels], float]
_PATCHES_AT_ONCE = 16


class Scorer:
    """Metrics of uint8 pictures [H, W, 3] against their originals, in float32 or better.

    reasons: why a metric is None in what `score` returned last; before the first call, which can never be measured.
    Raises InputError for an unknown name.
    """

    def __init__(self, metrics: Iterable[str] = tuple(METRICS), device: str = "auto"):
        self._names = checked_names(metrics, METRICS)
        self._measures: dict[str, Measure] = {}
        self._missing: dict[str, str] = {}
        chosen = resolve_device(device)
        for name in self._names:
            try:
                require(METRICS[name])
                _require_weights(METRICS[name])
                self._measures[name] = _load(name, chosen)
            except (InputError, WeightsError) as error:
                self._missing[name] = str(error)
        self.reasons = dict(self._missing)

    def measurable(self, side: int) -> list[str]:
        """Metrics that pictures with this shorter side, in pixels, should have."""
        return [name for name in self._measures if side >= METRICS[name].smallest_side]

    @torch.inference_mode()
    def score(self, original: Pixels, decoded: Pixels) -> dict[str, float | None]:
        """Values by name, None where `reasons` says why. Raises InputError for pictures of different sizes.

        The networks see an original once, however many pictures are compared with it in a row: the array must be the
        same object, and must not be changed in between.
        """
        check_pair("psnr", original, decoded)
        values: dict[str, float | None] = dict.fromkeys(self._names)
        self.reasons = dict(self._missing)
        with _full_precision():
            for name, measure in self._measures.items():
                try:
                    values[name] = measure(original, decoded)
                except InputError as error:
                    self.reasons[name] = str(error)
        return values


class _Learned:
    """LPIPS or DISTS of uint8 pictures; keeps the features of the last original."""

    def __init__(self, name: str, metric: LPIPS | DISTS, device: torch.device):
        self._name = name
        self._metric = metric.to(device)
        self._device = device
        self._original: Pixels | None = None
        self._features: list[Tensor] = []

    def __call__(self, original: Pixels, decoded: Pixels) -> float:
        check_pair(self._name, original, decoded)
        if self._original is not original:
            self._original, self._features = original, self._metric.features(self._tensor(original))
        distance = self._metric.distance(self._features, self._metric.features(self._tensor(decoded))).item()
        return max(0.0, distance)  # of equal pictures it may be -1e-7, by rounding

    def _tensor(self, pixels: Pixels) -> Tensor:
        return torch.from_numpy(pixels.copy()).to(self._device).permute(2, 0, 1)[None].float() / 255


def _require_weights(metric: Metric) -> None:
    """Raises WeightsError with one command that fetches everything that is missing."""
    missing = [name for name in metric.weights if not store.path_of(name).exists()]
    if missing:
        raise WeightsError(f"weights are missing; run 'lcodec weights fetch {' '.join(missing)}'")


def _load(name: str, device: torch.device) -> Measure:
    """The metric as a function of two pictures. Raises WeightsError."""
    if name == "lpips_alex":
        return _Learned(name, load_lpips(store.load("lpips-alex").tensors, AlexNet()), device)
    if name == "dists":
        channels, network = store.load("dists").tensors, store.load("lpips-vgg").tensors
        return _Learned(name, load_dists(network, channels["alpha"], channels["beta"]), device)
    plain: dict[str, Measure] = {
        "psnr": psnr,
        "ms_ssim": partial(ms_ssim, device=device),
        "ssimulacra2": partial(ssimulacra2, device=device),
        "cvvdp": partial(cvvdp, device=device.type),
        "flip": flip,
    }
    return plain[name]


class SetScorer:
    """FID and KID of decoded pictures against their originals, over patches: add every pair, then ask for the score.

    reasons: why a metric is None in what `score` returned. patches: how many were cut from either set; too_small: how
    many pairs gave none.
    """

    def __init__(self, metrics: Iterable[str] = tuple(SET_METRICS), device: str = "auto"):
        self._names = checked_names(metrics, SET_METRICS)
        self._device = resolve_device(device)
        self._features: tuple[list[Features], list[Features]] = ([], [])
        self._network: Inception | None = None
        self.patches = 0
        self.too_small = 0
        self.reasons: dict[str, str] = {}
        if self._names:
            try:
                self._network = load_inception(store.load("inception-fid").tensors).to(self._device)
            except WeightsError as error:
                self.reasons = dict.fromkeys(self._names, str(error))

    @torch.inference_mode()
    def add(self, original: Pixels, decoded: Pixels) -> None:
        """Cut two pictures of equal size into patches, and keep what the network makes of them."""
        if self._network is None:
            return
        for features, pixels in zip(self._features, (original, decoded), strict=True):
            cut = list(patches(pixels))
            if not cut:
                self.too_small += 1
                return
            for start in range(0, len(cut), _PATCHES_AT_ONCE):
                batch = to_tensor(cut[start : start + _PATCHES_AT_ONCE]).to(self._device)
                with _full_precision():
                    features.append(self._network(batch).cpu().numpy())
        self.patches += len(cut)

    def score(self) -> dict[str, float | None]:
        """Values by name, None where `reasons` says why."""
        if self._network is not None and self.patches < 2:
            reason = f"needs two patches of 256x256 pixels at least, and there is {self.patches}"
            self.reasons = dict.fromkeys(self._names, reason)
        if self._network is None or self.reasons:
            return dict.fromkeys(self._names)
        a, b = (np.concatenate(side) for side in self._features)
        measures = {"fid": frechet_distance, "kid": kernel_distance}
        return {name: measures[name](a, b) for name in self._names}


def _full_precision() -> AbstractContextManager[None]:
    """Without TensorFloat-32, which cuDNN would use for convolutions: it changes the fourth digit."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
