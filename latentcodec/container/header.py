"""The fixed header of an .lcx file, each field declared once, in file order."""

from latentcodec.container.fields import BitField, size_bytes

MAGIC = 0x9CD
VERSION = 1

CODECS = {1: "overfit", 2: "stablecodec", 3: "sodec"}

HEADER = (
    BitField("magic", 12, "always 0x9CD"),
    BitField("version", 4, "format version, 1"),
    BitField("codec", 3, "method: " + ", ".join(f"{number} {name}" for number, name in CODECS.items())),
    BitField("has_chunks", 1, "1: chunks follow the header"),
    BitField("width", 14, "width of the picture in pixels, stored minus 1", bias=1),
    BitField("height", 14, "height of the picture in pixels, stored minus 1", bias=1),
    BitField("rate", 8, "rate parameter of the codec"),
    BitField("weights", 16, "leading 2 bytes of the SHA-256 of the weights file"),
    BitField("symbols", 8, "digest of the decoded symbols"),
    BitField("checksum", 16, "CRC-16 of the whole file with this field set to zero"),
)
HEADER_BYTES = size_bytes(HEADER)
CHECKSUM_BYTES = 2
