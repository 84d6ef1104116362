"""Cross-attention to a neighbourhood of tokens: like any convolution it sees so far and no further.

Attention to all tokens (Vaswani et al. 2017) would tie every pixel to the size of the picture, and a large picture
could not be decoded in tiles.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentcodec.models.blocks.convs import conv

INITIAL_GAIN = 0.1


class LocalCrossAttention(nn.Module):
    """x + attention of every position of x [B, C, s h, s w] to the tokens [B, T, h, w] around it; s is `scale`.

    Queries come from x, keys and values from the tokens up to `reach` rows and columns away, of which those beyond the
    border are zero. A bias per head and distance stands for the position.
    """

    def __init__(self, channels: int, tokens: int, heads: int, reach: int, scale: int = 1):
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels do not divide into {heads} heads")
        self.heads = heads
        self.side = 2 * reach + 1
        self.scale = scale
        self.query = conv(channels, channels, kernel=1)
        self.key_value = conv(tokens, 2 * channels, kernel=1)
        self.out = conv(channels, channels, kernel=1, gain=INITIAL_GAIN)
        self.bias = nn.Parameter(torch.zeros(heads, scale * scale, self.side * self.side))

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        batch, channels = x.shape[:2]
        height, width = tokens.shape[2:]
        depth, near = channels // self.heads, self.side * self.side
        # One row of the attention per token: the positions of x inside it ask for the tokens around it.
        asked = F.pixel_unshuffle(self.query(x), self.scale)
        asked = asked.reshape(batch, self.heads, depth, self.scale**2, height * width).permute(0, 4, 1, 3, 2)
        seen = F.unfold(self.key_value(tokens), self.side, padding=self.side // 2)
        seen = seen.reshape(batch, 2, self.heads, depth, near, height * width).permute(1, 0, 5, 2, 4, 3)
        weights = (asked @ seen[0].transpose(-1, -2) / math.sqrt(depth) + self.bias).softmax(-1)
        answer = (weights.to(seen.dtype) @ seen[1]).permute(0, 2, 4, 3, 1)
        answer = answer.reshape(batch, channels * self.scale**2, height, width)
        return x + self.out(F.pixel_shuffle(answer, self.scale))
