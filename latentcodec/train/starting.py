"""Weights of an earlier stage -> the modules of a task."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from latentcodec.errors import InputError


def take_over(
    module: nn.Module, weights: Mapping[str, Tensor], prefix: str, may_lack: Callable[[str], bool] = lambda _: False
) -> None:
    """Load what stands under `prefix` into a module.

    `may_lack`: whether the weights need not hold a tensor of this name, prefix and all, which then stays as it is.
    Raises InputError for whatever else does not fit.
    """
    found = under(weights, prefix)
    try:
        result = module.load_state_dict(found, strict=False)
    except RuntimeError as error:
        raise InputError("the weights to start from do not fit this model") from error
    wrong = [name for name in result.missing_keys if not may_lack(prefix + name)] + result.unexpected_keys
    if wrong:
        raise InputError(f"the weights to start from do not fit this model: {wrong[0]}")


def under(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
