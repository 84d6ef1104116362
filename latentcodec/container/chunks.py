"""Optional chunks between header and payload: colour profile, metadata, alpha.

A chunk is a tag byte, a length (LEB128, at most four bytes) and its data; tag 0 ends the list and has neither. Tags
from 0x80 are critical: a reader that does not know one must refuse the file. Unknown tags below are skipped.
"""

from dataclasses import dataclass
from enum import IntEnum

from latentcodec.errors import CorruptError, LimitError, UnsupportedError
from latentcodec.limits import Limits

END = 0
CRITICAL = 0x80
_LENGTH_BYTES = 4


class Tag(IntEnum):
    """Known tags. Numbers are never reused."""

    ICC = 0x01
    EXIF = 0x02
    XMP = 0x03
    GRAY = 0x04
    ALPHA = 0x81


@dataclass(frozen=True)
class Chunk:
    """Tag and data."""

    tag: int
    data: bytes


def write(chunks: tuple[Chunk, ...]) -> bytes:
    """Chunks -> bytes, with the end tag. Raises ValueError for data of 2^28 bytes or more."""
    parts = []
    for chunk in chunks:
        if len(chunk.data) >= 1 << (7 * _LENGTH_BYTES):
            raise ValueError(f"chunk {chunk.tag:#04x} has {len(chunk.data)} bytes, at most 2^28 - 1 fit")
        parts += [bytes([chunk.tag]), _write_length(len(chunk.data)), chunk.data]
    return b"".join(parts) + bytes([END])


def read(data: bytes, start: int, limits: Limits) -> tuple[tuple[Chunk, ...], int]:
    """Bytes from `start` -> known chunks and the offset behind the end tag.

    Raises CorruptError (cut short, repeated tag), UnsupportedError (unknown critical tag), LimitError (too large).
    """
    chunks: dict[int, Chunk] = {}
    offset = start
    while True:
        if offset >= len(data):
            raise CorruptError(f"chunk list is cut short at offset {offset}")
        tag = data[offset]
        offset += 1
        if tag == END:
            return tuple(chunks.values()), offset
        length, offset = _read_length(data, offset)
        if length > limits.max_chunk_bytes:
            raise LimitError(f"chunk {tag:#04x} has {length} bytes, the limit is {limits.max_chunk_bytes}")
        if offset + length > len(data):
            raise CorruptError(f"chunk {tag:#04x} at offset {offset}: {len(data) - offset} of {length} bytes")
        if tag in chunks:
            raise CorruptError(f"chunk {tag:#04x} occurs twice")
        if tag in set(Tag):
            chunks[tag] = Chunk(tag, data[offset : offset + length])
        elif tag >= CRITICAL:
            raise UnsupportedError(f"critical chunk {tag:#04x} is unknown to this version")
        offset += length


def _write_length(length: int) -> bytes:
    parts = bytearray()
    while length >= 0x80:
        parts.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes(parts) + bytes([length])


def _read_length(data: bytes, offset: int) -> tuple[int, int]:
    length = 0
    for position in range(_LENGTH_BYTES):
        if offset + position >= len(data):
            raise CorruptError(f"chunk length is cut short at offset {offset}")
        byte = data[offset + position]
        length |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            return length, offset + position + 1
    raise CorruptError(f"chunk length at offset {offset} has more than {_LENGTH_BYTES} bytes")
