"""How a picture fits into a given memory with networks of Stable Diffusion's size, and what it takes at least.

One model for both directions, since the VAE's decoder takes the most. In bytes:

    whole:  fixed + COPIES * widest * itemsize * pixels
    tiles:  fixed + COPIES * TILE_VALUES * itemsize + what is kept between layers
    fixed = weights and program + PIXEL_BYTES * pixels

with the channels `widest` at full resolution. The entropy model works while no network does, in CODING_BYTES * pixels.
What is left to be kept decides how long the stages of the VAE are (models/diffusion/layerwise.py).
"""

import os
from dataclasses import dataclass

import torch

from latentcodec.errors import LimitError
from latentcodec.models.diffusion.layerwise import COPIES, tile_bytes

PROGRAM_BYTES = 600_000_000  # Python and its libraries
PIXEL_BYTES = 16  # the picture in and out, its latents and auxiliary features
CODING_BYTES = 24
UNKNOWN_BYTES = 8 << 30  # where the system does not tell how much memory there is


@dataclass(frozen=True)
class MemoryModel:
    """Of one set of networks: bytes of weights and program, bytes of a value, channels where there are most pixels."""

    held_bytes: int
    itemsize: int
    widest: int

    def whole_bytes(self, pixels: int) -> int:
        """What a picture takes if it is coded whole."""
        return self._at_least(pixels, COPIES * self.widest * self.itemsize * pixels)

    def least_bytes(self, pixels: int) -> int:
        """What it takes in tiles, with next to nothing kept between layers."""
        return self._at_least(pixels, tile_bytes(self.itemsize))

    def kept_bytes(self, pixels: int, limit_bytes: int) -> int | None:
        """What may be kept between layers beside a tile; None: the picture fits whole. Raises LimitError."""
        if self.whole_bytes(pixels) <= limit_bytes:
            return None
        needed = self.least_bytes(pixels)
        if needed > limit_bytes:
            needed_text, limit_text = (f"{size / 1e9:.1f} GB" for size in (needed, limit_bytes))
            raise LimitError(
                f"{pixels} pixels take {needed_text} of memory at least, more than the {limit_text} allowed"
            )
        return limit_bytes - self.held_bytes - PIXEL_BYTES * pixels - tile_bytes(self.itemsize)

    def _at_least(self, pixels: int, network_bytes: int) -> int:
        return self.held_bytes + PIXEL_BYTES * pixels + max(network_bytes, CODING_BYTES * pixels)


def default_limit(device: torch.device) -> int:
    """Half of the memory of the device, in bytes."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory // 2
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return UNKNOWN_BYTES // 2
