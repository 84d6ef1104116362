"""The published latent codec: transforms around y, hyperprior, four-step context. Attributes as in its checkpoints.

latents, auxiliary features --g_a--> y --h_a--> z
z^ --h_s--> base --adapter_in, g_c, adapter_out, step by step--> means and scales of y
y^ --g_s--> features F, y^ --aux--> residual latent
"""

import torch
from torch import Tensor, nn

from latentcodec.models.blocks.quadtree import STEPS
from latentcodec.models.stablecodec.full.blocks import Adapter, BasicBlock, Downsample, ResidualPrediction, Upsample
from latentcodec.models.stablecodec.full.config import FullConfig

CODING = ("h_s", "adapter_in", "g_c", "adapter_out", "LRP")  # what encoder and decoder must agree on
CORRECTION = 0.5  # largest change that residual prediction makes to an element


class Analysis(nn.Module):
    """VAE latents [B, 4, H/8, W/8] and features [B, 320, H/16, W/16] -> y [B, M, H/64, W/64]."""

    def __init__(self, config: FullConfig):
        super().__init__()
        (first, second), (w16, w32, w64) = config.entry, config.analysis
        self.pre1 = Downsample(4, first)
        self.pre2 = nn.Conv2d(config.elic[1], second, 3, padding=1)
        self.analysis_transform = nn.Sequential(
            BasicBlock(w16), Downsample(w16, w32), BasicBlock(w32), Downsample(w32, w64), BasicBlock(w64)
        )

    def forward(self, latents: Tensor, auxiliary: Tensor) -> Tensor:
        return self.analysis_transform(torch.cat([self.pre1(latents), self.pre2(auxiliary)], dim=1))


class Synthesis(nn.Module):
    """y^ [B, M, h, w] -> F [B, M, 8h, 8w]; its first channels are the noisy latent."""

    def __init__(self, config: FullConfig):
        super().__init__()
        m = config.channels
        stages = (layer for _ in range(3) for layer in (BasicBlock(m), Upsample(m, m)))
        self.synthesis_transform = nn.Sequential(*stages)

    def forward(self, y: Tensor) -> Tensor:
        return self.synthesis_transform(y)


class AuxiliaryDecoder(nn.Module):
    """y^ [B, M, h, w] -> residual latent [B, 4, 8h, 8w], added after the denoiser."""

    def __init__(self, config: FullConfig):
        super().__init__()
        a, b, c = config.auxiliary
        self.block = nn.Sequential(
            BasicBlock(a), Upsample(a, b), BasicBlock(b), Upsample(b, c), BasicBlock(c), Upsample(c, 4)
        )

    def forward(self, y: Tensor) -> Tensor:
        return self.block(y)


class HyperAnalysis(nn.Module):
    """y [B, M, h, w] -> z [B, M/2, h/4, w/4], before rounding."""

    def __init__(self, channels: int):
        super().__init__()
        half = channels // 2
        self.reduction = nn.Sequential(
            nn.Conv2d(channels, half, 3, stride=2, padding=1),
            BasicBlock(half),
            nn.Conv2d(half, half, 3, stride=2, padding=1),
        )

    def forward(self, y: Tensor) -> Tensor:
        return self.reduction(y)


class HyperSynthesis(nn.Module):
    """z^ [B, M/2, h, w] -> base [B, M, 4h, 4w]."""

    def __init__(self, channels: int):
        super().__init__()
        half = channels // 2
        self.increase = nn.Sequential(
            nn.Conv2d(half, 4 * half, 1),
            nn.PixelShuffle(2),
            BasicBlock(half),
            nn.Conv2d(half, 4 * channels, 1),
            nn.PixelShuffle(2),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.increase(z)


class SpatialContext(nn.Module):
    """Four blocks, the same in every step."""

    def __init__(self, channels: int):
        super().__init__()
        self.block = nn.Sequential(*(BasicBlock(channels) for _ in range(4)))

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class LatentCodec(nn.Module):
    """All of it but the entropy bottleneck of z, whose tables are made once, at import."""

    def __init__(self, config: FullConfig):
        super().__init__()
        self.config = config
        m = config.channels
        self.g_a = Analysis(config)
        self.g_s = Synthesis(config)
        self.h_a = HyperAnalysis(m)
        self.h_s = HyperSynthesis(m)
        self.aux = AuxiliaryDecoder(config)
        self.adapter_in = nn.ModuleList(Adapter(m, 3 * m) for _ in range(STEPS))
        self.g_c = SpatialContext(3 * m)
        self.adapter_out = nn.ModuleList(Adapter(3 * m, 2 * m) for _ in range(STEPS))
        self.LRP = nn.ModuleList(ResidualPrediction(2 * m, m) for _ in range(STEPS))

    def parameters_of_step(self, step: int, base: Tensor) -> tuple[Tensor, Tensor]:
        """What is known -> means and scales of all elements, of which the step codes a quarter."""
        context = self.g_c(self.adapter_in[step](base))
        means, scales = self.adapter_out[step](context).chunk(2, dim=1)
        return means, scales

    def corrected(self, step: int, decoded: Tensor, base: Tensor, mask: Tensor) -> Tensor:
        """Decoded elements of the step, zero elsewhere -> with what rounding took away, as far as it can be told."""
        predicted = self.LRP[step](torch.cat([decoded, base], dim=1)) * mask
        return decoded + CORRECTION * predicted.tanh()
