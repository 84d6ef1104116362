"""Codec 1: pixels <-> payload with a function fitted to the latents of one picture.

encode: pad -> autoencoder -> fit -> (round -> code) for every rate tried -> payload
decode: payload -> grids -> check digest -> synthesise latents -> autoencoder -> crop
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from latentcodec.coding.packing import Packing
from latentcodec.coding.symbols import BitCounter, SymbolDecoder, SymbolEncoder
from latentcodec.container.fields import BitField, pack, size_bytes, unpack
from latentcodec.errors import CorruptError
from latentcodec.image import Pixels
from latentcodec.models.blocks.noise import tile_at
from latentcodec.models.overfit.fit import EFFORTS, RATE_WEIGHT, SETTLING, Effort, Fit, unit
from latentcodec.models.overfit.function import FittedFunction
from latentcodec.models.overfit.integer_context import Grids, code_grids, digest
from latentcodec.models.overfit.parameters import GROUPS, UNCHANGED, Change, Parameters, code_differences
from latentcodec.models.overfit.presets import PRESETS, Layout, Preset
from latentcodec.models.overfit.reference import generalise, pick
from latentcodec.pipelines.autoencoders import LARGEST_CHANNELS, Autoencoder
from latentcodec.pipelines.base import PERCEPTUAL, Encoded, OutOfReachError, PayloadBudget, Settings
from latentcodec.pipelines.both import Both
from latentcodec.pipelines.perception import Perception
from latentcodec.pipelines.precision import fast_autocast
from latentcodec.pipelines.search import HIGHEST_RATE, Curve, bracket
from latentcodec.pipelines.tiles import Tile, tiles
from latentcodec.rate import Quality


def _change_fields(group: int) -> tuple[BitField, BitField]:
    return (
        BitField(f"table{group}", 6, "table of the differences; 0: there are none"),
        BitField(f"shift{group}", 4, "differences are multiples of 2^shift"),
    )


PACKING = Packing(19, 2)
PREFIX = (
    BitField("preset", 2, "number of the preset: vlop, lop, mop, hop"),
    BitField("changed", 1, "parameters differ from the reference: the list of changes follows"),
    BitField("foreign", 1, "the reference was made for another autoencoder: channels, stride and affine follow"),
    BitField("reserved", 4, "0"),
)
CHANGES = tuple(part for group in range(GROUPS) for part in _change_fields(group))
FOREIGN = (
    BitField("channels", 8, "channels of the latents, stored minus 1", bias=1),
    BitField("stride", 8, "pixels per position of the latents, as a power of two"),
)
MEAN_BITS, SCALE_BITS, SCALE_BIAS = 4, 3, 128
LOG_BYTES_PER_RATE = 0.03  # how sizes usually change
CORRECTIONS = 3  # of the rate, during it
LARGEST_CORRECTION = 8
FILL_STEP = 2  # of the rate, where no weight fills the budget
LOWEST_WEIGHT, HIGHEST_WEIGHT = 0.5 * RATE_WEIGHT, 2.5 * RATE_WEIGHT
BISECTIONS = 8
LARGEST_TILE, TILE_MARGIN = 256, 32  # positions of latents
PULLS = 12  # towards better perception, in one fit
PULL = 0.06  # the length of one, in steps
FULL_ENOUGH = 0.996
PRESET_FROM_BYTES = (500, 2000, 5000)  # payloads from which lop, mop, hop pay for a foreign autoencoder


@dataclass(frozen=True)
class Affine:
    """Latents = normalised * scale + mean, per channel; kept in bytes."""

    mean: npt.NDArray[np.int8]
    scale: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, latents: Tensor) -> "Affine":
        """Zero mean and unit deviation per channel for these latents [1, C, h, w]."""
        flat = latents[0].flatten(1).double()
        mean = (flat.mean(1) * (1 << MEAN_BITS)).round().clamp(-128, 127)
        deviation = flat.std(1, correction=0).clamp_min(1e-6)
        scale = (deviation.log2() * (1 << SCALE_BITS)).round() + SCALE_BIAS
        return cls(mean.to(torch.int8).numpy(), scale.clamp(0, 255).to(torch.uint8).numpy())

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Mean and scale [C, 1, 1]."""
        mean = torch.from_numpy(self.mean.astype(np.float32)) / (1 << MEAN_BITS)
        scale = torch.exp2((torch.from_numpy(self.scale.astype(np.float32)) - SCALE_BIAS) / (1 << SCALE_BITS))
        return mean[:, None, None], scale[:, None, None]


