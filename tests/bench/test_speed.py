"""Timing side by side: who runs when, what is reported, and what a failing program says."""

import sys
from pathlib import Path

import numpy as np
import pytest

from latentcodec.bench.classical import run_program
from latentcodec.bench.speed import Contestant, Program, Timing, compare, table, time_side_by_side
from latentcodec.bench.utilisation import Utilisation
from latentcodec.errors import BudgetError, InputError
from latentcodec.image import read_rgb


def test_contestants_take_turns_after_a_round_to_warm_up() -> None:
    calls: list[str] = []

    def contestant(name: str, size: int) -> Contestant:
        def encode() -> int:
            calls.append(f"{name} encodes")
            return size

        return Contestant(name, encode, lambda: calls.append(f"{name} decodes"))

    timings = compare([contestant("a", 10), contestant("b", 20)], rounds=2)
    assert calls == ["a encodes", "a decodes", "b encodes", "b decodes"] * 3
    assert [(timing.name, timing.size_bytes) for timing in timings] == [("a", 10), ("b", 20)]
    assert all(0 < timing.encode_seconds < 1 for timing in timings)


def test_ratios_are_to_the_first_line() -> None:
    assert table([Timing("a", 10, 0.5, 0.1), Timing("b", 20, 0.25, 0.3)])[2:] == [
        "| a | 10 | 500 ms | 100 ms | 1.00 | 1.00 |",
        "| b | 20 | 250 ms | 300 ms | 0.50 | 3.00 |",
    ]


def test_share_of_the_peak() -> None:
    used = Utilisation(operations=2_000_000_000, seconds=0.01, peak_per_second=4e11)
    assert used.fraction == 0.5
    assert "2.0 GFLOP (100 kMAC per pixel) in 10 ms, 200 GFLOP/s: 50% of the 400" in used.describe(10_000)


def test_codecs_are_timed_within_the_budget_and_the_others_are_named() -> None:
    pixels = read_rgb(Path(__file__).parents[1] / "data" / "coffee.png")[:96, :128]
    timings, notes = time_side_by_side(pixels, ["webp", "jpeg"], 900, "cpu", rounds=1)
    assert all(timing.size_bytes <= 900 for timing in timings)
    assert {timing.name.split()[0] for timing in timings} == {"webp", "jpeg"}
    assert notes == []
    timings, notes = time_side_by_side(pixels, ["webp", "jpeg"], 500, "cpu", rounds=1)
    assert {timing.name.split()[0] for timing in timings} == {"webp"}
    assert notes[0].startswith("jpeg is left out: jpeg takes ")
    with pytest.raises(BudgetError, match="none of the codecs can meet 10 bytes"):
        time_side_by_side(pixels, ["webp", "jpeg"], 10, "cpu", rounds=1)
    with pytest.raises(InputError, match="there is no codec 'avif/2' to time"):
        time_side_by_side(pixels, ["avif/2"], 900, "cpu", rounds=1)


def test_a_method_with_options_is_timed_as_it_is_named() -> None:
    pixels = read_rgb(Path(__file__).parents[1] / "data" / "coffee.png")[:64, :64]
    timings, _ = time_side_by_side(pixels, ["sodec:preview"], 80, "cpu", rounds=1)
    assert [timing.name.split(" -q")[0] for timing in timings] == ["sodec:preview"] * 2
    assert timings[0].size_bytes <= 80


def test_programs_are_told_their_files_and_setting(tmp_path: Path) -> None:
    copy = "import sys, shutil; shutil.copyfile(*sys.argv[1:3]); assert sys.argv[3:] in ([], ['7'])"
    (tmp_path / "source.png").write_bytes(b"whatever")
    run = (sys.executable, "-c", copy)
    program = Program("copy", (*run, "{source}", "{coded}", "{setting}"), (*run, "{coded}", "{decoded}"), [7], tmp_path)
    assert program.encode(np.zeros((1, 1, 3), np.uint8), 7) == b"whatever"
    program.run_decoder()
    assert (tmp_path / "copy.png").read_bytes() == b"whatever"


def test_a_program_that_fails_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^python.*: no such option$"):
        run_program(sys.executable, "-c", "import sys; print('more'); sys.exit('no such option')")
