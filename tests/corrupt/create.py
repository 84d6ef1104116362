"""Wrote the damaged and hostile files beside it, once, each named after what is wrong with it.

    python -m tests.corrupt.create

All but the first five have valid checksums: they are what an attacker would send.
"""

import binascii
import dataclasses
from pathlib import Path

import numpy as np

from latentcodec.container import file as container
from latentcodec.container.chunks import Chunk, Tag
from latentcodec.container.header import CHECKSUM_BYTES, HEADER_BYTES
from latentcodec.image import encode_plane

FOLDER = Path(__file__).parent
GOOD = (FOLDER.parent / "golden" / "highest-rate.lcx").read_bytes()


def flip(data: bytes, offset: int, mask: int) -> bytes:
    """Change bits of one byte."""
    return data[:offset] + bytes([data[offset] ^ mask]) + data[offset + 1 :]


def with_chunk_list(chunk_list: bytes) -> bytes:
    """A file whose chunk list is replaced byte for byte, under a valid checksum."""
    file = dataclasses.replace(container.read(GOOD), chunks=(Chunk(Tag.GRAY, b""),))
    head, body = container.write(file)[: HEADER_BYTES - CHECKSUM_BYTES], chunk_list + file.payload
    crc = binascii.crc_hqx(head + bytes(CHECKSUM_BYTES) + body, 0xFFFF)
    return head + crc.to_bytes(CHECKSUM_BYTES, "big") + body


def changed(**fields: object) -> bytes:
    """The good file with other field values, under a valid checksum."""
    return container.write(dataclasses.replace(container.read(GOOD), **fields))


def files() -> dict[str, bytes]:
    """Name -> contents."""
    good = container.read(GOOD)
    noise = np.random.default_rng(1).bytes(len(good.payload))
    small_alpha = encode_plane(np.zeros((8, 8), np.uint8))
    return {
        "empty": b"",
        "other-magic": flip(GOOD, 0, 0x10),
        "other-version": flip(GOOD, 1, 0x03),
        "header-cut-short": GOOD[: HEADER_BYTES - 1],
        "payload-cut-short": GOOD[:-1],
        "codec-unknown": changed(codec=7),
        "weights-unknown": changed(weights=good.weights ^ 0x8000),
        "symbols-digest-wrong": changed(symbols=good.symbols ^ 0x01),
        "payload-missing": changed(payload=b""),
        "payload-noise": changed(payload=noise),
        "size-not-that-of-the-payload": changed(width=500),
        "size-over-the-limit": changed(width=16384, height=16384),
        "rate-not-that-of-the-payload": changed(rate=3),
        "chunk-critical-unknown": with_chunk_list(b"\xf0\x00\x00"),
        "chunk-longer-than-the-file": with_chunk_list(b"\x01\xff\xff\x03"),
        "chunk-over-the-limit": with_chunk_list(b"\x01\xff\xff\xff\x7f"),
        "chunk-length-endless": with_chunk_list(b"\x01\xff\xff\xff\xff\xff\x01"),
        "chunk-twice": with_chunk_list(b"\x04\x00\x04\x00\x00"),
        "chunk-list-without-end": changed(chunks=(Chunk(Tag.XMP, b""),), payload=b"")[:-1],
        "alpha-of-another-size": changed(chunks=(Chunk(Tag.ALPHA, small_alpha),)),
        "alpha-not-webp": changed(chunks=(Chunk(Tag.ALPHA, b"no picture"),)),
        "alpha-cut-short": changed(chunks=(Chunk(Tag.ALPHA, encode_plane(np.eye(128, 96, dtype=np.uint8))[:-40]),)),
    }


if __name__ == "__main__":
    for name, data in files().items():
        (FOLDER / f"{name}.lcx").write_bytes(data)
