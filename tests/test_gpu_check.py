"""The check of CUDA devices, with the CPU in the place of one."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from latentcodec.image import read_rgb
from tests import gpu_check

PIXELS = read_rgb(gpu_check.PHOTO)[:64, :96]


def test_a_row_of_the_table() -> None:
    row = gpu_check.check("cpu", ("stablecodec", None), PIXELS, rounds=1)
    assert row.model == "stablecodec"
    assert row.difference == 0
    assert min(row.encode_seconds, row.decode_seconds, row.cpu_seconds) > 0
    assert row.line().count("|") == gpu_check.HEADING.count("|")


def test_what_cannot_be_decoded_is_a_line_and_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    decode = gpu_check.api.decode
    monkeypatch.setattr(gpu_check.api, "decode", lambda data, **options: decode(data[:-3], **options))
    *_, (line, well) = gpu_check.lines("cpu", PIXELS, [("stablecodec", None)])
    assert line.startswith("stablecodec: ")
    assert not well


def test_random_networks_where_none_were_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written = []
    monkeypatch.setenv("LCODEC_CACHE", str(tmp_path))
    monkeypatch.setattr(gpu_check.large_check, "write_in_a_process", written.append)
    monkeypatch.setattr(gpu_check.large_check, "put_in_place", written.append)
    models = gpu_check.models(tmp_path / "networks")
    assert [next(models) for _ in range(3)] == [("stablecodec", None), ("sodec", None), ("overfit", None)]
    assert not written
    assert next(models) == ("stablecodec", str(tmp_path / "networks" / "checkpoint.safetensors"))
    assert written == [tmp_path / "networks"] * 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device")
def test_without_a_device_there_is_one_line() -> None:
    result = subprocess.run([sys.executable, "-m", "tests.gpu_check"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (4, "", "no CUDA device was found\n")
