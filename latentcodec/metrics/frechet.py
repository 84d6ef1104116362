"""How far two sets of feature vectors lie apart: the Fréchet distance (FID) and the kernel distance (KID).

Knows nothing of pictures or networks; inception.py makes the features. All sums are in float64.
"""

import numpy as np
import numpy.typing as npt

from latentcodec.errors import InputError

Features = npt.NDArray[np.floating]
_ROWS_AT_ONCE = 1024


def frechet_distance(a: Features, b: Features) -> float:
    """Squared Fréchet distance of the Gaussians fitted to a [N, D] and b [M, D] (Heusel et al. 2017, eq. 6).

    |mean a - mean b|^2 + tr(A + B - 2 (A B)^(1/2)), covariances A and B with N - 1 below the line. Where A = R'R and
    B = S'S, the eigenvalues of A B are the squared singular values of R S', so no matrix root is taken and rank
    deficiency does no harm. Raises InputError for fewer than two rows.
    """
    a, b = _checked(a), _checked(b)
    difference = a.mean(0) - b.mean(0)
    root_a, root_b = _root_of_covariance(a), _root_of_covariance(b)
    overlap = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    return float(difference @ difference + (root_a**2).sum() + (root_b**2).sum() - 2 * overlap)


def _root_of_covariance(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """R [at most D, D] with R'R the covariance of the rows of x."""
    centred = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r")) if len(x) > x.shape[1] else centred


def kernel_distance(a: Features, b: Features) -> float:
    """Unbiased squared maximum mean discrepancy of a [N, D] and b [M, D], kernel (x.y / D + 1)^3 (Binkowski 2018).

    Over all rows at once, which is what the usual mean over random subsets estimates; may be negative. Raises
    InputError for fewer than two rows.
    """
    a, b = _checked(a), _checked(b)
    n, m = len(a), len(b)
    within_a = (_kernel_sum(a, a) - _cubic((a * a).sum(1), a.shape[1]).sum()) / (n * (n - 1))
    within_b = (_kernel_sum(b, b) - _cubic((b * b).sum(1), b.shape[1]).sum()) / (m * (m - 1))
    return float(within_a + within_b - 2 * _kernel_sum(a, b) / (n * m))


def _kernel_sum(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    blocks = (a[start : start + _ROWS_AT_ONCE] for start in range(0, len(a), _ROWS_AT_ONCE))
    return float(sum(_cubic(block @ b.T, a.shape[1]).sum() for block in blocks))


def _cubic(products: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    return np.asarray((products / width + 1) ** 3)


def _checked(x: Features) -> npt.NDArray[np.float64]:
    if len(x) < 2:
        raise InputError(f"a distribution needs two patches at least, and there is {len(x)}")
    return x.astype(np.float64)
