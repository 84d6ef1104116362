"""formats/ says what the package does: tables equal declarations, and a decoder written from the text alone agrees."""

import hashlib
import re
import shutil
import struct
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import second_decoder as second
from documents import FORMATS, table_after, text
from kaitaistruct import ValidationFailedError
from lcx_kaitai import Lcx

from latentcodec import api, errors
from latentcodec.container import file as container
from latentcodec.container.chunks import CRITICAL, Chunk, Tag
from latentcodec.container.file import LcodecFile
from latentcodec.container.header import HEADER, MAGIC, VERSION
from latentcodec.image import Picture
from latentcodec.limits import DEFAULT_LIMITS, Limits
from latentcodec.pipelines.registry import METHODS

# --- container.md and README.md: declarations -----------------------------------------------------------------------


def test_header_table_equals_the_declared_fields():
    offset, expected = 0, []
    for field in HEADER:
        expected.append([field.name, str(field.bits), str(offset), f"{field.bias}..{field.largest}", field.meaning])
        offset += field.bits
    assert table_after("container.md", "field | bits | offset (bits) | range | meaning") == expected


@pytest.mark.parametrize(
    ("name", "heading"), [("README.md", "tag | name | data"), ("container.md", "tag | name | data")]
)
def test_chunk_tags_equal_the_declared_ones(name, heading):
    documented = {row[1]: int(row[0], 16) for row in table_after(name, heading) if row[1] != "-"}
    assert documented == {tag.name: tag.value for tag in Tag}


def test_the_boundary_of_critical_tags():
    for name in ("README.md", "container.md"):
        assert set(re.findall(r"from (0x[0-9A-Fa-f]{2}) on", text(name))) == {f"0x{CRITICAL:X}"}


def test_codec_numbers():
    rows = table_after("README.md", "codec | name | status")
    assert [int(row[0]) for row in rows] == list(range(8))
    documented = {int(row[0]): row[1] for row in rows if row[1] != "-"}
    meaning = next(field.meaning for field in HEADER if field.name == "codec")
    assert documented == {int(number): name for number, name in re.findall(r"(\d) (\w+)", meaning)}
    assert all(documented[method.codec_id] == method.name for method in METHODS)


def test_limits():
    rows = [row[1] for row in table_after("container.md", "limit | default")]
    numbers = [int(re.sub(r"\D", "", row)) for row in rows]
    assert numbers == [DEFAULT_LIMITS.max_pixels, DEFAULT_LIMITS.max_chunk_bytes]


def test_every_document_and_file_is_listed():
    linked = set(re.findall(r"\]\(([\w.-]+)\)", text("README.md")))
    assert linked == {path.name for path in FORMATS.iterdir()} - {"README.md"}


def test_links_lead_somewhere():
    for path in FORMATS.glob("*.md"):
        assert all((FORMATS / name).exists() for name in re.findall(r"\]\(([\w.-]+)\)", path.read_text()))


def test_line_length():
    assert max(len(line) for path in FORMATS.iterdir() for line in path.read_text().splitlines()) <= 120


# --- container.md: files --------------------------------------------------------------------------------------------

FILES = {
    "smallest": LcodecFile(1, 1, 1, 0, 0, 0, b""),
    "largest": LcodecFile(7, 16384, 16384, 255, 65535, 255, b"\xff" * 9),
    "plain": LcodecFile(2, 500, 333, 128, 0xBEEF, 0x5A, b"\x01\x02\x03"),
    "gray": LcodecFile(2, 31, 8191, 7, 0x1234, 0x80, b"x", (Chunk(Tag.GRAY, b""),)),
    "chunks": LcodecFile(
        3, 4097, 2, 1, 1, 1, b"", (Chunk(Tag.ALPHA, b"a" * 127), Chunk(Tag.EXIF, b"b" * 128), Chunk(Tag.ICC, b"\0"))
    ),
    "long": LcodecFile(2, 640, 480, 99, 0xABCD, 3, b"\0\0payload\0", (Chunk(Tag.XMP, b"c" * 70_000),)),
}
NO_LIMITS = Limits(max_pixels=1 << 28)
files = pytest.mark.parametrize("file", FILES.values(), ids=FILES)


@files
def test_second_reader(file):
    fields = second.read_container(container.write(file))
    assert fields.pop("chunks") == {chunk.tag: chunk.data for chunk in file.chunks}
    assert fields == {name: getattr(file, name) for name in fields}


@files
def test_kaitai_parser_reads_the_same_fields(file):
    data = container.write(file)
    parsed, ours = Lcx.from_bytes(data), container.read(data, NO_LIMITS)
    assert ours == file
    header = container.read_header(data)
    assert {field.name: getattr(parsed, field.name) for field in HEADER} == header
    chunks = [Chunk(c.tag, c.data) for c in getattr(parsed, "chunks", [])[:-1]]
    assert (tuple(chunks), parsed.payload) == (ours.chunks, ours.payload)


def test_kaitai_parser_refuses_other_files():
    data = bytearray(container.write(FILES["plain"]))
    for index, value in ((0, 0x8B), (1, 0xD2)):
        broken = bytes(data[:index]) + bytes([value]) + bytes(data[index + 1 :])
        with pytest.raises(ValidationFailedError):
            Lcx.from_bytes(broken)


