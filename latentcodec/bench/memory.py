"""Peak memory of this process, where the system tells (Linux)."""

from contextlib import suppress
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"


def reset_peak() -> None:
    """Forget the peak so far."""
    with suppress(OSError):
        _RESET.write_text(_FORGET_PEAK)


def peak_since_reset() -> float | None:
    """Largest resident memory since `reset_peak`, in MB (10^6 bytes); None where the system does not tell."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    sizes = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(sizes[0]) * 1024 / 1e6 if sizes else None
