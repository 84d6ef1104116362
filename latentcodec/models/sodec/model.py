"""SODEC (Chen et al. 2025) with one model for every rate.

    pixels --E--> y * gain(rate) --round--> symbols of y
                   +--H_a--> z --round--> symbols of z --P--> probabilities of y

    y^ / gain(rate) --D_a--> preview --F, F_p--> tokens ---+ cross-attention
    z^ --H_s--> w --+                                      |
    y^ / gain(rate) +--T_s--> x_t --one step of the UNet <-+--> latents --VAE decoder--> pixels

At mini scale autoencoder and denoiser are those of StableCodec mini, at full scale those of Stable Diffusion 2.1. The
former stays as it is.
"""

from typing import TYPE_CHECKING

from torch import Tensor, nn

from latentcodec.models.autoencoder import MiniVAE
from latentcodec.models.blocks.convs import RateEmbedding
from latentcodec.models.blocks.rate import RateKnots
from latentcodec.models.denoiser import MiniUNet, one_step_x0
from latentcodec.models.sodec.config import SodecConfig
from latentcodec.models.sodec.entropy import EntropyModel
from latentcodec.models.sodec.guidance import Guidance
from latentcodec.models.sodec.transforms import Analysis, LatentTransform, PreviewDecoder, PriorFeatures

if TYPE_CHECKING:
    from latentcodec.models.diffusion.stable_diffusion import FrozenAutoencoder

INITIAL_LOG_GAIN = (-3.0, 0.7)


class Sodec(nn.Module):
    """The networks of one model; every method takes the rate [B] in 0..1."""

    def __init__(self, config: SodecConfig):
        super().__init__()
        self.config = config
        vae, unet, guidance = _frozen_or_mini(config)
        self.vae = vae
        self.embedding = RateEmbedding(config.embedding)
        self.analysis = Analysis(config)
        self.log_gain = RateKnots(config.y_channels, *INITIAL_LOG_GAIN, speed=8.0)
        self.entropy = EntropyModel(config)
        self.preview_decoder = PreviewDecoder(config)
        self.prior_features = PriorFeatures(config)
        self.transform = LatentTransform(config)
        self.guidance = guidance
        self.unet = unet

    def prepare(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels [B, 3, H, W] in 0..1 -> the part of the analysis that no rate changes."""
        return self.analysis.prepare(pixels)

    def analyse(self, features: Tensor, linear: Tensor, rate: Tensor) -> Tensor:
        """What `prepare` returned -> y [B, M, H/16, W/16] in the quantised domain, not rounded."""
        y = self.analysis(features, linear, self.embedding(rate))
        return y.float() * self.log_gain(rate).exp()

    def preview(self, y: Tensor, rate: Tensor) -> Tensor:
        """y^ in the quantised domain -> the faithful picture [B, 3, H, W], not clamped."""
        return self.preview_decoder(y / self.log_gain(rate).exp(), self.embedding(rate))

    def synthesise_latents(self, y: Tensor, z: Tensor, preview: Tensor, rate: Tensor) -> Tensor:
        """y^ in the quantised domain, z^ and the preview -> denoised VAE latents [B, C, H/8, W/8]."""
        embedding = self.embedding(rate)
        y = y / self.log_gain(rate).exp()
        features = self.transform(y, self.prior_features(z, embedding), embedding)
        tokens = None if self.guidance is None else self.guidance(preview)
        noisy = features[:, : self.config.autoencoder.latent_channels]
        return one_step_x0(noisy, self.unet(features, embedding, tokens), self.config.alpha_bar)

    def synthesise(self, y: Tensor, z: Tensor, preview: Tensor, rate: Tensor) -> Tensor:
        """y^ in the quantised domain, z^ and the preview -> the realistic picture [B, 3, H, W], not clamped."""
        return self.vae.decode(self.synthesise_latents(y, z, preview, rate))


def _frozen_or_mini(config: SodecConfig) -> tuple["MiniVAE | FrozenAutoencoder", nn.Module, nn.Module | None]:
    """Autoencoder, denoiser and guidance of the scale."""
    if config.stable_diffusion is not None:
        from latentcodec.models.diffusion.stable_diffusion import FrozenAutoencoder
        from latentcodec.models.sodec.stable_diffusion import AdaptedUNet, VitGuidance

        frozen = config.stable_diffusion
        return FrozenAutoencoder(frozen), AdaptedUNet(frozen), VitGuidance(frozen) if config.guided else None
    attention = (config.tokens, config.heads, config.reach) if config.guided else None
    latent_channels = config.autoencoder.latent_channels
    unet = MiniUNet(config.widths, latent_channels, config.embedding, config.noise_planes, attention)
    return MiniVAE(config.autoencoder), unet, Guidance(config) if config.guided else None
