"""A residual block without what diffusers' costs besides arithmetic: new memory for every sum, a division by one."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F


class Residual(nn.Module):
    """[B, Ci, H, W], and the time's embedding [B, T] if needed -> [B, Co, H, W]: made of diffusers' ResnetBlock2D."""

    def __init__(self, block: Any):
        super().__init__()
        self.in_channels, self.out_channels = block.in_channels, block.out_channels
        self.norm1, self.conv1, self.norm2, self.conv2 = block.norm1, block.conv1, block.norm2, block.conv2
        self.time_emb_proj, self.conv_shortcut = block.time_emb_proj, block.conv_shortcut

    def forward(self, x: Tensor, temb: Tensor | None = None) -> Tensor:
        hidden = self.conv1(F.silu(self.norm1(x), inplace=True))
        if self.time_emb_proj is not None:
            assert temb is not None
            hidden += self.time_emb_proj(F.silu(temb))[:, :, None, None]
        hidden = F.silu(self.norm2(hidden), inplace=True)  # a line of its own, so that what it replaces is gone
        hidden = self.conv2(hidden)
        hidden += x if self.conv_shortcut is None else self.conv_shortcut(x)
        return hidden


def is_plain(block: Any) -> bool:
    """Whether a ResnetBlock2D does no more than this."""
    return (
        (block.time_emb_proj is None or block.time_embedding_norm == "default")
        and block.output_scale_factor == 1
        and block.upsample is block.downsample is None
        and isinstance(block.nonlinearity, nn.SiLU)
        and not (block.skip_time_act or block.dropout.p)
    )
