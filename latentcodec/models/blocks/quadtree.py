"""Quad-tree order of latents: four steps, each of which codes one quarter of the elements at every position.

The channels form four quarters; the positions form four phases of a 2x2 grid, (row % 2, column % 2). In step s the
element of quarter c at phase p is coded if QUARTER_OF[s][p] == c, so that after the first step every position has
known neighbours in every direction (as in StableCodec, and DCVC-DC before it).
"""

import numpy as np
import numpy.typing as npt

STEPS = 4
# PHASE_OF[step][quarter] = phase, phases numbered 0 (even, even), 1 (even, odd), 2 (odd, even), 3 (odd, odd).
PHASE_OF = ((0, 1, 2, 3), (3, 2, 1, 0), (2, 3, 0, 1), (1, 0, 3, 2))
QUARTER_OF = tuple(tuple(row.index(phase) for phase in range(4)) for row in PHASE_OF)


def phase_slices(phase: int) -> tuple[slice, slice]:
    """Rows and columns of one phase."""
    return slice(phase // 2, None, 2), slice(phase % 2, None, 2)


def step_mask(step: int, channels: int, height: int, width: int) -> npt.NDArray[np.bool_]:
    """[C, H, W]: which elements this step codes. The four masks partition the grid."""
    mask = np.zeros((channels, height, width), dtype=np.bool_)
    quarter = channels // 4
    for phase in range(4):
        first = QUARTER_OF[step][phase] * quarter
        mask[first : first + quarter, *phase_slices(phase)] = True
    return mask
