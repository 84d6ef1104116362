"""Training recipes, as rows. A stage starts from the result of the stage named in `start`."""

from dataclasses import dataclass, replace
from typing import Any

ALL = "all"
DECODER = "decoder"  # what turns y^ into pixels; what is in a file stays as it is
CODEC = "codec"  # of SODEC: what writes a file, and the preview
DIFFUSION = "diffusion"  # of SODEC: what makes the picture from y^ and z^
PREVIEW = "preview"  # of SODEC: the decoder of the preview
ENTROPY = "entropy"  # what the bits of symbols depend on; pictures change where rounding follows these
PARTS = (ALL, DECODER, CODEC, DIFFUSION, PREVIEW, ENTROPY)
CODED_PARTS = {"stablecodec": (ALL, DECODER), "sodec": (ALL,)}  # by task: what can see symbols as files have them
VGG_CROP = 96
LEAST_FOR_MS_SSIM = 128
MUON = "muon"  # for convolutions, AdamW for the rest
ADAMW = "adamw"  # for everything, with weight decay
ADAM = "adam"  # for everything, without: what has no gradient stays as it is
OPTIMISERS = (MUON, ADAMW, ADAM)


@dataclass(frozen=True)
class LossWeights:
    """Factors of the terms of the objective; pictures are in 0..1. Zero switches a term (and its network) off."""

    l1: float = 0.0
    mse: float = 0.0
    ms_ssim: float = 0.0  # 1 - MS-SSIM
    lpips_alex: float = 0.0
    vgg: float = 0.0  # LPIPS-VGG, on a sub-crop
    texture: float = 0.0  # statistics of the same features, so it needs `vgg`
    latent: float = 0.0  # MSE to the autoencoder's latents
    adversarial: float = 0.0
    align: float = 0.0  # MSE of the preview, for task `sodec`
    clip: float = 0.0  # distance of CLIP's embeddings of both pictures
    bpp: float = 0.0  # lambda, for task `stablecodec-full`; the others hold the rate to a target


@dataclass(frozen=True)
class Stage:
    """One phase of training. Learning rate: linear warm-up, constant, linear decay to a tenth over a share of it.

    `drops`, if there are any, replace the decay: pairs of a share of the steps and the factor of the learning rate from
    there on.
    """

    name: str
    task: str
    start: str | None
    steps: int
    batch: int
    crop: int
    learning_rate: float
    loss: LossWeights
    warmup_steps: int = 200
    decay: float = 0.25
    drops: tuple[tuple[float, float], ...] = ()
    optimiser: str = MUON
    ema_decay: float = 0.999
    gradient_clip: float = 1.0
    rate_weights: tuple[float, float] = (1.0, 1.0)  # first guess of lambda at the lowest and highest rate
    autoencoder: str = "mini"  # whose latents the stage is about, for task `overfit`
    part: str = ALL  # of the model, that is trained
    # Whether z^ and y^ are rounded as in files. For a decoder alone no lambda decides then, and all rates count alike.
    coded: bool = False
    # Times as many bits as the rate parameter stands for: at the start, and from half of the stage on.
    annealing: tuple[float, float] = (1.0, 1.0)
    # Whether the stage begins at other rates than the one before ended at: gains are searched anew, lambda is a guess.
    jump: bool = False
    # Whether autoencoder and denoiser of SODEC are StableCodec mini's again, which have been trained since.
    renewed: bool = False
    scale: str = "mini"  # of the model
    vgg_crop: int = VGG_CROP  # side of what VGG16 sees of a crop

    def __post_init__(self) -> None:
        """Raises ValueError for what no recipe can be."""
        if self.part not in PARTS or len(self.annealing) != 2:
            raise ValueError(f"part is one of {', '.join(PARTS)}; annealing two numbers")
        if self.coded and self.part not in CODED_PARTS.get(self.task, ()):
            raise ValueError("coded is for task stablecodec, all of it or its decoder, and for all of sodec")
        if self.renewed and (self.task, self.scale, self.part) != ("sodec", "mini", ALL):
            raise ValueError("renewed is for task sodec at mini scale, and for all of it")
        if self.loss.ms_ssim and self.crop < LEAST_FOR_MS_SSIM:
            raise ValueError(f"MS-SSIM wants crops of {LEAST_FOR_MS_SSIM} pixels")
        if self.optimiser not in OPTIMISERS or not all(len(drop) == 2 for drop in self.drops):
            raise ValueError(f"optimiser is one of {', '.join(OPTIMISERS)}; drops are pairs of numbers")
        if min(self.steps, self.batch, self.crop, self.warmup_steps) < 1 or self.decay <= 0:
            raise ValueError("steps, batch, crop and warmup_steps are at least 1, and decay is more than 0")


