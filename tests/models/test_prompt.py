"""The text encoder is taken whole or not at all: a tensor that is wrong is named."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from latentcodec.errors import WeightsError
from latentcodec.models.diffusion.packages import transformers
from latentcodec.models.diffusion.prompt import LENGTH, PREFIX, SIZES, text_state

SMALL = SIZES | {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
NAME = "final_layer_norm.weight"
Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    pytest.importorskip("transformers")
    package = transformers()
    torch.manual_seed(0)
    state = package.CLIPTextModel(package.CLIPTextConfig(**SMALL)).state_dict()
    return {name.removeprefix(PREFIX): value for name, value in state.items()}


def test_names_with_and_without_a_prefix_are_the_same_encoder(tensors: Tensors) -> None:
    state = text_state(tensors, SMALL)
    assert state.shape == (1, LENGTH, 16)
    assert state.dtype == torch.float16
    assert torch.equal(state, text_state({PREFIX + name: value for name, value in tensors.items()}, SMALL))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda held: {name: value for name, value in held.items() if name != NAME}, f"Missing key.*{NAME}"),
        (lambda held: held | {"final_layer_norm.scale": torch.ones(16)}, "Unexpected key.*final_layer_norm.scale"),
        (lambda held: held | {NAME: torch.ones(17)}, f"size mismatch for .*{NAME}"),
    ],
    ids=["missing", "surplus", "shape"],
)
def test_a_tensor_that_is_wrong_is_named(tensors: Tensors, change: Callable[[Tensors], Tensors], message: str) -> None:
    with pytest.raises(WeightsError, match=f"not the text encoder of SD-Turbo: {message}"):
        text_state(change(tensors), SMALL)
