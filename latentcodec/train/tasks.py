"""What each stage trains, and its loss."""

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from latentcodec.errors import InputError
from latentcodec.models.autoencoder import MiniVAE
from latentcodec.models.blocks.information import Symbolise, as_trained
from latentcodec.models.stablecodec.config import StableCodecConfig
from latentcodec.models.stablecodec.model import StableCodec
from latentcodec.train.adversary import discriminator_for
from latentcodec.train.data import to_unit
from latentcodec.train.entropy import as_coded, decoded_as_coded, entropy_loss, thrift_in_files
from latentcodec.train.klt import fit_gains, initialise, initialise_autoencoder
from latentcodec.train.loop import Task, autocast
from latentcodec.train.objective import Distortion, latent_mse
from latentcodec.train.overfit import OverfitTask
from latentcodec.train.rate import BALANCE, RateControl, annealed, scale_gradient, target_bpp
from latentcodec.train.sodec import SodecTask
from latentcodec.train.stablecodec_full import FullStableCodecTask
from latentcodec.train.stages import ALL, DECODER, ENTROPY, Stage
from latentcodec.train.starting import take_over, under

LATENT_NOISE = 0.05
LATENT_PENALTY = 1e-3
CALIBRATION_BATCHES = 32
GAIN_BATCHES = 3
JUDGE = "discriminator."
ENCODER_SIDE = ("auxiliary_encoder", "analysis", "entropy", "embedding", "log_gain")


