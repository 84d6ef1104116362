"""A stage from start to end: data, task, starting weights, loop; and the export of what it trained."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from latentcodec.errors import InputError, WeightsError
from latentcodec.models.overfit.function import FittedFunction, initial
from latentcodec.models.overfit.presets import PRESETS
from latentcodec.models.overfit.reference import FINEST, FIRST_TABLE, LIFTED, merge
from latentcodec.models.sodec import export as sodec_export
from latentcodec.models.sodec.config import SCALES, SodecConfig
from latentcodec.models.sodec.model import Sodec
from latentcodec.models.stablecodec import export as stablecodec_export
from latentcodec.models.stablecodec.config import StableCodecConfig
from latentcodec.models.stablecodec.full.config import FullConfig
from latentcodec.models.stablecodec.model import StableCodec
from latentcodec.train import stablecodec_full
from latentcodec.train.data import CropSampler, list_images, prefetch, prefetch_by_processes
from latentcodec.train.loop import State, Trainer, load_state
from latentcodec.train.overfit import FINEST_STEPS, SHAPE, trained_layout
from latentcodec.train.parallel import rank
from latentcodec.train.stages import Stage
from latentcodec.train.starting import under
from latentcodec.train.tasks import TASKS
from latentcodec.weights import hashing, store

PROCESS_SEEDS = 1 << 24


def train_stage(
    stage: Stage,
    data: Path,
    runs: Path,
    device: torch.device,
    seed: int,
    report: Callable[[int, dict[str, float]], None],
    start: Path | None = None,
    config: Path | None = None,
) -> None:
    """Train (or resume) `stage` in runs/<stage name>.

    A new run starts from the exported weights in `start`, or from the average of the stage that the recipe names. Its
    sizes are those of what it starts from, or of the JSON file `config`, or those of the stage's scale.
    """
    torch.manual_seed(seed)
    origin = _origin(stage, runs, start, config)
    trainer = Trainer(stage, TASKS[stage.task](stage, device, origin.config), runs / stage.name, device, report)
    # Neither a resumed run nor another process must see the same noise, rates and crops again.
    own_seed = seed + trainer.step + PROCESS_SEEDS * rank()
    torch.manual_seed(own_seed)
    batches = crops(list_images(data), stage, own_seed, device)
    if trainer.step == 0:
        trainer.start_from(origin.weights, batches)
    trainer.run(batches)


def is_complete(stage: Stage, runs: Path) -> bool:
    """Whether the stage has been trained to its last step."""
    path = runs / stage.name / "state.pt"
    return path.exists() and State.load(path).step >= stage.steps


def try_stage(
    stage: Stage,
    data: Path,
    runs: Path,
    device: torch.device,
    start: Path | None,
    config: Path | None,
) -> dict[str, float]:
    """One step's loss with everything that training would use, saving nothing; returns its figures."""
    origin = _origin(stage, runs, start, config)
    task = TASKS[stage.task](stage, device, origin.config)
    batches = crops(list_images(data), stage, 0, device)
    task.model.to(device)
    task.start_from(origin.weights, batches)
    loss, figures = task.loss(next(batches), 0)
    parameters = sum(p.numel() for p in task.model.parameters() if p.requires_grad)
    return {"parameters": parameters, "loss": loss.item()} | {name: value.item() for name, value in figures.items()}


def crops(paths: list[Path], stage: Stage, seed: int, device: torch.device) -> Iterator[Tensor]:
    """Endless batches for a stage, prepared beside its steps."""
    sampler = CropSampler(paths, stage.crop, seed)
    if device.type == "cuda":
        return prefetch_by_processes(sampler, stage.batch)
    return prefetch(sampler, stage.batch)


Config = StableCodecConfig | SodecConfig | FullConfig
KINDS: dict[str, type[Config]] = {
    "sodec": SodecConfig,
    "stablecodec-full": FullConfig,
}  # other tasks: StableCodecConfig


@dataclass(frozen=True)
class _Origin:
    """What a run begins with: weights, or none, and the sizes of the model; None: the default ones."""

    weights: dict[str, Tensor] | None
    config: Config | None


def _origin(stage: Stage, runs: Path, start: Path | None, config: Path | None) -> _Origin:
    """Raises InputError or WeightsError for what is missing or does not fit."""
    resumed = runs / stage.name / "state.pt"
    if resumed.exists():
        held = _parsed(stage, State.load(resumed).config)
        if start is not None or _read_config(stage, config) not in (None, held):
            raise InputError(
                f"{resumed.parent} holds a run that began otherwise; it goes on without --start and --config"
            )
        return _Origin(None, held)
    if start is not None:
        return _exported(stage, start, config)
    if stage.start is None:
        of_scale = SCALES[stage.scale] if stage.task == "sodec" else None
        return _Origin(None, _read_config(stage, config) or of_scale)
    state = load_state(runs / stage.start)
    return _Origin(state.average, _read_config(stage, config) or _parsed(stage, state.config))


