"""Self-attention in bfloat16 without the float32 scores that flash attention keeps on a CPU.

    result = softmax(Q K^T / sqrt(d)) V

Scores of a few queries are one product of matrices, in bfloat16, and stay in the cache. Rounded to eight bits, large
scores would be off by much, and weights by e to the power of that. So the largest score of a query is subtracted within
the product, before it is rounded, and the scores that count are small. The largest over a part of the keys is near
enough.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEWEST = 1024  # positions; with fewer, flash attention is quicker
ROWS = 256  # queries at a time
MOST_SCORES = 1 << 24  # at a time, in large pictures
LOOKED_AT = 7  # one key in so many; rows of a picture are multiples of 8, and so every column is seen


class SelfAttention(nn.Module):
    """[B, L, C] -> [B, L, C], or both [B, C, H, W]: made of diffusers' Attention."""

    def __init__(self, attention: Any):
        super().__init__()
        self.heads, self.residual_connection = attention.heads, attention.residual_connection
        self.group_norm, self.to_out = attention.group_norm, attention.to_out[0]
        self.to_q, self.to_k, self.to_v = attention.to_q, attention.to_k, attention.to_v

    def forward(self, x: Tensor, **_: Tensor | None) -> Tensor:
        """Others are given what attention of other kinds looks at, such as the time's embedding, or None."""
        hidden = x if self.group_norm is None else self.group_norm(x)
        if x.dim() == len("BCHW"):
            hidden = hidden.flatten(2).transpose(1, 2)
        queries, keys, values = (self._in_heads(layer(hidden)) for layer in (self.to_q, self.to_k, self.to_v))
        hidden = self.to_out(attend(queries, keys, values).transpose(1, 2).flatten(2))
        if x.dim() == len("BCHW"):
            hidden = hidden.transpose(1, 2).reshape(x.shape)
        return hidden.add_(x) if self.residual_connection else hidden

    def _in_heads(self, x: Tensor) -> Tensor:
        """[B, L, heads d] -> [B, heads, L, d]."""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


def is_plain(attention: Any) -> bool:
    """Whether an Attention does no more than this."""
    return (
        not attention.is_cross_attention
        and attention.scale == (attention.inner_dim // attention.heads) ** -0.5
        and attention.rescale_output_factor == 1
        and not attention.dropout
        and attention.spatial_norm is attention.norm_q is attention.norm_k is attention.added_kv_proj_dim is None
    )


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """[B, heads, L, d] each -> [B, heads, L, d]."""
    batch, heads, length, width = queries.shape
    if queries.dtype != torch.bfloat16 or length < FEWEST:
        return F.scaled_dot_product_attention(queries, keys, values)
    result = queries.new_empty(batch, length, heads, width).transpose(1, 2)
    for picture in range(batch):
        for head in range(heads):
            at = picture, head
            _attend(queries[at].contiguous(), keys[at].contiguous(), values[at].contiguous(), result[at])
    return result


def _attend(queries: Tensor, keys: Tensor, values: Tensor, into: Tensor) -> None:
    """[L, d] each, written to [L, d]."""
    length, width = queries.shape
    scale, rows = width**-0.5, max(1, min(ROWS, MOST_SCORES // length))
    some = keys[::LOOKED_AT].contiguous()
    for start in range(0, length, rows):
        asked = queries[start : start + rows]
        largest = torch.mm(asked, some.t()).amax(1, keepdim=True) * -scale
        scores = torch.addmm(largest, asked, keys.t(), alpha=scale)
        torch.mm(scores.softmax(1), values, out=into[start : start + rows])