class VaeTask:
    """MiniVAE on pixels and perception. Noise on the latents and a small penalty on their size keep them smooth."""

    speeds: Mapping[str, float] = {}
    capturable = True

    def __init__(self, stage: Stage, device: torch.device, config: StableCodecConfig | None = None):
        chosen = config or StableCodecConfig()
        self.model, self.config = MiniVAE(chosen.autoencoder), chosen.to_json()
        self.device = device
        self.distortion = Distortion(stage.loss, stage.vgg_crop).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def is_foreign(self, name: str) -> bool:
        return False

    def start_from(self, weights: dict[str, Tensor] | None, batches: Iterator[Tensor]) -> None:
        """Weights of an earlier run, or none: then the autoencoder starts as a linear transform."""
        if weights is not None:
            self.model.load_state_dict(weights)
        else:
            crops = [to_unit(next(batches), self.device) for _ in range(CALIBRATION_BATCHES)]
            initialise_autoencoder(self.model, torch.cat(crops))

    def loss(self, batch: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        pixels = to_unit(batch, self.device)
        with autocast(self.device):
            latents = self.model.encode(pixels)
            output = self.model.decode(latents + LATENT_NOISE * torch.randn_like(latents))
            compared = self.distortion(output.float(), pixels)
        figures = compared.terms
        size = latents.float().square().mean()
        figures["latent_rms"] = size.detach().sqrt()
        return compared.total.mean() + LATENT_PENALTY * size, figures


class StableCodecTask:
    """The whole codec, end to end, or its decoder or entropy model alone; the VAE encoder stays frozen."""

    speeds: Mapping[str, float] = {}

    def __init__(self, stage: Stage, device: torch.device, config: StableCodecConfig | None = None):
        self.stage = stage
        self.device = device
        self.codec = StableCodec(config or StableCodecConfig())
        self.config = self.codec.config.to_json()
        self.control = RateControl(stage).to(device)
        self.model = nn.ModuleDict({"codec": self.codec})
        if stage.part == ALL:  # alone, a part learns nothing that the next stage should know of lambda
            self.model["control"] = self.control
        self.codec.vae.encoder.requires_grad_(False)
        if stage.part == DECODER:
            for name in ENCODER_SIDE:
                getattr(self.codec, name).requires_grad_(False)
        if stage.part == ENTROPY:
            self.codec.requires_grad_(False)
            self.codec.entropy.train_positions()
        fused = device.type == "cuda" and not os.environ.get("LCODEC_EAGER")
        distortion = Distortion(stage.loss, stage.vgg_crop, fused)
        self.distortion = distortion.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.discriminator = discriminator_for(stage.loss, self.distortion)
        if self.discriminator is not None:
            self.model["discriminator"] = self.discriminator

    @property
    def capturable(self) -> bool:
        return self.stage.annealing[0] == self.stage.annealing[1]

    def is_foreign(self, name: str) -> bool:
        return False

    def start_from(self, weights: dict[str, Tensor] | None, batches: Iterator[Tensor]) -> None:
        """Weights of a VAE stage, whose latents are then scaled to unit variance, or of an earlier stage like this."""
        if weights is None:
            raise InputError("this stage starts from the weights of another one")
        if not under(weights, "codec."):
            self.codec.vae.load_state_dict(weights)
            self._begin(batches)
            return
        take_over(self.codec, weights, "codec.", lambda name: ".noise." in name)
        if self.discriminator is not None and under(weights, JUDGE):
            take_over(self.discriminator, weights, JUDGE)
        if self.stage.jump:
            # Lambda alone would take hundreds of steps to move the gains from rich rates to the targets.
            self._fit_gains(torch.cat([to_unit(next(batches), self.device) for _ in range(GAIN_BATCHES)]))
        elif self.stage.part == ALL and under(weights, "control."):
            take_over(self.control, weights, "control.")

    @torch.no_grad()
    def _begin(self, batches: Iterator[Tensor]) -> None:
        """Scale latents to unit variance and start as a linear transform coder."""
        crops = [to_unit(next(batches), self.device) for _ in range(CALIBRATION_BATCHES)]
        latents = torch.cat([self.codec.vae.encoder(batch) for batch in crops])
        self.codec.vae.scale.copy_(latents.std((0, 2, 3)))
        initialise(self.codec, latents / self.codec.vae.scale[:, None, None])
        self._fit_gains(torch.cat(crops[:GAIN_BATCHES]))

    @torch.no_grad()
    def _fit_gains(self, crops: Tensor) -> None:
        """Make every rate cost what this stage begins with."""
        fit_gains(self.codec, crops, lambda rate: self._target(rate, 0))

    def _target(self, rate: Tensor, step: int) -> Tensor:
        """Bits per pixel that the rate parameter stands for at this step."""
        return target_bpp(rate, self.codec.config.rate_range) * annealed(self.stage, step)

    def loss(self, batch: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        pixels = to_unit(batch, self.device)
        if self.stage.part == ENTROPY:
            return entropy_loss(self.codec, pixels, self.codec.config.rate_range)
        rate = torch.rand(len(batch), device=self.device)
        target = self._target(rate, step)
        with autocast(self.device):
            with torch.set_grad_enabled(self.stage.part != DECODER):
                latents, decoded, bpp = self._code(pixels, rate, target)
            restored = self.codec.synthesise_latents(decoded, rate)
            error = latent_mse(restored, latents)
            total, figures = self.stage.loss.latent * error, {"latent_mse": error.detach().mean()}
            output = self.codec.vae.decode(restored).float()
            compared = self.distortion(output, pixels)
            total, figures = total + compared.total, figures | compared.terms
            adversary_loss = torch.zeros((), device=self.device)
            if self.discriminator is not None and compared.features is not None:
                realism = self.discriminator.generator_loss(compared.features[0])
                total = total + self.stage.loss.adversarial * realism
                adversary_loss = self.discriminator.own_loss(*compared.features)
                figures |= {"realism": realism.detach().mean(), "discriminator": adversary_loss.detach()}
        alone = self.stage.part == DECODER
        balance = 1.0 if self.stage.coded and alone else self.control.weight(rate) ** BALANCE
        loss = (total * balance).mean() + adversary_loss
        if not alone:
            figures |= self.control.update(rate, bpp.detach(), target)
            loss = loss + (bpp / target).mean()
        return loss, figures

    def _code(self, pixels: Tensor, rate: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """-> VAE latents, y^ with the gradient of y, bits per pixel [B]."""
        latents, features = self.codec.prepare(pixels)
        y = self.codec.analyse(latents, features, rate)
        size = pixels.shape[2] * pixels.shape[3]
        alone = self.stage.part == DECODER
        symbolise: Symbolise = as_trained
        if self.stage.coded:
            symbolise = partial(as_coded if alone else decoded_as_coded, thrift=thrift_in_files(rate, of_z=True))
        # The entropy model learns every rate with the same weight, relative to what the rate spends; weighted by
        # lambda as the transforms are, it would hardly learn the high ones.
        scale = self.control.weight(rate) ** (1 + BALANCE) * target
        with torch.autocast(self.device.type, enabled=False):
            coded, bits = self.codec.entropy(scale_gradient(y.float(), scale), rate, symbolise)
        return latents, y + (coded - y).detach(), bits / size


# By name; the third argument is the configuration of the task's model, or None for the default sizes.
TASKS: dict[str, Callable[[Stage, torch.device, Any], Task]] = {
    "vae": VaeTask,
    "stablecodec": StableCodecTask,
    "stablecodec-full": FullStableCodecTask,
    "sodec": SodecTask,
    "overfit": OverfitTask,
}
