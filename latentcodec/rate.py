"""What a user asks for: a byte budget or a quality; parsed from the command line's -q."""

import re
from dataclasses import dataclass

from latentcodec.errors import InputError
from latentcodec.units import BYTES_IN

LARGEST_BUDGET = 10**12
LARGEST_BPP = 1000
_TARGET = re.compile(r"(\d+\.?\d*|\.\d+)\s*(bpp|[kmg]?i?b)?")


@dataclass(frozen=True)
class Quality:
    """Position on the codec's own scale, 0 (fewest bytes) to 100 (most); the file's size follows from the picture."""

    value: float

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 100:
            raise InputError(f"quality {self.value:g} is not in 0..100")


@dataclass(frozen=True)
class ByteBudget:
    """The whole file has at most this many bytes."""

    size_bytes: int

    def __post_init__(self) -> None:
        if not 0 < self.size_bytes <= LARGEST_BUDGET:
            raise InputError("a budget must be from 1 byte to 1 TB")


@dataclass(frozen=True)
class BppBudget:
    """The whole file has at most this many bits per pixel of the original picture."""

    bpp: float

    def __post_init__(self) -> None:
        if not 0 < self.bpp <= LARGEST_BPP:
            raise InputError(f"a budget must be above 0 and at most {LARGEST_BPP} bits per pixel")


Target = Quality | ByteBudget | BppBudget
DEFAULT_TARGET = Quality(50)


def parse_target(text: str) -> Target:
    """'0.05bpp', '20kB', '2048B' or '0'..'100' -> Target; units in large letters or small. Raises InputError."""
    match = _TARGET.fullmatch(text.strip().lower())
    unit = match[2] if match else None
    if match is None or (unit not in BYTES_IN and unit not in ("bpp", None)):
        raise InputError(f"cannot read the target {text!r}; write 0.05bpp, 20kB, 2048B or a quality from 0 to 100")
    value = float(match[1])
    if unit is None:
        if value > 100:
            raise InputError(f"quality {text} is not in 0..100; for bytes write {text}B")
        return Quality(value)
    if unit == "bpp":
        return BppBudget(value)
    return ByteBudget(int(min(value * BYTES_IN[unit], 2 * LARGEST_BUDGET)))


def budget_bytes(target: ByteBudget | BppBudget, pixels: int) -> int:
    """Bytes that a budget allows for a picture of this many pixels."""
    if isinstance(target, ByteBudget):
        return target.size_bytes
    return int(target.bpp * pixels / 8 + 1e-9)
