"""How long coding takes, side by side in one run.

Warm: the library in this process, model loaded. Cold: a fresh process of the command-line program, from picture file to
coded file and back. Every codec aims at the same number of bytes. Classical codecs run at the setting that an
unmeasured search found; lcodec is timed both with the budget, search included, and at the quality that comes closest.
Rounds alternate between the codecs, so that whatever else the machine does falls on all of them; the median counts.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from latentcodec.bench import classical
from latentcodec.bench.codecs import Learned
from latentcodec.image import Picture, Pixels, write_picture
from latentcodec.rate import ByteBudget, Quality, Target

# What a shell would run; Words in braces are filled in.
PROGRAMS = {
    "jxl": ("cjxl --quiet -q {setting} -e 7 {source} {coded}", "djxl --quiet {coded} {decoded}"),
    # Older versions of avifenc know no quality; theirs is a quantiser from 63 to 0.
    "avif": ("avifenc --min {quantiser} --max {quantiser} -s 4 {source} {coded}", "avifdec {coded} {decoded}"),
    "webp": ("cwebp -quiet -q {setting} -m 6 {source} -o {coded}", "dwebp -quiet {coded} -o {decoded}"),
}
LCODEC = f"{sys.executable} -m latentcodec"


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


def contestants(
    pixels: Pixels, methods: Sequence[str], opponents: Sequence[str], budget: int, device: str, folder: Path
) -> Iterator[Contestant]:
    """Everything to time on one picture. `folder` is for the files of the programs and must outlive them."""
    source = folder / "source.png"
    source.write_bytes(write_picture(Picture(pixels), ".png"))
    for method in methods:
        codec = Learned(method, device)
        quality = _quality_for(codec, pixels, budget)
        yield _learned(f"{method} -q {budget}B, warm", codec, pixels, ByteBudget(budget))
        yield _learned(f"{method} -q {quality:g}, warm", codec, pixels, Quality(quality))
        options = f"--quiet --method {method} --device {device}"
        encode = f"{LCODEC} encode {options} -q {quality:g} {{source}} -o {{coded}}"
        decode = f"{LCODEC} decode --quiet --device {device} {{coded}} -o {{decoded}}"
        yield _program(f"{method} -q {quality:g}, cold", encode, decode, quality, source)
    for name in opponents:
        codec_class = classical.ENCODERS[name]()
        setting = classical.within(codec_class, pixels, budget)[1]
        yield _classical(f"{name} -q {setting:g}, warm", codec_class, pixels, setting)
        if name in PROGRAMS and all(shutil.which(command.split()[0]) for command in PROGRAMS[name]):
            yield _program(f"{name} -q {setting:g}, cold", *PROGRAMS[name], setting, source)


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


def _program(name: str, encode: str, decode: str, setting: float, source: Path) -> Contestant:
    stem = name.split()[0]
    suffix = stem if stem in PROGRAMS else "lcx"
    coded, decoded = source.with_name(f"{stem}.{suffix}"), source.with_name(f"{stem}.png")

    words = {
        "source": source, "coded": coded, "decoded": decoded,
        "setting": f"{setting:g}", "quantiser": round((100 - setting) * 63 / 100),
    }  # fmt: skip

    def run(command: str) -> None:
        classical.run_program(*(part.format(**words) for part in command.split()))

    def encode_file() -> int:
        run(encode)
        return coded.stat().st_size

    return Contestant(name, encode_file, lambda: run(decode))


def time_side_by_side(
    pixels: Pixels, methods: Sequence[str], opponents: Sequence[str], budget: int, device: str, rounds: int
) -> list[Timing]:
    """`contestants` and `compare` in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        return compare(list(contestants(pixels, methods, opponents, budget, device, Path(folder))), rounds)
