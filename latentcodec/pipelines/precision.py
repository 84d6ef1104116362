"""How networks run whose results need not be exact: their number type, and compiled or not."""

import os
from contextlib import AbstractContextManager

import torch
from torch import nn


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it, else float32; never float16, which activations of VAEs exceed."""
    if device.type == "cuda":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return torch.bfloat16 if supported else torch.float32


def fast_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Networks within compute in `fast_dtype`."""
    dtype = fast_dtype(device)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def convert_for_autocast(network: nn.Module, device: torch.device) -> None:
    """Convert the weights of convolutions and linear layers, which then run within `fast_autocast` only.

    It would convert them at every call: what it has converted it keeps only for weights that require gradients.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.to(fast_dtype(device))


def compile_if_asked(network: nn.Module, device: torch.device) -> None:
    """On CUDA, if LCODEC_COMPILE is set: the first call takes minutes, and every one after it less than before."""
    if device.type == "cuda" and os.environ.get("LCODEC_COMPILE"):
        network.compile()
