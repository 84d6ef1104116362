"""Sizes of a StableCodec model. The mini scale is the default; a weights file carries its own as JSON."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from latentcodec.coding.packing import Packing
from latentcodec.errors import WeightsError
from latentcodec.models.autoencoder import AutoencoderConfig
from latentcodec.models.sizes import checked, with_tuples


@dataclass(frozen=True)
class StableCodecConfig:
    """`widths` are the channels of features at strides 8, 16 and 32; latents y have stride 32, hyper-latents z 64.

    Residual blocks at strides 16 and 32 are `narrow`: their hidden layer has half the channels. Coarse layers cost
    little time but most of the parameters, and the weights have to fit in the package. `encoder_depths`: residual
    blocks at stride 8 of the auxiliary encoder and at stride 16 of the analysis. `noise_planes`: of known noise into
    the denoiser. `rate_range`: bits per pixel of an average crop at both ends of the rate parameter, exponential
    between them; training holds the model to it, and a search for a budget starts from it. `packed_tables`,
    `packed_reach`: symbols of the tables below the one are coded in quads, if they are no larger than the other.
    """

    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    widths: tuple[int, int, int] = (192, 192, 256)
    encoder_depths: tuple[int, int] = (2, 3)
    y_channels: int = 256
    z_channels: int = 32
    hyper_width: int = 192
    context_width: int = 192
    embedding: int = 64
    noise_planes: int = 16
    alpha_bar: float = 0.5
    rate_range: tuple[float, float] = (0.005, 0.6)
    packed_tables: int = 19
    packed_reach: int = 2

    @property
    def packing(self) -> Packing:
        """Which symbols are coded in quads."""
        return Packing(self.packed_tables, self.packed_reach)

    def __post_init__(self) -> None:
        low, high = self.rate_range
        if not 0 < low < high:
            raise ValueError(f"rate_range is {self.rate_range}")

    def to_json(self) -> str:
        """One line, as it stands in the metadata of a weights file."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "StableCodecConfig":
        """Inverse of `to_json`. Raises WeightsError."""
        try:
            values = json.loads(text)
            inner = AutoencoderConfig(**(EARLIER_AUTOENCODER | with_tuples(values.pop("autoencoder"))))
            return checked(cls(autoencoder=inner, **(EARLIER | with_tuples(values))))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise WeightsError(f"the weights file describes no StableCodec model: {error}") from error


Y_STRIDE, Z_STRIDE = 32, 64
# What the keys mean where a weights file is older than they are.
EARLIER_AUTOENCODER: dict[str, Any] = {"shortcut": False, "noise_planes": 0}
EARLIER: dict[str, Any] = {"encoder_depths": (1, 2), "packed_tables": 0, "packed_reach": 1, "noise_planes": 0}