def test_kaitai_parser_refuses_lengths_of_five_bytes():
    head = container.write(FILES["gray"])[:12]
    assert Lcx.from_bytes(head + b"\x02\x81\x80\x80\x00\xaa\x00").chunks[0].data == b"\xaa"
    with pytest.raises(ValidationFailedError):
        Lcx.from_bytes(head + b"\x02\x81\x80\x80\x80\x00\xaa\x00")


def test_kaitai_parser_is_fresh():
    """If this fails: tests/formats/compile_ksy.cjs."""
    comment = (Path(__file__).parent / "lcx_kaitai.py").read_text().splitlines()[0]
    digest = hashlib.sha256((FORMATS / "lcx.ksy").read_bytes()).hexdigest()
    assert comment == f"# SHA-256 of formats/lcx.ksy: {digest}"


def test_checksum_value_in_the_document():
    value = re.search(r"`123456789` is (0x[0-9A-F]+)", text("container.md"))[1]
    assert second.crc16(b"123456789") == int(value, 16)


def with_checksum(data):
    return data[:10] + struct.pack(">H", second.crc16(data[:10] + b"\0\0" + data[12:])) + data[12:]


def with_list(body):
    """A file whose chunk list and payload are these bytes."""
    return with_checksum(container.write(FILES["gray"])[:12] + body)


PLAIN = container.write(FILES["plain"])
# What the container checks, in the document's order: a file that fails this check and, where possible, all later ones.
REFUSED = (
    b"\x9c\xc1" + bytes(30),
    PLAIN[:11],
    b"\x9c\xd2" + container.write(FILES["largest"])[2:-1],
    container.write(FILES["largest"])[:-1],
    with_checksum(container.write(FILES["largest"])[:12]),
    with_list(b"\x02\xff\xff\xff\xff\x01"),
    with_list(b"\x02\xff\xff\xff\x7f"),
    with_list(b"\x90\x05abcd"),
    with_list(b"\x02\x01a\x02\x01b\x90\x00\x00"),
    with_list(b"\x90\x00\x00"),
)


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_order_of_validation(number):
    row = table_after("container.md", "check | error if it fails")[number]
    with pytest.raises(errors.LcodecError) as raised:
        container.read(REFUSED[number])
    assert type(raised.value).__name__ == row[1], row[0]


def test_every_error_of_the_document_exists():
    names = {row[1] for row in table_after("container.md", "check | error if it fails")}
    assert names == {row[0] for row in table_after("container.md", "error | means")}
    assert all(issubclass(getattr(errors, name), errors.LcodecError) for name in names)


def test_luma_in_the_document():
    rng = np.random.default_rng(0)
    pixels = np.concatenate([rng.integers(0, 256, (1, 500, 3)), [[[0] * 3] * 250 + [[255] * 3] * 250]]).astype(np.uint8)
    formula = re.search(r"luma = ([^#]+)#", text("container.md"))[1]
    red, green, blue = np.moveaxis(pixels.astype(int), 2, 0)
    luma = eval(formula, {"red": red, "green": green, "blue": blue})
    assert (api._as_gray(Picture(pixels)).pixels == luma[:, :, None]).all()


# --- lcodec.magic and lcodec-mime.xml -------------------------------------------------------------------------------

OTHERS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"", bytes(64), b"\x9c\xc1" + bytes(10), b"\xcd\x08" + bytes(10))


def libmagic(path, *options):
    command = ["file", "-b", "-m", str(FORMATS / "lcodec.magic"), *options, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(shutil.which("file") is None, reason="there is no program called file")
def test_libmagic_entry(tmp_path):
    path = tmp_path / "picture"
    path.write_bytes(PLAIN)
    assert libmagic(path) == "lcodec picture, version 1, stablecodec, rate 128, weights beef"
    assert libmagic(path, "--mime-type") == "image/x-lcx"
    assert libmagic(path, "--extension") == "lcx"
    path.write_bytes(container.write(FILES["chunks"]))
    assert libmagic(path) == "lcodec picture, version 1, sodec, rate 1, weights 0001, with chunks"
    for data in OTHERS:
        path.write_bytes(data)
        assert "lcodec" not in libmagic(path)


def test_mime_entry():
    space = "{http://www.freedesktop.org/standards/shared-mime-info}"
    kind = ET.fromstring(text("lcodec-mime.xml")).find(f"{space}mime-type")
    match = kind.find(f"{space}magic/{space}match")
    assert kind.get("type") == "image/x-lcx"
    assert kind.find(f"{space}glob").get("pattern") == "*.lcx"
    assert (match.get("type"), match.get("offset")) == ("big16", "0")
    value, mask = int(match.get("value"), 16), int(match.get("mask"), 16)
    assert [field.name for field in HEADER[:2]] == ["magic", "version"]
    assert (value, mask) == (MAGIC << 4, 0xFFFF >> HEADER[1].bits << HEADER[1].bits)
    assert all(struct.unpack(">H", container.write(file)[:2])[0] & mask == value for file in FILES.values())
    assert not any(struct.unpack(">H", data[:2])[0] & mask == value for data in OTHERS if data)


def test_first_bytes_in_the_document():
    assert f"begins with the bytes {(MAGIC << 4 | VERSION).to_bytes(2, 'big').hex(' ').upper()}" in text("container.md")
