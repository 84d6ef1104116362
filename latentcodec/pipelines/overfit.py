"""Codec 1: pixels <-> payload with a function fitted to the latents of one picture.

encode: pad -> autoencoder -> fit -> (round -> code) for every rate tried -> payload
decode: payload -> grids -> check digest -> synthesise latents -> autoencoder -> crop
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from latentcodec.coding.symbols import SymbolDecoder, TableIndex
from latentcodec.errors import CorruptError, InputError, LcodecError, LimitError, WeightsError
from latentcodec.image import Pixels
from latentcodec.models.blocks.noise import tile_at
from latentcodec.models.blocks.tiles import Tile, tiles
from latentcodec.models.overfit.function import FittedFunction
from latentcodec.models.overfit.integer_context import Grids, code_grids, digest
from latentcodec.models.overfit.noise import with_noise
from latentcodec.models.overfit.parameters import UNCHANGED, Parameters, code_differences
from latentcodec.models.overfit.presets import PRESETS, Layout, Preset
from latentcodec.models.overfit.reference import check, generalise, layout_of, pick
from latentcodec.pipelines.autoencoders import Autoencoder
from latentcodec.pipelines.base import PERCEPTUAL, Encoded, PayloadBudget, Settings
from latentcodec.pipelines.overfit_encoding import PACKING, Encoding
from latentcodec.pipelines.overfit_prefix import Affine, Prefix
from latentcodec.pipelines.perception import Perception
from latentcodec.pipelines.precision import fast_autocast
from latentcodec.pipelines.search import HIGHEST_RATE
from latentcodec.rate import Quality

LARGEST_TILE, TILE_MARGIN = 256, 32  # positions of latents
WHOLE_PIXELS = 16_000_000
LARGEST = PRESETS[-1]
NOISE_TRIED = (0, 2, 4, 6, 8, 10, 12, 15)


@dataclass(frozen=True)
class Exact:
    """All that a payload says exactly. `tables`: of the symbols of the finest grid."""

    prefix: Prefix
    parameters: Parameters
    grids: Grids
    tables: TableIndex


@dataclass
class OverfitPipeline:
    """An autoencoder and a reference. `native`: the reference was made for this autoencoder."""

    autoencoder: Autoencoder
    reference: Mapping[str, npt.NDArray[np.int16]]
    native: bool
    fingerprint: int
    device: torch.device
    codec_id: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        check(self.reference)

    def encode(
        self, pixels: Pixels, target: Quality | PayloadBudget, settings: Settings, preset: Preset = LARGEST
    ) -> Encoded:
        """uint8 [H, W, 3] -> payload at a quality, or the largest payload within a budget.

        `preset`: what is not worth its bytes stays as the reference has it, so the largest is free (docs/overfit.md).
        """
        self._check_size(pixels.shape[0] * pixels.shape[1], InputError)
        latents = self.latents(pixels)
        if not latents.isfinite().all():
            raise WeightsError("the autoencoder makes latents of this picture that are not finite")
        affine = None if self.native else Affine.of(latents)
        if affine is not None:
            mean, scale = affine.tensors()
            latents = (latents - mean) / scale
        reference = self._parameters(preset)
        prefix = Prefix(preset, UNCHANGED, affine, self.autoencoder.stride)
        perception = self._perception(pixels, affine) if settings.tune == PERCEPTUAL else None
        work = Encoding(self.layout(preset), prefix, reference, latents, settings, perception)
        encoded = work.at_quality(target) if isinstance(target, Quality) else work.within(target)
        exact = self.decode_exactly(encoded, pixels.shape[:2])  # no file leaves that does not decode here
        if perception is None or not perception.sees_texture or settings.stopped():
            return encoded
        return self._with_best_noise(encoded, exact, pixels.shape[:2], perception)

    @torch.inference_mode()
    def decode(
        self, encoded: Encoded, size: tuple[int, int], fidelity: float = 0.0, max_memory_bytes: int | None = None
    ) -> Pixels:
        """Payload -> uint8 [H, W, 3]. Raises CorruptError if the symbols are not those that were encoded."""
        width, height = size
        self._check_size(width * height, LimitError)
        exact = self.decode_exactly(encoded, (height, width))
        return self.paint(self.synthesise(exact, encoded.rate, (height, width)), (height, width))

    @torch.inference_mode()
    def paint(self, latents: Tensor, size: tuple[int, int]) -> Pixels:
        """Latents [1, C, h, w] on the device -> uint8 [H, W, 3] of `size` (height, width)."""
        height, width = size
        picture = np.empty((height, width, 3), np.uint8)
        for tile in self._tiles(latents.shape[2], latents.shape[3]):
            stride = self.autoencoder.stride
            origin = (stride * tile.seen[0].start, stride * tile.seen[1].start)
            with fast_autocast(self.device), tile_at(self.autoencoder.network, origin):
                pixels = self.autoencoder.decode(latents[:, :, tile.seen[0], tile.seen[1]])
            inside_rows, inside_columns = (_scaled(part, stride) for part in tile.inside)
            kept_rows, kept_columns = (_scaled(part, stride) for part in tile.kept)
            region = picture[kept_rows, kept_columns]  # cut off at the picture's border, beyond which lies padding
            rows, columns = region.shape[:2]
            cropped = pixels[0, :, inside_rows, inside_columns][:, :rows, :columns].float().clamp(0, 1)
            region[:] = (cropped * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        return picture

    def _check_size(self, pixels: int, kind: type[LcodecError]) -> None:
        """Raises `kind` where an autoencoder has to see more of a picture at once than memory is likely to hold."""
        if not self.autoencoder.local and pixels > WHOLE_PIXELS:
            raise kind(f"this autoencoder takes pictures whole, up to {WHOLE_PIXELS} pixels; this one has {pixels}")

    def _tiles(self, height: int, width: int) -> Iterator[Tile]:
        """Of latents; one that covers all where the autoencoder needs to see it."""
        if self.autoencoder.local:
            return tiles(height, width, LARGEST_TILE, TILE_MARGIN)
        return tiles(height, width, max(height, width))

    @torch.no_grad()
    def synthesise(self, exact: Exact, rate: int, size: tuple[int, int]) -> Tensor:
        """-> latents [1, C, h, w] of a picture of `size` (height, width), as the autoencoder knows them."""
        prefix, (finest, *coarser) = exact.prefix, exact.grids
        function = FittedFunction(self.layout(prefix.preset), exact.parameters)
        symbols = [with_noise(finest, exact.tables, prefix.noise), *(grid.astype(np.float32) for grid in coarser)]
        tensors = [torch.from_numpy(grid)[None] for grid in symbols]
        latents = function.synthesise(tensors, torch.tensor([rate / HIGHEST_RATE]), self._shape(size))
        if prefix.affine is not None:
            mean, scale = prefix.affine.tensors()
            latents = latents * scale + mean
        return latents.to(self.device)

    def decode_exactly(self, encoded: Encoded, size: tuple[int, int]) -> Exact:
        """Everything of a file that is exact, for a picture of `size` (height, width). Raises CorruptError."""
        prefix, data = Prefix.read(encoded.payload)
        described = prefix.affine is None or (
            len(prefix.affine.mean) == self.autoencoder.channels and prefix.stride == self.autoencoder.stride
        )
        if not described or (prefix.affine is None) != self.native:
            raise CorruptError("the file describes latents of another autoencoder")
        coder = SymbolDecoder(data, PACKING)
        parameters = code_differences(coder, prefix.changes, self._parameters(prefix.preset))
        layout, shape = self.layout(prefix.preset), self._shape(size)
        grids, tables = code_grids(coder, parameters, layout, encoded.rate, shape)
        if digest(grids) != encoded.symbols:
            raise CorruptError("the decoded symbols do not match their digest in the file")
        return Exact(prefix, parameters, grids, tables)

    def _with_best_noise(
        self, encoded: Encoded, exact: Exact, size: tuple[int, int], perception: Perception
    ) -> Encoded:
        """The same symbols, with as much noise as looks best. Takes no bytes."""

        def error(prefix: Prefix) -> float:
            latents = self.synthesise(replace(exact, prefix=prefix), encoded.rate, size)
            return perception.error(self._unit(self.paint(latents, size)))

        prefix, data = Prefix.read(encoded.payload)
        best = min((replace(prefix, noise=amount) for amount in NOISE_TRIED), key=error)
        return replace(encoded, payload=best.write() + data)

    def _perception(self, pixels: Pixels, affine: Affine | None) -> Perception:
        if affine is None:
            return Perception(self.autoencoder.decode, self._unit(pixels))
        mean, scale = (tensor.to(self.device) for tensor in affine.tensors())
        return Perception(lambda latents: self.autoencoder.decode(latents * scale + mean), self._unit(pixels))

    def layout(self, preset: Preset) -> Layout:
        """Sizes of the function at a preset."""
        return layout_of(self.reference, preset, self.autoencoder.channels, native=self.native)

    def _parameters(self, preset: Preset) -> Parameters:
        picked = pick(self.reference, preset)
        return picked if self.native else generalise(picked, self.layout(preset))

    def _shape(self, size: tuple[int, int]) -> tuple[int, int]:
        stride = self.autoencoder.stride
        return -(-size[0] // stride), -(-size[1] // stride)

    def _unit(self, pixels: Pixels) -> Tensor:
        """uint8 [H, W, 3] -> [1, 3, H, W] in 0..1."""
        return torch.from_numpy(pixels.copy()).to(self.device).permute(2, 0, 1)[None].float() / 255

    @torch.no_grad()
    def latents(self, pixels: Pixels) -> Tensor:
        """uint8 [H, W, 3] -> latents [1, C, h, w] of the picture, edges repeated to whole positions."""
        height, width = pixels.shape[:2]
        stride = self.autoencoder.stride
        padded = F.pad(self._unit(pixels), (0, -width % stride, 0, -height % stride), mode="replicate")
        with fast_autocast(self.device):
            return self.autoencoder.encode(padded.contiguous(memory_format=torch.channels_last)).float().cpu()


def _scaled(part: slice, stride: int) -> slice:
    """Positions of latents -> pixels."""
    return slice(stride * part.start, stride * part.stop)
