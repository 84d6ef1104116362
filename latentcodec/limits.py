"""How much a decoder may be asked to allocate."""

from dataclasses import dataclass

MAX_SIDE = 1 << 14  # of a picture, in pixels: what the header's fields hold


@dataclass(frozen=True)
class Limits:
    """Refuse files beyond these before any tensor is allocated.

    `max_memory_bytes`: for decoding, of the device; None: most of what is free. stablecodec at full scale decodes
    in tiles to stay below; other methods take no notice.
    """

    max_pixels: int = 100_000_000
    max_chunk_bytes: int = 64_000_000
    max_memory_bytes: int | None = None


DEFAULT_LIMITS = Limits()
HEADER_ONLY = Limits(max_pixels=MAX_SIDE * MAX_SIDE)  # for those who read a file without decoding it
