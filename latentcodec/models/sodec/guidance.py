"""The fidelity guidance module: the preview, seen by a feature encoder, tells the denoiser what is where.

    y^ --PreviewDecoder--> preview --FeatureEncoder F--> features --projector F_p--> tokens --cross-attention--> UNet

No bit of a file is spent on it: the decoder has y^. At mini scale F is a few convolutions, trained with the rest.
"""

from torch import Tensor
from torch.nn import functional as F

from latentcodec.models.blocks.convs import Down, ResBlock, Stack, conv
from latentcodec.models.sodec.config import SodecConfig
from latentcodec.models.sodec.transforms import PIXEL_GAIN


class Guidance(Stack):
    """Preview [B, 3, H, W] in 0..1 -> tokens [B, T, H/32, W/32]: feature encoder, then projector."""

    def __init__(self, config: SodecConfig):
        _, c8, c16 = config.codec_widths
        super().__init__(
            conv(192, c8, kernel=1),
            Down(c8, c16),
            ResBlock(c16),
            Down(c16, config.tokens),
            ResBlock(config.tokens),
            conv(config.tokens, config.tokens, kernel=1),
        )

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        return super().forward(F.pixel_unshuffle((x - 0.5) * PIXEL_GAIN, 8), embedding)