@dataclass(frozen=True)
class Prefix:
    """What precedes the range coder's bytes: preset, changes of parameters, latents of a foreign autoencoder."""

    preset: Preset
    changes: tuple[Change, ...] = UNCHANGED
    affine: Affine | None = None
    stride: int = 8

    def write(self) -> bytes:
        changed, foreign = any(change.sent for change in self.changes), self.affine is not None
        first = {"preset": PRESETS.index(self.preset), "changed": changed, "foreign": foreign, "reserved": 0}
        data = pack(PREFIX, first)
        if changed:
            values: dict[str, int] = {}
            for group, change in enumerate(self.changes):
                values |= {f"table{group}": change.table, f"shift{group}": change.shift}
            data += pack(CHANGES, values)
        if self.affine is not None:
            latents = {"channels": len(self.affine.mean), "stride": self.stride.bit_length() - 1}
            data += pack(FOREIGN, latents) + self.affine.mean.tobytes() + self.affine.scale.tobytes()
        return data

    @classmethod
    def read(cls, data: bytes) -> tuple["Prefix", bytes]:
        """-> prefix, and the range coder's bytes. Raises CorruptError."""
        first = unpack(PREFIX, data)
        data = data[size_bytes(PREFIX) :]
        if first["reserved"]:
            raise CorruptError("reserved bits of the payload are set")
        changes, affine, stride = UNCHANGED, None, 8
        if first["changed"]:
            values = unpack(CHANGES, data)
            data = data[size_bytes(CHANGES) :]
            changes = tuple(Change(values[f"table{group}"], values[f"shift{group}"]) for group in range(GROUPS))
        if first["foreign"]:
            latents = unpack(FOREIGN, data)
            data, channels = data[size_bytes(FOREIGN) :], latents["channels"]
            if channels > LARGEST_CHANNELS or latents["stride"] > 6 or len(data) < 2 * channels:
                raise CorruptError("the description of the latents is damaged")
            affine = Affine(
                np.frombuffer(data[:channels], np.int8), np.frombuffer(data[channels : 2 * channels], np.uint8)
            )
            data, stride = data[2 * channels :], 1 << latents["stride"]
        return cls(PRESETS[first["preset"]], changes, affine, stride), data


@dataclass
class OverfitPipeline:
    """An autoencoder and a reference. `native`: the reference was made for this autoencoder."""

    autoencoder: Autoencoder
    reference: Mapping[str, npt.NDArray[np.int16]]
    native: bool
    fingerprint: int
    device: torch.device
    codec_id: int = field(default=1, init=False)

    def encode(
        self, pixels: Pixels, target: Quality | PayloadBudget, settings: Settings, preset: Preset | None = None
    ) -> Encoded:
        """uint8 [H, W, 3] -> payload at a quality, or the largest payload within a budget.

        `preset`: None chooses the largest one that pays (see `_preset_for`).
        """
        latents = self.latents(pixels)
        affine = None if self.native else Affine.of(latents)
        if affine is not None:
            mean, scale = affine.tensors()
            latents = (latents - mean) / scale
        preset = preset or self._preset_for(target)
        reference = self._parameters(preset)
        prefix = Prefix(preset, UNCHANGED, affine, self.autoencoder.stride)
        perception = self._perception(pixels, affine) if settings.tune == PERCEPTUAL else None
        work = _Work(self, prefix, reference, latents, settings, perception)
        encoded = work.at_quality(target) if isinstance(target, Quality) else work.within(target)
        self.decode_grids(encoded, pixels.shape[:2])  # no file leaves that does not decode here
        return encoded

    @torch.inference_mode()
    def decode(self, encoded: Encoded, size: tuple[int, int]) -> Pixels:
        """Payload -> uint8 [H, W, 3]. Raises CorruptError if the symbols are not those that were encoded."""
        width, height = size
        prefix, parameters, grids = self.decode_grids(encoded, (height, width))
        latents = self.synthesise(prefix, parameters, grids, encoded.rate, (height, width))
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

    def _tiles(self, height: int, width: int) -> Iterator[Tile]:
        """Of latents; one that covers all where the autoencoder needs to see it."""
        if self.autoencoder.local:
            return tiles(height, width, LARGEST_TILE, TILE_MARGIN)
        return tiles(height, width, max(height, width))

    def synthesise(
        self, prefix: Prefix, parameters: Parameters, grids: Grids, rate: int, size: tuple[int, int]
    ) -> Tensor:
        """-> latents [1, C, h, w] of a picture of `size` (height, width), as the autoencoder knows them."""
        function = FittedFunction(self.layout(prefix.preset), parameters)
        tensors = [torch.from_numpy(grid.astype(np.float32))[None] for grid in grids]
        latents = function.synthesise(tensors, torch.tensor([rate / HIGHEST_RATE]), self._shape(size))
        if prefix.affine is not None:
            mean, scale = prefix.affine.tensors()
            latents = latents * scale + mean
        return latents.to(self.device)

    def decode_grids(self, encoded: Encoded, size: tuple[int, int]) -> tuple[Prefix, Parameters, Grids]:
        prefix, data = Prefix.read(encoded.payload)
        described = prefix.affine is None or (
            len(prefix.affine.mean) == self.autoencoder.channels and prefix.stride == self.autoencoder.stride
        )
        if not described or (prefix.affine is None) != self.native:
            raise CorruptError("the file describes latents of another autoencoder")
        coder = SymbolDecoder(data, PACKING)
        parameters = code_differences(coder, prefix.changes, self._parameters(prefix.preset))
        grids = code_grids(coder, parameters, self.layout(prefix.preset), encoded.rate, self._shape(size))
        if digest(grids) != encoded.symbols:
            raise CorruptError("the decoded symbols do not match their digest in the file")
        return prefix, parameters, grids

    def _preset_for(self, target: Quality | PayloadBudget) -> Preset:
        """With a reference of its own, a larger network costs no bytes; without, its differences have to be paid."""
        if self.native or isinstance(target, Quality):
            return PRESETS[-1]
        return PRESETS[sum(target.size_bytes >= size for size in PRESET_FROM_BYTES)]

    def _perception(self, pixels: Pixels, affine: Affine | None) -> Perception:
        if affine is None:
            return Perception(self.autoencoder.decode, self._unit(pixels))
        mean, scale = (tensor.to(self.device) for tensor in affine.tensors())
        return Perception(lambda latents: self.autoencoder.decode(latents * scale + mean), self._unit(pixels))

    def layout(self, preset: Preset) -> Layout:
        return Layout(preset, self.autoencoder.channels)

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
        height, width = pixels.shape[:2]
        stride = self.autoencoder.stride
        padded = F.pad(self._unit(pixels), (0, -width % stride, 0, -height % stride), mode="replicate")
        with fast_autocast(self.device):
            return self.autoencoder.encode(padded.contiguous(memory_format=torch.channels_last)).float().cpu()


