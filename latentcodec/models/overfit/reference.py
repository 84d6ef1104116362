"""What a fit starts from and a file is relative to: parameters of every preset, learned over many photographs.

Transform and statistics are shared by all presets. A reference made for one autoencoder serves others through their
context networks alone: these see magnitudes, whatever the latents mean.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from latentcodec.models.overfit.parameters import DECLARATIONS
from latentcodec.models.overfit.presets import LEVELS, PRESETS, Layout, Preset

SHARED = ("offset", "mixing", "lifting", "mean")
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
    return {d.name: arrays[d.name if d.name in SHARED else f"{preset.name}.{d.name}"] for d in DECLARATIONS}


def generalise(parameters: Mapping[str, Integers16], layout: Layout) -> dict[str, Integers16]:
    """For an autoencoder that the reference was not made for: its channels keep their places, and none is refined."""
    from latentcodec.models.overfit.function import initial

    plain = initial(layout)
    kept = {"hidden1", "hidden2", "step_bias", "level_bias", "band_bias", "hidden2_bias", "out", "lifting"}
    middle = np.rint(parameters["offset"].astype(np.float64).mean(axis=2)).astype(np.int16)
    offset = np.repeat(middle[:, :, None], layout.channels, axis=2)
    assert offset.shape[0] == LEVELS + 1
    still = {"refine1_bias": np.zeros_like(plain["refine1_bias"]), "refine2": np.zeros_like(plain["refine2"])}
    return plain | {name: parameters[name] for name in kept} | {"offset": offset} | still
