"""Corpus x codecs x targets -> one row each, from real files that were decoded and scored."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from latentcodec import __version__
from latentcodec.bench.codecs import Codec
from latentcodec.bench.memory import peak_since_reset, reset_peak
from latentcodec.bench.pictures import ORIGINAL
from latentcodec.bench.provenance import commit
from latentcodec.bench.results import Row
from latentcodec.bench.scorer import Scorer
from latentcodec.errors import BudgetError, InputError
from latentcodec.image import SUFFIXES, Picture, Pixels, read_picture, write_picture
from latentcodec.rate import Quality, budget_bytes, parse_target

OUT_OF_REACH = "out of reach"


def list_pictures(folder: Path) -> list[Path]:
    """Pictures of a folder, sorted by name."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)


@dataclass
class Bench:
    """What is measured. `known`: rows of an earlier run, which are kept where nothing has changed.

    unmeasured: (metric, reason) -> pictures, for those that `rows` has come to so far. machine: as rows name it.
    """

    paths: Sequence[Path]
    codecs: Sequence[Codec]
    targets: Sequence[str]
    scorer: Scorer
    machine: str
    keep: Path | None = None
    known: Sequence[Row] = field(default=())
    unmeasured: dict[tuple[str, str], list[str]] = field(default_factory=dict, init=False)

    def __len__(self) -> int:
        return len(self.paths) * len(self.codecs) * len(self.targets)

    def rows(self) -> Iterator[Row]:
        """All rows, picture by picture; every codec has been used once, unmeasured, before its first row."""
        known = {row.key: row for row in self.known}
        warm: set[str] = set()
        for path in self.paths:
            picture = _opaque(path)
            kept = False  # the original, beside what was decoded
            for codec in self.codecs:
                for target in self.targets:
                    row = known.get((path.name, codec.name, target))
                    if row is None or not self._still_valid(row, picture, codec):
                        if codec.name not in warm:
                            pixels = picture.pixels.copy()  # a codec may remember the array that it saw last
                            codec.decode(codec.encode(pixels, Quality(0)).data, picture.size)
                            warm.add(codec.name)
                        if self.keep is not None and not kept:
                            self._write(path, ORIGINAL, picture.pixels)
                            kept = True
                        row = self._measure(path, picture, codec, target)
                    yield row

    def _still_valid(self, row: Row, picture: Picture, codec: Codec) -> bool:
        """Whether measuring again would give the same row: same picture and codec, and nothing is missing."""
        if (row.codec_version, row.weights) != (codec.version, codec.weights):
            return False
        if (row.width, row.height) != picture.size:
            return False
        if row.setting == OUT_OF_REACH:
            return True
        if self.keep is not None and not (row.decoded and (self.keep.parent / row.decoded).exists()):
            return False
        wanted = self.scorer.measurable(min(picture.size))
        return all(getattr(row, name) is not None for name in wanted)

    def _measure(self, path: Path, picture: Picture, codec: Codec, text: str) -> Row:
        target = parse_target(text)
        width, height = picture.size
        budget = None if isinstance(target, Quality) else budget_bytes(target, width * height)
        reset_peak()
        started = time.perf_counter()
        try:
            coded = codec.encode(picture.pixels, target)
        except BudgetError:
            coded = None
        encoded = time.perf_counter()
        decoded = None if coded is None else codec.decode(coded.data, picture.size)
        finished = time.perf_counter()
        peak = peak_since_reset()
        common: dict[str, Any] = {
            "image": path.name, "codec": codec.name, "target": text, "width": width, "height": height,
            "budget_bytes": budget, "codec_version": codec.version, "weights": codec.weights, "device": self.machine,
            "lcodec_version": __version__, "commit": commit(),
        }  # fmt: skip
        if coded is None or decoded is None:
            return Row(**common, setting=OUT_OF_REACH)
        scores: dict[str, Any] = dict(self.scorer.score(picture.pixels, decoded))
        for name, reason in self.scorer.reasons.items():
            pictures = self.unmeasured.setdefault((name, reason), [])
            if path.name not in pictures:
                pictures.append(path.name)
        return Row(
            **common,
            setting=coded.setting,
            size_bytes=len(coded.data),
            bpp=8 * len(coded.data) / (width * height),
            fill=len(coded.data) / budget if budget else None,
            overhead_bytes=coded.overhead_bytes,
            encode_seconds=encoded - started + coded.saved_seconds,
            decode_seconds=finished - encoded,
            peak_memory_mb=peak,
            decoded=self._keep(path, codec, text, decoded),
            **scores,
        )

    def _keep(self, path: Path, codec: Codec, target: str, decoded: Pixels) -> str:
        """Store the decoded picture for a report; returns its path relative to the folder's parent."""
        return "" if self.keep is None else self._write(path, f"{codec.name.replace('/', '_')}-{target}.png", decoded)

    def _write(self, path: Path, name: str, pixels: Pixels) -> str:
        assert self.keep is not None
        folder = self.keep / path.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(write_picture(Picture(pixels), ".png"))
        return f"{self.keep.name}/{path.name}/{name}"


def _opaque(path: Path) -> Picture:
    """Only pixels are compared: a file's alpha, profile and metadata would count as bytes for some codecs only."""
    try:
        return Picture(read_picture(path).pixels)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