# The entropy model alone, on one core of a CPU: 4 crops, of 4 rates each, in a second.
ENTROPY_ALONE: dict[str, Any] = {
    "steps": 2500,
    "batch": 4,
    "crop": 384,
    "learning_rate": 2.5e-4,
    "loss": LossWeights(),
    "warmup_steps": 30,
    "decay": 1.0,
    "optimiser": ADAMW,
    "ema_decay": 0.995,
    "part": ENTROPY,
}
SODEC = (
    Stage(
        name="sodec-codec",
        task="sodec",
        start=None,
        steps=900,
        batch=8,
        crop=192,
        learning_rate=7e-4,
        loss=LossWeights(l1=1.0, mse=25.0, lpips_alex=0.3),
        warmup_steps=100,
        decay=0.5,
        ema_decay=0.99,
        rate_weights=(60.0, 0.06),
        part=CODEC,
        annealing=(3.0, 3.0),
    ),
    Stage(
        name="sodec-diffusion",
        task="sodec",
        start="sodec-codec",
        steps=700,
        batch=8,
        crop=192,
        learning_rate=5e-4,
        loss=LossWeights(l1=1.0, mse=15.0, lpips_alex=0.8, vgg=0.4, latent=0.02, align=15.0),
        warmup_steps=100,
        decay=0.5,
        ema_decay=0.99,
        part=DIFFUSION,
    ),
    Stage(
        name="sodec-joint",
        task="sodec",
        start="sodec-diffusion",
        steps=1800,
        batch=8,
        crop=192,
        learning_rate=5e-4,
        loss=LossWeights(l1=0.3, mse=12.0, lpips_alex=2.0, vgg=1.4, texture=1.5, adversarial=0.12, align=5.0),
        warmup_steps=100,
        decay=0.8,
        ema_decay=0.998,
        rate_weights=(2500.0, 0.1),
        jump=True,
    ),
    Stage(
        name="sodec",
        task="sodec",
        start="sodec-joint",
        steps=600,
        batch=16,
        crop=192,
        learning_rate=5e-4,
        loss=LossWeights(mse=25.0),
        warmup_steps=50,
        decay=0.8,
        ema_decay=0.99,
        part=PREVIEW,
    ),
    Stage(name="sodec-entropy", task="sodec", start="sodec", **ENTROPY_ALONE),
)
# Once StableCodec mini has been trained on: with its autoencoder and denoiser, and symbols as files have them.
RENEWED = replace(
    SODEC[2],
    name="sodec-renewed",
    start=SODEC[-1].name,
    steps=2000,
    ema_decay=0.997,
    loss=replace(SODEC[2].loss, ms_ssim=0.6),
    jump=False,
    renewed=True,
    coded=True,
)
RENEWED_PREVIEW = replace(SODEC[3], name="sodec-renewed-preview", start=RENEWED.name, steps=300)
RENEWED_ENTROPY = replace(SODEC[4], name="sodec-renewed-entropy", start=RENEWED_PREVIEW.name)
# What changes at full scale: larger crops, and as many steps as a few GPUs make in days. Not run: docs/sodec.md.
SD21: dict[str, dict[str, Any]] = {
    "sodec-codec": {"steps": 300_000, "crop": 256, "learning_rate": 2e-4, "warmup_steps": 1000, "ema_decay": 0.9999},
    "sodec-diffusion": {"steps": 60_000, "batch": 2, "crop": 512, "learning_rate": 1e-4, "ema_decay": 0.9995},
    "sodec-joint": {"steps": 100_000, "batch": 2, "crop": 512, "learning_rate": 5e-5, "ema_decay": 0.9995},
    "sodec": {"steps": 20_000, "batch": 4, "crop": 512, "learning_rate": 1e-4, "ema_decay": 0.999},
    "sodec-entropy": {"steps": 20_000, "crop": 512},
}

