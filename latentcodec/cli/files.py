"""Inputs and outputs of a command: names, standard streams, writing whole or not at all, several files in a row."""

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from latentcodec.errors import InputError, LcodecError

STDIO = "-"
SKIPPED = 3


@dataclass(frozen=True)
class Job:
    """One input and where its output goes; STDIO stands for the standard streams."""

    source: str
    target: str

    @property
    def name(self) -> str:
        return "standard input" if self.source == STDIO else self.source


def plan(sources: Sequence[str], output: str | None, suffix: str) -> list[Job]:
    """Pair inputs with outputs. Raises InputError where the combination makes no sense."""
    if output is None:
        return [Job(source, _beside(source, suffix)) for source in sources]
    if len(sources) == 1 and not Path(output).is_dir() and not output.endswith(os.sep):
        return [Job(sources[0], output)]
    if output == STDIO:
        raise InputError("only one file fits on standard output")
    if Path(output).exists() and not Path(output).is_dir():
        raise InputError(f"{output}: several inputs need a folder for their outputs")
    if STDIO in sources:
        raise InputError("standard input has no name; give its output one with -o FILE")
    Path(output).mkdir(parents=True, exist_ok=True)
    jobs = [Job(source, str(Path(output) / Path(source).with_suffix(suffix).name)) for source in sources]
    targets = [job.target for job in jobs]
    clash = next((t for t in targets if targets.count(t) > 1), None)
    if clash:
        raise InputError(f"{clash}: two inputs have the same name")
    return jobs


def _beside(source: str, suffix: str) -> str:
    return STDIO if source == STDIO else str(Path(source).with_suffix(suffix))


def read_input(source: str) -> bytes:
    """All bytes of a file or of standard input. Raises InputError."""
    if source == STDIO:
        return sys.stdin.buffer.read()
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise InputError(f"{source}: {error.strerror}") from error


def write_output(target: str, data: bytes) -> None:
    """Write whole or not at all: to a temporary file beside the target, then rename."""
    if target == STDIO:
        if sys.stdout.isatty():
            raise InputError("refusing to write binary data to a terminal; use -o FILE")
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    path = Path(target)
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            try:
                file.write(data)
                file.close()
                temporary.chmod(0o666 & ~_umask())
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise InputError(f"{target}: {error.strerror}") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def run(jobs: Sequence[Job], work: Callable[[Job], str], *, no_clobber: bool, quiet: bool) -> int:
    """Do every job, report each in a line, go on after errors; returns the exit code of the first that failed."""
    from latentcodec.cli.console import progress

    code = 0
    with progress(jobs, "files", enabled=len(jobs) > 1 and not quiet) as rows:
        for job in rows:
            if no_clobber and job.target != STDIO and Path(job.target).exists():
                click.echo(f"lcodec: {job.target} exists, not overwritten", err=True)
                code = code or SKIPPED
                continue
            try:
                message = work(job)
            except LcodecError as error:
                click.echo(
                    f"lcodec: {job.name}: {error}" if job.name not in str(error) else f"lcodec: {error}", err=True
                )
                code = code or error.exit_code
                continue
            if not quiet:
                click.echo(message, err=True)
    return code
