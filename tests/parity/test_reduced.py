"""The published program's modules at a fraction of their width, as they ran once, against ours.

reduced.safetensors holds what they returned; its metadata say which commit and which versions of libraries.
"""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from latentcodec.coding.symbols import BitCounter
from latentcodec.coding.tables import FIRST_CODED_TABLE, LOG_SCALE_STEP, SMALLEST_SCALE, TOTAL
from latentcodec.models.blocks.integers import nearest
from latentcodec.models.blocks.quadtree import STEPS, step_mask
from latentcodec.models.denoiser import one_step_x0
from latentcodec.models.stablecodec.full.checkpoint import RANK_UNET, RANK_VAE, merged
from latentcodec.models.stablecodec.full.codec import LatentCodec
from latentcodec.models.stablecodec.full.density import FILTERS, REACH, z_frequencies
from latentcodec.models.stablecodec.full.doubles import in_doubles
from latentcodec.models.stablecodec.full.elic import ElicAnalysis
from latentcodec.models.stablecodec.full.guarded import MEAN_BITS, NEUTRAL_RATE, GuardedEntropy
from latentcodec.weights.store import read_weights
from tests.parity import reduced
from tests.parity.compare_stablecodec import relative

LARGEST_RELATIVE = 1e-5
SMALLEST_CODED_SCALE = SMALLEST_SCALE * np.exp((FIRST_CODED_TABLE - 0.5) * LOG_SCALE_STEP)
Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def golden() -> Tensors:
    return read_weights(Path(__file__).with_name("reduced.safetensors")).tensors | reduced.inputs()


@pytest.fixture(scope="module")
def codec() -> LatentCodec:
    codec = LatentCodec(reduced.CONFIG).eval().requires_grad_(requires_grad=False)
    reduced.fill(codec)
    return codec


def check(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert relative(ours, theirs) < LARGEST_RELATIVE


def test_auxiliary_encoder(golden: Tensors) -> None:
    encoder = ElicAnalysis(*reduced.CONFIG.elic).requires_grad_(requires_grad=False)
    reduced.fill(encoder)
    check(encoder(golden["pixels"]), golden["auxiliary_features"])


def test_transforms(codec: LatentCodec, golden: Tensors) -> None:
    """Each stage starts from the reference's input."""
    inputs = reduced.inputs()
    check(codec.g_a(inputs["latents"], inputs["auxiliary"]), golden["analysed"])
    check(codec.h_a(inputs["y"]), golden["z"])
    check(codec.h_s(golden["z_hat"]), golden["base"])
    corner = golden["y_hat"][reduced.CORNER]
    check(codec.g_s(corner), golden["features"])
    check(codec.aux(corner), golden["residual"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_four_steps_of_context(dtype: torch.dtype, codec: LatentCodec, golden: Tensors) -> None:
    """From z^ to y^ in one go, as trained and as the decoder runs it: what it computes from the same symbols."""
    codec = in_doubles(codec) if dtype == torch.float64 else codec
    base, total = codec.h_s(golden["z_hat"].to(dtype)), torch.zeros_like(golden["y"], dtype=dtype)
    for step in range(STEPS):
        means, scales = codec.parameters_of_step(step, base)
        check(means, golden[f"means{step}"])
        check(scales, golden[f"scales{step}"])
        mask = torch.from_numpy(step_mask(step, *means.shape[1:])).to(dtype)
        symbols = ((golden["y"] - means) * mask).round()
        assert torch.equal(symbols, golden[f"symbols{step}"].to(dtype))
        rounded = (symbols + means) * mask
        decoded = codec.corrected(step, rounded, base, mask)
        check(decoded - rounded, golden[f"correction{step}"])
        base = base * (1 - mask) + decoded
        total = total + decoded
    check(total, golden["y_hat"])


def test_symbols_of_files(codec: LatentCodec, golden: Tensors) -> None:
    """As files have them: the same wherever they are coded, but where a mean that was snapped to 1/64 decides."""
    entropy = GuardedEntropy(codec, np.ones((1, 1), np.int64), golden["z_hat"][0, :, 0, 0].double().numpy())
    double = in_doubles(codec)
    base, snapping, compared = double.h_s(golden["z_hat"].double()), 0, 0
    for step in range(STEPS):
        mask = step_mask(step, *golden["y"].shape[1:])
        y, means, scales = (golden[name][0].numpy()[mask] for name in ("y", f"means{step}", f"scales{step}"))
        theirs = golden[f"symbols{step}"][0].numpy()[mask]
        _, values = entropy._code_step(BitCounter(), NEUTRAL_RATE, step, base, mask, y, nearest)
        ours, coded = np.rint(values - means), scales > SMALLEST_CODED_SCALE
        undecided = np.abs(np.abs(y - means - theirs) - 0.5) < 2.0**-MEAN_BITS / 2 + 1e-5
        assert np.array_equal(ours[coded & ~undecided], theirs[coded & ~undecided])
        assert np.abs(ours - theirs)[coded].max() <= 1
        snapping += int((ours != theirs)[coded].sum())
        compared += int(coded.sum())
        where = torch.from_numpy(mask)[None].double()
        symbols = golden[f"symbols{step}"].double()
        decoded = double.corrected(step, (symbols + golden[f"means{step}"].double()) * where, base, where)
        base = base * (1 - where) + decoded
    assert compared > 500
    assert snapping < 0.02 * compared


def test_one_step_of_the_scheduler(golden: Tensors) -> None:
    check(one_step_x0(golden["features"][:, :4], golden["noise"], reduced.CONFIG.alpha_bar), golden["x0"])


@pytest.mark.parametrize(("prefix", "rank"), [("vae", RANK_VAE), ("unet", RANK_UNET)])
def test_merged_adapters(prefix: str, rank: int, golden: Tensors) -> None:
    """Against peft, which adds a second path to every layer."""
    network = reduced.Adapted().requires_grad_(requires_grad=False)
    reduced.fill(network)
    shapes = {"encoder.conv1": ((rank, 4, 3, 3), (8, rank, 1, 1)), "encoder.to_out.0": ((rank, 8), (8, rank))}
    adapters = {
        f"{prefix}.{module}.{part}": reduced.weight(f"{prefix}.{module}.{part}", shape)
        for module, pair in shapes.items()
        for part, shape in zip(("down", "up"), pair, strict=True)
    }
    state = network.state_dict()
    network.load_state_dict({k: merged(adapters, prefix, torch.float32, k, v) for k, v in state.items()})
    check(network(golden["adapted"]), golden[f"adapted_{prefix}"])


def test_density_of_z(golden: Tensors) -> None:
    """Probabilities of the symbols -5..5. In ours the likeliest gives a little: every symbol has one unit at least."""
    channels = reduced.CONFIG.channels // 2
    shapes = {f"matrices.{n}": (channels, b, a) for n, (a, b) in enumerate(itertools.pairwise(FILTERS))}
    shapes |= {f"biases.{n}": (channels, b, 1) for n, b in enumerate(FILTERS[1:])}
    shapes |= {f"factors.{n}": (channels, b, 1) for n, b in enumerate(FILTERS[1:-1])}
    tensors = {name: reduced.weight(name, shape) for name, shape in shapes.items()}
    medians = reduced.pattern("quantiles", (channels, 1, 1))
    rows = z_frequencies(tensors | {"quantiles": medians.expand(-1, -1, 3)})
    ours = rows[:, REACH - 5 : REACH + 6].double() / TOTAL
    assert float((ours - golden["z_mass"]).abs().max()) < (2 * REACH + 2) / TOTAL
