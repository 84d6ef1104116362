"""One training loop for every stage: step, average, log, save, resume."""

import csv
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from latentcodec.errors import InputError
from latentcodec.train.graph import CapturedGradients, Figures, Gradients
from latentcodec.train.optimiser import Optimiser
from latentcodec.train.parallel import Loss, any_wants, mean_over_processes, rank, shared_loss, wait_for_all
from latentcodec.train.stages import ADAM, MUON, Stage

LOG_EVERY = 20
SAVE_SECONDS = 180


class Task(Protocol):
    """What a stage trains: `model` holds the parameters and persistent state, `loss` makes one step's loss."""

    @property
    def model(self) -> nn.Module:
        """Everything that is trained or saved."""

    @property
    def config(self) -> str:
        """Sizes of the model, as JSON."""

    def is_foreign(self, name: str) -> bool:
        """Whether a tensor of the model comes from elsewhere and is neither trained nor saved."""

    @property
    def speeds(self) -> Mapping[str, float]:
        """Learning rates of parameters by name, relative to AdamW's, where they differ."""

    @property
    def capturable(self) -> bool:
        """Whether a step may be captured as a CUDA graph: it depends neither on its number nor on state of the host."""

    def start_from(self, weights: dict[str, Tensor] | None, batches: Iterator[Tensor]) -> None:
        """Take over the weights of an earlier stage; None: there is none."""

    def loss(self, batch: Tensor, step: int) -> tuple[Tensor, Figures]:
        """uint8 batch [B, 3, H, W] -> (scalar loss, figures to log)."""


@dataclass
class State:
    """Everything that a resumed run needs. `config`: sizes of the model as JSON."""

    step: int
    model: dict[str, Tensor]
    average: dict[str, Tensor]
    optimiser: dict[str, Any]
    config: str = ""

    def save(self, path: Path) -> None:
        partial = path.with_suffix(".partial")
        torch.save(self.__dict__, partial)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> "State":
        return cls(**torch.load(path, map_location="cpu", weights_only=True))


def learning_rate(stage: Stage, step: int) -> float:
    """Warm-up, then the stage's drops, or a plateau and a linear decay to a tenth over the last part."""
    warm = min(1.0, (step + 1) / stage.warmup_steps)
    if stage.drops:
        reached = [factor for share, factor in stage.drops if step >= share * stage.steps]
        return stage.learning_rate * warm * (reached[-1] if reached else 1.0)
    left = (stage.steps - step) / (stage.steps * stage.decay)
    return stage.learning_rate * warm * max(0.1, min(1.0, left))


