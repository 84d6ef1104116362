"""Fetching weights: from a URL, from a file at hand, checked by hash; nothing is left of what is wrong."""

import hashlib
import sys
from pathlib import Path

import pytest
import torch

from latentcodec.cli.main import main
from latentcodec.errors import WeightsError
from latentcodec.weights import store
from latentcodec.weights.manifest import Download, WeightsRow, row


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("LCODEC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file of tensors behind a URL, and the row of the manifest that names it."""
    path = tmp_path / "net.pth"
    torch.save({"a": torch.arange(3.0)}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    entry = WeightsRow("net", "test", digest, path.stat().st_size, "none", "here", Download(path.as_uri()))
    monkeypatch.setattr(store, "row", lambda name: entry)
    return path


@pytest.mark.parametrize("at_hand", [False, True], ids=["downloaded", "at hand"])
def test_files_behind_a_url_are_kept_as_they_are(cache: Path, published: Path, at_hand: bool) -> None:
    assert store.fetch("net", published if at_hand else None) == cache / "net.pth"
    assert (cache / "net.pth").read_bytes() == published.read_bytes()
    assert [path.name for path in cache.iterdir()] == ["net.pth"]
    assert store.load("net").tensors["a"].tolist() == [0, 1, 2]


def test_what_was_damaged_is_fetched_again(cache: Path, published: Path) -> None:
    store.fetch("net").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match=r"net.pth has SHA-256 .*; run 'lcodec weights fetch net'"):
        store.load("net")
    assert store.fetch("net").read_bytes() == published.read_bytes()


def test_other_contents_are_refused_and_not_kept(cache: Path, published: Path) -> None:
    published.write_bytes(b"something else")
    with pytest.raises(WeightsError, match=r"net.pth has SHA-256 .*, expected"):
        store.fetch("net")
    assert not cache.exists()


def test_unreachable_urls_are_one_line(cache: Path, published: Path) -> None:
    published.unlink()
    with pytest.raises(WeightsError, match=r"cannot download file:.*net.pth: .*No such file") as caught:
        store.fetch("net")
    assert "\n" not in str(caught.value)


def test_state_files_hold_tensors_only(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1), "note": "text"}, tmp_path / "more.pth")
    with pytest.raises(WeightsError, match="more than tensors"):
        store.read_weights(tmp_path / "more.pth")
    torch.save({"a": Path("of an object")}, tmp_path / "code.pth")
    (tmp_path / "empty.pth").touch()
    for name in ("code.pth", "empty.pth"):
        with pytest.raises(WeightsError, match="not a file of tensors"):
            store.read_weights(tmp_path / name)


def test_members_at_hand_are_checked_before_they_are_converted(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "alexnet.ckpt").write_bytes(b"no pickle")
    with pytest.raises(WeightsError, match=r"alexnet.ckpt has SHA-256 .*, expected 443c5bc35326b81e"):
        store.fetch("lpips-alex", tmp_path / "alexnet.ckpt")
    assert not cache.exists()


def test_the_network_of_fid_is_the_published_file() -> None:
    entry = row("inception-fid")
    assert isinstance(entry.source, Download)
    assert Path(entry.source.url).stem.rpartition("-")[2] == entry.sha256[:8]  # as torch.hub names its files
    assert entry.file_name == "inception-fid.pth"


def test_a_file_at_hand_is_for_one_name(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["lcodec", "weights", "fetch", "dists", "lpips-alex", "--from", __file__]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as leaving:
        main()
    assert leaving.value.code == 4
    assert capsys.readouterr().err == "lcodec: --from is the file of one name\n"
