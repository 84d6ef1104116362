"""What a fit starts from and a file is relative to: parameters of every preset, learned over many photographs.

Transform and statistics are shared by all presets. A reference made for one autoencoder serves others through their
context networks alone: these see magnitudes, whatever the latents mean.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from latentcodec.coding.fixedpoint import WEIGHT_BITS
from latentcodec.coding.tables import GAUSSIAN, LOGISTIC
from latentcodec.errors import WeightsError
from latentcodec.models.overfit.parameters import DECLARATIONS, shapes
from latentcodec.models.overfit.presets import PRESETS, REFINEMENT_KERNEL, STEPS, STEPS_PER_UNIT, Layout, Preset

SHARED = ("offset", "mixing", "mean", "prediction")
PREDICTION = "prediction"  # a file without it has none
LIFTED = "lifted"  # [C]: 0 for components that are only split; a file without it has none of these
FIRST_TABLE = "first_table"  # [1]: of the shape that symbols have; Gaussian in a file without it
FINEST = "steps_per_unit"  # [1]: as the layout has it
# Their first dimension is left out where one network serves all steps.
PER_STEP = tuple(declared.name for declared in DECLARATIONS if declared.per_step)
Integers16 = npt.NDArray[np.int16]


def merge(by_preset: Mapping[str, Mapping[str, Integers16]]) -> dict[str, Integers16]:
    """Parameters per preset -> the arrays of a reference file."""
    first = by_preset[PRESETS[0].name]
    arrays = {name: first[name] for name in SHARED}
    for preset, parameters in by_preset.items():
        arrays |= {f"{preset}.{name}": value for name, value in parameters.items() if name not in SHARED}
    return arrays


def pick(arrays: Mapping[str, Integers16], preset: Preset) -> dict[str, Integers16]:
    """The parameters of one preset from a reference file."""
    known = {PREDICTION: np.zeros((0, len(arrays["mean"]), len(arrays["mean"])), np.int16)} | dict(arrays)
    found = {d.name: known[d.name if d.name in SHARED else f"{preset.name}.{d.name}"] for d in DECLARATIONS}
    if found["out"].ndim == 1:
        found |= {name: found[name][None] for name in PER_STEP}
    return found


def check(arrays: Mapping[str, Integers16]) -> None:
    """Raises WeightsError for arrays that are no reference."""
    try:
        channels = len(arrays["mean"])
        for preset in PRESETS:
            picked = pick(arrays, preset)
            layout = layout_of(arrays, preset, channels, native=True)
            whole = {name: value.shape for name, value in picked.items()} == shapes(layout)
            lifted = arrays.get(LIFTED, np.ones(channels, np.int16))
            fits = layout.networks in (1, STEPS) and layout.first_table in (GAUSSIAN, LOGISTIC)
            fits = fits and layout.steps_per_unit > 0
            fits = fits and all(arrays.get(name, np.zeros(1)).shape == (1,) for name in (FIRST_TABLE, FINEST))
            if not whole or not fits or lifted.shape != (channels,):
                raise WeightsError("the weights are no reference of method overfit")
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise WeightsError("the weights are no reference of method overfit") from error


def layout_of(arrays: Mapping[str, Integers16], preset: Preset, channels: int, *, native: bool) -> Layout:
    """Sizes of the function at a preset. `native`: the reference was made for the autoencoder."""
    networks = len(pick(arrays, preset)["out"])
    split = np.flatnonzero(arrays[LIFTED] == 0).tolist() if native and LIFTED in arrays else ()
    first_table = int(arrays[FIRST_TABLE][0]) if FIRST_TABLE in arrays else GAUSSIAN
    predicts = native and len(arrays.get(PREDICTION, ())) > 0
    steps = int(arrays[FINEST][0]) if FINEST in arrays else STEPS_PER_UNIT
    return Layout(preset, channels, networks, tuple(split), first_table, predicts, steps)


def generalise(parameters: Mapping[str, Integers16], layout: Layout) -> dict[str, Integers16]:
    """For an autoencoder that the reference was not made for: channels are not mixed, and nothing is refined.

    Normative: formats/overfit.md. The refinement's first layer passes latents on, so that a fit can learn the second.
    """
    kept = ("hidden1", "hidden2", "step_bias", "level_bias", "band_bias", "hidden2_bias", "out", "direct")
    values = {name: np.zeros(shape, np.int16) for name, shape in shapes(layout).items()}
    values |= {name: parameters[name] for name in kept}
    values["offset"][:] = _rounded_mean(parameters["offset"])[:, :, None]
    values["mixing"][:] = np.eye(layout.channels) * (1 << WEIGHT_BITS)
    middle = REFINEMENT_KERNEL // 2
    for unit in range(layout.preset.refinement_width):
        sign = -1 if unit // layout.channels % 2 else 1
        values["refine1"][unit, unit % layout.channels, middle, middle] = sign * (1 << WEIGHT_BITS)
    return values


def _rounded_mean(x: Integers16) -> Integers16:
    """Mean over the last dimension, to the nearest integer, halves to even; in integers, since it selects tables."""
    count = x.shape[-1]
    below, rest = np.divmod(x.astype(np.int64).sum(axis=-1), count)
    up = (2 * rest > count) | ((2 * rest == count) & (below % 2 == 1))
    return (below + up).astype(np.int16)
