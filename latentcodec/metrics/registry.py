"""Every metric as a row: what its number is called, which way is better, and what it takes to measure it.

Imports nothing heavy: the command line reads names from here.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from latentcodec.errors import InputError


@dataclass(frozen=True)
class Metric:
    """One metric; docs/metrics.md defines every number.

    name: column in results and key in JSON. identical: value of a picture with itself. smallest_side: in pixels.
    package: distribution on PyPI that measures it. program: the same, for one that runs as a process of its own.
    weights: ids of the networks that must be present.
    """

    name: str
    title: str
    higher_is_better: bool
    identical: float
    unit: str = ""
    smallest_side: int = 1
    package: str = ""
    program: str = ""
    weights: tuple[str, ...] = ()


PATCH_SIDE = 256

_PAIRS = (
    Metric("psnr", "PSNR", True, math.inf, "dB"),
    Metric("ms_ssim", "MS-SSIM", True, 1.0, smallest_side=161, package="pytorch-msssim"),
    Metric("ssimulacra2", "SSIMULACRA2", True, 100.0, smallest_side=8),
    Metric("cvvdp", "ColorVideoVDP (standard_4k)", True, 10.0, "JOD", smallest_side=2, program="cvvdp"),
    Metric("flip", "FLIP (67 pixels per degree)", False, 0.0, package="flip-evaluator"),
    Metric("lpips_alex", "LPIPS (AlexNet)", False, 0.0, smallest_side=31, weights=("lpips-alex",)),
    Metric("dists", "DISTS (VGG16)", False, 0.0, weights=("lpips-vgg", "dists")),
)
_SETS = (
    Metric("fid", "FID (Inception-v3, patches)", False, 0.0, smallest_side=PATCH_SIDE, weights=("inception-fid",)),
    Metric("kid", "KID (Inception-v3, patches)", False, 0.0, smallest_side=PATCH_SIDE, weights=("inception-fid",)),
)

METRICS = {row.name: row for row in _PAIRS}
"""Metrics of a picture against its original, in the order of tables."""

SET_METRICS = {row.name: row for row in _SETS}
"""Metrics of a set of pictures against the set of originals."""


def checked_names(names: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    """The names without repetitions. Raises InputError for one that is not among the known."""
    chosen, known = tuple(dict.fromkeys(name.lower() for name in names)), tuple(known)
    for name in chosen:
        if name in SET_METRICS and name not in known:
            raise InputError(f"{name} compares folders, not two pictures")
        if name not in known:
            raise InputError(f"no metric called {name!r}; there is {', '.join(known)}")
    return chosen
