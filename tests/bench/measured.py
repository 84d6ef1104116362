"""A small table of results from real files: crops of a photograph as JPEG and WebP, with their decoded pictures."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from latentcodec.bench.results import Row, write_tsv
from latentcodec.metrics.distortion import psnr

PHOTO = Path(__file__).parents[1] / "data" / "coffee.png"
CROPS = {"cup.png": (200, 100, 392, 228), "spoon.png": (60, 200, 252, 328), "wood.png": (380, 20, 572, 148)}
QUALITIES = {"jpeg": (4, 10, 25, 50, 80), "webp": (0, 10, 30, 60, 85)}


def measure(folder: Path) -> Path:
    """Encode, decode, write pictures and table; returns the table. The column flip holds plain mean differences."""
    rows = []
    with Image.open(PHOTO) as photo:
        for image, box in CROPS.items():
            original = photo.convert("RGB").crop(box)
            pictures = folder / "decoded" / Path(image).stem
            pictures.mkdir(parents=True)
            original.save(pictures / "original.png")
            for codec, qualities in QUALITIES.items():
                for quality in qualities:
                    decoded = pictures / f"{codec}-{quality}.png"
                    rows.append(_measure_one(image, original, codec, quality, decoded, folder))
    table = folder / "results.tsv"
    write_tsv(rows, table)
    return table


def _measure_one(image: str, original: Image.Image, codec: str, quality: int, path: Path, folder: Path) -> Row:
    file = io.BytesIO()
    original.save(file, codec.upper(), quality=quality)
    with Image.open(file) as decoded:
        decoded.convert("RGB").save(path)
        a, b = np.asarray(original), np.asarray(decoded.convert("RGB"))
    size, (width, height) = len(file.getvalue()), original.size
    return Row(
        image=image,
        codec=codec,
        target=f"q{quality}",
        width=width,
        height=height,
        setting=f"quality={quality}",
        size_bytes=size,
        bpp=8 * size / (width * height),
        psnr=psnr(a, b),
        flip=float(np.abs(a.astype(float) - b).mean()) / 255,
        decoded=str(path.relative_to(folder)),
        codec_version="Pillow",
    )