def _parsed(stage: Stage, text: str) -> Config | None:
    return KINDS.get(stage.task, StableCodecConfig).from_json(text) if text else None


def _read_config(stage: Stage, path: Path | None) -> Config | None:
    if path is None:
        return None
    try:
        return _parsed(stage, path.read_text() or "{}")
    except WeightsError as error:
        raise InputError(f"{path}: {error}") from error


def _exported(stage: Stage, path: Path, config: Path | None) -> _Origin:
    """Shipped weights as training state of a stage of the same method."""
    if stage.task == "stablecodec-full":
        state, held = stablecodec_full.origin(path)
        return _Origin(state, _read_config(stage, config) or held)
    weights = store.read_weights(path)
    text = weights.metadata.get("config", "")
    codec: StableCodec | Sodec
    if stage.task == "sodec":
        codec = Sodec(SodecConfig.from_json(text))
        sodec_export.restore(weights.tensors, codec)
    else:
        codec = StableCodec(StableCodecConfig.from_json(text))
        stablecodec_export.restore(weights.tensors, codec)
    state = {f"codec.{name}": value for name, value in codec.state_dict().items()}
    if isinstance(codec, Sodec):  # the networks that are frozen do not ship: the task has them
        state = {name: value for name, value in state.items() if not _is_frozen(name, codec.config)}
    return _Origin(state, _read_config(stage, config) or codec.config)


def _is_frozen(name: str, config: SodecConfig) -> bool:
    own = name.removeprefix("codec.")
    return own.startswith("vae.encoder.") or sodec_export.is_foreign(own, config)


def export_stage(stage: Stage, runs: Path, path: Path, former: Path | None = None, share: float = 1.0) -> str:
    """Averaged weights of a stage -> shipped safetensors file; returns its SHA-256.

    `former`: exported weights from which the stage went on; `share` of the stage's and the rest of these are averaged.
    """
    state = load_state(runs / stage.name)
    if stage.task == "overfit":
        store.write_tensors(_reference(state.average), path)
    elif stage.task in ("stablecodec", "stablecodec-full", "sodec"):
        config = _parsed(stage, state.config) or StableCodecConfig()
        if former is not None:
            _mix(stage, config, state.average, former, share)
        if isinstance(config, FullConfig):
            tensors, metadata = stablecodec_full.shipped(state.average, config)
            store.write_tensors(tensors, path, metadata)
        else:
            codec = _codec(stage, config, state.average)
            module = sodec_export if isinstance(codec, Sodec) else stablecodec_export
            store.write_tensors(module.export(codec), path, {"config": config.to_json()})
    else:
        raise InputError(f"stage {stage.name!r} trains no whole codec")
    return hashing.sha256_of(path)


def _codec(stage: Stage, config: StableCodecConfig | SodecConfig, average: dict[str, Tensor]) -> StableCodec | Sodec:
    """The networks that a stage has trained."""
    codec = Sodec(config) if isinstance(config, SodecConfig) else StableCodec(config)
    missing = codec.load_state_dict(under(average, "codec."), strict=False).missing_keys
    if isinstance(config, SodecConfig):
        missing = [name for name in missing if not sodec_export.is_foreign(name, config)]
    if missing:
        raise InputError(f"the state of stage {stage.name!r} lacks {missing[0]}")
    return codec


@torch.no_grad()
def _mix(stage: Stage, config: Config, average: dict[str, Tensor], former: Path, share: float) -> None:
    """Average weights with those of an exported file; they were the same before the last stage."""
    origin = _exported(stage, former, None)
    if origin.config != config or origin.weights is None:
        raise InputError(f"{former} holds a model of other sizes")
    for name, value in average.items():
        if name in origin.weights:
            value.lerp_(origin.weights[name], 1 - share)


def _reference(average: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parameters of every preset as integers, which components are lifted, and what else a layout says."""
    channels = len(average[f"{PRESETS[0].name}.mean"])
    by_preset = {}
    for preset in PRESETS:
        layout = trained_layout(preset, channels)
        function = FittedFunction(layout, initial(layout))
        prefix = f"{preset.name}."
        function.load_state_dict({k.removeprefix(prefix): v for k, v in average.items() if k.startswith(prefix)})
        by_preset[preset.name] = function.integers()
    lifted = average[f"{PRESETS[0].name}.{LIFTED}"].flatten().to(torch.int16)
    parameters = {name: torch.from_numpy(value) for name, value in merge(by_preset).items()}
    numbers = {FIRST_TABLE: SHAPE, FINEST: FINEST_STEPS}
    return parameters | {LIFTED: lifted} | {n: torch.tensor([v], dtype=torch.int16) for n, v in numbers.items()}
