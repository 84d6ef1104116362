"""Hashes of large files are noted beside them, and made anew when the file changes."""

import hashlib
import logging
import os
from pathlib import Path

import pytest
import torch

from latentcodec.errors import WeightsError
from latentcodec.weights import hashing, store
from latentcodec.weights.manifest import row


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(hashing, "LARGE", 1000)
    path = tmp_path / "a.safetensors"
    store.write_tensors({"x": torch.arange(1000), "y": torch.ones(2, 3)}, path)
    return path


def test_a_note_is_written_and_used(large: Path) -> None:
    honest = hashlib.sha256(large.read_bytes()).hexdigest()
    assert not hashing.is_noted(large)
    assert hashing.noted_sha256(large) == honest
    note = large.with_name("a.safetensors.sha256")
    assert note.read_text().startswith(honest)
    note.write_text(note.read_text().replace(honest, "0" * 64))
    assert hashing.noted_sha256(large) == "0" * 64
    assert hashing.sha256_of(large) == honest
    hashing.forget(large)
    assert not hashing.is_noted(large)


@pytest.mark.parametrize("text", ["", "abc", "abc 1", "\0\xff 3 4"])
def test_a_note_of_another_file_does_not_count(large: Path, text: str) -> None:
    large.with_name("a.safetensors.sha256").write_text(text)
    assert hashing.noted_sha256(large) == hashlib.sha256(large.read_bytes()).hexdigest()


def test_a_changed_file_is_hashed_anew(large: Path) -> None:
    old = hashing.noted_sha256(large)
    content, before = bytearray(large.read_bytes()), large.stat().st_mtime_ns
    content[-1] ^= 1
    large.write_bytes(content)
    os.utime(large, ns=(before + 1, before + 1))
    assert not hashing.is_noted(large)
    assert hashing.noted_sha256(large) == hashlib.sha256(content).hexdigest() != old
    assert hashing.sha256_of(large) == hashing.noted_sha256(large)


def test_small_files_have_no_note(tmp_path: Path) -> None:
    path = tmp_path / "small"
    path.write_bytes(b"abc")
    assert hashing.noted_sha256(path) == hashlib.sha256(b"abc").hexdigest()
    assert [p.name for p in tmp_path.iterdir()] == ["small"]


def test_a_folder_that_cannot_be_written_only_costs_time(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "write_text", refuse)
    assert hashing.noted_sha256(large) == hashlib.sha256(large.read_bytes()).hexdigest()


def test_tensors_are_read_one_by_one_and_the_licence_is_told_once(
    large: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store, "path_of", lambda _: large)
    with pytest.raises(WeightsError, match="SHA-256"):
        store.load_one_by_one("sd-turbo-unet")
    hashing.forget(large)
    monkeypatch.setattr(store, "verify", lambda _, hash_of: (hash_of(large), large)[1])
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            tensors = store.load_one_by_one("sd-turbo-unet")
    assert caplog.messages == [f"sd-turbo-unet: licence {row('sd-turbo-unet').licence}"]
    assert sorted(tensors) == ["x", "y"]
    assert len(tensors) == 2
    assert torch.equal(tensors["x"], torch.arange(1000))
    assert torch.equal(tensors["y"], torch.ones(2, 3))
    large.unlink()
    with pytest.raises(WeightsError, match="cannot read weights"):
        tensors["x"]
