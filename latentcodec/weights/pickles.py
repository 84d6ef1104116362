"""Pickles of numpy arrays, read without running anything they contain.

Some public networks exist only as pickles. The unpickler here knows three names, all of them numpy's; every other
global is refused, so a hostile file can at worst waste memory.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from latentcodec.errors import WeightsError

_ALLOWED = {("numpy", "dtype"), ("numpy", "ndarray"), ("numpy.core.multiarray", "_reconstruct")}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise WeightsError(f"pickle refers to {module}.{name}, which is not a numpy array")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_array_pickle(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Nested dictionaries of arrays -> flat dictionary with slash-joined keys. Raises WeightsError."""
    with path.open("rb") as file:
        try:
            tree = _ArrayUnpickler(file).load()
        except (pickle.UnpicklingError, EOFError, ValueError, TypeError) as error:
            raise WeightsError(f"{path.name} is not a pickle of arrays: {error}") from error
    return dict(_flatten(tree, ""))


def _flatten(tree: Any, prefix: str) -> Any:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _flatten(value, f"{prefix}/{key}" if prefix else str(key))
    elif isinstance(tree, np.ndarray):
        yield prefix, tree
    else:
        raise WeightsError(f"pickle holds a {type(tree).__name__} at {prefix!r}")
