"""A discriminator on features of a frozen network (Sauer et al. 2021).

The perceptual term has computed features of VGG16 for both pictures already; small heads on them tell restored from
real pictures after a few hundred steps, which a discriminator that starts from pixels does not.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from latentcodec.errors import InputError
from latentcodec.models.blocks.convs import conv
from latentcodec.train.objective import Distortion
from latentcodec.train.stages import LossWeights

WIDTH = 64
SLOPE = 0.2
REAL = 0.8  # what a real picture is said to be, by cross-entropy: no head becomes sure of itself


@dataclass(frozen=True)
class Judgement:
    """Losses of what a head says of patches: those of the head, and the codec's, whose pictures are to pass as real."""

    passing: Callable[[Tensor], Tensor]
    restored: Callable[[Tensor], Tensor]
    real: Callable[[Tensor], Tensor]


# Lim and Ye 2017.
HINGE = Judgement(lambda fake: -fake, lambda fake: F.relu(1 + fake), lambda real: F.relu(1 - real))
# Cross-entropy with logits, smoothed on one side (Kumari et al. 2022).
CROSS_ENTROPY = Judgement(
    lambda fake: F.softplus(-fake), F.softplus, lambda real: REAL * F.softplus(-real) + (1 - REAL) * F.softplus(real)
)


class FeatureDiscriminator(nn.Module):
    """Feature maps [B, C_i, H_i, W_i] of several layers -> realism of patches [B, 1, H_i/2, W_i/2] for each."""

    def __init__(self, channels: Sequence[int], judgement: Judgement = HINGE):
        super().__init__()
        self.judgement = judgement
        self.heads = nn.ModuleList(_head(c) for c in channels)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return [_judged(head, f).float() for head, f in zip(self.heads, features, strict=True)]

    def generator_loss(self, features: Sequence[Tensor]) -> Tensor:
        """[B]: low where the pictures pass as real. Sends no gradient to the discriminator."""
        with _frozen(self):
            return torch.stack([self.judgement.passing(fake).mean((1, 2, 3)) for fake in self(features)]).mean(0)

    def own_loss(self, output: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
        """Scalar. Sends no gradient to the codec."""
        judged = zip(self([f.detach() for f in output]), self([f.detach() for f in target]), strict=True)
        losses = [self.judgement.restored(f).mean() + self.judgement.real(r).mean() for f, r in judged]
        return torch.stack(losses).mean()


def discriminator_for(loss: LossWeights, distortion: Distortion) -> FeatureDiscriminator | None:
    """The discriminator of a stage with an adversarial term. Raises InputError if it would have nothing to see."""
    if not loss.adversarial:
        return None
    if distortion.vgg is None:
        raise InputError("a stage with an adversarial term needs the VGG term: the discriminator sees its features")
    return FeatureDiscriminator(distortion.vgg.network.channels)


def _head(channels: int) -> nn.Sequential:
    return nn.Sequential(
        spectral_norm(conv(channels, WIDTH, kernel=1)),
        nn.LeakyReLU(SLOPE, inplace=True),
        spectral_norm(conv(WIDTH, WIDTH, stride=2, gain=math.sqrt(2))),
        nn.LeakyReLU(SLOPE, inplace=True),
        spectral_norm(conv(WIDTH, 1, kernel=1)),
    )


def _judged(head: nn.Module, features: Tensor) -> Tensor:
    """What a head says of features with unit mean square at every picture and layer, so that no layer dominates.

    Contrast inside a picture stays. The first layer is linear, so its results are scaled, which takes fewer passes
    over memory than to scale the features.
    """
    first, *rest = head.children()
    assert isinstance(first, nn.Conv2d)
    assert first.bias is not None
    size = torch.linalg.vector_norm(features.detach(), dim=(1, 2, 3), keepdim=True, dtype=torch.float32)
    scale = (size.square() / features[0].numel() + 1e-8).rsqrt()
    hidden = F.conv2d(features, first.weight)
    hidden = torch.addcmul(first.bias.to(hidden)[:, None, None], hidden, scale.to(hidden))
    for layer in rest:
        hidden = layer(hidden)
    return hidden


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    parameters = [p for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    yield
    for parameter in parameters:
        parameter.requires_grad_(True)
