"""Codec 2 at full scale: the published StableCodec, in files that decode on their own and everywhere.

encode: pad -> prepare and analyse once -> code at every gain tried -> payload
decode: payload -> symbols -> check digest -> synthesise -> crop
"""

import json
import logging
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from latentcodec.coding.packing import Packing
from latentcodec.coding.symbols import BitCounter, SymbolDecoder, SymbolEncoder
from latentcodec.errors import CorruptError, InputError, WeightsError
from latentcodec.image import Pixels
from latentcodec.models.blocks.integers import Rounding
from latentcodec.models.diffusion.prompt import text_state
from latentcodec.models.diffusion.quicken import quicken
from latentcodec.models.stablecodec.full.checkpoint import convert
from latentcodec.models.stablecodec.full.codec import CODING
from latentcodec.models.stablecodec.full.config import Z_STRIDE, FullConfig
from latentcodec.models.stablecodec.full.density import checked_frequencies, z_frequencies
from latentcodec.models.stablecodec.full.guarded import RATES_PER_OCTAVE, GuardedEntropy, GuardedLatents
from latentcodec.models.stablecodec.full.large import LARGEST_WHOLE, PIXELS, analyse_large, synthesise_large
from latentcodec.models.stablecodec.full.load import PROMPT, merged_tensors, place, place_merged
from latentcodec.models.stablecodec.full.model import FullStableCodec
from latentcodec.pipelines.allocation import MORE_BYTES, reusing_memory
from latentcodec.pipelines.base import DEFAULT_SETTINGS, Encoded, PayloadBudget, Settings
from latentcodec.pipelines.both import Both
from latentcodec.pipelines.memory import PROGRAM_BYTES, MemoryModel
from latentcodec.pipelines.neural import to_pixels
from latentcodec.pipelines.precision import compile_if_asked, fast_autocast, fast_dtype
from latentcodec.pipelines.refinement import refines
from latentcodec.pipelines.registry import FULL_SCALE, described
from latentcodec.pipelines.rounding import rate_distortion_rounding
from latentcodec.pipelines.search import HIGHEST_RATE, Curve, fill_budget
from latentcodec.rate import Quality
from latentcodec.weights import store
from latentcodec.weights.hashing import is_noted, noted_sha256
from latentcodec.weights.manifest import row
from latentcodec.weights.store import Weights

PACKING = Packing(19, 2)
EXPECTED_BPP = 0.02  # of a checkpoint that is not a published one
# What the published checkpoints spend on Kodak, by the lambda in their names.
PUBLISHED_BPP = {
    "ft32": 0.00579, "ft24": 0.00783, "ft16": 0.01083, "ft12": 0.01333, "ft8": 0.01707, "ft6": 0.02026, "ft4": 0.02504,
    "ft3": 0.02865, "ft2": 0.03413,
}  # fmt: skip
FREQUENCIES = "integer.z_frequencies"
LARGEST_WHOLE_PIXELS = LARGEST_WHOLE * PIXELS**2
BOTTLENECK = "bottleneck."
BASE = ("sd-turbo-vae", "sd-turbo-unet")
MERGED_TYPE = torch.bfloat16


def import_checkpoint(checkpoint: Path, elic: Path, name: str, config: FullConfig | None = None) -> Path:
    """A published checkpoint -> weights in the cache. Raises WeightsError for whatever does not fit."""
    config = config or FullConfig()
    tensors = convert(store.read_states(checkpoint), read_elic(elic), config)
    shipped, metadata = as_shipped(tensors, text_state(store.load("sd-turbo-text").tensors), config)
    return store.keep(name, shipped, metadata["model"])


def read_elic(path: Path) -> dict[str, Tensor]:
    """ELIC's state, as it is published. Raises WeightsError."""
    states = store.read_states(path)
    if len(states) != 1:
        raise WeightsError(f"{path} holds {len(states)} states: {', '.join(states)[:80]}; ELIC's file is one")
    return next(iter(states.values()))


