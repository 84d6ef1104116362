"""Damaged and hostile files: each is refused with the error that says what is wrong."""

from pathlib import Path

import pytest

from latentcodec import api, errors
from latentcodec.container import file as container
from latentcodec.errors import LcodecError
from latentcodec.pipelines import registry
from tests import tiny

FOLDER = Path(__file__).parent
GOLDEN = FOLDER.parent / "golden" / "highest-rate.lcx"

EXPECTED = {
    "empty": ("NotLcodecError", "not an lcodec file"),
    "other-magic": ("NotLcodecError", "not an lcodec file"),
    "other-version": ("UnsupportedError", "format version 2"),
    "header-cut-short": ("CorruptError", "11 of 12 bytes"),
    "payload-cut-short": ("CorruptError", "checksum"),
    "codec-unknown": ("UnsupportedError", "codec 7"),
    "weights-unknown": ("WeightsError", "fingerprint"),
    "symbols-digest-wrong": ("CorruptError", "digest"),
    "payload-missing": ("CorruptError", "digest"),
    "payload-noise": ("CorruptError", "range coder|digest"),
    "size-not-that-of-the-payload": ("CorruptError", "range coder|digest"),
    "size-over-the-limit": ("LimitError", "16384x16384"),
    "rate-not-that-of-the-payload": ("CorruptError", "range coder|digest"),
    "chunk-critical-unknown": ("UnsupportedError", "0xf0"),
    "chunk-longer-than-the-file": ("CorruptError", "chunk 0x01"),
    "chunk-over-the-limit": ("LimitError", "chunk 0x01"),
    "chunk-length-endless": ("CorruptError", "more than 4 bytes"),
    "chunk-twice": ("CorruptError", "twice"),
    "chunk-list-without-end": ("CorruptError", "checksum"),
    "alpha-of-another-size": ("CorruptError", "alpha plane"),
    "alpha-not-webp": ("CorruptError", "alpha plane"),
    "alpha-cut-short": ("CorruptError", "alpha plane"),
}


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode with the tiny model in place of the shipped one."""
    pipeline = tiny.load()
    monkeypatch.setattr(api, "pipeline", lambda method, weights, device: pipeline)
    monkeypatch.setattr(registry, "fingerprint_of", lambda weights: pipeline.fingerprint)


def test_every_file_has_its_error() -> None:
    assert {path.stem for path in FOLDER.glob("*.lcx")} == set(EXPECTED)


def test_the_good_file_decodes() -> None:
    assert api.decode(GOLDEN.read_bytes()).size == (96, 128)


@pytest.mark.parametrize("name", EXPECTED)
def test_file_is_refused(name: str) -> None:
    kind, message = EXPECTED[name]
    with pytest.raises(LcodecError, match=message) as caught:
        api.decode((FOLDER / f"{name}.lcx").read_bytes())
    assert type(caught.value) is getattr(errors, kind)
    assert "\n" not in str(caught.value)


def test_every_truncation_is_refused() -> None:
    data = GOLDEN.read_bytes()
    for size in range(len(data)):
        expected = errors.NotLcodecError if size < 2 else errors.CorruptError
        with pytest.raises(expected):
            api.decode(data[:size])


def test_every_change_of_one_byte_is_refused() -> None:
    data = GOLDEN.read_bytes()
    for offset in range(len(data)):
        for change in range(1, 256):
            damaged = data[:offset] + bytes([data[offset] ^ change]) + data[offset + 1 :]
            if offset == 0 or (offset == 1 and change & 0xF0):
                expected: type[LcodecError] = errors.NotLcodecError
            elif offset == 1:
                expected = errors.UnsupportedError
            else:
                expected = errors.CorruptError
            with pytest.raises(expected):
                container.read(damaged)
