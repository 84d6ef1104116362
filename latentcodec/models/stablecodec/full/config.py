"""Sizes of the published model; smaller ones for tests. Names of channels follow the paper."""

import json
from dataclasses import asdict, dataclass, field

from latentcodec.errors import WeightsError
from latentcodec.models.diffusion.config import StableDiffusionConfig
from latentcodec.models.sizes import checked, with_tuples

Z_STRIDE = 256
VAE_LEVELS = 4  # which halve the sides three times


@dataclass(frozen=True)
class FullConfig:
    """`channels`: M, of y and of the features F; z has half of them, the context three times as many.

    `entry`: channels that latents and auxiliary features enter the analysis with; `analysis` and `auxiliary`: widths
    from stride 16 to 64, and back. `elic`: N and M of the auxiliary encoder. `alpha_bar`: cumulative signal level at
    the one time step of the denoiser.
    """

    channels: int = 320
    entry: tuple[int, int] = (128, 64)
    analysis: tuple[int, int, int] = (192, 256, 320)
    auxiliary: tuple[int, int, int] = (320, 256, 192)
    elic: tuple[int, int] = (192, 320)
    stable_diffusion: StableDiffusionConfig = field(default_factory=StableDiffusionConfig)
    alpha_bar: float = 0.00466009509

    def to_json(self) -> str:
        """One line, as it stands in the metadata of a weights file."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "FullConfig":
        """Inverse of `to_json`. Raises WeightsError."""
        try:
            values = json.loads(text)
            inner = StableDiffusionConfig(**with_tuples(values.pop("stable_diffusion")))
            config = checked(cls(stable_diffusion=inner, **with_tuples(values)))
            if config.alpha_bar >= 1 or config.channels < 1:
                raise ValueError("alpha_bar is below 1, channels at least 1")
            if len(inner.vae_widths) != VAE_LEVELS:
                raise ValueError(f"its VAE has {VAE_LEVELS} levels")
            return config
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise WeightsError(f"the weights file describes no StableCodec at full scale: {error}") from error
