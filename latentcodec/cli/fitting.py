"""What a user sees of an encoder with effort, and how Ctrl-C ends it: a bar with bytes and error so far."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latentcodec.pipelines.base import Settings


@contextmanager
def fitting(effort: int | None, tune: str | None, keep_partial: bool, quiet: bool) -> Iterator["Settings"]:
    """Settings of an encoder that shows its progress on a terminal; with `keep_partial`, SIGINT ends its fit early."""
    from rich.console import Console
    from rich.progress import Progress

    from latentcodec.pipelines.base import Settings

    console = Console(stderr=True)
    hidden = quiet or not sys.stderr.isatty()
    stopped = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        if stopped:  # asked twice: now
            raise KeyboardInterrupt
        stopped = True

    former = signal.signal(signal.SIGINT, stop) if keep_partial else None
    try:
        with Progress(console=console, disable=hidden, transient=True) as bar:
            row = bar.add_task("effort", total=None, visible=False)

            def report(step: int, steps: int, bits: float, error: float) -> None:
                text = f"effort: {bits / 8:.0f} bytes, error {error:.4f}"
                bar.update(row, total=steps, completed=step, description=text, visible=True)

            yield Settings(effort, tune, report, lambda: stopped)
    finally:
        if former is not None:
            signal.signal(signal.SIGINT, former)
