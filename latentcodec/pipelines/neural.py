"""Pixels <-> payload with a trained model: what methods with latents y and hyper-latents z have in common.

encode: pad -> prepare once -> (analyse -> code) for every rate tried -> payload
decode: payload -> symbols -> check digest -> synthesise, tile by tile -> crop
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentcodec.coding.symbols import BitCounter, SymbolDecoder, SymbolEncoder
from latentcodec.errors import CorruptError, InputError, WeightsError
from latentcodec.image import Pixels
from latentcodec.models.blocks.integers import CodedLatents, IntegerEntropyModel, Rounding
from latentcodec.models.blocks.noise import tile_at
from latentcodec.models.blocks.rate import RATE_STEPS
from latentcodec.models.blocks.shipping import float_tensors
from latentcodec.models.blocks.tiles import Tile, at, tiles
from latentcodec.models.sodec.model import Sodec
from latentcodec.models.stablecodec.model import StableCodec
from latentcodec.pipelines.base import (
    DEFAULT_SETTINGS,
    PERCEPTUAL,
    PSNR,
    SSIM,
    Encoded,
    OutOfReachError,
    PayloadBudget,
    Settings,
)
from latentcodec.pipelines.both import Both
from latentcodec.pipelines.judged import Z_STRIDE, JudgedPicture
from latentcodec.pipelines.objective import objective_for
from latentcodec.pipelines.precision import convert_for_autocast, fast_autocast
from latentcodec.pipelines.refinement import Refinement, Source, refines
from latentcodec.pipelines.rounding import rate_distortion_rounding
from latentcodec.pipelines.search import HIGHEST_RATE, Curve, fill_budget
from latentcodec.rate import Quality

# Of rounding; what a search for a budget adds comes on top. Many latents lie just beyond a half. At equal bytes more
# thrift gives higher PSNR, and from some point on less of what perception measures: the fewer the bits, the later.
LEAST_THRIFT = 0.01
RATES, THRIFTS = (90, 120), (0.02, LEAST_THRIFT)  # between these, linear
SHARES_OF_Z = (1.0, 0.0)  # of that, what hyper-latents are rounded with where a model gains from it; linear as well
TUNED_THRIFT = {PSNR: 0.07, SSIM: 0.03}
Networks = TypeVar("Networks", StableCodec, Sodec)


def least_thrift(rate: int) -> float:
    """Of rounding, at a rate 0..255."""
    return float(np.interp(rate, RATES, THRIFTS))


class NeuralPipeline(ABC, Generic[Networks]):
    """A model with its weights on one device."""

    codec_id: int
    y_per_z: int  # positions of y along a side of one position of z
    refinable = True
    thrifty_z = False  # whether z is rounded with regard to its bits, where they are few
    effort_thrift: float | None = None  # at every rate, with effort; None: as without

    def __init__(self, fingerprint: int, networks: Networks, entropy: IntegerEntropyModel, device: torch.device):
        self.fingerprint = fingerprint
        self._device = device
        self._networks: Networks = networks
        self._entropy = entropy
        networks.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        networks.eval().requires_grad_(requires_grad=False)
        convert_for_autocast(networks, device)

    @abstractmethod
    def _synthesise(self, z: Tensor, y: Tensor, rate: Tensor, fidelity: float) -> Tensor:
        """Decoded latents, or a tile of them -> pixels, not clamped."""

    @torch.no_grad()
    def encode(self, pixels: Pixels, target: Quality | PayloadBudget, settings: Settings = DEFAULT_SETTINGS) -> Encoded:
        """uint8 [H, W, 3] -> payload at a quality, or the largest payload within a budget.

        Effort and tuning keep to the budget, or to the size that a quality has without.
        """
        if refines(settings) and not self.refinable:
            raise InputError("effort is for the models at mini scale")
        original = self._to_tensor(pixels)
        with fast_autocast(self._device):
            prepared = self._networks.prepare(original)

        def analysed(rate: int) -> Source:
            return self.with_hyper_latents(self._analyse(prepared, rate), rate)

        expected = self._expected(pixels.shape[0] * pixels.shape[1])
        tuned = TUNED_THRIFT.get(settings.tune or PERCEPTUAL, self.effort_thrift if refines(settings) else None)
        encoded, tuned = self._first(target, analysed, expected, tuned)
        if refines(settings):
            size = len(encoded.payload) if isinstance(target, Quality) else target.size_bytes
            objective = objective_for(settings.tune or PERCEPTUAL, encoded.rate)
            measure = partial(self.measure, least=tuned)
            judged = JudgedPicture(self, original, pixels.shape[:2], objective, measure)
            refinement = self._refined(judged, self._analyse(prepared, encoded.rate), encoded, settings)
            budget = PayloadBudget(size, clamp=True)
            better = self._code_within(budget, refinement.source, refinement.expected, tuned)
            encoded = better if len(better.payload) <= max(size, len(encoded.payload)) else encoded
        self._decode_symbols(encoded, pixels.shape[0], pixels.shape[1])  # no file leaves that does not decode here
        return encoded

    def _first(
        self, target: Quality | PayloadBudget, source: Callable[[int], Source], expected: Curve, tuned: float | None
    ) -> tuple[Encoded, float | None]:
        """As analysed, with a thrift of `tuned`, and that; or as without tuning, and None, where tuning does not reach.

        A quality has as many bytes as without.
        """
        plain = None
        if isinstance(target, Quality):
            plain = self._code_within(target, source, expected)
            size = len(plain.payload)
        else:
            size = target.size_bytes
        if tuned is not None:
            with suppress(OutOfReachError):
                return self._code_within(PayloadBudget(size), source, expected, tuned), tuned
        return plain or self._code_within(target, source, expected), None

    def _code_within(
        self,
        target: Quality | PayloadBudget,
        source: Callable[[int], Source],
        expected: Curve,
        least: float | None = None,
    ) -> Encoded:
        """Code latents that are known for every rate, with a thrift of `least` or more."""
        sources = cache(source)

        def evaluate(rate: int, thrift: float) -> tuple[int, Encoded]:
            encoded = self._code(rate, sources(rate), self._rounding(rate, least, thrift))
            return len(encoded.payload), encoded

        if isinstance(target, Quality):
            return evaluate(round(target.value * HIGHEST_RATE / 100), 0.0)[1]
        return fill_budget(evaluate, target, expected)

    def _refined(self, judged: JudgedPicture, y: Tensor, encoded: Encoded, settings: Settings) -> Refinement:
        """`y`, from which `encoded` was made, with more effort."""
        refinement = Refinement(judged, y, encoded.rate, encoded.information_bits, self._slope)
        refinement.run(settings)
        return refinement

    @torch.inference_mode()
    def decode(
        self, encoded: Encoded, size: tuple[int, int], fidelity: float = 0.0, max_memory_bytes: int | None = None
    ) -> Pixels:
        """Payload -> uint8 [H, W, 3]. Raises CorruptError if the symbols are not those that were encoded."""
        width, height = size
        coded = self._decode_symbols(encoded, height, width)
        z, y = torch.from_numpy(coded.z.astype(np.float32))[None], torch.from_numpy(coded.values())[None]
        picture = np.empty((height, width, 3), np.uint8)
        for tile in tiles(z.shape[2], z.shape[3]):
            pixels = self.decode_tile(z, y, encoded.rate, tile, fidelity)
            region = picture[at(tile.kept, Z_STRIDE)[1:]]  # cut off at the picture's border, beyond which lies padding
            region[:] = to_pixels(pixels[at(tile.inside, Z_STRIDE)], *region.shape[:2])
        return picture

    def decode_tile(self, z: Tensor, y: Tensor, rate: int, tile: Tile, fidelity: float = 0.0) -> Tensor:
        """z [1, Cz, h, w] and y^ of a whole picture -> pixels of the part that a tile sees, not clamped."""
        tile_z, tile_y = z[at(tile.seen, 1)], y[at(tile.seen, self.y_per_z)]
        origin = Z_STRIDE * tile.seen[0].start, Z_STRIDE * tile.seen[1].start
        with fast_autocast(self._device), tile_at(self._networks, origin):
            return self._synthesise(tile_z.to(self._device), tile_y.to(self._device), self._rate(rate), fidelity)

    def _decode_symbols(self, encoded: Encoded, height: int, width: int) -> CodedLatents:
        decoder = SymbolDecoder(encoded.payload, self._networks.config.packing)
        latents = self._entropy.code(decoder, encoded.rate, _z_shape(height, width))
        if latents.digest() != encoded.symbols:
            raise CorruptError("the decoded symbols do not match their digest in the file")
        return latents

    def _analyse(self, prepared: tuple[Tensor, Tensor], rate: int) -> Tensor:
        """-> y [1, M, h, w] in the quantised domain, before rounding."""
        with fast_autocast(self._device):
            return self._networks.analyse(*prepared, self._rate(rate)).float()

    def gain(self, rate: int) -> Tensor:
        """[1, M, 1, 1], by which y is larger the higher the rate is."""
        return self._networks.log_gain(self._rate(rate)).exp().detach()

    def with_hyper_latents(self, y: Tensor, rate: int) -> Source:
        """y [1, M, h, w] -> (z, y), neither rounded."""
        with fast_autocast(self._device):
            z = self._networks.entropy.hyper_analysis(y, self._rate(rate))
        return z[0].float().cpu().numpy(), y[0].cpu().numpy()

    def _code(self, rate: int, source: Source, rounding: Rounding) -> Encoded:
        shape = source[0].shape[1], source[0].shape[2]
        coder, counter = SymbolEncoder(self._networks.config.packing), BitCounter(self._networks.config.packing)
        latents = self._entropy.code(Both(coder, counter), rate, shape, source, rounding)
        return Encoded(rate, latents.digest(), coder.finish(), counter.bits)

    def _rounding(self, rate: int, least: float | None, more: float = 0.0) -> Rounding:
        """With a thrift of `least`, or that of the rate, and more."""
        thrift = (least_thrift(rate) if least is None else least) + more
        share = float(np.interp(rate, RATES, SHARES_OF_Z)) if self.thrifty_z else 0.0
        return Rounding(rate_distortion_rounding(share * thrift), rate_distortion_rounding(thrift))

    def measure(self, source: Source, rate: int, least: float | None = None) -> tuple[CodedLatents, float]:
        """(z, y) -> what a decoder would know, and the bits that it costs, with a thrift of `least`."""
        counter = BitCounter(self._networks.config.packing)
        latents = self._entropy.code(counter, rate, source[0].shape[1:], source, self._rounding(rate, least))
        return latents, counter.bits

    def _expected(self, pixels: int) -> Curve:
        return Curve(self._networks.config.rate_range[0] * pixels / 8, self._slope)

    @property
    def _slope(self) -> float:
        """Of the logarithm of payloads, per step of the rate."""
        low, high = self._networks.config.rate_range
        return math.log(high / low) / RATE_STEPS

    def _rate(self, rate: int) -> Tensor:
        return torch.tensor([rate / RATE_STEPS], device=self._device)

    def _to_tensor(self, pixels: Pixels) -> Tensor:
        """uint8 [H, W, 3] -> float [1, 3, H', W'] in 0..1, edges repeated to multiples of Z_STRIDE."""
        height, width = pixels.shape[:2]
        unit = torch.from_numpy(pixels.copy()).to(self._device).permute(2, 0, 1)[None].float() / 255
        padded = F.pad(unit, (0, -width % Z_STRIDE, 0, -height % Z_STRIDE), mode="replicate")
        return padded.contiguous(memory_format=torch.channels_last)


def load_networks(codec: nn.Module, tensors: dict[str, Tensor], not_shipped: tuple[str, ...]) -> None:
    """Float tensors of a weights file -> a model on the meta device. Strict, but for names that begin as told."""
    result = codec.load_state_dict(float_tensors(tensors), strict=False, assign=True)
    missing = [k for k in result.missing_keys if not k.startswith(not_shipped)]
    if missing or result.unexpected_keys:
        names = ", ".join((missing + result.unexpected_keys)[:3])
        raise WeightsError(f"the weights do not fit the model: {names}")


def _z_shape(height: int, width: int) -> tuple[int, int]:
    return -(-height // Z_STRIDE), -(-width // Z_STRIDE)


def to_pixels(pixels: Tensor, height: int, width: int) -> Pixels:
    """Float [1, 3, H', W'] in 0..1, not clamped -> uint8 [H, W, 3]."""
    cropped = pixels[0, :, :height, :width].float().clamp(0, 1)
    return (cropped * 255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()
