"""How much of the machine decoding uses: operations counted, against the rate of a large matrix product."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from latentcodec.image import Pixels
from latentcodec.pipelines.base import DEFAULT_SETTINGS
from latentcodec.pipelines.registry import DEFAULT_METHOD, method_named, pipeline
from latentcodec.rate import Quality

MATRIX = 2048
REPEATS = 10


@dataclass(frozen=True)
class Utilisation:
    """Floating-point operations of one decode (a multiply-add is two), its seconds, and the machine's peak rate."""

    operations: int
    seconds: float
    peak_per_second: float

    @property
    def fraction(self) -> float:
        """Share of the peak that decoding reaches, range decoder and integer networks included."""
        return self.operations / self.seconds / self.peak_per_second

    def describe(self, pixels: int) -> str:
        """One line for people."""
        return (
            f"decode: {self.operations / 1e9:.1f} GFLOP ({self.operations / 2 / pixels / 1e3:.0f} kMAC per pixel) in "
            f"{1000 * self.seconds:.0f} ms, {self.operations / self.seconds / 1e9:.0f} GFLOP/s: {self.fraction:.0%} of "
            f"the {self.peak_per_second / 1e9:.0f} GFLOP/s of a bfloat16 product of {MATRIX}x{MATRIX} matrices"
        )


def measure(pixels: Pixels, device: str, method: str = DEFAULT_METHOD) -> Utilisation:
    """Decode one picture at the middle quality; best of several runs, as for the matrix product."""
    chosen = method_named(method)
    codec = pipeline(chosen, chosen.models[0].name, device)
    size = pixels.shape[1], pixels.shape[0]
    encoded = codec.encode(pixels, Quality(50), DEFAULT_SETTINGS)
    with FlopCounterMode(display=False) as counter:
        codec.decode(encoded, size)
    seconds = min(_seconds(lambda: codec.decode(encoded, size)) for _ in range(REPEATS))
    return Utilisation(counter.get_total_flops(), seconds, _peak(device))


def _peak(device: str) -> float:
    """Operations per second of a bfloat16 matrix product."""
    kind = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    matrix = torch.randn(MATRIX, MATRIX, device=kind, dtype=torch.bfloat16)

    def multiply() -> None:
        torch.mm(matrix, matrix)
        if kind == "cuda":
            torch.cuda.synchronize()

    multiply()
    return 2 * MATRIX**3 / min(_seconds(multiply) for _ in range(REPEATS))


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
