"""Networks are compiled on CUDA, if somebody asks for it."""

import pytest
import torch
from torch import nn

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
