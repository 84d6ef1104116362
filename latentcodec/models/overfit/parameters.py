"""The parameters of the fitted function, declared once: names, shapes, fixed-point formats, and changes in a file.

All parameters are integers with some bits after the point. A file names a reference, a set of integers that ships with
the program, and sends differences for some groups of parameters: multiples of a power of two, coded with one table per
group. Where nothing is sent the reference holds.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latentcodec.coding.fixedpoint import ACTIVATION_BITS, WEIGHT_BITS
from latentcodec.coding.symbols import Coder
from latentcodec.coding.tables import FIRST_CODED_TABLE, LARGEST_SYMBOL, TABLES, information
from latentcodec.models.overfit.presets import (
    BANDS,
    FEATURES,
    LEVELS,
    PREDICTION_TAPS,
    REFINEMENT_KERNEL,
    STEPS,
    Layout,
)

Parameters = Mapping[str, npt.NDArray[np.int16]]
LIMIT = (1 << 15) - 1


@dataclass(frozen=True)
class Parameter:
    """`bits` after the point; `group`: number of the group that it is sent with, or None: a file does not change it.

    `per_step`: the first dimension is that of the steps' networks, which a file changes all alike: for the latents of
    one picture, differences between steps do not pay.
    """

    name: str
    bits: int
    group: int | None
    per_step: bool = False


DECLARATIONS = (
    Parameter("hidden1", WEIGHT_BITS, 0, per_step=True),
    Parameter("hidden2", WEIGHT_BITS, 0, per_step=True),
    Parameter("step_bias", ACTIVATION_BITS, 1),
    Parameter("level_bias", ACTIVATION_BITS, 1),
    Parameter("band_bias", ACTIVATION_BITS, 1),
    Parameter("hidden2_bias", ACTIVATION_BITS, 1),
    Parameter("out", WEIGHT_BITS, 2, per_step=True),
    Parameter("direct", WEIGHT_BITS, 2, per_step=True),
    Parameter("offset", ACTIVATION_BITS, 3),
    Parameter("mixing", WEIGHT_BITS, 4),
    Parameter("mean", ACTIVATION_BITS, 5),
    Parameter("prediction", WEIGHT_BITS, None),
    Parameter("refine1", WEIGHT_BITS, 6),
    Parameter("refine2", WEIGHT_BITS, 6),
    Parameter("refine1_bias", ACTIVATION_BITS, 7),
    Parameter("refine2_bias", ACTIVATION_BITS, 7),
)
GROUPS = 8


def shapes(layout: Layout) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter."""
    channels, width, refined = layout.channels, layout.preset.context_width, layout.preset.refinement_width
    networks = layout.networks
    return {
        "hidden1": (networks, width, FEATURES),
        "hidden2": (networks, width, width),
        "step_bias": (STEPS, width),
        "level_bias": (LEVELS + 1, width),
        "band_bias": (BANDS, width),
        "hidden2_bias": (width,),
        "out": (networks, width),
        "direct": (networks, FEATURES),
        "offset": (LEVELS + 1, BANDS, channels),
        "mixing": (LEVELS + 1, BANDS, channels, channels),
        "mean": (channels,),
        "prediction": (PREDICTION_TAPS * layout.predicts, channels, channels),
        "refine1": (refined, channels, REFINEMENT_KERNEL, REFINEMENT_KERNEL),
        "refine2": (channels, refined),
        "refine1_bias": (refined,),
        "refine2_bias": (channels,),
    }


@dataclass(frozen=True)
class Change:
    """How the differences of one group are sent: multiples of 2^`shift`, coded with `table`; table 0: none are."""

    table: int = 0
    shift: int = 0

    @property
    def sent(self) -> bool:
        return self.table > 0


UNCHANGED = (Change(),) * GROUPS


def change_of(declared: Parameter, changes: tuple[Change, ...]) -> Change:
    """How a file sends a parameter."""
    return Change() if declared.group is None else changes[declared.group]


def code_differences(
    coder: Coder, changes: tuple[Change, ...], reference: Parameters, wanted: Parameters | None = None
) -> dict[str, npt.NDArray[np.int16]]:
    """Parameters <-> coder. `wanted`: what to send, when encoding; returns what the decoder will know."""
    known = {}
    for declared in DECLARATIONS:
        base = reference[declared.name].astype(np.int64)
        change = change_of(declared, changes)
        if change.sent:
            shape = base.shape[1:] if declared.per_step else base.shape
            symbols = None if wanted is None else differences(declared, reference, wanted, change.shift)
            coded = coder.code(np.full(math.prod(shape), change.table, np.uint8), symbols)
            base = np.clip(base + (coded.reshape(shape).astype(np.int64) << change.shift), -LIMIT, LIMIT)
        known[declared.name] = base.astype(np.int16)
    return known


def differences(declared: Parameter, reference: Parameters, wanted: Parameters, shift: int) -> npt.NDArray[np.int32]:
    """Of one parameter, as multiples of 2^shift; where networks of several steps differ, the first one's."""
    difference = wanted[declared.name].astype(np.int64) - reference[declared.name]
    sent = difference[0] if declared.per_step else difference
    return np.rint(sent / (1 << shift)).astype(np.int32).ravel()


def best_table(symbols: npt.NDArray[np.int32]) -> int:
    """The coded Gaussian table that takes the fewest bits for these symbols."""
    bits = information()[FIRST_CODED_TABLE:TABLES, symbols + LARGEST_SYMBOL].sum(axis=1)
    return FIRST_CODED_TABLE + int(np.argmin(bits))
