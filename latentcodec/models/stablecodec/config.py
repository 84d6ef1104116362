"""Sizes of a StableCodec model. The mini scale is the default."""

from dataclasses import dataclass, field

from latentcodec.models.autoencoder import AutoencoderConfig


@dataclass(frozen=True)
class StableCodecConfig:
    """`widths` are the channels of features at strides 8, 16 and 32; latents y have stride 32, hyper-latents z 64.

    Residual blocks at strides 16 and 32 are `narrow`: their hidden layer has half the channels. Coarse layers cost
    little time but most of the parameters, and the weights have to fit in the package.
    """

    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    widths: tuple[int, int, int] = (192, 192, 256)
    y_channels: int = 192
    z_channels: int = 32
    hyper_width: int = 192
    context_width: int = 192
    embedding: int = 64
    alpha_bar: float = 0.5


Y_STRIDE = 32
Z_STRIDE = 64
