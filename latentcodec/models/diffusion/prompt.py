"""The one text that StableCodec's denoiser attends to, as the state of SD-Turbo's text encoder.

The text is always the same, so no tokenizer is needed, nor the text encoder once a checkpoint has been imported:
"A high-resolution, 8K, ultra-realistic image with sharp focus, vibrant colors, and natural lighting."
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from latentcodec.errors import WeightsError
from latentcodec.models.diffusion.packages import transformers

LENGTH, START, END, PADDING = 77, 49406, 49407, 0
WORDS = (
    320, 1400, 268, 9977, 267, 279, 330, 267, 8118, 268, 16157, 2867, 593, 8157, 4353, 267, 14270, 5389, 267, 537, 3288,
    5799, 269,
)  # fmt: skip
TOKENS = (START, *WORDS, END, *(PADDING for _ in range(LENGTH - len(WORDS) - 2)))
# The text encoder of Stable Diffusion 2: the first 23 layers of OpenCLIP ViT-H/14.
SIZES = {
    "vocab_size": 49408, "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23,
    "num_attention_heads": 16, "max_position_embeddings": LENGTH, "hidden_act": "gelu",
}  # fmt: skip
PREFIX = "text_model."


@torch.inference_mode()
def text_state(tensors: Mapping[str, Tensor], sizes: Mapping[str, Any] | None = None) -> Tensor:
    """Tensors of the text encoder -> its last hidden state of the text, [1, 77, 1024]. Strict: raises WeightsError.

    Computed in float64 and rounded to float16: the same on every machine.
    """
    package = transformers()
    encoder: Any = package.CLIPTextModel(package.CLIPTextConfig(**(sizes or SIZES))).double()
    encoder.eval()
    own = encoder.state_dict()
    held = {_own_name(name, own): value.double() for name, value in tensors.items() if "position_ids" not in name}
    try:
        encoder.load_state_dict(held)
    except RuntimeError as error:
        raise WeightsError(f"not the text encoder of SD-Turbo: {str(error).splitlines()[1].strip()}") from error
    state: Tensor = encoder(torch.tensor([TOKENS])).last_hidden_state
    return state.half()


def _own_name(name: str, own: Mapping[str, Tensor]) -> str:
    """Versions of the library differ in whether names begin with PREFIX."""
    if name in own:
        return name
    return name.removeprefix(PREFIX) if name.startswith(PREFIX) else PREFIX + name
