"""The number type of networks whose results need not be exact."""

from contextlib import AbstractContextManager

import torch


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it, else float32."""
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return torch.bfloat16 if device.type == "cuda" or supported() else torch.float32


def fast_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Networks within compute in `fast_dtype`."""
    dtype = fast_dtype(device)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)
