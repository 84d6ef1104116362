"""Both directions between a CUDA device and the CPU, and how long they take: python -m tests.gpu_check

A file that one writes, the other decodes, or the line says what went wrong. Pixels may differ by rounding; symbols may
not, and a file whose symbols differ is refused. Imported checkpoints of the full scale are checked with the rest, or
random networks of its sizes where there are none.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch

from latentcodec import api
from latentcodec.errors import LcodecError
from latentcodec.image import Pixels, read_rgb, resized_crop
from latentcodec.pipelines.base import Settings
from latentcodec.weights import store
from tests import large_check

PHOTO = Path(__file__).parent / "data" / "coffee.png"
SIZE = 512
TARGET = "0.05bpp"
ROUNDS = 3
HEADING = "| model | bytes | encode s | decode s | decode s, CPU | GB | largest difference of a pixel |"
Model = tuple[str, str | None]  # method, and weights that were imported


@dataclass(frozen=True)
class Row:
    """One model: size of its file, medians of seconds, peak memory of the device, greatest difference in 0..255."""

    model: str
    size_bytes: int
    encode_seconds: float
    decode_seconds: float
    cpu_seconds: float
    gigabytes: float
    difference: int

    def line(self) -> str:
        """A line of the table."""
        return "| " + " | ".join(f"{x:.2f}" if isinstance(x, float) else str(x) for x in astuple(self)) + " |"


def models(folder: Path) -> Iterator[Model]:
    """What ships, and what was imported; else random networks, written into the folder when their turn has come."""
    yield from (("stablecodec", None), ("sodec", None), ("overfit", None))
    imported = store.kept()
    yield from (("stablecodec", str(path)) for path in imported)
    if not imported:
        large_check.write_in_a_process(folder)
        large_check.put_in_place(folder)
        yield "stablecodec", str(folder / large_check.CHECKPOINT)


def check(device: str, model: Model, pixels: Pixels, rounds: int = ROUNDS) -> Row:
    """Encode on the device, decode there and on the CPU; and a file of the CPU's on the device. Raises LcodecError."""
    method, weights = model
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def encode(where: str) -> bytes:
        return api.encode(pixels, TARGET, method=method, model=weights, device=where, best_effort=True)

    data = encode(device)
    there, here = (api.decode(data, device=where, model=weights).pixels for where in (device, "cpu"))
    back = api.decode(encode("cpu"), device=device, model=weights).pixels
    assert back.shape == pixels.shape
    if weights is None and method != "overfit":  # which has effort anyway
        better = api.encode(pixels, TARGET, method=method, device=device, best_effort=True, settings=Settings(effort=2))
        assert api.decode(better, device="cpu").pixels.shape == pixels.shape
    return Row(
        model=method if weights is None else Path(weights).name.split(".")[0],
        size_bytes=len(data),
        encode_seconds=_seconds(lambda: encode(device), rounds),
        decode_seconds=_seconds(lambda: api.decode(data, device=device, model=weights), rounds),
        cpu_seconds=_seconds(lambda: api.decode(data, device="cpu", model=weights), rounds),
        gigabytes=torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else 0.0,
        difference=int(np.abs(there.astype(int) - here).max()),
    )


def lines(device: str, pixels: Pixels, chosen: Iterable[Model]) -> Iterator[tuple[str, bool]]:
    """Lines of the table, each with whether all went well."""
    yield HEADING, True
    yield "|---" * HEADING.count(" | ") + "|---|", True
    for model in chosen:
        try:
            yield check(device, model, pixels).line(), True
        except LcodecError as error:
            yield f"{model[0]}: {error}", False


def _seconds(run: Callable[[], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return median(taken)


def main() -> int:
    if not torch.cuda.is_available():
        print("no CUDA device was found", file=sys.stderr)
        return 4
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, a picture of {SIZE}x{SIZE} pixels at {TARGET}")
    well = True
    pixels = resized_crop(read_rgb(PHOTO), (100, 0, 500, 400), SIZE)
    with tempfile.TemporaryDirectory() as folder:
        for line, right in lines("cuda", pixels, models(Path(folder))):
            print(line, flush=True)
            well &= right
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
