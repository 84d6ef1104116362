"""What measured: the commit of the repository that this package is imported from, and the machine."""

import platform
import subprocess
from functools import cache
from pathlib import Path

import torch

PACKAGE = Path(__file__).parents[1]


@cache
def commit() -> str:
    """Twelve digits of the commit, with '-dirty' where files differ from it; empty for an installed package."""
    if not (PACKAGE.parent / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(PACKAGE), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError:
        return ""
    return done.stdout.strip()


def machine(device: torch.device) -> str:
    """Name of the processor that computes, with the number of threads of a CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} threads"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
