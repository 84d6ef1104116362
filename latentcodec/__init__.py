"""lcodec: an image codec for very low rates. `encode`, `decode` and `inspect`, and the types that they speak in.

Nothing is imported before it is used: reading a file's header needs neither numpy nor torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentcodec.api import EncodeResult, decode, encode, encode_picture, inspect
    from latentcodec.container.file import LcodecFile
    from latentcodec.errors import LcodecError
    from latentcodec.image import Picture, from_pillow, read_picture, to_pillow, write_picture
    from latentcodec.limits import Limits
    from latentcodec.pipelines.base import Settings
    from latentcodec.rate import BppBudget, ByteBudget, Quality, parse_target

__version__ = "0.1.0"

_HOMES = {
    "EncodeResult": "api",
    "encode": "api",
    "encode_picture": "api",
    "decode": "api",
    "inspect": "api",
    "LcodecFile": "container.file",
    "LcodecError": "errors",
    "Picture": "image",
    "from_pillow": "image",
    "read_picture": "image",
    "to_pillow": "image",
    "write_picture": "image",
    "Limits": "limits",
    "Settings": "pipelines.base",
    "BppBudget": "rate",
    "ByteBudget": "rate",
    "Quality": "rate",
    "parse_target": "rate",
}

__all__ = [
    "BppBudget",
    "ByteBudget",
    "EncodeResult",
    "LcodecError",
    "LcodecFile",
    "Limits",
    "Picture",
    "Quality",
    "Settings",
    "decode",
    "encode",
    "encode_picture",
    "from_pillow",
    "inspect",
    "parse_target",
    "read_picture",
    "to_pillow",
    "write_picture",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
