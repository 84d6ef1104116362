"""What exactness costs: bits of the grids and tables that our files are coded with, against the ideal.

    python -m tests.parity.compare_rate [DUMP]

Ideal is a Gaussian with the exact mean and scale. The columns add up: means snapped to a grid and scales snapped to the
list of tables, both expected over all symbols; then integer tables, quads, list, and z, for the symbols drawn. DUMP: a
folder as compare_stablecodec.py describes, for predictions of the networks.
"""

import itertools
import sys
from pathlib import Path

import numpy as np

from latentcodec.coding.symbols import BitCounter
from latentcodec.coding.tables import FIRST_CODED_TABLE, LOG_SCALE_STEP, SMALLEST_SCALE
from latentcodec.models.blocks.integers import table_index
from latentcodec.models.blocks.quadtree import STEPS, step_mask
from latentcodec.models.stablecodec.full.guarded import MEAN_BITS, NEUTRAL_RATE, SMALLEST_TRAINED_SCALE, gain_of
from latentcodec.pipelines.stablecodec_full import PACKING
from latentcodec.weights.store import read_weights
from tests.parity.drawn import RATES_BPP, SPREADS, Doubles, Drawn, draw, gaussian, information, logistic

SHARE_OF_Z = 0.15
SEEDS = 40
PIXELS = 768 * 512
REACH_IN_SCALES = 7  # beyond, symbols have a probability of 1e-12
GAINS = (64, 96, 128, 160)


def ledger(drawn: Drawn, rate: int) -> Doubles:
    """Bits [5]: ideal, and what means, scales, and all the rest add to it; then symbols that are not coded."""
    counter, gain = BitCounter(PACKING), gain_of(rate)
    source = drawn.z.astype(np.float32), drawn.y.astype(np.float32)
    coded = drawn.entropy_model().code(counter, rate, drawn.z.shape[1:], source)
    snapped = np.floor(drawn.means * gain * (1 << MEAN_BITS) + 0.5)
    symbols = (coded.joined - snapped) / (1 << MEAN_BITS)
    snapped /= 1 << MEAN_BITS
    scales = np.maximum(drawn.scales, SMALLEST_TRAINED_SCALE) * gain
    tables = table_index(np.floor(np.log(scales / SMALLEST_SCALE) / LOG_SCALE_STEP + 0.5).astype(np.int64))
    table_scales = SMALLEST_SCALE * np.exp(LOG_SCALE_STEP * tables)
    of_z = information(logistic, drawn.z, drawn.z_scales[:, None, None]).sum()
    rest = counter.bits - information(gaussian, symbols, table_scales).sum() - of_z
    ideal, of_means, of_scales = expected(snapped - drawn.means * gain, scales, table_scales)
    lost = np.rint(drawn.y * gain - snapped)[tables < FIRST_CODED_TABLE].astype(bool).sum()
    return np.array([ideal + of_z, of_means, of_scales, rest, lost])


def expected(shifts: Doubles, scales: Doubles, table_scales: Doubles) -> tuple[float, float, float]:
    """Bits of whole numbers plus shifts under the exact Gaussians; what leaving out shifts, and then scales, adds."""
    totals = np.zeros(3)
    reach = int(REACH_IN_SCALES * scales.max()) + 1
    for symbol in range(-reach, reach + 1):
        near = REACH_IN_SCALES * scales + 1 > abs(symbol)
        at, scale = np.full(near.sum(), float(symbol)), scales[near]
        exact = information(gaussian, at + shifts[near], scale)
        central = information(gaussian, at, scale)
        snapped = information(gaussian, at, table_scales[near])
        probability = np.exp2(-exact)
        totals += [float(probability @ bits) for bits in (exact, central - exact, snapped - central)]
    return totals[0], totals[1], totals[2]


def row(title: str, ledgers: list[Doubles]) -> str:
    """A line of the table: bits, per cent of them, and their 95 % interval over the drawings."""
    ideal, *costs, lost = np.mean(ledgers, axis=0)
    totals = [100 * sum(found[1:4]) / found[0] for found in ledgers]
    interval = 1.96 * np.std(totals, ddof=1) / np.sqrt(len(totals))
    shares = " | ".join(f"{100 * cost / ideal:+.2f} %" for cost in costs)
    return f"| {title} | {ideal:.0f} | {shares} | {np.mean(totals):+.2f} % +- {interval:.2f} | {lost:.1f} |"


def predicted(folder: Path) -> tuple[Doubles, Doubles]:
    """Means and scales of the four steps, each where it is used."""
    dump = read_weights(folder / "dump.safetensors").tensors
    means, scales = (np.zeros(dump["y"].shape[1:]) for _ in range(2))
    for step in range(STEPS):
        mask = step_mask(step, *means.shape)
        means[mask], scales[mask] = (dump[f"{name}{step}"][0].double().numpy()[mask] for name in ("means", "scales"))
    return means, scales


def main(folder: Path | None) -> None:
    print("| predictions | ideal bits | means | scales | the rest | together | symbols not coded |")
    print("|---|---|---|---|---|---|---|")
    for bpp, spread in itertools.product(RATES_BPP, SPREADS):
        rngs = (np.random.default_rng(seed) for seed in range(SEEDS))
        ledgers = [ledger(draw(rng, bpp * PIXELS, spread, SHARE_OF_Z), NEUTRAL_RATE) for rng in rngs]
        print(row(f"{bpp:.4f} bpp, spread {spread}", ledgers), flush=True)
    if folder is not None:
        for rate in GAINS:
            rngs = (np.random.default_rng(seed) for seed in range(SEEDS))
            ledgers = [ledger(Drawn.from_predictions(rng, *predicted(folder)), rate) for rng in rngs]
            print(row(f"networks, rate {rate}", ledgers), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
