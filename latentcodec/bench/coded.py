"""What a codec of a bench makes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Coded:
    """A file and how it was made.

    overhead_bytes: its size beyond the information content, where that is known. saved_seconds: what encoding would
    have taken longer, had no file of an earlier target been at hand.
    """

    data: bytes
    setting: str = ""
    overhead_bytes: float | None = None
    saved_seconds: float = 0.0
