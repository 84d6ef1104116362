"""Exact matrix products on the threads of PyTorch.

To the last bit what NumPy gives (`coding.fixedpoint`), but from one pool of threads: those of NumPy's BLAS spin for a
tenth of a second after every product, on the very cores that the networks want next.
"""

from dataclasses import dataclass

import numpy as np
import torch

from latentcodec.coding.fixedpoint import Arithmetic, Numbers


@dataclass(frozen=True)
class TorchArithmetic(Arithmetic):
    """As Arithmetic, but that PyTorch multiplies the matrices."""

    def matmul(self, weights: Numbers, columns: Numbers) -> Numbers:
        """See Arithmetic."""
        product: Numbers = (torch.from_numpy(weights) @ torch.from_numpy(columns)).numpy()
        return product


TORCH = TorchArithmetic(np.float64)
