"""What a user sees of an encoder with effort, and how Ctrl-C ends it: a bar with bytes, rate and quality so far."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latentcodec.pipelines.base import Settings


@contextmanager
def fitting(effort: int | None, tune: str | None, keep_partial: bool, quiet: bool, pixels: int) -> Iterator["Settings"]:
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

            def report(step: int, steps: int, bits: float, quality: str) -> None:
                bar.update(row, total=steps, completed=step, description=progress(bits, quality, pixels), visible=True)

            yield Settings(effort, tune, report, lambda: stopped)
    finally:
        if former is not None:
            signal.signal(signal.SIGINT, former)


def progress(bits: float, quality: str, pixels: int) -> str:
    """What stands before the bar."""
    return f"effort: {bits / 8:.0f} bytes, {bits / pixels:.4f} bpp, {quality}"
