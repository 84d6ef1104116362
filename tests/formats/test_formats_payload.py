"""entropy.md and the payload of stablecodec.md: what the package codes, a decoder written from the text alone reads."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import second_decoder as second
from documents import table_after, text
from lcx_kaitai import Lcx

from latentcodec import errors
from latentcodec.coding import fixedpoint, tables
from latentcodec.coding.packing import Packing
from latentcodec.coding.rangecoder import RangeReader
from latentcodec.coding.symbols import SymbolEncoder
from latentcodec.container import file as container
from latentcodec.models.blocks.quadtree import QUARTER_OF
from latentcodec.models.stablecodec.integer_entropy import IntegerEntropy
from latentcodec.weights import store
from tests import tiny

GAUSSIAN, LOGISTIC = ((Path(tables.__file__).parent / f"{n}.bin").read_bytes() for n in ("gaussian", "logistic"))


# --- entropy.md -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def frequencies():
    return second.tables(GAUSSIAN) + second.tables(LOGISTIC)


def test_table_digest():
    digests = re.findall(r"\b[0-9a-f]{64}\b", text("entropy.md"))
    assert digests == [*tables.SHA256.values()] == [hashlib.sha256(data).hexdigest() for data in (GAUSSIAN, LOGISTIC)]


def test_tables_are_laid_out_as_documented(frequencies):
    assert len(GAUSSIAN) == len(LOGISTIC) == 65536
    assert frequencies == tables.frequencies().tolist()
    assert all(sum(row) == 1 << 24 and min(row) >= 1 and row == row[::-1] for row in frequencies)
    assert (tables.SMALLEST_SCALE, round(tables.SMALLEST_SCALE * 640, 9)) == (0.1, tables.LARGEST_SCALE)


def test_fractional_bits():
    rows = table_after("entropy.md", "quantity | integer stands for | bits after the point | range of the integer")
    assert [int(row[2]) for row in rows] == [
        fixedpoint.ACTIVATION_BITS,
        fixedpoint.WEIGHT_BITS,
        fixedpoint.ACTIVATION_BITS + fixedpoint.WEIGHT_BITS,
        fixedpoint.ACTIVATION_BITS,
    ]
    assert (fixedpoint.ACTIVATION_LIMIT, fixedpoint.WEIGHT_LIMIT) == (1 << 20, 32767)
    assert rows[0][3] == "-2^20 .. 2^20"


PACKINGS = [Packing(0), Packing(13, 1), Packing(19, 2), Packing(40, 1), Packing(30, 1, 12), Packing(9, 2, 20)]


def random_group(rng, count, spread, tables=64):
    """Tables and symbols: likely ones (spread 1) or anything at all (large spread)."""
    t = rng.integers(0, tables, count).astype(np.uint8)
    sizes = 0.1 * 640 ** (t / 63) * spread
    t += 64 * rng.integers(0, 2, count).astype(np.uint8)
    return t, np.clip(np.rint(rng.normal(size=count) * sizes), -255, 255).astype(np.int32)


@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0, 30.0])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 150])
@pytest.mark.parametrize("packing", PACKINGS)
def test_second_range_decoder(frequencies, count, spread, packing):
    rng = np.random.default_rng(count)
    groups = [random_group(rng, count, spread) for _ in range(3)]
    encoder = SymbolEncoder(packing)
    known = [encoder.code(t, symbols).tolist() for t, symbols in groups]
    decoder = second.Decoder(encoder.finish(), frequencies, packing.tables, packing.reach, packing.octets)
    assert [decoder.group(t.tolist()) for t, _ in groups] == known


@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("packing", PACKINGS)
def test_second_range_decoder_of_narrow_tables(frequencies, spread, packing):
    """Packs, escapes and what is left over: there are some fifty symbols of each table."""
    t, symbols = random_group(np.random.default_rng(7), 1001, spread, tables=20)
    encoder = SymbolEncoder(packing)
    known = encoder.code(t, symbols).tolist()
    decoder = second.Decoder(encoder.finish(), frequencies, packing.tables, packing.reach, packing.octets)
    assert decoder.group(t.tolist()) == known


@pytest.mark.parametrize("seed", range(60))
def test_second_encoder_writes_the_same_bytes(frequencies, seed):
    rng = np.random.default_rng(seed)
    t, symbols = random_group(rng, seed, [0.2, 1.0, 30.0][seed % 3])
    t = np.sort(np.where(t % 64 < 4, 4, t))
    encoder = SymbolEncoder()
    encoder.code(t, symbols)
    assert encoder.finish() == second.encode(symbols.tolist(), t.tolist(), frequencies)


@pytest.mark.parametrize("payload", [b"\xff" * 8, b"\xff" * 5])
def test_payloads_that_no_encoder_wrote(frequencies, payload):
    with pytest.raises(ValueError, match="corrupt"):
        second.Decoder(payload, frequencies).symbol(30)
    with pytest.raises(errors.CorruptError):
        RangeReader(payload).read(1, 30)


# --- stablecodec.md -------------------------------------------------------------------------------------------------


def random_tensors(rng, size):
    """Integer networks of 2 channels of z, 8 of y and width 3, under the names of the weights file."""
    cz, m, w = 2, 8, 3
    convs = {"hyper.conv1": (w, cz, 1), "hyper.conv2": (w, w, 3), "hyper.conv3": (4 * w, w, 1)}
    for n in range(4):
        convs |= {f"step{n}.base": (w, w, 1), f"step{n}.known": (w, m, 3)}
        convs |= {f"step{n}.hidden": (w, w, 1), f"step{n}.out": (2 * m, w, 1)}
    out = {name: rng.integers(-2000, 18000, (9, c)).astype(np.int32) for name, c in (("prior", cz), ("offset", m))}
    for name, (o, i, k) in convs.items():
        out[f"{name}.weight"] = rng.integers(-size, size + 1, (o, i, k, k)).astype(np.int16)
        out[f"{name}.bias"] = rng.integers(-size * 64, size * 64 + 1, o).astype(np.int32)
    for name in ("hyper", *(f"step{n}" for n in range(4))):
        out[f"{name}.scale"] = rng.integers(2048, 8192, (9, w)).astype(np.int32)
        out[f"{name}.shift"] = rng.integers(-400, 400, (9, w)).astype(np.int32)
    return out


@pytest.mark.parametrize(("rate", "size"), [(0, 2000), (77, 4000), (129, 1000), (255, 32767)])
def test_second_decoder_of_codec_2(frequencies, rate, size):
    rng = np.random.default_rng(rate)
    tensors = random_tensors(rng, size)
    shape = (1, 3) if rate % 2 else (2, 1)
    z = rng.normal(size=(2, *shape)).astype(np.float32) * 3
    y = rng.normal(size=(8, 2 * shape[0], 2 * shape[1])).astype(np.float32) * 8
    encoder = SymbolEncoder()
    ours = IntegerEntropy(tensors).code(encoder, rate, shape, (z, y))
    payload = encoder.finish()
    assert len(payload) > 10
    lists = {name: array.tolist() for name, array in tensors.items()}
    theirs = second.StableCodecLatents(lists, rate).decode(second.Decoder(payload, frequencies), *shape)
    assert theirs == (ours.z.tolist(), ours.y.tolist())
    assert second.digest(*theirs) == ours.digest()


def test_quarters():
    documented = table_after("stablecodec.md", "step | phase 0 | phase 1 | phase 2 | phase 3")
    assert [[int(cell) for cell in row] for row in documented] == [[s, *QUARTER_OF[s]] for s in range(4)]
    assert [list(row) for row in QUARTER_OF] == second.QUARTERS


# --- golden files ---------------------------------------------------------------------------------------------------

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("name", ["dissected", "one-pixel", "chunks", "quads", "reach"])
def test_golden_files_decode_by_the_documents_alone(frequencies, name):
    data = (GOLDEN / f"{name}.lcx").read_bytes()
    file = container.read(data)
    kaitai = Lcx.from_bytes(data)
    assert (kaitai.payload, kaitai.rate, kaitai.weights) == (file.payload, file.rate, file.weights)
    weights = store.read_weights(tiny.weights_of(file.weights))
    tensors, config = weights.tensors, json.loads(weights.metadata["config"])
    lists = {k.removeprefix("integer."): v.tolist() for k, v in tensors.items() if k.startswith("integer.")}
    shape = -(-file.height // 64), -(-file.width // 64)
    decoder = second.Decoder(file.payload, frequencies, config.get("packed_tables", 0), config.get("packed_reach", 1))
    z, y = second.StableCodecLatents(lists, file.rate).decode(decoder, *shape)
    assert second.digest(z, y) == file.symbols
    exact = np.array(z, "<i4").tobytes() + np.array(y, "<i8").tobytes()
    assert hashlib.sha256(exact).hexdigest() == json.loads((GOLDEN / "golden.json").read_text())[name]
