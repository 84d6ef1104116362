"""Damaged files of method sodec: refused like those of the other method, whichever of their two pictures is wanted."""

from dataclasses import replace

import numpy as np
import pytest

from latentcodec import api, errors
from latentcodec.container import file as container
from latentcodec.pipelines import registry
from tests import tiny_sodec
from tests.golden.sodec.create import FOLDER

GOLDEN = (FOLDER / "odd-size.lcx").read_bytes()


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode with the tiny model in place of the shipped one."""
    pipeline = tiny_sodec.load()
    monkeypatch.setattr(api, "pipeline", lambda method, weights, device: pipeline)
    monkeypatch.setattr(registry, "fingerprint_of", lambda weights: pipeline.fingerprint)


@pytest.mark.parametrize("fidelity", [0.0, 1.0])
def test_symbols_that_were_not_encoded_are_noticed(fidelity: float) -> None:
    file = container.read(GOLDEN)
    assert api.decode(GOLDEN, fidelity=fidelity).size == (131, 70)
    noise = np.random.default_rng(0).bytes(len(file.payload))
    for damaged in (
        replace(file, symbols=file.symbols ^ 1),
        replace(file, payload=b""),
        replace(file, payload=noise),
        replace(file, payload=file.payload[:-40]),
        replace(file, width=300),
        replace(file, rate=file.rate - 9),
    ):
        with pytest.raises(errors.CorruptError, match=r"range coder|digest"):
            api.decode(container.write(damaged), fidelity=fidelity)


def test_weights_of_another_model_are_refused() -> None:
    file = container.read(GOLDEN)
    with pytest.raises(errors.WeightsError, match="needs sodec weights with fingerprint"):
        api.decode(container.write(replace(file, weights=file.weights ^ 1)))


def test_every_truncation_is_refused() -> None:
    for size in range(len(GOLDEN)):
        with pytest.raises(errors.NotLcodecError if size < 2 else errors.CorruptError):
            api.decode(GOLDEN[:size])


def test_every_change_of_one_byte_is_refused() -> None:
    for offset in range(2, len(GOLDEN)):
        for change in (1, 0x10, 0x80, 0xFF):
            damaged = GOLDEN[:offset] + bytes([GOLDEN[offset] ^ change]) + GOLDEN[offset + 1 :]
            with pytest.raises(errors.CorruptError):
                api.decode(damaged)


@pytest.mark.parametrize("fidelity", [-0.1, 1.1, float("nan")])
def test_fidelities_that_make_no_sense(fidelity: float) -> None:
    with pytest.raises(errors.InputError, match="a number from 0 to 1"):
        api.decode(GOLDEN, fidelity=fidelity)
