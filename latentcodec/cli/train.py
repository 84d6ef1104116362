"""lcodec train"""

import ast
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from latentcodec.errors import InputError

if TYPE_CHECKING:
    from latentcodec.train.stages import Stage


@click.command("train")
@click.argument("stage_name", metavar="STAGE")
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of photographs.")
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True,
              help="Folder of training states; each stage has a folder in it.")  # fmt: skip
@click.option("--scale", type=click.Choice(["mini", "sd21", "sd-turbo"]), default="mini", show_default=True,
              help="Of the model: sd21 for the stages of sodec, sd-turbo for those of stablecodec.")  # fmt: skip
@click.option("--steps", type=click.IntRange(1), help="Train for another number of steps than the recipe says.")
@click.option("--batch", type=click.IntRange(1), help="Pictures per step.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--start", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Begin with these exported or imported weights instead of the stage that the recipe names; "
                   "stablecodec-base at scale sd-turbo also with elic_official.pth.")  # fmt: skip
@click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="JSON file with the sizes of the model.  [default: those of the weights to start from]")  # fmt: skip
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE",
              help="Change the recipe: a field as --dry-run prints it, or loss.TERM. Repeatable.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print the recipe and stop; with --data, try one step, saving nothing.")
@click.option("--export", "export_path", type=click.Path(dir_okay=False, path_type=Path),
              help="Write the averaged weights of a stage as they ship, and stop.")  # fmt: skip
@click.option("--average-with", "former", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="When exporting: average with these weights, from which the stage went on.")  # fmt: skip
@click.option("--share", type=click.FloatRange(0, 1), default=0.7, show_default=True,
              help="Of the stage's weights in that average.")  # fmt: skip
def train_command(
    stage_name: str,
    data: Path | None,
    runs: Path,
    scale: str,
    steps: int | None,
    batch: int | None,
    device: str,
    seed: int,
    start: Path | None,
    config: Path | None,
    changes: tuple[str, ...],
    dry_run: bool,
    export_path: Path | None,
    former: Path | None,
    share: float,
) -> None:
    """Train one stage of a model, or go on where it stopped. Stages that it starts from are trained first.

    \b
    lcodec train sodec-entropy --data photos/    five stages, one after the other
    lcodec train sodec-entropy --export model.safetensors
    lcodec train sodec-entropy --scale sd21 --data photos/
    lcodec train stablecodec-base --scale sd-turbo --start elic_official.pth --data photos/
    lcodec train stablecodec-ft8 --scale sd-turbo --data photos/
    """
    from latentcodec.train.stages import STAGES

    if scale != "mini":
        stage_name = f"{stage_name}-{scale}"
    if stage_name not in STAGES:
        raise InputError(f"no stage called {stage_name!r}; there is {', '.join(STAGES)}")
    numbers = [f"{key}={value}" for key, value in (("steps", steps), ("batch", batch)) if value is not None]
    stage = _changed(STAGES[stage_name], [*numbers, *changes])
    if dry_run:
        for field in dataclasses.fields(stage):
            click.echo(f"{field.name:<18}{getattr(stage, field.name)}")
        if data is not None:
            _try(stage, data, runs, device, start, config)
        return
    if export_path is not None:
        from latentcodec.train.run import export_stage

        click.echo(f"{export_path}: SHA-256 {export_stage(stage, runs, export_path, former, share)}")
        return
    if data is None:
        raise InputError("--data names the folder of training photographs")
    from latentcodec.pipelines.registry import resolve_device
    from latentcodec.train.parallel import processes

    with processes(resolve_device(device)):
        for earlier in [] if start else _missing(stage, runs):
            _train(earlier, data, runs, device, seed, None, config)
        _train(stage, data, runs, device, seed, start, config)


def _changed(stage: "Stage", changes: list[str]) -> "Stage":
    """A recipe with some fields replaced: "steps=300", "loss.align=0", "annealing=(1.0, 1.0)". Raises InputError."""
    for change in changes:
        path, _, text = change.partition("=")
        inside, _, field = path.rpartition(".")
        holder: Any = stage.loss if inside == "loss" else stage
        if inside not in ("", "loss") or field not in {f.name for f in dataclasses.fields(holder)} - {"loss", "task"}:
            raise InputError(f"the recipe has no field {path!r}")
        old = getattr(holder, field)
        try:
            value = text if isinstance(old, str | None) else type(old)(ast.literal_eval(text))
        except (ValueError, SyntaxError, TypeError) as error:
            raise InputError(f"{path} is a {type(old).__name__}, not {text!r}") from error
        try:
            new = dataclasses.replace(holder, **{field: value})
            stage = dataclasses.replace(stage, loss=new) if inside else new
        except ValueError as error:
            raise InputError(f"{change}: {error}") from error
    return stage


def _missing(stage: "Stage", runs: Path) -> list["Stage"]:
    """The stages before this one that have not been trained to their end, first one first."""
    from latentcodec.train.run import is_complete
    from latentcodec.train.stages import STAGES

    chain: list[Stage] = []
    while stage.start in STAGES and not (runs / stage.name / "state.pt").exists():
        stage = STAGES[stage.start]
        if not is_complete(stage, runs):
            chain.insert(0, stage)
    return chain


def _try(
    stage: "Stage",
    data: Path,
    runs: Path,
    device: str,
    start: Path | None,
    config: Path | None,
) -> None:
    from latentcodec.pipelines.registry import resolve_device
    from latentcodec.train.run import try_stage

    for name, value in try_stage(stage, data, runs, resolve_device(device), start, config).items():
        click.echo(f"{name:<18}{value:.6g}")


def _train(
    stage: "Stage",
    data: Path,
    runs: Path,
    device: str,
    seed: int,
    start: Path | None,
    config: Path | None,
) -> None:
    from rich.console import Console
    from rich.progress import Progress, TimeRemainingColumn

    from latentcodec.pipelines.registry import resolve_device
    from latentcodec.train.parallel import rank
    from latentcodec.train.run import train_stage

    columns = (*Progress.get_default_columns()[:-1], TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True, quiet=rank() > 0)) as bar:
        row = bar.add_task(stage.name, total=stage.steps)

        def report(step: int, figures: dict[str, float]) -> None:
            bar.update(row, completed=step)
            bar.console.print("  ".join(f"{name} {value:.4g}" for name, value in figures.items()), highlight=False)

        train_stage(stage, data, runs, resolve_device(device), seed, report, start, config)
