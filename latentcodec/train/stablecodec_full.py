"""Implicit bitrate pruning at full scale (Zhang et al. 2025): a rich code at a small lambda, then the jump to a large.

Loss per picture, lambda = loss.bpp: lambda bpp + distortion, in the second stage + loss.adversarial * realism. The rate
falls by itself within hundreds of steps of the jump; nothing says which symbols are to be given up.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from latentcodec.errors import InputError, WeightsError
from latentcodec.models.diffusion.prompt import text_state
from latentcodec.models.diffusion.vision import DinoFeatures
from latentcodec.models.stablecodec.full.adapted import AdaptedStableCodec, is_foreign, to_file, to_state
from latentcodec.models.stablecodec.full.checkpoint import elic_tensors
from latentcodec.models.stablecodec.full.config import FullConfig
from latentcodec.models.stablecodec.full.entropy import code_softly
from latentcodec.models.stablecodec.full.load import PROMPT
from latentcodec.pipelines.frozen import put_sd_turbo
from latentcodec.pipelines.registry import FULL_SCALE, described
from latentcodec.pipelines.stablecodec_full import FREQUENCIES, as_shipped, read_elic
from latentcodec.train.adversary import CROSS_ENTROPY, FeatureDiscriminator
from latentcodec.train.augment import augmented
from latentcodec.train.data import to_unit
from latentcodec.train.loop import autocast
from latentcodec.train.objective import Distortion
from latentcodec.train.stages import Stage
from latentcodec.train.starting import take_over, under
from latentcodec.weights import store

CODEC, JUDGE = "codec.", "discriminator."
JUDGE_SPEED = 0.4  # learning rate of the discriminator: 2e-5 where the codec's is 5e-5
BORROWED = ("codec.auxiliary_encoder.", f"codec.{PROMPT}")  # what is frozen and ships: there is no row for it
ORIGIN = (
    "this stage starts from ELIC's published weights (--start elic_official.pth), or from a StableCodec at this scale "
    "(--start FILE, of 'lcodec weights import' or of an export)"
)


class FullStableCodecTask:
    """The latent codec, adapters of SD-Turbo, and in the second stage a discriminator on features of DINOv2."""

    capturable = False

    def __init__(self, stage: Stage, device: torch.device, config: FullConfig | None = None):
        self.stage = stage
        self.device = device
        self.codec = AdaptedStableCodec(config or FullConfig())
        self.config = self.codec.config.to_json()
        put_sd_turbo(self.codec, torch.bfloat16)
        self.model = nn.ModuleDict({"codec": self.codec})
        self.distortion = Distortion(stage.loss, stage.crop).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.features: DinoFeatures | None = None
        if stage.loss.adversarial:
            dino = store.load_one_by_one("dinov2-b14")
            self.features = DinoFeatures(self.codec.config.stable_diffusion, dino, torch.bfloat16).to(device)
            self.discriminator = FeatureDiscriminator(self.features.channels, CROSS_ENTROPY)
            self.model["discriminator"] = self.discriminator
        judge = (name for name, _ in self.model.named_parameters() if name.startswith(JUDGE))
        self.speeds: Mapping[str, float] = dict.fromkeys(judge, JUDGE_SPEED)

    def is_foreign(self, name: str) -> bool:
        return name.startswith(CODEC) and is_foreign(name.removeprefix(CODEC), self.codec.config)

    def start_from(self, weights: dict[str, Tensor] | None, batches: Iterator[Tensor]) -> None:
        """What `origin` has read, or the state of an earlier stage. The first stage needs what is frozen, at least."""
        if weights is None:
            raise InputError(ORIGIN)
        take_over(self.codec, weights, CODEC, self._may_lack)
        if self.features is not None and under(weights, JUDGE):
            take_over(self.discriminator, weights, JUDGE)

    def _may_lack(self, name: str) -> bool:
        return self.is_foreign(name) or (self.stage.start is None and not name.startswith(BORROWED))

    def loss(self, batch: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        pixels = to_unit(batch, self.device)
        with autocast(self.device):
            y = self.codec.analyse(*self.codec.prepare(pixels))
            with torch.autocast(self.device.type, enabled=False):
                decoded, bits = code_softly(self.codec.codec, self.codec.bottleneck, y.float())
            output = self.codec.synthesise(decoded).float()
            compared = self.distortion(output, pixels)
            realism, own = self._judge(output, pixels)
        bpp = bits / (pixels.shape[2] * pixels.shape[3])
        loss = (self.stage.loss.bpp * bpp + compared.total + self.stage.loss.adversarial * realism).mean() + own
        figures = {"bpp": bpp.detach().mean(), **compared.terms}
        if self.features is not None:
            figures |= {"realism": realism.detach().mean(), "discriminator": own.detach()}
        return loss, figures

    def _judge(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """How far pictures are from passing as real [B], and the discriminator's own loss; zeros without one."""
        if self.features is None:
            return output.new_zeros(len(output)), output.new_zeros(())
        restored, real = augmented([output, target])
        seen = self.features(restored)
        with torch.no_grad():
            seen_real = self.features(real)
        return self.discriminator.generator_loss(seen), self.discriminator.own_loss(seen, seen_real)


def origin(path: Path) -> tuple[dict[str, Tensor], FullConfig | None]:
    """What a first stage starts from -> training state, and the sizes of the model if the file says them.

    A weights file holds a whole model. ELIC's published file holds the auxiliary encoder; the text comes from the text
    encoder of SD-Turbo then, and all else is random. Raises WeightsError.
    """
    if path.suffix == ".safetensors":
        weights = store.read_weights(path)
        found = described(weights)
        if found.get("kind") != FULL_SCALE or PROMPT not in weights.tensors:
            raise WeightsError(f"{path} holds no StableCodec at full scale")
        config = FullConfig.from_json(found.get("config", ""))
        state = to_state({k: v for k, v in weights.tensors.items() if k != FREQUENCIES}, config)
    else:
        config = None
        state = elic_tensors(read_elic(path)) | {PROMPT: text_state(store.load("sd-turbo-text").tensors).float()}
    return {f"{CODEC}{name}": value for name, value in state.items()}, config


def shipped(state: Mapping[str, Tensor], config: FullConfig) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Training state -> tensors and metadata of a weights file, as an import writes it. Raises WeightsError."""
    own = under(state, CODEC)
    return as_shipped(to_file(own, config), own[PROMPT].half(), config)
