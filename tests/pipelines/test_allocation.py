"""Freed memory stays with the process for a while, where glibc allocates it."""

import os
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
PROBE = "from latentcodec.pipelines.allocation import _glibc; print(_glibc() is not None)"


def run(code: str, **more: str) -> str:
    """In a process of its own, whose heap has no holes yet, and whose glibc has no orders."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_", "LD_PRELOAD"))}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=plain | more).stdout.strip()


def test_large_blocks_are_used_again_and_then_given_back() -> None:
    if run(PROBE) == "False":
        pytest.skip("another allocator, or one that does not obey")
    printed = run(MEASURED)
    without, within, left = map(int, printed.split())
    assert without > 10 * (within + 1)
    assert left < 32 << 20


def test_a_glibc_with_orders_is_left_alone() -> None:
    assert run(PROBE, MALLOC_TRIM_THRESHOLD_="1000000") == "False"


def test_other_allocators_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "_glibc", lambda: None)
    with reusing_memory():
        assert not allocation._one_at_a_time.locked()


def test_settings_are_of_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one leaves them to the first."""
    calls: list[tuple[int, ...]] = []

    class Glibc:
        def mallopt(self, *given: int) -> int:
            calls.append(given)
            return 1

        def malloc_trim(self, pad: int) -> int:
            return pad

    monkeypatch.setattr(allocation, "_glibc", Glibc)
    with reusing_memory():
        before = len(calls)
        with reusing_memory():
            assert len(calls) == before
        assert allocation._one_at_a_time.locked()
    assert not allocation._one_at_a_time.locked()
    assert calls[-1] == (allocation.MMAP_THRESHOLD, allocation.USUAL[1])
