"""Two processes with half of the batch each train like one with all of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
