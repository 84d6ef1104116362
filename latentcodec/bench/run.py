"""Corpus x codecs x targets -> one row each, from real files that were decoded and scored."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from latentcodec import __version__
from latentcodec.bench.codecs import Codec, Coded
from latentcodec.bench.memory import peak_since_reset, reset_peak
from latentcodec.bench.provenance import commit
from latentcodec.bench.results import Row
from latentcodec.bench.scorer import Scorer
from latentcodec.errors import BudgetError
from latentcodec.image import Picture, Pixels, read_picture, write_picture
from latentcodec.rate import Quality, budget_bytes, parse_target

SUFFIXES = {".png", ".ppm", ".tif", ".tiff", ".jpg", ".jpeg", ".webp", ".avif"}
OUT_OF_REACH = "out of reach"


def list_pictures(folder: Path) -> list[Path]:
    """Pictures of a folder, sorted by name."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)


@dataclass
class Bench:
    """What is measured. `known`: rows of an earlier run, which are kept where nothing has changed."""

    paths: Sequence[Path]
    codecs: Sequence[Codec]
    targets: Sequence[str]
    scorer: Scorer
    device: str
    keep: Path | None = None
    known: Sequence[Row] = field(default=())

    def __len__(self) -> int:
        return len(self.paths) * len(self.codecs) * len(self.targets)

    def rows(self) -> Iterator[Row]:
        """All rows, picture by picture; every codec has been used once, unmeasured, before its first row."""
        known = {row.key: row for row in self.known}
        warm: set[str] = set()
        for path in self.paths:
            picture = None
            for codec in self.codecs:
                for target in self.targets:
                    row = known.get((path.name, codec.name, target))
                    if row is None or not _still_valid(row, codec):
                        picture = picture or _opaque(read_picture(path))
                        if codec.name not in warm:
                            codec.decode(codec.encode(picture.pixels, Quality(0)).data, picture.size)
                            warm.add(codec.name)
                        row = self._measure(path, picture, codec, target)
                    yield row

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
        common: dict[str, Any] = {
            "image": path.name, "codec": codec.name, "target": text, "width": width, "height": height,
            "budget_bytes": budget, "codec_version": codec.version, "weights": codec.weights, "device": self.device,
            "lcodec_version": __version__, "commit": commit(),
        }  # fmt: skip
        if coded is None or decoded is None:
            return Row(**common, setting=OUT_OF_REACH)
        scores: dict[str, Any] = dict(self.scorer.score(picture.pixels, decoded))
        return Row(
            **common,
            setting=coded.setting,
            size_bytes=len(coded.data),
            bpp=8 * len(coded.data) / (width * height),
            fill=len(coded.data) / budget if budget else None,
            overhead_bytes=coded.overhead_bytes,
            encode_seconds=encoded - started + coded.saved_seconds,
            decode_seconds=finished - encoded,
            peak_memory_mb=peak_since_reset(),
            decoded=self._keep(path, picture.pixels, codec, text, coded, decoded),
            **scores,
        )

    def _keep(self, path: Path, original: Pixels, codec: Codec, target: str, coded: Coded, decoded: Pixels) -> str:
        """Store the decoded picture and the original for a report; returns the path relative to the folder's parent."""
        if self.keep is None:
            return ""
        folder = self.keep / path.stem
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "original.png").exists():
            (folder / "original.png").write_bytes(write_picture(Picture(original), ".png"))
        name = f"{codec.name.replace('/', '_')}-{target}.png"
        (folder / name).write_bytes(write_picture(Picture(decoded), ".png"))
        return f"{self.keep.name}/{path.stem}/{name}"


def _still_valid(row: Row, codec: Codec) -> bool:
    return (row.codec_version, row.weights) == (codec.version, codec.weights)


def _opaque(picture: Picture) -> Picture:
    """Only pixels are compared: a file's alpha, profile and metadata would count as bytes for some codecs only."""
    return Picture(picture.pixels)