def autocast(device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 where it is safe, on any device."""
    return torch.autocast(device.type, dtype=torch.bfloat16)


@dataclass
class Trainer:
    """Runs a stage; `folder` receives log.csv and state.pt (resumable), `report` is called after every log row."""

    stage: Stage
    task: Task
    folder: Path
    device: torch.device
    report: Callable[[int, dict[str, float]], None] = lambda step, figures: None
    stop: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.task.model.to(self.device)
        if self.device.type == "cuda":  # tensor cores want channels last, and products of reduced precision
            self.task.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            torch.set_float32_matmul_precision("high")
        kind = self.stage.optimiser
        self.optimiser = Optimiser(self.task.model, self.task.speeds, muon=kind == MUON, decay=kind != ADAM)
        self.average = self._copied()
        self.step = 0
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.state_path.exists():
            self._resume(State.load(self.state_path))

    def start_from(self, weights: dict[str, Tensor] | None, batches: Iterator[Tensor]) -> None:
        """Begin with the weights of another stage, or with none."""
        self.task.start_from(weights, batches)
        self.average = self._copied()

    def _own(self) -> dict[str, Tensor]:
        """The tensors that are trained and saved."""
        return {k: v for k, v in self.task.model.state_dict().items() if not self.task.is_foreign(k)}

    def _copied(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self._own().items()}

    @property
    def state_path(self) -> Path:
        return self.folder / "state.pt"

    def run(self, batches: Iterator[Tensor]) -> None:
        """Train until the stage's last step, or until SIGTERM or SIGINT: then save and return."""
        with self._stoppable():
            self._run(batches)
        if self.step:  # a run that was stopped before its first step begins anew
            self.save()
        wait_for_all()

    def _run(self, batches: Iterator[Tensor]) -> None:
        saved = time.monotonic()
        loss = shared_loss(self.task)
        gradients: Gradients = partial(self._gradients, loss)
        if self.device.type == "cuda" and self.task.capturable and loss == self.task.loss:
            gradients = CapturedGradients(gradients, self.device)
        with Log(self.folder / "log.csv" if rank() == 0 else None, self.step) as log:
            recent: list[Figures] = []
            started = time.monotonic()
            while self.step < self.stage.steps and not any_wants(self.stop):
                recent.append(self._train_step(gradients, next(batches)))
                if self.step % LOG_EVERY == 0:
                    seconds = (time.monotonic() - started) / len(recent)
                    figures = _means(recent, self.step, seconds)
                    log.write(figures)
                    self.report(self.step, figures)
                    recent, started = [], time.monotonic()
                if time.monotonic() - saved > SAVE_SECONDS:
                    self.save()
                    saved = time.monotonic()

    def save(self) -> None:
        """Write the resumable state; of several processes, one does."""
        if rank() > 0:
            return
        optimiser = self.optimiser.state_dict()
        State(self.step, self._own(), self.average, optimiser, self.task.config).save(self.state_path)

    def _resume(self, state: State) -> None:
        missing = self.task.model.load_state_dict(state.model, strict=False).missing_keys
        if not all(self.task.is_foreign(name) for name in missing):
            raise InputError(f"{self.state_path}: the state is that of another model")
        self.average = {k: v.to(self.device) for k, v in state.average.items()}
        try:
            self.optimiser.load_state_dict(state.optimiser)
        except (ValueError, KeyError) as error:
            raise InputError(f"{self.state_path}: the state is that of another recipe") from error
        self.step = state.step

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        """Let SIGTERM and SIGINT end the run after the step in progress; the former handlers come back afterwards."""
        former = {name: signal.signal(name, self._request_stop) for name in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for name, handler in former.items():
                signal.signal(name, handler)

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        self.stop = True

    def _train_step(self, gradients: Gradients, batch: Tensor) -> Figures:
        """No figure is read here: a GPU would have to finish the step before the next one can be prepared."""
        figures = gradients(batch, self.step)
        self.optimiser.step(learning_rate(self.stage, self.step), torch.isfinite(figures["gradient_norm"]))
        self.step += 1
        self._update_average()
        return figures

    def _gradients(self, loss_of: Loss, batch: Tensor, step: int) -> Figures:
        """Leaves every parameter with its gradient, clipped."""
        self.optimiser.zero_grad()
        loss, figures = loss_of(batch, step)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.task.model.parameters(), self.stage.gradient_clip)
        return figures | {"loss": mean_over_processes(loss), "gradient_norm": norm}

    @torch.no_grad()
    def _update_average(self) -> None:
        """Exponential moving average of every tensor, with a short memory at the start."""
        decay = min(self.stage.ema_decay, (1 + self.step) / (10 + self.step))
        state = self._own()
        torch._foreach_lerp_([self.average[name] for name in state], list(state.values()), 1 - decay)


def _means(recent: Sequence[Figures], step: int, seconds: float) -> dict[str, float]:
    """Mean of every figure over the steps that have it (elsewhere it is missing or not a number)."""
    figures: dict[str, float] = {"step": step, "seconds_per_step": round(seconds, 4)}
    for name in sorted({name for row in recent for name in row}):
        values = [value for row in recent if name in row and not math.isnan(value := float(row[name]))]
        if values:
            figures[name] = round(sum(values) / len(values), 6)
    return figures


class Log:
    """log.csv of a stage: a row per step that is logged, whatever figures it has. Rows after `step` are forgotten.

    Without a path nothing is written.
    """

    def __init__(self, path: Path | None, step: int):
        self._path = path
        self._rows: list[dict[str, Any]] = []
        if path is not None and path.exists():
            with path.open(newline="") as file:
                self._rows = [row for row in csv.DictReader(file) if int(row["step"]) <= step]

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *error: object) -> None:
        self._save()

    def write(self, figures: dict[str, float]) -> None:
        """Add a row, and write the file: columns may have come with it."""
        self._rows.append(dict(figures))
        self._save()

    def _save(self) -> None:
        if self._path is None:
            return
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        partial = self._path.with_suffix(".partial")
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, names, restval="")
            writer.writeheader()
            writer.writerows(self._rows)
        partial.replace(self._path)


def load_state(folder: Path) -> State:
    """The state of a finished or running stage. Raises InputError."""
    path = folder / "state.pt"
    if not path.exists():
        raise InputError(f"no training state in {folder}: run that stage first")
    return State.load(path)
