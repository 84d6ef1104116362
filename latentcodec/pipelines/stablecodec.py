"""Codec 2: pixels <-> payload with the mini StableCodec model.

encode: pad -> prepare once -> (analyse -> code) for every rate tried -> payload
decode: payload -> symbols -> check digest -> synthesise -> crop
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from latentcodec.coding.symbols import BitCounter, SymbolDecoder, SymbolEncoder
from latentcodec.errors import CorruptError, WeightsError
from latentcodec.image import Pixels
from latentcodec.models.blocks.noise import tile_at
from latentcodec.models.blocks.rate import RATE_STEPS
from latentcodec.models.stablecodec.config import Y_STRIDE, Z_STRIDE, StableCodecConfig
from latentcodec.models.stablecodec.export import DECODER_ENTROPY, INTEGER_PREFIX
from latentcodec.models.stablecodec.integer_entropy import (
    CodedLatents,
    Floats,
    IntegerEntropy,
    Quantiser,
)
from latentcodec.models.stablecodec.model import StableCodec
from latentcodec.pipelines.base import DEFAULT_SETTINGS, Encoded, PayloadBudget, Settings
from latentcodec.pipelines.both import Both
from latentcodec.pipelines.precision import fast_autocast
from latentcodec.pipelines.rounding import rate_distortion_rounding
from latentcodec.pipelines.search import HIGHEST_RATE, Curve, fill_budget
from latentcodec.pipelines.tiles import tiles
from latentcodec.rate import Quality
from latentcodec.weights.store import Weights


class StableCodecPipeline:
    """The model with its weights on one device."""

    codec_id = 2

    def __init__(self, weights: Weights, device: torch.device):
        self.fingerprint = weights.fingerprint
        self._device = device
        config = StableCodecConfig.from_json(weights.metadata.get("config", "{}"))
        self._packing = config.packing
        tensors = weights.tensors
        self._codec = _load(tensors, config, device)
        integers = {k.removeprefix(INTEGER_PREFIX): v for k, v in tensors.items() if k.startswith(INTEGER_PREFIX)}
        self._entropy = IntegerEntropy({k: v.numpy() for k, v in integers.items()})

    @torch.inference_mode()
    def encode(self, pixels: Pixels, target: Quality | PayloadBudget, settings: Settings = DEFAULT_SETTINGS) -> Encoded:
        """uint8 [H, W, 3] -> payload at a quality, or the largest payload within a budget."""
        with fast_autocast(self._device):
            prepared = self._codec.prepare(self._to_tensor(pixels))
        sources: dict[int, tuple[Floats, Floats]] = {}

        def evaluate(rate: int, thrift: float) -> tuple[int, Encoded]:
            if rate not in sources:
                sources[rate] = self._analyse(prepared, rate)
            encoded = self._code(rate, sources[rate], rate_distortion_rounding(thrift))
            return len(encoded.payload), encoded

        if isinstance(target, Quality):
            encoded = evaluate(round(target.value * HIGHEST_RATE / 100), 0.0)[1]
        else:
            encoded = fill_budget(evaluate, target, self._expected(pixels.shape[0] * pixels.shape[1]))
        self._decode_symbols(encoded, pixels.shape[0], pixels.shape[1])  # no file leaves that does not decode here
        return encoded

    @torch.inference_mode()
    def decode(self, encoded: Encoded, size: tuple[int, int]) -> Pixels:
        """Payload -> uint8 [H, W, 3]. Raises CorruptError if the symbols are not those that were encoded."""
        width, height = size
        y = torch.from_numpy(self._decode_symbols(encoded, height, width).values())[None]
        rate = self._rate(encoded.rate)
        picture = np.empty((height, width, 3), np.uint8)
        for tile in tiles(y.shape[2], y.shape[3]):
            with (
                fast_autocast(self._device),
                tile_at(self._codec, (Y_STRIDE * tile.seen[0].start, Y_STRIDE * tile.seen[1].start)),
            ):
                pixels = self._codec.synthesise(y[:, :, *tile.seen].to(self._device), rate)
            inside_rows, inside_columns = (_scaled(part) for part in tile.inside)
            rows, columns = (_scaled(part) for part in tile.kept)
            region = picture[rows, columns]  # cut off at the picture's border, beyond which lies padding
            region[:] = _to_pixels(pixels[:, :, inside_rows, inside_columns], *region.shape[:2])
        return picture

    def _decode_symbols(self, encoded: Encoded, height: int, width: int) -> CodedLatents:
        latents = self._entropy.code(
            SymbolDecoder(encoded.payload, self._packing), encoded.rate, _z_shape(height, width)
        )
        if latents.digest() != encoded.symbols:
            raise CorruptError("the decoded symbols do not match their digest in the file")
        return latents

    def _analyse(self, prepared: tuple[Tensor, Tensor], rate: int) -> tuple[Floats, Floats]:
        """-> (z, y) in the quantised domain, before rounding."""
        with fast_autocast(self._device):
            y = self._codec.analyse(*prepared, self._rate(rate)).float()
            z = self._codec.entropy.hyper_analysis(y, self._rate(rate)).float()
        return z[0].cpu().numpy(), y[0].cpu().numpy()

    def _code(self, rate: int, source: tuple[Floats, Floats], quantise: Quantiser) -> Encoded:
        shape = source[0].shape[1], source[0].shape[2]
        coder, counter = SymbolEncoder(self._packing), BitCounter(self._packing)
        latents = self._entropy.code(Both(coder, counter), rate, shape, source, quantise)
        return Encoded(rate, latents.digest(), coder.finish(), counter.bits)

    def _expected(self, pixels: int) -> Curve:
        low, high = self._codec.config.rate_range
        return Curve(low * pixels / 8, math.log(high / low) / RATE_STEPS)

    def _rate(self, rate: int) -> Tensor:
        return torch.tensor([rate / RATE_STEPS], device=self._device)

    def _to_tensor(self, pixels: Pixels) -> Tensor:
        """uint8 [H, W, 3] -> float [1, 3, H', W'] in 0..1, edges repeated to multiples of Z_STRIDE."""
        height, width = pixels.shape[:2]
        unit = torch.from_numpy(pixels.copy()).to(self._device).permute(2, 0, 1)[None].float() / 255
        padded = F.pad(unit, (0, -width % Z_STRIDE, 0, -height % Z_STRIDE), mode="replicate")
        return padded.contiguous(memory_format=torch.channels_last)


def _load(tensors: dict[str, Tensor], config: StableCodecConfig, device: torch.device) -> StableCodec:
    """Networks with the float tensors; the float entropy networks of the decoder side stay unused. Strict."""
    with torch.device("meta"):
        codec = StableCodec(config)
    floats = {k: v.to(torch.float32) for k, v in tensors.items() if not k.startswith(INTEGER_PREFIX)}
    result = codec.load_state_dict(floats, strict=False, assign=True)
    missing = [k for k in result.missing_keys if not k.startswith(DECODER_ENTROPY)]
    if missing or result.unexpected_keys:
        names = ", ".join((missing + result.unexpected_keys)[:3])
        raise WeightsError(f"the weights do not fit the model: {names}")
    del codec.entropy.hyper_synthesis, codec.entropy.steps, codec.entropy.prior, codec.entropy.offset
    return codec.to(device=device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]


def _scaled(part: slice) -> slice:
    """Positions of y -> pixels."""
    return slice(Y_STRIDE * part.start, Y_STRIDE * part.stop)


def _z_shape(height: int, width: int) -> tuple[int, int]:
    return -(-height // Z_STRIDE), -(-width // Z_STRIDE)


def _to_pixels(pixels: Tensor, height: int, width: int) -> Pixels:
    cropped = pixels[0, :, :height, :width].float().clamp(0, 1)
    return (cropped * 255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()
