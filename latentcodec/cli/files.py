"""Inputs and outputs of a command: names, standard streams, writing whole or not at all, several files in a row."""

import os
import stat
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
    """Pair inputs with outputs. Raises InputError where the combination makes no sense or would destroy something."""
    if "" in sources or output == "":
        raise InputError("a file name is empty")
    folder = output is not None and (len(sources) > 1 or Path(output).is_dir() or output.endswith(os.sep))
    jobs = _pair(sources, output, suffix, folder)
    _refuse_collisions(jobs, "; name another with -o" if output is None else "")
    if STDIO in (job.target for job in jobs):
        _refuse_terminal()
    if output is not None and folder:
        _make_folder(Path(output))
    return jobs


def _refuse_collisions(jobs: Sequence[Job], advice: str) -> None:
    """No output may be an input, or another output, under whatever name: through links, '..' or another spelling."""
    inputs = {_identity(job.source): job.source for job in jobs if job.source != STDIO}
    outputs: dict[object, str] = {}
    for job in jobs:
        if job.target == STDIO:
            continue
        identity = _identity(job.target)
        if job.target == job.source and advice:
            suffix = Path(job.target).suffix
            raise InputError(f"{job.source}: inputs do not end in {suffix}; outputs do, and are named with -o")
        if identity in inputs:
            raise InputError(f"{job.target}: the output would replace the input {inputs[identity]}{advice}")
        if identity in outputs:
            raise InputError(f"{job.target}: both {outputs[identity]} and {job.source} would be written there")
        outputs[identity] = job.source


def _identity(name: str) -> object:
    """What two names of one file share: device and inode of an existing file, else the path without links."""
    try:
        status = os.stat(name)
        return status.st_dev, status.st_ino
    except OSError:
        return os.path.realpath(name)


def _pair(sources: Sequence[str], output: str | None, suffix: str, folder: bool) -> list[Job]:
    for source in sources:
        if source != STDIO and (not Path(source).name or Path(source).is_dir()):
            raise InputError(f"{source} is a folder; name the files in it")
    if output is None:
        return [Job(source, STDIO if source == STDIO else str(Path(source).with_suffix(suffix))) for source in sources]
    if not folder:
        return [Job(sources[0], output)]
    if output == STDIO:
        raise InputError("only one file fits on standard output")
    if Path(output).exists() and not Path(output).is_dir():
        raise InputError(f"{output}: several inputs need a folder for their outputs")
    if not Path(output).exists() and not output.endswith(os.sep) and Path(output).suffix.lower() == suffix:
        raise InputError(f"{output}: several inputs need a folder; if this is to be one, write {output}{os.sep}")
    if STDIO in sources:
        raise InputError("standard input has no name; give its output one with -o FILE")
    return [Job(source, str(Path(output) / Path(source).with_suffix(suffix).name)) for source in sources]


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: {_reason(error)}") from error


def read_input(source: str) -> bytes:
    """All bytes of a file or of standard input. Raises InputError."""
    if source == STDIO:
        if sys.stdin is None or sys.stdin.isatty():
            raise InputError("nothing is piped into standard input")
        return sys.stdin.buffer.read()
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise InputError(_reason(error)) from error


def write_output(target: str, data: bytes) -> None:
    """Write whole or not at all: to a temporary file beside the target, then rename. Raises InputError."""
    if target == STDIO:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    path = Path(os.path.realpath(target))  # through symbolic links, so that they stay
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)  # a device or pipe takes the bytes; it must not be replaced
        else:
            _replace(path, data)
    except OSError as error:
        raise InputError(f"cannot write {target}: {_reason(error)}") from error


def _replace(path: Path, data: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".lcodec-", delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(data)
            file.close()
            temporary.chmod(stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _refuse_terminal() -> None:
    if sys.stdout is None or sys.stdout.isatty():
        raise InputError("refusing to write binary data to a terminal; use -o FILE")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def run(jobs: Sequence[Job], work: Callable[[Job], str], *, no_clobber: bool, quiet: bool, advice: str = "") -> int:
    """Do every job, report each in a line, go on after errors; returns the exit code of the first that failed.

    `advice`: for those whose output exists, if that is not to be overwritten.
    """
    from latentcodec.cli.console import progress

    code, skipped = 0, False
    with progress(jobs, "files", enabled=len(jobs) > 1 and not quiet) as rows:
        for job in rows:
            if no_clobber and job.target != STDIO and Path(job.target).exists():
                click.echo(f"lcodec: {job.target} exists, not overwritten{advice}", err=True)
                skipped = True
                continue
            try:
                message = work(job)
            except BrokenPipeError:
                raise  # nobody reads any more: no error to report, and no reason to go on
            except (LcodecError, MemoryError, OSError, RuntimeError) as error:
                reason, failure = explain(error)
                click.echo(f"lcodec: {job.name}: {reason}", err=True)
                code = code or failure
                continue
            if not quiet:
                click.echo(message, err=True)
    return code or (SKIPPED if skipped else 0)


def explain(error: Exception) -> tuple[str, int]:
    """One line and an exit code for an error that is not a bug; raises it again if it is one."""
    if isinstance(error, LcodecError):
        return str(error), error.exit_code
    # torch has errors of its own for memory that it does not get
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in str(error).lower()):
        return "not enough memory for a picture of this size", 1
    if isinstance(error, OSError):
        return f"{error.filename or 'i/o'}: {error.strerror or error}", 1
    raise error
