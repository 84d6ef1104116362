"""How long coding takes, side by side in one run.

Warm: the library in this process, model loaded. Cold: a fresh process of the command-line program, from picture file to
coded file and back. Every codec has the same budget in bytes. Classical codecs run at the setting that an unmeasured
search found, programs at one of their own; lcodec is timed both with the budget, search included, and at the quality
that comes closest. Rounds alternate between the codecs, so that whatever else the machine does falls on all of them;
the median counts.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from latentcodec.bench import classical
from latentcodec.bench.codecs import Learned, method_of
from latentcodec.errors import BudgetError, InputError
from latentcodec.image import Picture, Pixels, read_picture, write_picture
from latentcodec.pipelines.registry import METHODS, method_named
from latentcodec.rate import ByteBudget, Quality, Target

# What a shell would run; words in braces are filled in.
PROGRAMS = {
    "jxl": ("cjxl --quiet -q {setting} -e 7 {source} {coded}", "djxl --quiet {coded} {decoded}"),
    # Older versions of avifenc know no quality; theirs is a quantiser from 63 to 0.
    "avif": ("avifenc --min {quantiser} --max {quantiser} -s 4 {source} {coded}", "avifdec {coded} {decoded}"),
    "webp": ("cwebp -quiet -q {setting} -m 6 {source} -o {coded}", "dwebp -quiet {coded} -o {decoded}"),
}


@dataclass(frozen=True)
class Timing:
    """Median seconds of one contestant."""

    name: str
    size_bytes: int
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True)
class Contestant:
    """`encode` returns the size of the file; `decode` decodes a file like it."""

    name: str
    encode: Callable[[], int]
    decode: Callable[[], object]


class Program:
    """A codec as a command-line program, a fresh process for every file; one picture, which lies in `folder`."""

    version = ""

    def __init__(
        self, name: str, encode: Sequence[str], decode: Sequence[str], settings: Sequence[float], folder: Path
    ):
        self.name, self.settings = name, settings
        self._commands = encode, decode
        self._source = folder / "source.png"
        self._coded, self._decoded = folder / f"{name}.{name if name in PROGRAMS else 'lcx'}", folder / f"{name}.png"

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """`pixels` are those of the source already."""
        self._run(self._commands[0], setting)
        return self._coded.read_bytes()

    def decode(self, data: bytes) -> Pixels:
        self.run_decoder()
        return np.asarray(read_picture(self._decoded).pixels)

    def run_decoder(self) -> None:
        """Coded file -> picture file."""
        self._run(self._commands[1], 0)

    def _run(self, command: Sequence[str], setting: float) -> None:
        words = {
            "source": self._source, "coded": self._coded, "decoded": self._decoded,
            "setting": f"{setting:g}", "quantiser": round((100 - setting) * 63 / 100),
        }  # fmt: skip
        classical.run_program(*(part.format(**words) for part in command))


def contestants(name: str, pixels: Pixels, budget: int, device: str, folder: Path) -> Iterator[Contestant]:
    """One codec, warm and, where its name has no options, cold. `folder` holds source.png, and must outlive them.

    Raises InputError for a name that is no codec, and BudgetError for a budget that is out of its reach.
    """
    method = method_of(name)
    if method in [known.name for known in METHODS]:
        codec = Learned(name, device)
        quality = _quality_for(codec, pixels, budget)
        yield _learned(f"{name} -q {budget}B, warm", codec, pixels, ByteBudget(budget))
        yield _learned(f"{name} -q {quality:g}, warm", codec, pixels, Quality(quality))
        if name != method:
            return
        if method_named(method).preview:
            yield _learned(
                f"{name} -q {quality:g} --preview, warm", Learned(f"{name}:preview", device), pixels, Quality(quality)
            )
        yield _program(_lcodec(name, device, folder), pixels, quality)
        return
    if name not in classical.ENCODERS:
        known = ", ".join((*(method.name for method in METHODS), *classical.ENCODERS))
        raise InputError(f"there is no codec {name!r} to time; there is {known}")
    encoder = classical.ENCODERS[name]()
    setting = classical.within(encoder, pixels, budget)[1]
    yield _classical(f"{name} -q {setting:g}, warm", encoder, pixels, setting)
    if name in PROGRAMS and all(shutil.which(command.split()[0]) for command in PROGRAMS[name]):
        encode, decode = (command.split() for command in PROGRAMS[name])
        program = Program(name, encode, decode, encoder.settings, folder)
        # Another version of the library than Pillow's: it needs a search of its own to meet the budget.
        yield _program(program, pixels, classical.within(program, pixels, budget)[1])


def compare(chosen: Sequence[Contestant], rounds: int) -> list[Timing]:
    """Run all of them in turn, one round to warm up and then `rounds` that count."""
    seconds: list[list[tuple[float, float]]] = [[] for _ in chosen]
    sizes = [0] * len(chosen)
    for number in range(rounds + 1):
        for index, contestant in enumerate(chosen):
            started = time.perf_counter()
            sizes[index] = contestant.encode()
            encoded = time.perf_counter()
            contestant.decode()
            if number > 0:
                seconds[index].append((encoded - started, time.perf_counter() - encoded))
    return [
        Timing(one.name, size, median(e for e, _ in times), median(d for _, d in times))
        for one, size, times in zip(chosen, sizes, seconds, strict=True)
    ]


def table(timings: Sequence[Timing]) -> list[str]:
    """Markdown; ratios are to the first line."""
    lines = ["| | bytes | encode | decode | encode ratio | decode ratio |", "|---|---|---|---|---|---|"]
    first = timings[0]
    for one in timings:
        encode, decode = one.encode_seconds, one.decode_seconds
        lines.append(
            f"| {one.name} | {one.size_bytes} | {1000 * encode:.0f} ms | {1000 * decode:.0f} ms "
            f"| {encode / first.encode_seconds:.2f} | {decode / first.decode_seconds:.2f} |"
        )
    return lines


def _quality_for(codec: Learned, pixels: Pixels, budget: int) -> float:
    """The whole quality whose file comes closest to the budget from below."""
    if len(codec.encode(pixels, Quality(0)).data) > budget:
        raise BudgetError(f"{budget} bytes are out of reach")
    low, high = 0, 100
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(codec.encode(pixels, Quality(middle)).data) <= budget else (low, middle - 1)
    return low


def _learned(name: str, codec: Learned, pixels: Pixels, target: Target) -> Contestant:
    data, size = codec.encode(pixels, target).data, (pixels.shape[1], pixels.shape[0])
    return Contestant(name, lambda: len(codec.encode(pixels, target).data), lambda: codec.decode(data, size))


def _classical(name: str, codec: classical.Encoder, pixels: Pixels, setting: float) -> Contestant:
    data = codec.encode(pixels, setting)
    return Contestant(name, lambda: len(codec.encode(pixels, setting)), lambda: codec.decode(data))


def _lcodec(method: str, device: str, folder: Path) -> Program:
    program = (sys.executable, "-m", "latentcodec")
    encode = (*program, "encode", "--quiet", "--method", method, "--device", device)
    decode = (*program, "decode", "--quiet", "--device", device, "{coded}", "-o", "{decoded}")
    return Program(method, (*encode, "-q", "{setting}", "{source}", "-o", "{coded}"), decode, range(101), folder)


def _program(program: Program, pixels: Pixels, setting: float) -> Contestant:
    name = f"{program.name} -q {setting:g}, cold"
    return Contestant(name, lambda: len(program.encode(pixels, setting)), program.run_decoder)


def time_side_by_side(
    pixels: Pixels, names: Sequence[str], budget: int, device: str, rounds: int
) -> tuple[list[Timing], list[str]]:
    """Timings of all codecs, and in words which of them cannot meet the budget."""
    chosen: list[Contestant] = []
    notes = []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "source.png").write_bytes(write_picture(Picture(pixels), ".png"))
        for name in names:
            try:
                chosen += contestants(name, pixels, budget, device, Path(folder))
            except BudgetError as error:
                notes.append(f"{name} is left out: {error}")
        if not chosen:
            raise BudgetError(f"none of the codecs can meet {budget} bytes")
        return compare(chosen, rounds), notes
