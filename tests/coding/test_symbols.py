"""Coders: round trip, size against counted bits, refusal of bad input, damage."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentcodec.coding.packing import OCTETS, Pack, Packing, pack_frequencies
from latentcodec.coding.rangecoder import RangeReader, RangeWriter
from latentcodec.coding.symbols import SINGLY, BitCounter, SymbolDecoder, SymbolEncoder
from latentcodec.coding.tables import (
    FIRST_CODED_TABLE,
    GAUSSIAN,
    LARGEST_SYMBOL,
    LOG_SCALE_STEP,
    LOGISTIC,
    SMALLEST_SCALE,
    TABLES,
    TOTAL,
)
from latentcodec.errors import CorruptError

PACKINGS = st.builds(Packing, st.integers(0, TABLES), st.integers(1, 2), st.integers(0, TABLES))


def draw(seed: int, count: int, largest_table: int = 2 * TABLES - 1) -> tuple[np.ndarray, np.ndarray]:
    """Symbols drawn from Gaussians as wide as what codes them."""
    rng = np.random.default_rng(seed)
    tables = rng.integers(0, largest_table + 1, count).astype(np.uint8)
    scales = SMALLEST_SCALE * np.exp(LOG_SCALE_STEP * (tables % TABLES))
    return tables, np.rint(rng.normal(size=count) * scales).astype(np.int32)


def encode(tables: np.ndarray, symbols: np.ndarray, packing: Packing = SINGLY) -> tuple[bytes, np.ndarray]:
    encoder = SymbolEncoder(packing)
    known = encoder.code(tables, symbols)
    return encoder.finish(), known


def count_bits(tables: np.ndarray, symbols: np.ndarray, packing: Packing = SINGLY) -> float:
    counter = BitCounter(packing)
    counter.code(tables, symbols)
    return counter.bits


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 3000), packing=PACKINGS)
def test_decoder_returns_what_the_encoder_was_given(seed: int, count: int, packing: Packing) -> None:
    tables, symbols = draw(seed, count)
    payload, known = encode(tables, symbols, packing)
    assert np.array_equal(SymbolDecoder(payload, packing).code(tables, None), known)


@settings(deadline=None, max_examples=60)
@given(
    data=st.lists(st.tuples(st.integers(0, 2 * TABLES - 1), st.integers(-LARGEST_SYMBOL, LARGEST_SYMBOL)), max_size=60),
    one_table=st.booleans(),
    packing=PACKINGS,
)
def test_improbable_symbols_survive_too(data: list[tuple[int, int]], one_table: bool, packing: Packing) -> None:
    tables = np.array([7 if one_table else table for table, _ in data], np.uint8)
    symbols = np.array([symbol for _, symbol in data], np.int32)
    payload, known = encode(tables, symbols, packing)
    assert np.array_equal(SymbolDecoder(payload, packing).code(tables, None), known)
    assert np.array_equal(known, np.where(tables % TABLES < FIRST_CODED_TABLE, 0, symbols))


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 5000))
def test_payload_is_within_two_bytes_of_the_information(seed: int, count: int) -> None:
    tables, symbols = draw(seed, count, largest_table=40)
    payload, _ = encode(tables, symbols)
    assert len(payload) <= count_bits(tables, symbols) / 8 + 2


def test_large_payload_is_within_half_a_percent_and_four_bytes() -> None:
    tables, symbols = draw(7, 200_000)
    payload, _ = encode(tables, symbols)
    bits = count_bits(tables, symbols)
    assert bits / 8 - 1 <= len(payload) <= bits / 8 * 1.005 + 4


@pytest.mark.parametrize("packing", [Packing(13, 1), Packing(19, 2), Packing(octets=12)])
def test_packs_lose_less_than_single_symbols(packing: Packing) -> None:
    rng = np.random.default_rng(3)
    tables = rng.integers(FIRST_CODED_TABLE, max(packing.tables, packing.octets), 100_000).astype(np.uint8)
    symbols = np.rint(rng.normal(size=100_000) * SMALLEST_SCALE * np.exp(LOG_SCALE_STEP * tables)).astype(np.int32)
    lost = [len(encode(tables, symbols, p)[0]) - count_bits(tables, symbols, p) / 8 for p in (SINGLY, packing)]
    assert lost[1] < 1.2 < lost[0]
    assert count_bits(tables, symbols, packing) == pytest.approx(count_bits(tables, symbols), rel=0.002)


def test_octets_lose_half_of_what_quads_do() -> None:
    rng = np.random.default_rng(4)
    tables = rng.integers(FIRST_CODED_TABLE, 12, 400_000).astype(np.uint8)
    symbols = np.rint(rng.normal(size=400_000) * SMALLEST_SCALE * np.exp(LOG_SCALE_STEP * tables)).astype(np.int32)
    packings = Packing(12, 3), Packing(12, 3, 12)
    quads, octets = (len(encode(tables, symbols, p)[0]) - count_bits(tables, symbols, p) / 8 for p in packings)
    assert octets < 0.55 * quads


@pytest.mark.parametrize("pack", [Pack(4, 1), Pack(4, 2), OCTETS])
def test_packs_have_every_combination_in_order(pack: Pack) -> None:
    symbols = np.array(list(itertools.product(range(-pack.reach, pack.reach + 1), repeat=pack.size)), np.int32)
    codes, plain = pack.join(symbols.ravel())
    assert codes.tolist() == list(range(pack.escape))
    assert plain.size == 0
    wide = np.array([0, 0, pack.reach + 1] + (pack.size - 3) * [0] + [5, 6], np.int32)
    codes, plain = pack.join(wide)
    assert codes.tolist() == [pack.escape]
    assert plain.tolist() == wide.tolist()
    for table in (*range(FIRST_CODED_TABLE, TABLES), *range(LOGISTIC + FIRST_CODED_TABLE, 2 * TABLES)):
        chosen = pack_frequencies(table, pack)
        assert chosen.sum() == TOTAL
        assert chosen.min() >= 1


@pytest.mark.parametrize("first_table", [GAUSSIAN, LOGISTIC])
def test_symbols_of_the_narrowest_tables_take_no_space(first_table: int) -> None:
    tables = (first_table + np.arange(100_000) % FIRST_CODED_TABLE).astype(np.uint8)
    payload, known = encode(tables, np.ones(100_000, np.int32))
    assert payload == b""
    assert not known.any()


def test_symbols_beyond_the_tables_are_limited() -> None:
    tables = np.array([5, 63], np.uint8)
    _, known = encode(tables, np.array([-10_000, 10_000], np.int32))
    assert known.tolist() == [-LARGEST_SYMBOL, LARGEST_SYMBOL]


def test_payload_bytes_are_pinned() -> None:
    tables = np.array([4, 10, 10, 20, 20, 20, 40, 40, 63], np.uint8)
    symbols = np.array([0, 0, 1, -1, 0, 2, 5, -7, 90], np.int32)
    assert encode(tables, symbols)[0].hex() == "ef9ab8b2"


def test_writer_refuses_what_no_table_holds() -> None:
    writer = RangeWriter()
    with pytest.raises(ValueError, match="exceeds 255"):
        writer.write(np.array([256], np.int32), 5)
    with pytest.raises(ValueError, match="table 128"):
        writer.write(np.array([0], np.int32), 2 * TABLES)
    with pytest.raises(ValueError, match="table -1"):
        RangeReader(b"").read(1, -1)


def test_random_bytes_decode_to_symbols_or_are_refused() -> None:
    rng = np.random.default_rng(0)
    refused = 0
    for length in range(200):
        reader = RangeReader(rng.bytes(length))
        try:
            symbols = reader.read(50, int(rng.integers(1, 2 * TABLES)))
        except CorruptError:
            refused += 1
            continue
        assert np.abs(symbols).max() <= LARGEST_SYMBOL
    assert refused < 200
