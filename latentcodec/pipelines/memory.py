"""How a picture fits into a given memory with networks of Stable Diffusion's size, and what it takes at least.

One model for both directions, since the VAE's decoder takes the most. In bytes:

    whole:  fixed + COPIES * widest * itemsize * pixels
    tiles:  fixed + COPIES * TILE_VALUES * itemsize + what is kept between layers, or what attention takes
    fixed = weights and program + PIXEL_BYTES * pixels

with the channels `widest` at full resolution. The entropy model works while no network does, in CODING_BYTES * pixels.
What is left to be kept decides how long the stages of the VAE are (models/diffusion/layerwise.py).
"""

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from latentcodec.errors import LimitError
from latentcodec.models.diffusion.layerwise import COPIES, attention_bytes, tile_bytes

PROGRAM_BYTES = 700_000_000  # Python and its libraries
PIXEL_BYTES = 16  # the picture in and out, its latents and auxiliary features
CODING_BYTES = 24
UNKNOWN_BYTES = 4 << 30  # where the system does not tell how much memory is free
SHARE = 0.75  # of what is free
CONTROL_GROUP = Path("/sys/fs/cgroup")
GROUP_FILES = (  # limit, used, of which kinds: in both versions of control groups
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)


@dataclass(frozen=True)
class MemoryModel:
    """Of one set of networks: bytes of weights and program, bytes of a value, channels where there are most pixels, and
    where attention is.
    """

    held_bytes: int
    itemsize: int
    widest: int
    attending: int

    def whole_bytes(self, pixels: int) -> int:
        """What a picture takes if it is coded whole."""
        return self._at_least(pixels, COPIES * self.widest * self.itemsize * pixels)

    def least_bytes(self, pixels: int) -> int:
        """What it takes in tiles, with next to nothing kept between layers."""
        return self._at_least(
            pixels, max(tile_bytes(self.itemsize), attention_bytes(pixels, self.attending, self.itemsize))
        )

    def kept_bytes(self, pixels: int, limit_bytes: int) -> int | None:
        """What may be kept between layers beside a tile; None: the picture fits whole. Raises LimitError."""
        whole = self.whole_bytes(pixels)
        if whole <= limit_bytes:
            return None
        needed = min(self.least_bytes(pixels), whole)
        if needed > limit_bytes:
            needed_text, limit_text = (f"{size / 1e9:.1f} GB" for size in (needed, limit_bytes))
            raise LimitError(
                f"{pixels} pixels, padded, take {needed_text} of memory at least, more than the {limit_text} allowed"
            )
        return limit_bytes - self.held_bytes - PIXEL_BYTES * pixels - tile_bytes(self.itemsize)

    def _at_least(self, pixels: int, network_bytes: int) -> int:
        return self.held_bytes + PIXEL_BYTES * pixels + max(network_bytes, CODING_BYTES * pixels)

    def default_limit(self, device: torch.device) -> int:
        """Bytes that may be taken unless somebody says how many: what is held, and most of what is free."""
        return self.held_bytes + int(SHARE * _free_bytes(device))


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return min(_free_of_machine(), _free_of_container())


def _free_of_machine() -> int:
    with suppress(OSError, ValueError, IndexError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1])
    with suppress(AttributeError, ValueError, OSError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return UNKNOWN_BYTES


def _free_of_container() -> int:
    """What a control group leaves, if there is one with a limit. Cached pages of files can be had."""
    for files in GROUP_FILES:
        with suppress(OSError, ValueError):
            limit, used = (int((CONTROL_GROUP / name).read_text()) for name in files[:2])
            return max(limit - used + _cached(CONTROL_GROUP / files[2]), 0)
    return sys.maxsize


def _cached(kinds: Path) -> int:
    with suppress(OSError, ValueError):
        pages = dict(line.split() for line in kinds.read_text().splitlines())
        return sum(int(pages.get(kind, 0)) for kind in ("active_file", "inactive_file"))
    return 0
