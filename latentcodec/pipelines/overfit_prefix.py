"""What precedes the range coder's bytes in a payload of codec 1: fields declared once, as in formats/overfit.md."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from latentcodec.container.fields import BitField, pack, size_bytes, unpack
from latentcodec.errors import CorruptError
from latentcodec.models.overfit.parameters import GROUPS, UNCHANGED, Change
from latentcodec.models.overfit.presets import PRESETS, Preset
from latentcodec.pipelines.autoencoders import LARGEST_CHANNELS, LARGEST_STRIDE


def _change_fields(group: int) -> tuple[BitField, BitField]:
    return (
        BitField(f"table{group}", 6, "table of the differences; 0: there are none"),
        BitField(f"shift{group}", 4, "differences are multiples of 2^shift"),
    )


PREFIX = (
    BitField("preset", 2, "number of the preset: vlop, lop, mop, hop"),
    BitField("changed", 1, "parameters differ from the reference: the list of changes follows"),
    BitField("foreign", 1, "the reference was made for another autoencoder: channels, stride and affine follow"),
    BitField("noise", 4, "amount of noise in the place of zeros at the finest level, in tenths; 0: none"),
)
CHANGES = tuple(part for group in range(GROUPS) for part in _change_fields(group))
FOREIGN = (
    BitField("channels", 8, "channels of the latents, stored minus 1", bias=1),
    BitField("stride", 8, "pixels per position of the latents, as a power of two"),
)
MEAN_BITS, SCALE_BITS, SCALE_BIAS = 4, 3, 128
LARGEST_MEAN = 3  # of normalised latents: symbols of the coarsest band reach no further


@dataclass(frozen=True)
class Affine:
    """Latents = normalised * scale + mean, per channel; kept in bytes."""

    mean: npt.NDArray[np.int8]
    scale: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, latents: Tensor) -> "Affine":
        """Zero mean and unit deviation per channel for these latents [1, C, h, w], as far as a byte can say."""
        flat = latents[0].flatten(1).double()
        mean = (flat.mean(1) * (1 << MEAN_BITS)).round().clamp(-128, 127)
        left = (flat.mean(1) - mean / (1 << MEAN_BITS)).abs()
        deviation = torch.maximum(flat.std(1, correction=0), left / LARGEST_MEAN).clamp_min(1e-6)
        scale = (deviation.log2() * (1 << SCALE_BITS)).round() + SCALE_BIAS
        return cls(mean.to(torch.int8).numpy(), scale.clamp(0, 255).to(torch.uint8).numpy())

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Mean and scale [C, 1, 1]."""
        mean = torch.from_numpy(self.mean.astype(np.float32)) / (1 << MEAN_BITS)
        scale = torch.exp2((torch.from_numpy(self.scale.astype(np.float32)) - SCALE_BIAS) / (1 << SCALE_BITS))
        return mean[:, None, None], scale[:, None, None]


@dataclass(frozen=True)
class Prefix:
    """What precedes the range coder's bytes: preset, changes of parameters, latents of a foreign autoencoder, noise."""

    preset: Preset
    changes: tuple[Change, ...] = UNCHANGED
    affine: Affine | None = None
    stride: int = 8
    noise: int = 0

    def write(self) -> bytes:
        changed, foreign = any(change.sent for change in self.changes), self.affine is not None
        first = {"preset": PRESETS.index(self.preset), "changed": changed, "foreign": foreign, "noise": self.noise}
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
        changes, affine, stride = UNCHANGED, None, 8
        if first["changed"]:
            values = unpack(CHANGES, data)
            data = data[size_bytes(CHANGES) :]
            changes = tuple(Change(values[f"table{group}"], values[f"shift{group}"]) for group in range(GROUPS))
        if first["foreign"]:
            latents = unpack(FOREIGN, data)
            data, channels = data[size_bytes(FOREIGN) :], latents["channels"]
            if channels > LARGEST_CHANNELS or 1 << latents["stride"] > LARGEST_STRIDE or len(data) < 2 * channels:
                raise CorruptError("the description of the latents is damaged")
            affine = Affine(
                np.frombuffer(data[:channels], np.int8), np.frombuffer(data[channels : 2 * channels], np.uint8)
            )
            data, stride = data[2 * channels :], 1 << latents["stride"]
        return cls(PRESETS[first["preset"]], changes, affine, stride, first["noise"]), data