@dataclass
class _Work:
    """The encoding of one picture."""

    pipeline: OverfitPipeline
    prefix: Prefix
    reference: Parameters
    latents: Tensor
    settings: Settings
    perception: Perception | None

    def at_quality(self, quality: Quality) -> Encoded:
        fit = self._begin(round(quality.value * HIGHEST_RATE / 100))
        self._run(fit, 0, self._effort.rounds)
        return self._code(fit, self._changes(fit), RATE_WEIGHT)

    def within(self, budget: PayloadBudget) -> Encoded:
        """Find the rate without a fit, then fit and correct the rate in turns, and fill what is left by weight."""
        fit = self._begin(HIGHEST_RATE // 2)
        self._guess(fit, budget)
        rounds = self._effort.rounds
        for number in range(CORRECTIONS):
            self._run(fit, rounds * number // CORRECTIONS, rounds * (number + 1) // CORRECTIONS)
            if number < CORRECTIONS - 1:
                self._correct(fit, budget)
        changes = self._changes(fit)
        return self._fill(fit, changes, budget)

    @property
    def _effort(self) -> Effort:
        return EFFORTS[self.settings.effort]

    def _begin(self, rate: int) -> Fit:
        function = FittedFunction(self.pipeline.layout(self.prefix.preset), self.reference)
        return Fit.begin(function.requires_grad_(requires_grad=False), self.latents, unit(rate))

    def _run(self, fit: Fit, first: int, last: int) -> None:
        """Rounds of the fit; with perception, what it aims at moves on between them."""
        effort, report, stopped = self._effort, self.settings.report, self.settings.stopped
        if self.perception is None:
            fit.run(first, last, effort, report, stopped)
            return
        every = max(effort.rounds // PULLS, 1)
        for start in range(first, last, every):
            if stopped():
                break
            fit.pull(self.latents, self.perception.direction(fit.restored(), start // every), PULL)
            fit.run(start, min(start + every, last), effort, report, stopped)

    def _guess(self, fit: Fit, budget: PayloadBudget) -> None:
        """Move to the rate that meets the budget without a fit."""

        def evaluate(rate: int, thrift: float) -> tuple[int, None]:
            fit.move(unit(rate))
            return len(self._code(fit, UNCHANGED, RATE_WEIGHT).payload), None

        size = evaluate(_rate(fit), 0.0)[0]
        expected = Curve(size * math.exp(-LOG_BYTES_PER_RATE * _rate(fit)), LOG_BYTES_PER_RATE)
        below, above = bracket(evaluate, budget.size_bytes, expected)
        closest = below or above
        assert closest is not None
        fit.move(unit(closest.rate))

    def _correct(self, fit: Fit, budget: PayloadBudget) -> None:
        """Move towards the rate at which the budget would be met, if sizes change as they usually do."""
        size = len(self._code(fit, UNCHANGED, RATE_WEIGHT).payload)
        change = round(math.log(max(budget.size_bytes, 1) / size) / LOG_BYTES_PER_RATE)
        change = min(max(change, -LARGEST_CORRECTION), LARGEST_CORRECTION)
        fit.move(unit(min(max(_rate(fit) + change, 0), HIGHEST_RATE)))

    def _changes(self, fit: Fit) -> tuple[Change, ...]:
        """What the file says about the parameters; symbols then settle on what the decoder will know."""
        if not self._effort.adapts:
            return UNCHANGED
        changes = fit.quantise_parameters(self.reference)
        fit.run(0, SETTLING, replace(self._effort, adapts=False))
        return changes

    def _fill(self, fit: Fit, changes: tuple[Change, ...], budget: PayloadBudget) -> Encoded:
        """The largest payload within the budget, by the weight of rate; another rate where no weight will do."""
        tried: dict[int, Encoded] = {}
        while True:
            found = self._bisect(fit, changes, budget)
            if isinstance(found, Encoded):
                return found
            smallest, largest = found
            tried[_rate(fit)] = smallest if len(smallest.payload) > budget.size_bytes else largest
            step = -FILL_STEP if len(smallest.payload) > budget.size_bytes else FILL_STEP
            rate = min(max(_rate(fit) + step, 0), HIGHEST_RATE)
            if rate in tried:
                return self._nearest(tried[rate], tried, budget)
            fit.move(unit(rate))

    def _bisect(
        self, fit: Fit, changes: tuple[Change, ...], budget: PayloadBudget
    ) -> Encoded | tuple[Encoded, Encoded]:
        """A payload that fills the budget; or the smallest and the largest one, if it lies outside of these."""
        low, high = LOWEST_WEIGHT, HIGHEST_WEIGHT
        largest, smallest = (self._code(fit, changes, weight) for weight in (low, high))
        if not len(smallest.payload) <= budget.size_bytes < len(largest.payload):
            return smallest, largest
        best = smallest
        for _ in range(BISECTIONS):
            if len(best.payload) >= FULL_ENOUGH * budget.size_bytes:
                break
            weight = math.sqrt(low * high)
            encoded = self._code(fit, changes, weight)
            if len(encoded.payload) <= budget.size_bytes:
                best, high = encoded, weight
            else:
                low = weight
        return best

    def _nearest(self, last: Encoded, tried: dict[int, Encoded], budget: PayloadBudget) -> Encoded:
        """At the end of the range, or between two rates neither of which can fill the budget."""
        within = [encoded for encoded in tried.values() if len(encoded.payload) <= budget.size_bytes]
        best = max(within, key=lambda encoded: len(encoded.payload), default=None)
        if best is not None and (budget.clamp or HIGHEST_RATE not in tried):
            return best
        if budget.clamp:
            return min(tried.values(), key=lambda encoded: len(encoded.payload))
        sizes = [len(encoded.payload) for encoded in tried.values()]
        raise OutOfReachError(min(sizes), max(sizes))

    def _code(self, fit: Fit, changes: tuple[Change, ...], weight: float) -> Encoded:
        encoder, counter = SymbolEncoder(PACKING), BitCounter(PACKING)
        coder = Both(encoder, counter)
        known = code_differences(coder, changes, self.reference, fit.function.integers())
        source = [grid[0].to(torch.int32).numpy() for grid in fit.weighed(weight)]
        size, rate = (self.latents.shape[2], self.latents.shape[3]), _rate(fit)
        grids = code_grids(coder, known, self.pipeline.layout(self.prefix.preset), rate, size, source)
        prefix = replace(self.prefix, changes=changes).write()
        payload = prefix + encoder.finish()
        return Encoded(rate, digest(grids), payload, counter.bits + 8 * len(prefix))


def _scaled(part: slice, stride: int) -> slice:
    """Positions of latents -> pixels."""
    return slice(stride * part.start, stride * part.stop)


def _rate(fit: Fit) -> int:
    return round(fit.rate.item() * HIGHEST_RATE)
