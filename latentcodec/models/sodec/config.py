"""Sizes of a SODEC model. The mini scale is the default; a weights file carries its own as JSON."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from latentcodec.coding.packing import Packing
from latentcodec.errors import WeightsError
from latentcodec.models.autoencoder import AutoencoderConfig
from latentcodec.models.diffusion.config import StableDiffusionConfig
from latentcodec.models.sizes import checked, with_tuples

Y_STRIDE, Z_STRIDE = 16, 64


@dataclass(frozen=True)
class SodecConfig:
    """`widths` are the channels of the denoiser at strides 8, 16 and 32; latents y have stride 16, hyper-latents z 64.

    `codec_widths`: of analysis and preview decoder at strides 4, 8 and 16. `prior_width`: of what H_s makes of z.
    `tokens`: channels of the guidance, one token for every 32x32 pixels; `heads` and `reach` of its cross-attention,
    which sees the tokens up to `reach` positions away. `guided`: whether there is guidance at all; without, the model
    is the baseline of an ablation. `stable_diffusion`: the frozen networks of the full scale; None: those of the mini
    scale. `rate_range`, `packed_tables`, `packed_reach`: as in StableCodecConfig. `packed_octets`: symbols of the
    tables below it are coded in octets.
    """

    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    widths: tuple[int, int, int] = (192, 192, 256)
    codec_widths: tuple[int, int, int] = (64, 128, 192)
    y_channels: int = 192
    z_channels: int = 32
    hyper_width: int = 128
    prior_width: int = 64
    embedding: int = 64
    tokens: int = 128
    heads: int = 4
    reach: int = 2
    guided: bool = True
    noise_planes: int = 16
    alpha_bar: float = 0.5
    rate_range: tuple[float, float] = (0.005, 0.6)
    packed_tables: int = 36
    packed_reach: int = 3
    packed_octets: int = 12
    stable_diffusion: StableDiffusionConfig | None = None

    @property
    def denoiser_inputs(self) -> int:
        """Channels that the denoiser takes: features of which the first are x_t, or x_t alone."""
        return self.widths[0] if self.stable_diffusion is None else self.autoencoder.latent_channels

    @property
    def packing(self) -> Packing:
        """Which symbols are coded in quads or octets."""
        return Packing(self.packed_tables, self.packed_reach, self.packed_octets)

    def __post_init__(self) -> None:
        low, high = self.rate_range
        if not 0 < low < high:
            raise ValueError(f"rate_range is {self.rate_range}")

    def to_json(self) -> str:
        """One line, as it stands in the metadata of a weights file."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "SodecConfig":
        """Inverse of `to_json`. Raises WeightsError."""
        try:
            values = json.loads(text)
            inner = AutoencoderConfig(**with_tuples(values.pop("autoencoder")))
            outer = values.pop("stable_diffusion", None)
            frozen = None if outer is None else StableDiffusionConfig(**with_tuples(outer))
            return checked(cls(autoencoder=inner, stable_diffusion=frozen, **(EARLIER | with_tuples(values))))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise WeightsError(f"the weights file describes no SODEC model: {error}") from error


EARLIER: dict[str, Any] = {"packed_octets": 0}  # what the key means where a weights file is older than it is
SCALES = {
    "mini": SodecConfig(),
    "sd21": SodecConfig(
        autoencoder=AutoencoderConfig(latent_channels=4),
        widths=(320, 320, 320),
        codec_widths=(96, 192, 320),
        y_channels=320,
        z_channels=64,
        hyper_width=192,
        prior_width=128,
        alpha_bar=0.0046601,
        stable_diffusion=StableDiffusionConfig(),
    ),
}
