"""A whole .lcx file: read(bytes) -> LcodecFile, write(LcodecFile) -> bytes; all validation happens here."""

import binascii
from dataclasses import dataclass

from latentcodec.container import chunks as chunk_list
from latentcodec.container.chunks import Chunk, Tag
from latentcodec.container.fields import pack, unpack
from latentcodec.container.header import CHECKSUM_BYTES, HEADER, HEADER_BYTES, MAGIC, VERSION
from latentcodec.errors import CorruptError, LimitError, NotLcodecError, UnsupportedError
from latentcodec.limits import DEFAULT_LIMITS, Limits


@dataclass(frozen=True)
class LcodecFile:
    """The parsed file. `weights` and `symbols` are the stored fingerprints, `payload` the codec's own bytes."""

    codec: int
    width: int
    height: int
    rate: int
    weights: int
    symbols: int
    payload: bytes
    chunks: tuple[Chunk, ...] = ()

    def chunk(self, tag: Tag) -> bytes | None:
        """Data of the chunk with this tag, if there is one."""
        return next((c.data for c in self.chunks if c.tag == tag), None)


def write(file: LcodecFile) -> bytes:
    """Parsed file -> bytes. Raises ValueError for values that do not fit their field."""
    values = {
        "magic": MAGIC,
        "version": VERSION,
        "codec": file.codec,
        "has_chunks": int(bool(file.chunks)),
        "width": file.width,
        "height": file.height,
        "rate": file.rate,
        "weights": file.weights,
        "symbols": file.symbols,
        "checksum": 0,
    }
    head = pack(HEADER, values)[:-CHECKSUM_BYTES]
    body = (chunk_list.write(file.chunks) if file.chunks else b"") + file.payload
    return head + _checksum(head, body) + body


def read(data: bytes, limits: Limits = DEFAULT_LIMITS) -> LcodecFile:
    """Bytes -> parsed file, or the FormatError or LimitError that says why not.

    The magic number and version are judged first, then the checksum, so that damage is called damage and everything
    after it can be trusted to be what an encoder wrote, if a hostile one.
    """
    values = read_header(data)
    head, body = data[: HEADER_BYTES - CHECKSUM_BYTES], data[HEADER_BYTES:]
    if _checksum(head, body) != data[HEADER_BYTES - CHECKSUM_BYTES : HEADER_BYTES]:
        raise CorruptError("the checksum does not match: the file is damaged or cut short")
    if values["width"] * values["height"] > limits.max_pixels:
        raise LimitError(
            f"{values['width']}x{values['height']} exceeds the limit of {limits.max_pixels} pixels (--max-pixels)"
        )
    parsed, offset = chunk_list.read(data, HEADER_BYTES, limits) if values["has_chunks"] else ((), HEADER_BYTES)
    return LcodecFile(
        codec=values["codec"],
        width=values["width"],
        height=values["height"],
        rate=values["rate"],
        weights=values["weights"],
        symbols=values["symbols"],
        payload=data[offset:],
        chunks=parsed,
    )


def read_header(data: bytes) -> dict[str, int]:
    """The header's values by name, after magic number and version were judged; nothing else is checked."""
    if len(data) < 2 or int.from_bytes(data[:2], "big") >> 4 != MAGIC:
        raise NotLcodecError("not an lcodec file")
    values = unpack(HEADER, data)
    if values["version"] != VERSION:
        raise UnsupportedError(f"format version {values['version']}; this program reads version {VERSION}")
    return values


def _checksum(head: bytes, body: bytes) -> bytes:
    """CRC-16/IBM-3740, over head, two zero bytes and body."""
    crc = binascii.crc_hqx(body, binascii.crc_hqx(head + bytes(CHECKSUM_BYTES), 0xFFFF))
    return crc.to_bytes(CHECKSUM_BYTES, "big")
