"""Symbols and table indices are the same whatever the arithmetic, the order of summation or the thread count."""

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from latentcodec.coding.fixedpoint import DEFINITION, FAST, Arithmetic, Integers
from latentcodec.coding.symbols import SymbolDecoder, SymbolEncoder
from latentcodec.models.blocks.products import TORCH
from latentcodec.models.blocks.shipping import integer_tensors
from latentcodec.models.sodec.integer_entropy import IntegerHyperprior
from latentcodec.models.stablecodec.integer_entropy import IntegerEntropy
from latentcodec.weights import store
from latentcodec.weights.manifest import rows
from tests.tiny import GOLDEN_WEIGHTS
from tests.tiny_sodec import SODEC_WEIGHTS

SHAPE = (3, 4)


@dataclass(frozen=True)
class ShuffledOrder(Arithmetic):
    """float64 sums in another order."""

    seed: int = 0

    def matmul(self, weights: Integers, columns: Integers) -> Integers:
        order = np.random.default_rng(self.seed).permutation(weights.shape[1])
        return super().matmul(weights[:, order], columns[order])


class Recorder:
    """A coder that remembers every table index on its way to an encoder."""

    def __init__(self) -> None:
        self.encoder = SymbolEncoder()
        self.tables: list[np.ndarray] = []

    def code(self, tables: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        self.tables.append(tables)
        return self.encoder.code(tables, symbols)


Model = IntegerEntropy | IntegerHyperprior


def network(path: Path, arithmetic: Arithmetic) -> Model:
    arrays = {k: v.numpy() for k, v in integer_tensors(store.read_weights(path).tensors).items()}
    return (IntegerHyperprior if "probability.out.weight" in arrays else IntegerEntropy)(arrays, arithmetic)


def source(model: Model) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    z = rng.normal(size=(model.z_channels, *SHAPE)) * 2
    per_z = 4 if isinstance(model, IntegerHyperprior) else 2
    y = rng.normal(size=(model.y_channels, per_z * SHAPE[0], per_z * SHAPE[1])) * 4
    return z.astype(np.float32), y.astype(np.float32)


def trace(path: Path, arithmetic: Arithmetic, rate: int) -> tuple[str, bytes]:
    """Digest of all table indices, and the payload."""
    model, recorder = network(path, arithmetic), Recorder()
    model.code(recorder, rate, SHAPE, source(model))
    indices = np.concatenate(recorder.tables)
    assert len(np.unique(indices)) >= 3
    return hashlib.sha256(indices.tobytes()).hexdigest(), recorder.encoder.finish()


MODELS = [
    pytest.param(GOLDEN_WEIGHTS, id="tiny"),
    pytest.param(store.BUNDLED / "stablecodec-mini.safetensors", id="shipped"),
    pytest.param(SODEC_WEIGHTS, id="tiny-sodec"),
    pytest.param(store.BUNDLED / "sodec-mini.safetensors", id="shipped-sodec"),
]


@pytest.mark.parametrize("path", MODELS)
@pytest.mark.parametrize("rate", [0, 77, 255])
def test_int64_and_any_order_of_float64_select_the_same_tables(path: Path, rate: int) -> None:
    expected = trace(path, DEFINITION, rate)
    assert trace(path, FAST, rate) == expected
    assert trace(path, TORCH, rate) == expected
    for seed in range(3):
        assert trace(path, ShuffledOrder(np.float64, seed), rate) == expected


@pytest.mark.parametrize("path", MODELS)
def test_decoder_in_another_arithmetic_reads_the_same_symbols(path: Path) -> None:
    model, encoder = network(path, TORCH), SymbolEncoder()
    coded = model.code(encoder, 130, SHAPE, source(model))
    decoded = network(path, DEFINITION).code(SymbolDecoder(encoder.finish()), 130, SHAPE)
    assert np.array_equal(decoded.y, coded.y)
    assert np.array_equal(decoded.z, coded.z)
    assert decoded.digest() == coded.digest()


def test_thread_count_does_not_matter() -> None:
    path = store.BUNDLED / "stablecodec-mini.safetensors"
    script = (
        "from tests.models.test_exactness import trace, TORCH\n"
        "from pathlib import Path\n"
        f"print(trace(Path({str(path)!r}), TORCH, 99)[0])"
    )
    digests = set()
    for threads in ("1", "2", "3"):
        names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        environment = os.environ | dict.fromkeys(names, threads)
        run = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        digests.add(run.stdout.strip())
    assert digests == {trace(path, DEFINITION, 99)[0]}


def test_digest_depends_on_every_symbol() -> None:
    model = network(GOLDEN_WEIGHTS, TORCH)
    coded = model.code(SymbolEncoder(), 200, SHAPE, source(model))
    changed = 0
    for index in range(0, coded.y.size, 7):
        before = coded.digest()
        coded.y.flat[index] += 16
        changed += coded.digest() != before
        coded.y.flat[index] -= 16
    assert changed >= 0.98 * len(range(0, coded.y.size, 7))


def test_manifest_names_the_shipped_weights() -> None:
    assert "stablecodec-mini" in rows()
    assert store.verify("stablecodec-mini").exists()
