"""Training crops from a folder of photographs.

Files are grouped by source (the part of the name before the first '-'); a source is drawn with probability
proportional to the square root of its size, so that one large collection does not drown the others. A fixed rule on
the name sets a part aside for validation.
"""

import math
import os
import queue
import random
import threading
import zlib
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from latentcodec.errors import InputError
from latentcodec.image import SUFFIXES, Pixels, read_rgb, resized_crop

VALIDATION_ONE_IN = 40
MAX_DOWNSCALE = 2.5
MOST_PROCESSES = 12


def is_validation(path: Path) -> bool:
    """True for about one file in forty, by a checksum of its name."""
    return zlib.crc32(path.stem.encode()) % VALIDATION_ONE_IN == 0


def list_images(folder: Path, validation: bool = False) -> list[Path]:
    """The training (or validation) files of a folder, sorted by name. Raises InputError if there are none."""
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and is_validation(p) == validation)
    if not paths:
        raise InputError(f"no {'validation' if validation else 'training'} pictures in {folder}")
    return paths


class CropSampler:
    """Random square crops; every photograph is decoded once and kept in memory as uint8, 3 MB per megapixel."""

    def __init__(self, paths: list[Path], crop: int, seed: int):
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            pictures = list(pool.map(_read, paths))
        self.groups: dict[str, list[Pixels]] = defaultdict(list)
        for path, pixels in zip(paths, pictures, strict=True):
            if min(pixels.shape[:2]) >= crop:
                self.groups[path.name.split("-")[0]].append(pixels)
        if not self.groups:
            raise InputError(f"no picture is at least {crop} pixels on both sides")
        self.names = sorted(self.groups)
        self.shares = [math.sqrt(len(self.groups[name])) for name in self.names]
        self.crop = crop
        self.random = random.Random(seed)

    def sample(self) -> Pixels:
        """One crop [crop, crop, 3], at a random scale, possibly mirrored."""
        pixels = self.random.choice(self.groups[self.random.choices(self.names, self.shares)[0]])
        height, width = pixels.shape[:2]
        largest = min(min(height, width) / self.crop, MAX_DOWNSCALE)
        side = int(self.crop * math.exp(self.random.uniform(0, math.log(largest))))
        left, top = self.random.randint(0, width - side), self.random.randint(0, height - side)
        crop = resized_crop(pixels, (left, top, left + side, top + side), self.crop)
        return crop[:, ::-1] if self.random.random() < 0.5 else crop

    def batch(self, size: int) -> Tensor:
        """[size, 3, crop, crop] uint8."""
        crops = np.stack([self.sample() for _ in range(size)])
        return torch.from_numpy(crops).permute(0, 3, 1, 2)


def _read(path: Path) -> Pixels:
    try:
        return read_rgb(path)
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{path}: cannot be read as a picture: {error}") from error


def prefetch(sampler: CropSampler, size: int, depth: int = 4) -> Iterator[Tensor]:
    """Endless batches, prepared by a background thread while the network computes."""
    ready: queue.Queue[Tensor | Exception] = queue.Queue(depth)

    def fill() -> None:
        try:
            while True:
                ready.put(sampler.batch(size))
        except Exception as error:  # whatever it is, it must not leave the training loop waiting for ever
            ready.put(error)

    threading.Thread(target=fill, daemon=True).start()
    while True:
        batch = ready.get()
        if isinstance(batch, Exception):
            raise batch
        yield batch


class _Batches(IterableDataset[Tensor]):
    """Endless batches of a sampler, other ones in every process that asks."""

    def __init__(self, sampler: CropSampler, size: int):
        self.sampler = sampler
        self.size = size

    def __iter__(self) -> Iterator[Tensor]:
        worker = get_worker_info()
        if worker is not None:
            self.sampler.random.seed(worker.seed)
        while True:
            yield self.sampler.batch(self.size)


def prefetch_by_processes(sampler: CropSampler, size: int) -> Iterator[Tensor]:
    """As `prefetch`, by several processes, for a GPU takes more crops than one thread prepares.

    They are forked, so the photographs lie in memory once.
    """
    processes = max(1, min(MOST_PROCESSES, (os.cpu_count() or 1) - 2))
    loader = DataLoader(
        _Batches(sampler, size),
        batch_size=None,
        num_workers=processes,
        multiprocessing_context="fork",
        pin_memory=torch.cuda.is_available(),
    )
    return iter(loader)


def to_unit(batch: Tensor, device: torch.device) -> Tensor:
    """uint8 -> float32 in 0..1, channels_last."""
    pixels = batch.to(device, non_blocking=True).float().div_(255)
    return pixels.contiguous(memory_format=torch.channels_last)
