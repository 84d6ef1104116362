"""Files: round trip, every kind of damage, hostile input."""

import binascii
import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentcodec.container import chunks as chunk_list
from latentcodec.container.chunks import Chunk, Tag
from latentcodec.container.fields import BitField, pack, unpack
from latentcodec.container.file import LcodecFile, read, write
from latentcodec.container.header import CHECKSUM_BYTES, HEADER, HEADER_BYTES
from latentcodec.errors import (
    CorruptError,
    FormatError,
    LcodecError,
    LimitError,
    NotLcodecError,
    UnsupportedError,
)
from latentcodec.limits import MAX_SIDE, Limits

PLAIN = LcodecFile(codec=2, width=768, height=512, rate=100, weights=0xBEEF, symbols=0x5A, payload=b"payload")
CHUNKS = (Chunk(Tag.ICC, b"profile" * 40), Chunk(Tag.GRAY, b""), Chunk(Tag.ALPHA, b"alpha"))
RICH = dataclasses.replace(PLAIN, chunks=CHUNKS)

files = st.builds(
    LcodecFile,
    codec=st.integers(0, 7),
    width=st.integers(1, MAX_SIDE),
    height=st.integers(1, MAX_SIDE),
    rate=st.integers(0, 255),
    weights=st.integers(0, 0xFFFF),
    symbols=st.integers(0, 255),
    payload=st.binary(max_size=200),
    chunks=st.lists(
        st.builds(Chunk, st.sampled_from([int(tag) for tag in Tag]), st.binary(max_size=300)),
        max_size=4,
        unique_by=lambda chunk: chunk.tag,
    ).map(tuple),
)


@given(files)
def test_read_inverts_write(file: LcodecFile) -> None:
    assert read(write(file), Limits(max_pixels=MAX_SIDE**2)) == file


def test_a_plain_file_has_twelve_bytes_around_its_payload() -> None:
    assert HEADER_BYTES == 12
    assert len(write(PLAIN)) == HEADER_BYTES + len(PLAIN.payload)


def test_bytes_are_pinned() -> None:
    assert write(PLAIN).hex() == "9cd140bfc1ff64beef5a46917061796c6f6164"


@given(st.binary(max_size=100))
def test_any_bytes_are_a_file_or_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        read(data)


@given(st.binary(max_size=60))
def test_any_chunk_list_is_read_or_refused(data: bytes) -> None:
    try:
        _, offset = chunk_list.read(data, 0, Limits())
    except LcodecError:
        return
    assert offset <= len(data)


@pytest.mark.parametrize("file", [PLAIN, RICH], ids=["plain", "chunks"])
def test_every_truncation_is_refused(file: LcodecFile) -> None:
    data = write(file)
    for size in range(len(data)):
        with pytest.raises(NotLcodecError if size < 2 else CorruptError):
            read(data[:size])


@pytest.mark.parametrize("file", [PLAIN, RICH], ids=["plain", "chunks"])
def test_every_changed_byte_is_refused(file: LcodecFile) -> None:
    data = write(file)
    for offset in range(len(data)):
        for change in (0x01, 0x10, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[offset] ^= change
            with pytest.raises(expected_error(offset, change)):
                read(bytes(damaged))


def expected_error(offset: int, change: int) -> type[FormatError]:
    if offset == 0 or (offset == 1 and change & 0xF0):
        return NotLcodecError
    return UnsupportedError if offset == 1 else CorruptError


def with_body(body: bytes) -> bytes:
    """A file with a valid checksum whose chunk list and payload are `body`."""
    head = write(RICH)[: HEADER_BYTES - CHECKSUM_BYTES]
    crc = binascii.crc_hqx(head + bytes(CHECKSUM_BYTES) + body, 0xFFFF)
    return head + crc.to_bytes(2, "big") + body


def test_hostile_chunks_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="0xff"):
        read(with_body(b"\xff\x00\x00"))
    with pytest.raises(CorruptError, match="twice"):
        read(with_body(b"\x01\x00\x01\x00\x00"))
    with pytest.raises(CorruptError, match="0 of 5 bytes"):
        read(with_body(b"\x01\x05"))
    with pytest.raises(CorruptError, match="more than 4 bytes"):
        read(with_body(b"\x01\x80\x80\x80\x80\x01"))
    with pytest.raises(CorruptError, match="chunk length is cut short"):
        read(with_body(b"\x01\x80"))
    with pytest.raises(CorruptError, match="chunk list is cut short"):
        read(with_body(b""))
    with pytest.raises(LimitError, match="limit"):
        read(with_body(b"\x01\xff\xff\xff\x7f"))


def test_unknown_ancillary_chunks_are_skipped() -> None:
    parsed = read(with_body(b"\x55\x03abc\x04\x00\x00rest"))
    assert parsed.chunks == (Chunk(Tag.GRAY, b""),)
    assert parsed.payload == b"rest"


def test_pictures_over_the_limit_are_refused_before_anything_is_allocated() -> None:
    with pytest.raises(LimitError, match="768x512"):
        read(write(PLAIN), Limits(max_pixels=1000))


def test_writer_refuses_values_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="width is 0"):
        write(dataclasses.replace(PLAIN, width=0))
    with pytest.raises(ValueError, match="rate is 256"):
        write(dataclasses.replace(PLAIN, rate=256))


@settings(max_examples=30)
@given(st.integers(0, 15), st.integers(3, 4098))
def test_fields_round_trip(a: int, b: int) -> None:
    fields = (BitField("a", 4, ""), BitField("b", 12, "", bias=3))
    assert unpack(fields, pack(fields, {"a": a, "b": b})) == {"a": a, "b": b}


def test_header_is_whole_bytes() -> None:
    assert sum(field.bits for field in HEADER) % 8 == 0
