"""Freed memory stays with the process for a while, where glibc allocates it."""

import subprocess
import sys

import pytest

from latentcodec.pipelines import allocation
from latentcodec.pipelines.allocation import reusing_memory

# Of blocks of 64 MB, after some that nobody has used before: page faults, and what stays with the process.
MEASURED = """
import resource
from contextlib import nullcontext
from pathlib import Path
import torch
from latentcodec.pipelines.allocation import reusing_memory

def resident_pages():
    return int(Path("/proc/self/statm").read_text().split()[1])

def faults(within):
    with within:
        for number in range(24):
            if number == 16:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            torch.ones(1 << 24)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults(nullcontext())
before = resident_pages()
print(faults(nullcontext()), faults(reusing_memory()), (resident_pages() - before) * resource.getpagesize())
"""
GLIBC = pytest.mark.skipif(allocation._glibc() is None, reason="another allocator")


@GLIBC
def test_large_blocks_are_used_again_and_then_given_back() -> None:
    """In a process of its own, whose heap has no holes yet."""
    printed = subprocess.run([sys.executable, "-c", MEASURED], check=True, capture_output=True, text=True).stdout
    without, within, left = map(int, printed.split())
    assert without > 10 * (within + 1)
    assert left < 32 << 20


def test_other_allocators_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "_glibc", lambda: None)
    with reusing_memory():
        pass
