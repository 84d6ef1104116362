"""Which number type networks run in whose results need not be exact."""

import pytest
import torch

from latentcodec.pipelines import precision


@pytest.mark.parametrize(("supported", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_device_without_bfloat16_computes_in_float32(
    monkeypatch: pytest.MonkeyPatch, supported: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: supported)
    for kind in ("cuda", "cpu"):
        assert precision.fast_dtype(torch.device(kind)) == dtype
