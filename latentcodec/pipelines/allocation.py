"""Memory that networks let go of is used again, not given back to the system in between.

glibc asks the system for every block of more than 32 MB anew, and the system hands it over in zeroed pages, one by one:
a tenth of the time in which a network of Stable Diffusion's size decodes. Before version 2.35 it cannot be told
otherwise; other allocators, and a glibc that the environment gives orders to, are left alone.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # what glibc calls them
# At the top of the heap, how much may lie free; and the size from which on a block is the system's, in bytes.
USUAL = 64 << 20, 32 << 20  # what glibc arrives at by itself
KEEPING = 1 << 30, 100 << 20  # larger blocks leave holes that nothing fits into
MORE_BYTES = 300_000_000  # than without, at the most
_one_at_a_time = Lock()  # the settings are those of the process


@contextmanager
def reusing_memory() -> Iterator[None]:
    """Within, freed memory stays with the process; before and after it is given back.

    From then on glibc's thresholds are where it would have moved them to by itself, and stay there.
    """
    glibc = _glibc()
    if glibc is None or not _one_at_a_time.acquire(blocking=False):
        yield
        return
    glibc.malloc_trim(0)
    _set_thresholds(glibc, KEEPING)
    try:
        yield
    finally:
        _set_thresholds(glibc, USUAL)
        glibc.malloc_trim(0)
        _one_at_a_time.release()


def _set_thresholds(glibc: ctypes.CDLL, thresholds: tuple[int, int]) -> bool:
    return all([glibc.mallopt(TRIM_THRESHOLD, thresholds[0]), glibc.mallopt(MMAP_THRESHOLD, thresholds[1])])


@cache
def _glibc() -> ctypes.CDLL | None:
    """If it can be told, and nobody else does."""
    if any(name.startswith("MALLOC_") or name in {"GLIBC_TUNABLES", "LD_PRELOAD"} for name in os.environ):
        return None
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    if not hasattr(library, "gnu_get_libc_version"):
        return None
    obeys = _set_thresholds(library, KEEPING)
    return library if _set_thresholds(library, USUAL) and obeys else None
