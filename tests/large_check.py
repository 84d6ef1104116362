"""Large pictures at full scale, within a limit of memory: python -m tests.large_check 3840x2160 8GB

Random networks of the published sizes, written to files first, so that a process of its own encodes and another one
decodes as anybody would, and neither has more in memory than that. Prints seconds and peak resident memory of both.
An hour and a half for 4K, many for 100 megapixels; for these, --tiles 1 computes one tile of every stage and
takes the rest as zeros: of every stage the largest, of the denoiser inner windows. That needs as much memory as all of
it, since nothing of a tile outlives the next but what is kept; the seconds say nothing. --few-channels computes all of
them, with networks of a fortieth of the width.
"""

import argparse
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latentcodec.models.blocks.tiles import Tile, at
from latentcodec.models.diffusion import layerwise
from latentcodec.models.diffusion.stable_diffusion import FrozenAutoencoder, build_unet
from latentcodec.models.stablecodec.full import large
from latentcodec.models.stablecodec.full.checkpoint import expected_shapes
from latentcodec.models.stablecodec.full.config import FullConfig
from latentcodec.pipelines import stablecodec_full
from latentcodec.pipelines.base import Settings
from latentcodec.pipelines.stablecodec_full import FullStableCodecPipeline, as_shipped
from latentcodec.rate import Quality
from latentcodec.units import parse_bytes
from latentcodec.weights import store
from tests import tiny_full

ENCODE, DECODE = "encode", "decode"
NETWORKS = {"sd-turbo-vae": "vae.safetensors", "sd-turbo-unet": "unet.safetensors"}
CHECKPOINT, FILE = "checkpoint.safetensors", "encoded.pickle"


def write_networks(folder: Path, config: FullConfig) -> None:
    """Random weights of these sizes, in the published types."""
    torch.manual_seed(0)
    tensors = {
        name: torch.randn(shape) * max(1, shape[1:].numel()) ** -0.5 + (1.0 if name.endswith("norm.weight") else 0.0)
        for name, shape in expected_shapes(config).items()
    }
    sizes = config.stable_diffusion
    shipped, metadata = as_shipped(tensors, torch.randn(1, sizes.tokens, sizes.context), config)
    store.write_tensors(shipped, folder / CHECKPOINT, metadata)
    torch.set_default_dtype(torch.float16)
    vae, unet = FrozenAutoencoder(config.stable_diffusion).network, build_unet(config.stable_diffusion)
    for network, name in zip((vae, unet), NETWORKS.values(), strict=True):
        store.write_tensors(network.state_dict(), folder / name, {})


def write_in_a_process(folder: Path, config: FullConfig | None = None) -> None:
    """The same, so that this process never has them in memory, nor their type as a default."""
    subprocess.run([sys.executable, "-c", _WRITE, str(folder), (config or FullConfig()).to_json()], check=True)


def put_in_place(folder: Path) -> None:
    """SD-Turbo's networks are those in the folder from now on."""
    networks = {name: store.Mapped(folder / file) for name, file in NETWORKS.items()}
    stablecodec_full.store.load_one_by_one = networks.get  # type: ignore[assignment]


def compute_largest_tiles_only(count: int, pipeline: FullStableCodecPipeline) -> None:
    """Zeros stand for the results of all other tiles and windows, and take up their memory."""

    def largest(cut: Iterable[Tile]) -> list[Tile]:
        def area(tile: Tile) -> int:
            return prod(side.stop - side.start for side in tile.seen)

        return sorted(cut, key=area, reverse=True)[:count]

    def joined(parts: Iterable[tuple[Tile, Tensor]], size: tuple[int, int], times: int) -> Tensor:
        result = None
        for tile, part in parts:
            if result is None:
                shape = 1, part.shape[1], *size
                result = torch.empty(shape, dtype=part.dtype, memory_format=torch.channels_last).fill_(0)
            result[at(tile.kept, times)] = part[at(tile.inside, times)]
            del part
        assert result is not None
        return result

    model, cut = pipeline._model, layerwise._Stage._tiles
    denoise, windows, all_tiles = model.synthesise_latents, iter(range(count)), large.tiles

    def denoise_inner(y: Tensor, *inside: tuple[slice, slice]) -> Tensor:
        within = not inside or all(side.start > 0 for side in inside[0])  # with all around it that the codec sees
        if within and next(windows, None) is not None:
            return denoise(y, *inside)
        return torch.zeros(1, 4, *(side.stop - side.start for side in inside[0]))

    layerwise.joined = large.joined = joined
    layerwise._Stage._tiles = lambda stage, height, width: largest(cut(stage, height, width))
    large.tiles = lambda *given: largest(all_tiles(*given))
    model.synthesise_latents = denoise_inner


def run(what: str, folder: Path, size: tuple[int, int], limit: int, tiles: int | None) -> None:
    """One direction, in this process; prints its line."""
    put_in_place(folder)
    pipeline = FullStableCodecPipeline(store.read_weights(folder / CHECKPOINT), torch.device("cpu"))
    if tiles is not None:
        compute_largest_tiles_only(tiles, pipeline)
    started = time.perf_counter()
    if what == ENCODE:
        random = np.random.default_rng(0)
        coarse = random.integers(0, 256, (size[1] // 16 + 1, size[0] // 16 + 1, 3), np.uint8)
        picture = coarse.repeat(16, 0).repeat(16, 1)[: size[1], : size[0]]
        encoded = pipeline.encode(picture, Quality(50), Settings(max_memory_bytes=limit))
        (folder / FILE).write_bytes(pickle.dumps(encoded))
    else:
        encoded = pickle.loads((folder / FILE).read_bytes())
        picture = pipeline.decode(encoded, size, max_memory_bytes=limit)
        assert picture.shape == (size[1], size[0], 3)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"{what}: {time.perf_counter() - started:.0f} s, peak {peak / 1e9:.2f} GB of {limit / 1e9:.2f}", flush=True)
    if peak > limit:
        sys.exit("more than was allowed")


def main() -> None:
    """Networks into a folder, then a process for either direction."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", help="WIDTHxHEIGHT")
    parser.add_argument("limit", help="of memory, as --max-memory has it")
    parser.add_argument("--tiles", type=int, help="compute no more than these of every stage")
    parser.add_argument("--few-channels", action="store_true", help="networks of a fortieth of the width")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--what", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.tiles is not None and given.tiles < 1:
        parser.error("--tiles is at least 1")
    width, height = map(int, given.size.split("x"))
    if given.what:
        run(given.what, given.folder, (width, height), parse_bytes(given.limit), given.tiles)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_in_a_process(Path(folder), tiny_full.CONFIG if given.few_channels else None)
        for what in (ENCODE, DECODE):
            again = [sys.executable, "-m", __spec__.name, *sys.argv[1:], "--folder", folder, "--what", what]
            subprocess.run(again, check=True)


_WRITE = """
import pathlib, sys
from tests import large_check
large_check.write_networks(pathlib.Path(sys.argv[1]), large_check.FullConfig.from_json(sys.argv[2]))
"""

if __name__ == "__main__":
    main()
