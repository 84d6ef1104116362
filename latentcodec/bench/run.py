"""Corpus x targets -> one row per picture and target, from real files."""

import csv
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from latentcodec.api import decode, encode_picture
from latentcodec.bench.scorer import Scorer
from latentcodec.image import read_picture
from latentcodec.rate import Quality, budget_bytes, parse_target

SUFFIXES = {".png", ".ppm", ".tif", ".tiff", ".jpg", ".jpeg", ".webp", ".avif"}


@dataclass(frozen=True)
class Row:
    """One encode and decode. Budget and fill are zero where the target is a quality.

    A budget out of reach for the picture gives the nearest size, so its fill tells.
    """

    image: str
    target: str
    size_bytes: int
    bpp: float
    budget_bytes: int
    fill: float
    overhead_bytes: float
    encode_seconds: float
    decode_seconds: float
    psnr: float
    lpips_alex: float
    dists: float


COLUMNS = tuple(field.name for field in fields(Row))


def list_pictures(folder: Path) -> list[Path]:
    """Pictures of a folder, sorted by name."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)


def measure(paths: Sequence[Path], targets: Sequence[str], method: str, device: str) -> Iterator[Row]:
    """Encode, decode and score every picture at every target. The first picture warms the model up, unmeasured."""
    scorer = Scorer()
    decode(encode_picture(read_picture(paths[0]), method=method, device=device).data, device=device)
    for text in targets:
        for path in paths:
            yield _measure_one(path, text, method, device, scorer)


def _measure_one(path: Path, text: str, method: str, device: str, scorer: Scorer) -> Row:
    picture, target = read_picture(path), parse_target(text)
    pixels = picture.size[0] * picture.size[1]
    started = time.perf_counter()
    result = encode_picture(picture, target, method=method, device=device, best_effort=True)
    encoded = time.perf_counter()
    decoded = decode(result.data, device=device)
    finished = time.perf_counter()
    size = len(result.data)
    budget = 0 if isinstance(target, Quality) else budget_bytes(target, pixels)
    return Row(
        image=path.name,
        target=text,
        size_bytes=size,
        bpp=8 * size / pixels,
        budget_bytes=budget,
        fill=size / budget if budget else 0.0,
        overhead_bytes=size - result.information_bits / 8,
        encode_seconds=encoded - started,
        decode_seconds=finished - encoded,
        **scorer.score(picture.pixels, decoded.pixels),
    )


def write_tsv(rows: Sequence[Row], path: Path) -> None:
    """All rows with a header line; figures with six significant digits."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in asdict(row).items()})


def read_tsv(path: Path) -> list[Row]:
    """Inverse of `write_tsv`."""
    with path.open(newline="") as file:
        return [
            Row(**{f.name: record[f.name] if f.type is str else f.type(record[f.name]) for f in fields(Row)})  # type: ignore[arg-type,operator]
            for record in csv.DictReader(file, delimiter="\t")
        ]


def summary(rows: Sequence[Row]) -> list[str]:
    """A Markdown table: one line per target, means over the pictures."""
    lines = [
        "| target | pictures | bpp | fill mean | fill min | over budget | overhead max | PSNR | LPIPS-Alex | DISTS "
        "| encode s | decode s |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for target in dict.fromkeys(row.target for row in rows):
        part = [row for row in rows if row.target == target]

        def mean(name: str, part: list[Row] = part) -> float:
            return sum(float(getattr(row, name)) for row in part) / len(part)

        over = sum(row.budget_bytes > 0 and row.size_bytes > row.budget_bytes for row in part)
        lines.append(
            f"| {target} | {len(part)} | {mean('bpp'):.4f} | {mean('fill'):.2%} | {min(r.fill for r in part):.2%} "
            f"| {over} | {max(r.overhead_bytes for r in part):.1f} B | {mean('psnr'):.2f} | {mean('lpips_alex'):.3f} "
            f"| {mean('dists'):.3f} | {mean('encode_seconds'):.2f} | {mean('decode_seconds'):.2f} |"
        )
    return lines
