"""Which number type networks run in whose results need not be exact, and whether they are compiled."""

import pytest
import torch
from torch import nn

from latentcodec.pipelines import precision
from latentcodec.pipelines.precision import compile_if_asked


@pytest.mark.parametrize(("device", "asked", "expected"), [("cuda", "1", 1), ("cuda", "", 0), ("cpu", "1", 0)])
def test_compiling_is_for_cuda_and_on_request(
    device: str, asked: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[nn.Module] = []
    monkeypatch.setenv("LCODEC_COMPILE", asked)
    monkeypatch.setattr(nn.Module, "compile", lambda network: calls.append(network))
    network = nn.Conv2d(1, 1, 1)
    compile_if_asked(network, torch.device(device))
    assert calls == [network] * expected


@pytest.mark.parametrize(("supported", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_device_without_bfloat16_computes_in_float32(
    monkeypatch: pytest.MonkeyPatch, supported: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: supported)
    for kind in ("cuda", "cpu"):
        assert precision.fast_dtype(torch.device(kind)) == dtype
