"""Bit fields declared once: reader, writer, `info` and the format document all follow the same declaration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from latentcodec.errors import CorruptError


@dataclass(frozen=True)
class BitField:
    """An unsigned integer of `bits` bits, most significant bit first, stored as value - `bias`."""

    name: str
    bits: int
    meaning: str
    bias: int = 0

    @property
    def largest(self) -> int:
        return (1 << self.bits) - 1 + self.bias


def pack(fields: Sequence[BitField], values: Mapping[str, int]) -> bytes:
    """Values by name -> bytes. Raises ValueError for a value out of range."""
    number = 0
    for field in fields:
        value = values[field.name]
        if not field.bias <= value <= field.largest:
            raise ValueError(f"{field.name} is {value}, allowed {field.bias}..{field.largest}")
        number = number << field.bits | (value - field.bias)
    return number.to_bytes(size_bytes(fields), "big")


def unpack(fields: Sequence[BitField], data: bytes) -> dict[str, int]:
    """Bytes -> values by name. Raises CorruptError if there are too few bytes."""
    size = size_bytes(fields)
    if len(data) < size:
        raise CorruptError(f"header: {len(data)} of {size} bytes")
    number = int.from_bytes(data[:size], "big")
    values = {}
    for field in reversed(fields):
        values[field.name] = (number & ((1 << field.bits) - 1)) + field.bias
        number >>= field.bits
    return {field.name: values[field.name] for field in fields}


def size_bytes(fields: Sequence[BitField]) -> int:
    """Bytes taken by all fields together; their bits make whole bytes."""
    return sum(field.bits for field in fields) // 8