def as_shipped(
    tensors: Mapping[str, Tensor], text: Tensor, config: FullConfig
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors of a checkpoint and the state of the text -> tensors and metadata of a weights file."""
    bottleneck = {k.removeprefix(BOTTLENECK): v for k, v in tensors.items() if k.startswith(BOTTLENECK)}
    description = json.dumps({"kind": FULL_SCALE, "config": config.to_json()}, sort_keys=True)
    frequencies = z_frequencies(bottleneck)
    checked_frequencies(frequencies, config.channels // 2)
    return {**tensors, FREQUENCIES: frequencies, PROMPT: text}, {"model": description}


def nearest_checkpoint(target_bpp: float) -> Path:
    """Of the imported checkpoints with published rates, the one nearest to the target. Raises WeightsError for none."""
    stages = {path: path.name.split(".")[0].rpartition("_")[2] for path in store.kept()}
    if not stages:
        raise WeightsError("no checkpoint of StableCodec was imported; see 'lcodec weights import --help'")
    rates = {path: PUBLISHED_BPP[stage] for path, stage in stages.items() if stage in PUBLISHED_BPP}
    rates = rates or dict.fromkeys(stages, EXPECTED_BPP)  # a first stage, or somebody's own, where there is no other
    return min(rates, key=lambda path: abs(math.log(rates[path] / max(target_bpp, 1e-6))))


class FullStableCodecPipeline:
    """One checkpoint with SD-Turbo, on one device. What selects probabilities runs on the CPU."""

    codec_id = 2

    def __init__(self, weights: Weights, device: torch.device):
        self.fingerprint = weights.fingerprint
        self._device = device
        config = FullConfig.from_json(described(weights).get("config", ""))
        tensors = dict(weights.tensors)
        if not {FREQUENCIES, PROMPT} <= set(tensors):
            raise WeightsError("the weights were not written by 'lcodec weights import'")
        frequencies = checked_frequencies(tensors.pop(FREQUENCIES), config.channels // 2).numpy()
        self._model = _placed(config, tensors, weights, fast_dtype(device))
        medians = tensors["bottleneck.quantiles"][:, 0, 1].double().numpy()
        self._entropy = GuardedEntropy(self._model.codec, frequencies, medians)
        for part in CODING:
            delattr(self._model.codec, part)
        if device.type == "cpu":
            for network in (self._model.vae.network.decoder, self._model.unet):
                quicken(network)
        self._model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        compile_if_asked(self._model.unet, device)
        self._memory = _memory_model(self._model, tensors)
        self._one_at_a_time = Lock()  # norms are replaced while a picture goes through in tiles

    @torch.inference_mode()
    def encode(self, pixels: Pixels, target: Quality | PayloadBudget, settings: Settings = DEFAULT_SETTINGS) -> Encoded:
        """uint8 [H, W, 3] -> payload at a quality, or the largest payload within a budget.

        Quality 50 is the rate that the checkpoint was trained for.
        """
        if refines(settings) or settings.tune is not None:
            raise InputError("effort and tuning are for the models at mini scale")
        height, width = pixels.shape[:2]
        limit = self._limit_bytes(settings.max_memory_bytes)
        kept = self._kept_bytes(height, width, limit)
        with self._one_at_a_time:
            latents = self._analyse(self._to_tensor(pixels), kept)
        z = self._model.codec.h_a(latents)
        source = z[0].cpu().numpy(), latents[0].cpu().numpy()

        def evaluate(rate: int, thrift: float) -> tuple[int, Encoded]:
            coder, counter = SymbolEncoder(PACKING), BitCounter(PACKING)
            rounding = Rounding(y=rate_distortion_rounding(thrift))
            coded = self._entropy.code(Both(coder, counter), rate, source[0].shape[1:], source, rounding)
            encoded = Encoded(rate, coded.digest(), coder.finish(), counter.bits)
            return len(encoded.payload), encoded

        if isinstance(target, Quality):
            encoded = evaluate(round(target.value * HIGHEST_RATE / 100), 0.0)[1]
        else:
            # Halving the step adds about one bit to every symbol that is not zero anyway.
            expected = Curve(EXPECTED_BPP * height * width / 8 / 4, math.log(2) / RATES_PER_OCTAVE / 2)
            encoded = fill_budget(evaluate, target, expected)
        self._decode_symbols(encoded, height, width)  # no file leaves that does not decode here
        return encoded

    @torch.inference_mode()
    def decode(
        self, encoded: Encoded, size: tuple[int, int], fidelity: float = 0.0, max_memory_bytes: int | None = None
    ) -> Pixels:
        """Payload -> uint8 [H, W, 3]. Raises CorruptError if the symbols are not those that were encoded."""
        width, height = size
        limit = self._limit_bytes(max_memory_bytes)
        kept = self._kept_bytes(height, width, limit)
        y = torch.from_numpy(self._decode_symbols(encoded, height, width).y)[None].to(self._device)
        with self._one_at_a_time, fast_autocast(self._device):
            if kept is None:
                with self._allocation(height, width, limit):
                    return to_pixels(self._model.synthesise(y), height, width)
            pixels = synthesise_large(self._model, y, kept)
        return pixels[0, :, :height, :width].permute(1, 2, 0).contiguous().cpu().numpy()

    def _analyse(self, pixels: Tensor, kept: int | None) -> Tensor:
        """uint8 [1, 3, H, W] -> y, float32."""
        with fast_autocast(self._device):
            if kept is not None:
                return analyse_large(self._model, pixels, kept)
            prepared = self._model.prepare((pixels.float() / 255).contiguous(memory_format=torch.channels_last))
        return self._model.analyse(*(part.float() for part in prepared))

    def _limit_bytes(self, given: int | None) -> int:
        return self._memory.default_limit(self._device) if given is None else given

    def _allocation(self, height: int, width: int, limit_bytes: int) -> AbstractContextManager[None]:
        """The faster one, if it has the memory."""
        needed = self._memory.whole_bytes(_padded(height) * _padded(width)) + MORE_BYTES
        return reusing_memory() if self._device.type == "cpu" and needed <= limit_bytes else nullcontext()

    def _kept_bytes(self, height: int, width: int, limit_bytes: int) -> int | None:
        """For the VAE, of a picture in tiles; None: it is taken whole. Raises LimitError, before any work."""
        pixels = _padded(height) * _padded(width)
        kept = self._memory.kept_bytes(pixels, limit_bytes)
        if kept is None and pixels > LARGEST_WHOLE_PIXELS:
            return self._memory.whole_bytes(pixels)  # more than enough; the denoiser is not for such pictures
        return kept

    def _decode_symbols(self, encoded: Encoded, height: int, width: int) -> GuardedLatents:
        shape = -(-height // Z_STRIDE), -(-width // Z_STRIDE)
        latents = self._entropy.code(SymbolDecoder(encoded.payload, PACKING), encoded.rate, shape)
        if latents.digest() != encoded.symbols:
            raise CorruptError("the decoded symbols do not match their digest in the file")
        return latents

    def _to_tensor(self, pixels: Pixels) -> Tensor:
        """uint8 [H, W, 3] -> uint8 [1, 3, H', W'], mirrored, or repeated where it is too small to mirror."""
        height, width = pixels.shape[:2]
        right, bottom = _padded(width) - width, _padded(height) - height
        mirrored = right < width and bottom < height  # as the published program does, which refuses smaller pictures
        padded = np.pad(pixels, ((0, bottom), (0, right), (0, 0)), mode="reflect" if mirrored else "edge")
        return torch.from_numpy(np.ascontiguousarray(padded)).to(self._device).permute(2, 0, 1)[None]


def merge_checkpoint(path: Path) -> Path:
    """Write SD-Turbo's networks with a checkpoint's adapters in them into the cache: gigabytes for seconds of loading.

    Raises WeightsError.
    """
    weights = store.read_weights(path)
    config = FullConfig.from_json(described(weights).get("config", ""))
    tensors = {name: value for name, value in weights.tensors.items() if name != FREQUENCIES}
    model = place(config, tensors, *_base(), MERGED_TYPE)
    target = store.derived(weights.fingerprint, "merged")
    store.write_tensors(merged_tensors(model), target, {"made_of": _origin(weights)})
    noted_sha256(target)
    return target


def _placed(config: FullConfig, tensors: dict[str, Tensor], weights: Weights, dtype: torch.dtype) -> FullStableCodec:
    """The model, of networks that were merged before if they lie there as they were written."""
    before = store.derived(weights.fingerprint, "merged")
    if dtype == MERGED_TYPE and before.exists():
        done = store.read_weights(before, noted_sha256) if is_noted(before) else None
        if done is not None and done.metadata.get("made_of") == _origin(weights):
            return place_merged(config, tensors, done.tensors)
        logging.getLogger(__name__).warning("%s is not as it was written: 'lcodec weights merge' again", before.name)
    return place(config, tensors, *_base(), dtype)


def _base() -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
    vae, unet = (store.load_one_by_one(name) for name in BASE)
    return vae, unet


def _origin(weights: Weights) -> str:
    """SHA-256 of what merged networks are made of."""
    return " ".join([weights.sha256, *(row(name).sha256 for name in BASE)])


def _padded(side: int) -> int:
    return side + -side % Z_STRIDE


def _memory_model(model: FullStableCodec, tensors: Mapping[str, Tensor]) -> MemoryModel:
    held = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    if model.prompt.device.type == "cpu":  # as what predicts y is, in float64
        coding = tuple(f"codec.{part}." for part in CODING)
        held += PROGRAM_BYTES + sum(8 * value.numel() for name, value in tensors.items() if name.startswith(coding))
    widths = model.config.stable_diffusion.vae_widths
    return MemoryModel(held, model.vae.itemsize, widest=widths[1], attending=widths[-1])
