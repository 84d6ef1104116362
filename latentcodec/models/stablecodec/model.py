"""StableCodec (Zhang et al. 2025) with one model for every rate.

    pixels --VAE encoder--> latents --+
    pixels --auxiliary encoder--------+--> Analysis --> y * gain(rate) --round--> symbols
                                                                                     |
    pixels <--VAE decoder-- (x_0 + residual) <--one step-- UNet(F) <-- Synthesis <-- y^ / gain(rate)
                                    ^------------------ auxiliary decoder <-----------+

Arrows of this file: `prepare` and `analyse` pixels -> y, `synthesise` y^ -> pixels. Coding y is the business of the
entropy model.
"""

from torch import Tensor, nn

from latentcodec.models.autoencoder import MiniVAE
from latentcodec.models.blocks.convs import RateEmbedding
from latentcodec.models.blocks.rate import RateKnots
from latentcodec.models.denoiser import MiniUNet, one_step_x0
from latentcodec.models.stablecodec.config import StableCodecConfig
from latentcodec.models.stablecodec.entropy import EntropyModel
from latentcodec.models.stablecodec.transforms import Analysis, AuxiliaryDecoder, AuxiliaryEncoder, Synthesis

INITIAL_LOG_GAIN = (-3.0, 0.7)


class StableCodec(nn.Module):
    """The networks of one model; every method takes the rate [B] in 0..1."""

    def __init__(self, config: StableCodecConfig):
        super().__init__()
        self.config = config
        self.vae = MiniVAE(config.autoencoder)
        self.embedding = RateEmbedding(config.embedding)
        self.auxiliary_encoder = AuxiliaryEncoder(config)
        self.analysis = Analysis(config)
        self.log_gain = RateKnots(config.y_channels, *INITIAL_LOG_GAIN, speed=8.0)
        self.entropy = EntropyModel(config)
        self.synthesis = Synthesis(config)
        self.auxiliary_decoder = AuxiliaryDecoder(config)
        self.unet = MiniUNet(config.widths, config.autoencoder.latent_channels, config.embedding, config.noise_planes)

    def prepare(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels [B, 3, H, W] -> VAE latents and auxiliary features: the part of the analysis that no rate changes."""
        return self.vae.encode(pixels), self.auxiliary_encoder(pixels)

    def analyse(self, latents: Tensor, features: Tensor, rate: Tensor) -> Tensor:
        """What `prepare` returned -> y [B, M, H/32, W/32] in the quantised domain, not rounded."""
        y = self.analysis(latents, features, self.embedding(rate))
        return y.float() * self.log_gain(rate).exp()

    def synthesise_latents(self, y: Tensor, rate: Tensor) -> Tensor:
        """y^ in the quantised domain -> denoised VAE latents [B, C, H/8, W/8]."""
        embedding = self.embedding(rate)
        y = y / self.log_gain(rate).exp()
        features = self.synthesis(y, embedding)
        noisy = features[:, : self.config.autoencoder.latent_channels]
        clean = one_step_x0(noisy, self.unet(features, embedding), self.config.alpha_bar)
        return clean + self.auxiliary_decoder(y, embedding)

    def synthesise(self, y: Tensor, rate: Tensor) -> Tensor:
        """y^ in the quantised domain -> pixels [B, 3, H, W], not clamped."""
        return self.vae.decode(self.synthesise_latents(y, rate))