PICTURE = Stage(
    name="picture",
    task="stablecodec",
    start="vae",
    steps=1800,
    batch=8,
    crop=192,
    learning_rate=7e-4,
    loss=LossWeights(l1=1.0, mse=25.0, lpips_alex=0.5, latent=0.02),
    rate_weights=(150.0, 0.06),
)
REALISM = Stage(
    name="realism",
    task="stablecodec",
    start="picture",
    steps=1700,
    batch=8,
    crop=192,
    learning_rate=6e-4,
    decay=0.65,
    loss=LossWeights(l1=0.5, mse=6.0, lpips_alex=1.0, vgg=0.8, latent=0.01, adversarial=0.1),
    rate_weights=(100.0, 0.05),
)
TEXTURE = Stage(
    name="texture",
    task="stablecodec",
    start="realism",
    steps=2000,
    batch=8,
    crop=192,
    learning_rate=3e-4,
    decay=0.8,
    loss=LossWeights(l1=0.5, mse=7.0, lpips_alex=0.9, vgg=0.6, texture=0.8, latent=0.01, adversarial=0.12),
    rate_weights=(160.0, 0.05),
    part=DECODER,
)
JOINT = replace(
    TEXTURE,
    name="joint",
    start=TEXTURE.name,
    steps=2450,
    learning_rate=3.5e-4,
    warmup_steps=100,
    ema_decay=0.998,
    loss=LossWeights(l1=0.4, mse=5.0, lpips_alex=1.2, vgg=0.8, texture=0.9, latent=0.01, adversarial=0.12),
    part=ALL,
)
PERCEPTION = replace(
    JOINT,
    name="perception",
    start=JOINT.name,
    steps=2600,
    learning_rate=3e-4,
    warmup_steps=60,
    decay=0.85,
    loss=LossWeights(l1=0.2, mse=2.5, lpips_alex=2.2, vgg=1.1, texture=1.3, latent=0.01, adversarial=0.12),
)
# For a GPU: minutes there, and three times the pixels that all stages before saw together.
FINISH = replace(
    PERCEPTION,
    name="finish",
    start=PERCEPTION.name,
    steps=2700,
    batch=64,
    crop=256,
    vgg_crop=192,
    learning_rate=5e-4,
    ema_decay=0.999,
    loss=LossWeights(l1=0.3, mse=6.0, lpips_alex=2.0, vgg=1.4, texture=1.5, latent=0.01, adversarial=0.12),
)
POLISH = replace(
    FINISH,
    name="polish",
    start=FINISH.name,
    steps=670,
    learning_rate=3e-4,
    warmup_steps=30,
    loss=replace(FINISH.loss, mse=12.0),
)
STABLECODEC_ENTROPY = Stage(
    name="entropy",
    task="stablecodec",
    start=POLISH.name,
    **ENTROPY_ALONE | {"steps": 1200, "learning_rate": 4e-4, "optimiser": ADAM},
)
# On one core of a CPU: a step in two to four seconds.
RETOUCH = replace(
    POLISH,
    name="retouch",
    start=STABLECODEC_ENTROPY.name,
    steps=1600,
    batch=4,
    vgg_crop=96,
    learning_rate=5e-5,
    decay=0.9,
    ema_decay=0.995,
    optimiser=ADAM,
    loss=replace(POLISH.loss, adversarial=0.0),
    part=DECODER,
    coded=True,
)
# For a GPU: everything once more, with symbols for the decoder as files have them.
MATURE = replace(
    POLISH,
    name="mature",
    start=RETOUCH.name,
    steps=4300,
    batch=96,
    learning_rate=5e-4,
    warmup_steps=100,
    decay=0.9,
    ema_decay=0.998,
    loss=replace(POLISH.loss, ms_ssim=0.6),
    rate_weights=(650.0, 0.25),
    coded=True,
)
MATURE_ENTROPY = replace(STABLECODEC_ENTROPY, name="mature-entropy", start=MATURE.name, steps=2000)
STABLECODEC = (
    PICTURE,
    REALISM,
    TEXTURE,
    JOINT,
    PERCEPTION,
    FINISH,
    POLISH,
    STABLECODEC_ENTROPY,
    RETOUCH,
    MATURE,
    MATURE_ENTROPY,
)
# Implicit bitrate pruning: a rich code first, then the jump to the rates that are wanted, where the code finds out what
# to leave out. At mini scale for all rates at once; not run at its full length: docs/stablecodec.md.
PRUNED_BASE = replace(PICTURE, name="stablecodec-base", rate_weights=(50.0, 0.02), annealing=(3.0, 3.0))
PRUNING = (PRUNED_BASE, replace(REALISM, name="stablecodec-ft", start=PRUNED_BASE.name, jump=True))
# At full scale one lambda per model, as published. An MSE of 1 between pictures in -1..1 is one of 1/4 here.
FULL_BASE = Stage(
    name="stablecodec-base-sd-turbo",
    task="stablecodec-full",
    start=None,
    steps=120_000,
    batch=4,
    crop=512,
    learning_rate=1e-4,
    loss=LossWeights(bpp=0.5, mse=8.0, vgg=1.0, clip=0.1),
    drops=((0.0, 1.0),),
    optimiser=ADAMW,
    ema_decay=0.9995,
    scale="sd-turbo",
)
FULL_LAMBDAS = (2, 3, 4, 6, 8, 12, 16, 24, 32)
FULL_PRUNED = tuple(
    replace(
        FULL_BASE,
        name=f"stablecodec-ft{weight}-sd-turbo",
        start=FULL_BASE.name,
        steps=21_000,
        learning_rate=5e-5,
        loss=replace(FULL_BASE.loss, bpp=float(weight), adversarial=0.1),
        warmup_steps=500,
        drops=((5 / 21, 0.4), (10 / 21, 0.2), (15 / 21, 0.02)),  # 2e-5, 1e-5, 1e-6
    )
    for weight in FULL_LAMBDAS
)


def _named(stage: Stage, scale: str) -> dict[str, Any]:
    """Names of a stage, and of the one before it, at another scale."""
    return {"name": f"{stage.name}-{scale}", "start": stage.start and f"{stage.start}-{scale}", "scale": scale}


STAGES = {
    stage.name: stage
    for stage in (
        Stage("vae", "vae", None, 1500, 12, 160, 7e-4, LossWeights(l1=1.0, mse=20.0, lpips_alex=0.2)),
        *STABLECODEC,
        *PRUNING,
        FULL_BASE,
        *FULL_PRUNED,
        *SODEC,
        RENEWED,
        RENEWED_PREVIEW,
        RENEWED_ENTROPY,
        *(replace(stage, **SD21[stage.name], **_named(stage, "sd21")) for stage in SODEC),
        *(
            Stage(
                name=f"overfit-{autoencoder}",
                task="overfit",
                start=None,
                steps=steps,
                batch=4,
                crop=256,
                learning_rate=5e-3,
                loss=LossWeights(),
                warmup_steps=40,
                decay=0.7,
                ema_decay=0.995,
                autoencoder=autoencoder,
            )
            for autoencoder, steps in (("mini", 8000), ("taef2", 5000))
        ),
    )
}
