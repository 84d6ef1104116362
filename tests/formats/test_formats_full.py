"""stablecodec-full.md: a decoder of its order of coding, written from the text, reads what the package codes.

The networks in floating point are our own: their layers are the paper's, and compared with its program elsewhere.
"""

import math
from pathlib import Path

import numpy as np
import pytest
import second_decoder as second
import torch
from second_decoder import QUARTERS, Decoder, clamp

from latentcodec.coding import tables
from latentcodec.coding.symbols import SymbolEncoder
from latentcodec.models.stablecodec.full.density import z_frequencies
from latentcodec.pipelines.registry import FULL_SCALE
from latentcodec.pipelines.stablecodec_full import FREQUENCIES, PACKING
from tests.models import test_stablecodec_full as full

tensors = full.tensors


def listed(decoder, count):
    """The list: positions and which side was taken."""
    (length,) = decoder.group([6])
    digits = [digit + 128 for digit in decoder.group([63] * (4 * length))] if length else []
    numbers = [sum(digits[4 * k + n] << 8 * n for n in range(4)) for k in range(length)]
    assert all(number // 2 < count for number in numbers)
    return [divmod(number, 2) for number in numbers]


def decode(decoder, rows, codec, medians, rate, z_height, z_width):
    """Order of coding: z, and 64 * symbol + mean of every element of y."""
    z = [[decoder.column(row) - 127 for _ in range(z_height * z_width)] for row in rows]
    z = np.array(z).reshape(len(rows), z_height, z_width)
    base = codec.h_s(torch.from_numpy(z + medians[:, None, None])[None])
    m, height, width = base.shape[1:]
    gain, exact = 2 ** ((rate - 128) / 32), np.zeros((m, height, width), int)
    for step in range(4):
        means, scales = (part[0].numpy() for part in codec.parameters_of_step(step, base))
        places = [
            (channel, row, column)
            for channel in range(m)
            for row in range(height)
            for column in range(width)
            if QUARTERS[step][2 * (row % 2) + column % 2] == channel // (m // 4)
        ]
        x = [64 * gain * means[place] for place in places]
        x += [math.log(max(scales[place], 0.11) * gain / 0.1) / math.log(640) * 63 for place in places]
        n = [math.floor(value + 0.5) for value in x]
        for i, u in listed(decoder, len(x)):
            n[i] = round(x[i] + 0.5) - 1 + u
        symbols = decoder.group([clamp(value, 0, 63) for value in n[len(places) :]])
        decoded, mask = torch.zeros_like(base), torch.zeros_like(base)
        for place, symbol, mean in zip(places, symbols, n, strict=False):
            exact[place] = 64 * symbol + mean
            decoded[0][place], mask[0][place] = (symbol + mean / 64) / gain, 1
        base = base * (1 - mask) + codec.corrected(step, decoded, base, mask)
    return z, exact


@pytest.mark.parametrize(("rate", "band"), [(128, 2.0**-24), (150, 2.0**-8)])
@torch.inference_mode()
def test_second_decoder_at_full_scale(rate, band, tensors, monkeypatch):
    monkeypatch.setattr(full.guarded, "BAND", band)
    entropy = full.entropy(tensors)
    encoder = SymbolEncoder(PACKING)
    z, y = full.source()
    coded = entropy.code(encoder, rate, (1, 2), (z[:, :1, :2], y[:, :4, :8]))
    frequencies = second.tables((Path(tables.__file__).parent / "gaussian.bin").read_bytes())
    decoder = Decoder(encoder.finish(), frequencies, 19, 2)
    bottleneck = {k.removeprefix("bottleneck."): v for k, v in tensors.items() if k.startswith("bottleneck.")}
    medians = bottleneck["quantiles"][:, 0, 1].double().numpy()
    theirs = decode(decoder, z_frequencies(bottleneck).tolist(), entropy._codec, medians, rate, 1, 2)
    assert np.array_equal(theirs[0], coded.z)
    assert np.array_equal(theirs[1], coded.joined)
    assert second.digest(theirs[0].tolist(), theirs[1].tolist()) == coded.digest()


def test_names_that_the_document_gives():
    text = (Path(second.__file__).parents[2] / "formats" / "stablecodec-full.md").read_text()
    assert f"`{FULL_SCALE}`" in text
    assert f"| {FREQUENCIES} |" in text
    assert (PACKING.tables, PACKING.reach) == (19, 2)
