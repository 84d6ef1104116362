"""How much a decoder may be asked to allocate."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Refuse files beyond these before any tensor is allocated."""

    max_pixels: int = 100_000_000
    max_chunk_bytes: int = 64_000_000


DEFAULT_LIMITS = Limits()
