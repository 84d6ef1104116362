"""Two processes with half of the batch each train like one with all of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from latentcodec.models.stablecodec.full.adapted import to_state
from tests import tiny_full

SCRIPT = Path(__file__).parent / "parallel_training.py"


@pytest.mark.slow
def test_two_processes_train_like_one(tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    for folder, command in (
        (alone, [sys.executable]),
        (together, [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]),
    ):
        folder.mkdir()
        subprocess.run([*command, SCRIPT, folder], check=True, timeout=120, capture_output=True)
    expected = json.loads((alone / "0.json").read_text())
    results = [json.loads((together / f"{number}.json").read_text()) for number in range(2)]
    assert len(expected["losses"]) == 4
    for result in results:
        assert result["losses"] == pytest.approx(expected["losses"], rel=1e-5)
        for name, values in expected["weights"].items():
            assert result["weights"][name] == pytest.approx(values, rel=1e-4, abs=1e-6), name
    assert (together / "state.pt").exists()


@pytest.mark.slow
def test_two_processes_keep_one_model_at_full_scale(tmp_path: Path) -> None:
    """Of the second stage, with every loss and its judge: alike after steps on different pictures."""
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    together = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    root = Path(__file__).parents[2]
    subprocess.run([*together, "tests.train.parallel_full", tmp_path], check=True, timeout=200, cwd=root)
    first, second = (torch.load(tmp_path / f"{number}.pt", weights_only=True) for number in range(2))
    assert first.keys() == second.keys()
    assert [name for name, value in first.items() if not torch.equal(value, second[name])] == []
    before = to_state(tiny_full.tensors(), tiny_full.CONFIG)
    names = [name for name in first if name.removeprefix("codec.") in before]
    assert len(names) > 100
    assert [name for name in names if torch.equal(first[name], before[name.removeprefix("codec.")])] == []
    assert any(name.startswith("discriminator.") for name in first)
