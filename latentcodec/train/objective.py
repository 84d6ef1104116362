"""The distortion side of the objective: pixel and perceptual terms between pictures in 0..1."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentcodec.metrics.perceptual import VGG16, AlexNet, load_lpips
from latentcodec.metrics.structural import ms_ssim
from latentcodec.models.diffusion.vision import ClipEmbedding
from latentcodec.train.stages import VGG_CROP, LossWeights
from latentcodec.weights import store

ALEX_STRIDE = 4
TEXTURE_WINDOW = 96
STATISTIC_FLOOR = 1e-2  # of a layer's mean square: channels that hardly respond say nothing about texture


@dataclass(frozen=True)
class Compared:
    """`total`: weighted sum of all terms per picture [B]; `terms`: their means; `features`: VGG's, if it is used."""

    total: Tensor
    terms: dict[str, Tensor]
    features: tuple[list[Tensor], list[Tensor]] | None


class Distortion(nn.Module):
    """Compares restored and true pictures by the weighted terms of a stage.

    `crop`: side of what VGG16 sees. `fused`: whether networks and comparisons are compiled, for a GPU, where many
    passes over features take longer than convolutions.
    """

    def __init__(self, weights: LossWeights, crop: int = VGG_CROP, fused: bool = False):
        super().__init__()
        self.weights = weights
        self.crop = crop
        self.alex = load_lpips(store.load("lpips-alex").tensors, AlexNet()) if weights.lpips_alex else None
        self.vgg = load_lpips(store.load("lpips-vgg").tensors, VGG16()) if weights.vgg else None
        self.clip = ClipEmbedding(store.load_one_by_one("clip-vit-b32")) if weights.clip else None
        if fused:
            torch.compiler.reset()  # the stages before had other shapes, and PyTorch keeps eight per function
        compiled: Callable[[Any], Any] = partial(torch.compile, dynamic=False) if fused else _unchanged
        self._ms_ssim, self._texture = compiled(ms_ssim), compiled(texture_distance)
        self._alex, self._vgg = (
            None if network is None else (compiled(network.features), compiled(network.distance))
            for network in (self.alex, self.vgg)
        )

    def forward(self, output: Tensor, target: Tensor) -> Compared:
        """Pictures [B, 3, H, W] in 0..1; `output` need not be clamped."""
        w, features = self.weights, None
        mse = (output - target).square().mean((1, 2, 3))
        total = w.mse * mse
        terms = {"mse": mse}
        if w.l1:
            terms["l1"] = (output - target).abs().mean((1, 2, 3))
            total = total + w.l1 * terms["l1"]
        if w.ms_ssim:
            terms["ms_ssim"] = 1 - self._ms_ssim(output, target)
            total = total + w.ms_ssim * terms["ms_ssim"]
        if self._alex is not None:
            features_of, distance = self._alex
            terms["lpips"] = distance(*map(features_of, _shifted(output, target)))
            total = total + w.lpips_alex * terms["lpips"]
        if self._vgg is not None:
            features_of, distance = self._vgg
            crops = _same_crop(output, target, self.crop, self.crop)
            features = features_of(crops[0]), features_of(crops[1])
            terms["vgg"] = distance(*features)
            total = total + w.vgg * terms["vgg"]
            if w.texture:
                windows = max(1, crops[0].shape[-1] // TEXTURE_WINDOW)
                terms["texture"] = self._texture(*features, windows=windows)
                total = total + w.texture * terms["texture"]
        if self.clip is not None:
            with torch.no_grad():
                true_embedding = self.clip(target)
            terms["clip"] = ((self.clip(output) - true_embedding).square().sum(1) + 1e-12).sqrt()
            total = total + w.clip * terms["clip"]
        return Compared(total, {name: value.detach().mean() for name, value in terms.items()}, features)


def _unchanged(function: Any) -> Any:
    return function


def texture_distance(output: Sequence[Tensor], target: Sequence[Tensor], windows: int = 1) -> Tensor:
    """[B] in 0..1: distance of means and deviations of features [B, C_i, h_i, w_i], mean over channels and layers.

    The distance between Gaussians of Wasserstein distortion (Qiu et al. 2024), relative to the size of both, pooled
    over `windows` x `windows` parts of the crop: detail that cannot be in its exact place can still have the right
    amount.
    """
    layers = zip(output, target, strict=True)
    return torch.stack([_layer_texture(f.float(), t.float(), windows) for f, t in layers]).mean(0)


def _layer_texture(output: Tensor, target: Tensor, windows: int) -> Tensor:
    (mean, deviation), (true_mean, true_deviation) = _statistics(output, windows), _statistics(target, windows)
    difference = (mean - true_mean).square() + (deviation - true_deviation).square()
    size = mean.square() + true_mean.square() + deviation.square() + true_deviation.square()
    relative = difference / (size + STATISTIC_FLOOR * size.detach().mean(1, keepdim=True) + 1e-12)
    return relative.mean((1, 2, 3))


def _statistics(features: Tensor, windows: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every channel, [B, C, windows, windows] each."""
    batch, channels, *sides = features.shape
    height, width = (side // windows for side in sides)
    whole = features[..., : windows * height, : windows * width]
    parts = whole.reshape(batch, channels, windows, height, windows, width)
    variance, mean = torch.var_mean(parts, (3, 5), correction=0)
    return mean, (variance + 1e-12).sqrt()


def _shifted(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both without three rows and columns, at random before or behind, the same ones.

    The first layer of AlexNet sees every fourth position only; at a fixed phase, a codec learns to hide weave between.
    """
    return _same_crop(a, b, a.shape[2] - ALEX_STRIDE + 1, a.shape[3] - ALEX_STRIDE + 1)


def _same_crop(a: Tensor, b: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The same random region of both, at most of that size. Where it is, is drawn on their device."""
    for dimension, size in ((2, height), (3, width)):
        whole = a.shape[dimension]
        size = min(size, whole)
        index = torch.randint(whole - size + 1, (1,), device=a.device) + torch.arange(size, device=a.device)
        a, b = a.index_select(dimension, index), b.index_select(dimension, index)
    return a, b


def latent_mse(output: Tensor, target: Tensor) -> Tensor:
    """[B, C, h, w] -> [B]."""
    return F.mse_loss(output.float(), target.float(), reduction="none").mean((1, 2, 3))
