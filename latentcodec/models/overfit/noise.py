"""Noise in the place of zeros: what was rounded away, guessed with random numbers that every decoder knows.

Where a symbol of the finest level is zero, its real value lay mostly between -2/3 and 2/3, and nearer to zero the
narrower its probability table is. Zeros in its place are closest on average, and look smooth; noise looks like more.
"""

import math

import numpy as np
import numpy.typing as npt
import torch

from latentcodec.coding.tables import FIRST_CODED_TABLE, LOG_SCALE_STEP, SMALLEST_SCALE, TABLES
from latentcodec.models.blocks.noise import uniform_noise

SEED = 1
PARTS = 10  # of the deviation
UNIFORM_DEVIATION = 1 / math.sqrt(12)  # of values spread evenly over a rounding interval


def with_noise(grid: npt.NDArray[np.int32], tables: npt.NDArray[np.uint8], amount: int) -> npt.NDArray[np.float32]:
    """Symbols [bands, C, h, w] and their tables -> symbols, zeros with noise of `amount` / PARTS of their deviation."""
    symbols = grid.astype(np.float32)
    if not amount:
        return symbols
    scales = SMALLEST_SCALE * np.exp(LOG_SCALE_STEP * np.arange(TABLES))
    deviations = np.where(np.arange(TABLES) < FIRST_CODED_TABLE, 0, np.minimum(scales, UNIFORM_DEVIATION))
    planes, rows, columns = (torch.arange(n) for n in (grid.shape[0] * grid.shape[1], *grid.shape[2:]))
    noise = uniform_noise(rows[:, None], columns, planes[:, None, None], SEED).numpy().reshape(grid.shape)
    added = amount / PARTS * deviations.astype(np.float32)[tables % TABLES] * noise
    return np.where(grid == 0, added, symbols)
