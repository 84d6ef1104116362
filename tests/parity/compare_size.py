"""Bytes of the published program's file and of ours, for the same symbols.

    python -m tests.parity.compare_size

Needs CompressAI 1.2.8, whose coder the published program uses; it is not a dependency of this project. Symbols
are drawn (drawn.py), since no published checkpoint was at hand; the table covers what is not known of one. The last two
columns are bytes beyond the information of the symbols under the exact densities, headers included.
"""

import itertools
import sys
from dataclasses import replace

import numpy as np
import torch

from latentcodec.coding.symbols import SymbolEncoder
from latentcodec.coding.tables import FIRST_CODED_TABLE, LOG_SCALE_STEP, SMALLEST_SCALE
from latentcodec.container import file as container
from latentcodec.container.file import LcodecFile
from latentcodec.models.blocks.quadtree import STEPS, step_mask
from latentcodec.models.stablecodec.full.guarded import NEUTRAL_RATE
from latentcodec.pipelines.stablecodec_full import PACKING
from tests.parity.drawn import (
    RATES_BPP,
    SPREADS,
    Doubles,
    Drawn,
    draw,
    gaussian,
    information,
    logistic,
    logistic_density,
)

try:
    from compressai.ans import BufferedRansEncoder
    from compressai.entropy_models import EntropyBottleneck, GaussianConditional
except ImportError as error:
    sys.exit(f"CompressAI is needed, whose coder the published program uses: {error}")

SHARES_OF_Z = (0.05, 0.15, 0.3)
SEEDS = 20
WIDTH, HEIGHT = 768, 512
FRAMING_BYTES = 20  # height and width of z, number of streams, and the length of each, of four bytes
EXPECTED_BEYOND = 33  # bytes of their file that are not information: framing, and the ends of two streams
THEIR_SCALES = np.geomspace(0.11, 256, 64)


def settled(drawn: Drawn) -> Drawn:
    """With y in the middle of its interval, so that both round to the same symbol: one that both can code."""
    coded = drawn.scales >= SMALLEST_SCALE * np.exp(LOG_SCALE_STEP * (FIRST_CODED_TABLE - 0.5))
    symbols = np.rint(drawn.y - drawn.means)
    return replace(drawn, y=drawn.means + np.where(coded, symbols, 0))


def ideal_bits(drawn: Drawn) -> float:
    """Information of settled symbols."""
    of_y = information(gaussian, np.rint(drawn.y - drawn.means), drawn.scales)
    return float(of_y.sum() + information(logistic, drawn.z, drawn.z_scales[:, None, None]).sum())


def their_bytes(drawn: Drawn, conditional: GaussianConditional) -> int:
    """Framing, and two streams: a step's quarters lie upon each other, and the steps one after another."""
    bottleneck = EntropyBottleneck(len(drawn.z))
    bottleneck.load_state_dict(logistic_density(drawn.z_scales), strict=False)
    bottleneck.update(force=True)
    (of_z,) = bottleneck.compress(torch.from_numpy(drawn.z).float()[None])
    symbols = torch.from_numpy(np.concatenate([_dense(drawn.y - drawn.means, step) for step in range(STEPS)]))
    scales = torch.from_numpy(np.concatenate([_dense(drawn.scales, step) for step in range(STEPS)]))
    encoder = BufferedRansEncoder()
    encoder.encode_with_indexes(
        symbols.round().int().tolist(),
        conditional.build_indexes(scales.float()).tolist(),
        conditional.quantized_cdf.tolist(),
        conditional.cdf_length.tolist(),
        conditional.offset.tolist(),
    )
    return FRAMING_BYTES + len(encoder.flush()) + len(of_z)


def _dense(x: Doubles, step: int) -> Doubles:
    """The elements of a step as a quarter of the channels, row by row."""
    return (x * step_mask(step, *x.shape)).reshape(4, -1).sum(0)


def our_bytes(drawn: Drawn) -> int:
    """Header and payload, after a look at whether these are the same symbols."""
    coder = SymbolEncoder(PACKING)
    source = drawn.z.astype(np.float32), drawn.y.astype(np.float32)
    coded = drawn.entropy_model().code(coder, NEUTRAL_RATE, drawn.z.shape[1:], source)
    assert np.array_equal(np.rint(coded.y - drawn.means), np.rint(drawn.y - drawn.means))
    file = LcodecFile(2, WIDTH, HEIGHT, NEUTRAL_RATE, 0, coded.digest(), coder.finish())
    return len(container.write(file))


def compare(bpp: float, spread: float, share_of_z: float, conditional: GaussianConditional) -> Doubles:
    """[SEEDS, 3]: bytes of their file, which is to have about this rate, of ours, and of the information."""
    bits = bpp * WIDTH * HEIGHT - 8 * EXPECTED_BEYOND
    found = []
    for seed in range(SEEDS):
        drawn = settled(draw(np.random.default_rng(seed), bits, spread, share_of_z))
        found.append((their_bytes(drawn, conditional), our_bytes(drawn), ideal_bits(drawn) / 8))
    return np.array(found)


def main() -> None:
    conditional = GaussianConditional(None)
    conditional.update_scale_table(THEIR_SCALES.tolist())
    print("| their bpp | spread | share of z | theirs | ours | saving | smallest | beyond, theirs | ours |")
    print("|---|---|---|---|---|---|---|---|---|")
    for bpp, spread, share in itertools.product(RATES_BPP, SPREADS, SHARES_OF_Z):
        sizes = compare(bpp, spread, share, conditional)
        theirs, ours, ideal = sizes.mean(0)
        savings = 100 * (1 - sizes[:, 1] / sizes[:, 0])
        interval = 1.96 * savings.std(ddof=1) / np.sqrt(SEEDS)
        cells = (
            f"{8 * theirs / (WIDTH * HEIGHT):.4f}",
            spread,
            share,
            f"{theirs:.0f}",
            f"{ours:.0f}",
            f"{savings.mean():.2f} % +- {interval:.2f}",
            f"{savings.min():.1f} %",
            f"{theirs - ideal:.1f}",
            f"{ours - ideal:.1f}",
        )
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
