"""Rate annealing: the codec at high rates, then the diffusion path on the frozen codec, then both at the target rates.

Last, the preview alone becomes as faithful as it can: until then it was there to guide.

At mini scale the autoencoder and the denoiser come from StableCodec mini, which is to it what Stable Diffusion is to
the full scale; the autoencoder stays frozen.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from operator import attrgetter

import torch
from torch import Tensor, nn

from latentcodec.errors import InputError
from latentcodec.models.blocks.information import Symbolise, as_trained
from latentcodec.models.sodec.config import SodecConfig
from latentcodec.models.sodec.export import is_foreign
from latentcodec.models.sodec.model import Sodec
from latentcodec.models.stablecodec.config import StableCodecConfig
from latentcodec.models.stablecodec.export import restore
from latentcodec.models.stablecodec.model import StableCodec
from latentcodec.pipelines.frozen import put_in_place
from latentcodec.train.adversary import discriminator_for
from latentcodec.train.data import to_unit
from latentcodec.train.entropy import decoded_as_coded, entropy_loss, thrift_in_files
from latentcodec.train.klt import fit_gains, initialise_sodec
from latentcodec.train.loop import autocast
from latentcodec.train.objective import Compared, Distortion, latent_mse
from latentcodec.train.rate import BALANCE, RateControl, annealed, scale_gradient, target_bpp
from latentcodec.train.stages import ALL, CODEC, DIFFUSION, ENTROPY, PREVIEW, Stage
from latentcodec.train.starting import take_over, under
from latentcodec.weights import store

CALIBRATION_BATCHES = 32
GAIN_BATCHES = 3
PRETRAINED = "stablecodec-mini"
OTHER_SIZES = f"{PRETRAINED} has other sizes than this model"
JUDGE = "discriminator."
CODEC_SIDE = ("analysis", "entropy", "log_gain")
GUIDANCE = ("codec.guidance.", "codec.unet.attend")
HYPER_ANALYSIS = "entropy.hyper_analysis"  # the picture is made of z, too
DIFFUSION_SIDE = ("prior_features", "transform", "guidance", "unet")


class SodecTask:
    """The codec with its preview, the diffusion path, or both; the preview or the entropy model alone: `stage.part`."""

    capturable = False
    speeds: Mapping[str, float] = {}

    def __init__(self, stage: Stage, device: torch.device, config: SodecConfig | None = None):
        self.stage = stage
        self.device = device
        self.codec = Sodec(config or SodecConfig())
        self.config = self.codec.config.to_json()
        put_in_place(self.codec, torch.bfloat16)
        self.control = RateControl(stage)
        self.model = nn.ModuleDict({"codec": self.codec, "control": self.control})
        for name in _frozen(stage.part):
            module = attrgetter(name)(self.codec)
            if module is not None:
                module.requires_grad_(False)
        self.distortion = Distortion(stage.loss, stage.vgg_crop).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.discriminator = discriminator_for(stage.loss, self.distortion)
        if self.discriminator is not None:
            self.model["discriminator"] = self.discriminator

    def is_foreign(self, name: str) -> bool:
        return is_foreign(name.removeprefix("codec."), self.codec.config)

    def start_from(self, weights: dict[str, Tensor] | None, batches: Iterator[Tensor]) -> None:
        """Weights of an earlier stage, or none: then autoencoder and denoiser are those of StableCodec mini."""
        if weights is None:
            if self.codec.config.stable_diffusion is None:
                self._adopt(with_embedding=True)
            crops = torch.cat([to_unit(next(batches), self.device) for _ in range(CALIBRATION_BATCHES)])
            with torch.no_grad():
                initialise_sodec(self.codec, crops)
            self._fit_gains(crops[: GAIN_BATCHES * self.stage.batch])
            return
        if self.codec.config.stable_diffusion is None:
            self._adopt_encoder()  # exported weights hold the decoder only
        if not self.codec.config.guided:
            weights = {name: value for name, value in weights.items() if not name.startswith(GUIDANCE)}
        for prefix, module in (("codec.", self.codec), ("control.", self.control), (JUDGE, self.discriminator)):
            if prefix == "control." and self.stage.jump:
                continue  # the jump in rate is one in lambda: the stage has its own first guess
            if module is not None and (under(weights, prefix) or prefix == "codec."):
                take_over(module, weights, prefix, self._comes_from_elsewhere)
        if self.stage.renewed:
            self._adopt(with_embedding=False)  # on which the codec relies by now
        if self.stage.jump:
            # The jump from rich rates to the targets: lambda alone would take hundreds of steps to move the gains.
            self._fit_gains(torch.cat([to_unit(next(batches), self.device) for _ in range(GAIN_BATCHES)]))

    def _comes_from_elsewhere(self, name: str) -> bool:
        return self.is_foreign(name) or name.startswith("codec.vae.encoder.")

    @torch.no_grad()
    def _fit_gains(self, crops: Tensor) -> None:
        """Make every rate cost what this stage begins with."""
        fit_gains(self.codec, crops, lambda rate: self._target(rate, 0))

    def _adopt(self, with_embedding: bool) -> None:
        """Autoencoder, denoiser and, if it is wanted, rate embedding of StableCodec mini."""
        pretrained = _pretrained()
        try:
            self.codec.vae.load_state_dict(pretrained.vae.state_dict())
            if with_embedding:
                self.codec.embedding.load_state_dict(pretrained.embedding.state_dict())
            self.codec.unet.load_state_dict(pretrained.unet.state_dict(), strict=False)
        except RuntimeError as error:
            raise InputError(OTHER_SIZES) from error

    def _adopt_encoder(self) -> None:
        """VAE encoder of StableCodec mini, which no stage changes: it fits the decoder of any of its weights."""
        try:
            self.codec.vae.get_submodule("encoder").load_state_dict(_pretrained().vae.encoder.state_dict())
        except RuntimeError as error:
            raise InputError(OTHER_SIZES) from error

    def _target(self, rate: Tensor, step: int) -> Tensor:
        """Bits per pixel that the rate parameter stands for at this step."""
        return target_bpp(rate, self.codec.config.rate_range) * annealed(self.stage, step)

    def loss(self, batch: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        pixels = to_unit(batch, self.device)
        if self.stage.part == ENTROPY:
            return entropy_loss(self.codec, pixels, self.codec.config.rate_range)
        rate = torch.rand(len(batch), device=self.device)
        target = self._target(rate, step)
        writes = self.stage.part in (ALL, CODEC)  # whether what is in a file is trained
        with autocast(self.device):
            with torch.set_grad_enabled(writes):
                y, z, bpp = self._code(pixels, rate, target)
            preview = self.codec.preview(y, rate).float()
            error = (preview - pixels).square().mean((1, 2, 3))
            total, figures = self.stage.loss.align * error, {"preview_mse": error.detach().mean()}
            if self.stage.part in (CODEC, PREVIEW):
                compared = self.distortion(preview, pixels)
            else:
                restored = self.codec.synthesise_latents(y, z, preview, rate)
                compared = self.distortion(self.codec.vae.decode(restored).float(), pixels)
                if self.stage.loss.latent:
                    with torch.no_grad():
                        latents = self.codec.vae.encode(pixels)
                    total = total + self.stage.loss.latent * latent_mse(restored, latents)
            judged, adversary_loss = self._judge(compared)
            total = total + compared.total + judged
        loss = (total * self.control.weight(rate) ** BALANCE).mean() + adversary_loss
        figures |= compared.terms
        if writes:
            figures |= self.control.update(rate, bpp.detach(), target)
            loss = loss + (bpp / target).mean()
        return loss, figures

    def _judge(self, compared: Compared) -> tuple[Tensor, Tensor]:
        """Adversarial term of the codec [B], and the discriminator's own loss; zeros without one."""
        nothing = torch.zeros((), device=self.device)
        if self.discriminator is None or compared.features is None:
            return nothing, nothing
        realism = self.discriminator.generator_loss(compared.features[0])
        return self.stage.loss.adversarial * realism, self.discriminator.own_loss(*compared.features)

    def _code(self, pixels: Tensor, rate: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """-> y^ with the gradient of y, z^, bits per pixel [B]."""
        y = self.codec.analyse(*self.codec.prepare(pixels), rate)
        # As for StableCodec: the entropy model learns every rate with the same weight.
        scale = self.control.weight(rate) ** (1 + BALANCE) * target
        symbolise: Symbolise = as_trained
        if self.stage.coded:
            symbolise = partial(decoded_as_coded, thrift=thrift_in_files(rate, of_z=False))
        with torch.autocast(self.device.type, enabled=False):
            coded, z, bits = self.codec.entropy(scale_gradient(y.float(), scale), rate, symbolise)
        # What H_s makes of z trains H_s alone: z is there for the probabilities.
        return y + (coded - y).detach(), z.detach(), bits / (pixels.shape[2] * pixels.shape[3])


def _pretrained() -> StableCodec:
    weights = store.load(PRETRAINED)
    codec = StableCodec(StableCodecConfig.from_json(weights.metadata["config"]))
    restore(weights.tensors, codec)
    return codec


def _frozen(part: str) -> tuple[str, ...]:
    """Names of what a stage does not train. The rate embedding serves both sides, so neither alone may change it."""
    return {
        ALL: ("vae",),
        CODEC: ("vae", "embedding", *DIFFUSION_SIDE),
        DIFFUSION: ("vae", "embedding", *CODEC_SIDE),
        PREVIEW: ("vae", "embedding", *CODEC_SIDE, *DIFFUSION_SIDE),
        ENTROPY: ("vae", "embedding", "analysis", "log_gain", HYPER_ANALYSIS, "preview_decoder", *DIFFUSION_SIDE),
    }[part]
