"""Weights files: found, verified, refused; pickles that hold anything but arrays are not opened."""

import pickle
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from latentcodec.cli.weights import weights_command
from latentcodec.errors import WeightsError
from latentcodec.models.stablecodec.config import StableCodecConfig
from latentcodec.pipelines.stablecodec import StableCodecPipeline
from latentcodec.weights import store
from latentcodec.weights.convert import dists_channel_weights, lpips_from_jax
from latentcodec.weights.manifest import GROUPS, row, rows
from latentcodec.weights.pickles import read_array_pickle
from tests import tiny


def test_every_row_is_complete() -> None:
    for entry in rows().values():
        assert len(entry.sha256) == 64
        assert entry.size_bytes > 0
        assert entry.licence
        assert entry.origin


def test_shipped_weights_are_what_the_manifest_says() -> None:
    path = store.verify("stablecodec-mini")
    assert path.stat().st_size == row("stablecodec-mini").size_bytes
    weights = store.load("stablecodec-mini")
    assert weights.fingerprint == int(row("stablecodec-mini").sha256[:4], 16)
    assert StableCodecConfig.from_json(weights.metadata["config"]) == StableCodecConfig()


def test_missing_weights_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LCODEC_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="lcodec weights fetch lpips-alex"):
        store.load("lpips-alex")


def test_other_contents_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LCODEC_CACHE", str(tmp_path))
    store.write_tensors({"a": torch.zeros(3)}, tmp_path / "lpips-alex.safetensors")
    with pytest.raises(WeightsError, match="SHA-256"):
        store.load("lpips-alex")


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(WeightsError, match=r"cannot write weights .*w.safetensors: .*large"):
            store.write_tensors({"a": torch.zeros(1000)}, tmp_path / "w.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(WeightsError, match="cannot read"):
        store.read_weights(path)


def test_tensors_that_do_not_fit_are_named(tmp_path: Path) -> None:
    good = store.read_weights(tiny.GOLDEN_WEIGHTS)
    for change, name in ((dict(good.tensors) | {"surplus": torch.zeros(1)}, "surplus"), (None, "vae.scale")):
        tensors = change or {k: v for k, v in good.tensors.items() if k != "vae.scale"}
        store.write_tensors(tensors, tmp_path / "w.safetensors", good.metadata)
        with pytest.raises(WeightsError, match=name):
            StableCodecPipeline(store.read_weights(tmp_path / "w.safetensors"), torch.device("cpu"))


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"autoencoder": {}, "width": 3}', '{"autoencoder": 5}'),
        *('{"autoencoder": {}, "y_channels": "a"}', '{"autoencoder": {}, "y_channels": -1}'),
        *('{"autoencoder": {}, "widths": [1, 2]}', '{"autoencoder": {}, "alpha_bar": "x"}'),
        *('{"autoencoder": {"latent_channels": 1.5}}', '{"autoencoder": {}, "alpha_bar": NaN}', "[" * 100_000),
        *('{"autoencoder": {}, "rate_range": [0, 0]}', '{"autoencoder": {}, "rate_range": [0.6, 0.005]}'),
    ],
)
def test_configurations_that_describe_no_model_are_refused(text: str) -> None:
    with pytest.raises(WeightsError, match="describes no StableCodec"):
        StableCodecConfig.from_json(text)


def test_configuration_round_trips() -> None:
    assert StableCodecConfig.from_json(tiny.CONFIG.to_json()) == tiny.CONFIG


def test_array_pickles_are_read_and_converted(tmp_path: Path) -> None:
    kernel = np.arange(2 * 2 * 3 * 4, dtype=np.float32).reshape(2, 2, 3, 4)
    tree = {
        "AlexNet_0": {"Conv_0": {"kernel": kernel, "bias": np.ones(4, np.float32)}},
        "NetLinLayer_0": {"Conv_0": {"kernel": np.ones((1, 1, 4, 1), np.float32)}},
    }
    path = tmp_path / "net.ckpt"
    path.write_bytes(pickle.dumps(tree, protocol=3).replace(b"numpy._core", b"numpy.core"))
    tensors = lpips_from_jax(path)
    assert tensors["conv.0.weight"].shape == (4, 3, 2, 2)
    assert tensors["conv.0.weight"][1, 2, 0, 1] == kernel[0, 1, 2, 1]
    assert tensors["head.0"].shape == (4,)


class Attack:
    """Would run a command when unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        import os

        return (os.system, ("touch was-here",))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pickle.dumps(Attack()), "not a numpy array"),
        (pickle.dumps({"a": "text"}), "holds a str"),
        (b"not a pickle", "not a pickle"),
        (b"", "not a pickle"),
    ],
)
def test_other_pickles_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "net.ckpt"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=message):
        read_array_pickle(path)
    assert not (tmp_path / "was-here").exists()


def test_channel_weights_must_be_the_two_of_dists(tmp_path: Path) -> None:
    torch.save({"alpha": torch.zeros(1, 5, 1, 1), "gamma": torch.zeros(1)}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="alpha and beta"):
        dists_channel_weights(tmp_path / "w.pt")


def test_a_group_is_fetched_under_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    monkeypatch.setattr(store, "fetch", lambda name, _: fetched.append(name))
    result = CliRunner().invoke(weights_command, ["fetch", "stablecodec"])
    assert result.exit_code == 0
    assert fetched == list(GROUPS["stablecodec"])
    assert "sd-turbo-unet: licence Stability AI non-commercial" in result.stderr
    assert "lcodec weights import" in result.stderr
    assert all(row(name).source for members in GROUPS.values() for name in members)
    assert not set(GROUPS) & set(rows())
