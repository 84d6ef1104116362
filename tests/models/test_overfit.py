"""The fitted function: transform, context, parameters, and the fit."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from latentcodec.coding.fixedpoint import DEFINITION, Arithmetic, Numbers
from latentcodec.coding.symbols import BitCounter, SymbolDecoder, SymbolEncoder
from latentcodec.coding.tables import GAUSSIAN, LOGISTIC
from latentcodec.errors import WeightsError
from latentcodec.models.overfit import adaptation
from latentcodec.models.overfit.fit import EFFORTS, RATE_WEIGHT, Fit, unit
from latentcodec.models.overfit.function import FittedFunction, initial, logarithm
from latentcodec.models.overfit.integer_context import Grids, code_grids
from latentcodec.models.overfit.integer_context import logarithm as integer_logarithm
from latentcodec.models.overfit.noise import with_noise
from latentcodec.models.overfit.parameters import (
    DECLARATIONS,
    LIMIT,
    UNCHANGED,
    Change,
    Parameters,
    change_of,
    code_differences,
    shapes,
)
from latentcodec.models.overfit.presets import PRESETS, Layout, Preset
from latentcodec.models.overfit.reference import check, merge
from latentcodec.models.overfit.wavelet import analyse, synthesise

FORMAT = Path(__file__).parents[2] / "formats" / "overfit.md"


def preset_named(name: str) -> Preset:
    return {preset.name: preset for preset in PRESETS}[name]


LAYOUT = Layout(preset_named("lop"), 6, split=(1, 4))
PREDICTING = dataclasses.replace(LAYOUT, predicts=True)
SIZES = [(1, 1), (2, 3), (7, 1), (19, 26)]


def random_parameters(layout: Layout = LAYOUT, seed: int = 1) -> dict[str, np.ndarray]:
    """A context network in which every parameter matters."""
    random = np.random.default_rng(seed)
    values = initial(layout)
    for name in ("step_bias", "level_bias", "band_bias", "hidden2_bias", "offset", "direct", "refine2", "mean"):
        values[name] = values[name] + random.integers(-90, 91, values[name].shape).astype(np.int16)
    return values


def random_prediction(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Matrices in place of zeros, if there are any."""
    shape = values["prediction"].shape
    return values | {"prediction": np.random.default_rng(4).integers(-900, 900, shape).astype(np.int16)}


def random_grids(layout: Layout, size: tuple[int, int], seed: int = 2) -> Grids:
    random = np.random.default_rng(seed)
    return [np.rint(random.laplace(0, 1.5, shape)).astype(np.int32) for shape in layout.grids(*size)]


def coded(
    parameters: Parameters, grids: Grids, size: tuple[int, int], layout: Layout = LAYOUT, **more: object
) -> bytes:
    encoder = SymbolEncoder()
    code_grids(encoder, parameters, layout, 140, size, grids, **more)  # type: ignore[arg-type]
    return encoder.finish()


@dataclasses.dataclass(frozen=True)
class Counting(Arithmetic):
    """Counts the multiplications of its products."""

    counted: list[int] = dataclasses.field(default_factory=list)

    def matmul(self, weights: Numbers, columns: Numbers) -> Numbers:
        self.counted.append(weights.shape[0] * weights.shape[1] * columns.shape[1])
        return super().matmul(weights, columns)


def multiplications(layout: Layout, height: int, width: int) -> int:
    """Of decoding latents of this size, as they happen."""
    values = {name: np.ones(shape, np.int16) for name, shape in shapes(layout).items()}
    counting = Counting(np.float64)
    grids = [np.zeros(shape, np.int32) for shape in layout.grids(height, width)]
    code_grids(BitCounter(), values, layout, 140, (height, width), grids, counting)
    function = FittedFunction(layout, values).requires_grad_(requires_grad=False)
    products = FlopCounterMode(display=False)
    with products:
        function.synthesise([torch.zeros(1, *g.shape) for g in grids], unit(140), (height, width))
    lifting, low = 0, (height, width)
    for _ in range(5):
        low = (-(-low[0] // 2), -(-low[1] // 2))
        lifting += 4 * (layout.channels * low[0] * low[1]) * 4  # both directions, half of one per step and sample
    return sum(counting.counted) + products.get_total_flops() // 2 + lifting


# Figures of the literature for four channels at an eighth of 1363x2048, and the sizes of our presets.
@pytest.mark.parametrize(("name", "at_most"), [("vlop", 6.4), ("lop", 11.3), ("mop", 19.7), ("hop", 25.5)])
def test_multiplications_per_pixel(name: str, at_most: float) -> None:
    few, many = (Layout(preset_named(name), channels, predicts=channels == 32) for channels in (4, 32))
    per_pixel = multiplications(few, 171, 256) / (1363 * 2048)
    assert per_pixel <= at_most
    published = re.search(rf"\| {name} \|.*\| ([\d.]+) \| ([\d.]+) \|", FORMAT.read_text())
    assert published is not None
    assert f"{per_pixel:.2f}" == published[1]
    assert f"{many.macs(171, 256) / (1363 * 2048):.1f}" == published[2]
    for layout in (few, many):
        assert multiplications(layout, 17, 26) == layout.macs(17, 26)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layout", [LAYOUT, PREDICTING])
def test_grids_represent_latents_exactly(size: tuple[int, int], layout: Layout) -> None:
    function = FittedFunction(layout, random_prediction(initial(layout)))  # refine2 is zero in it
    latents = torch.randn(2, 6, *size)
    rate = torch.tensor([0.2, 0.9])
    grids = function.analyse(latents, rate)
    assert [list(grid.shape[1:]) for grid in grids] == [list(shape) for shape in LAYOUT.grids(*size)]
    assert torch.allclose(function.synthesise(grids, rate, size), latents, atol=1e-4)


def test_wavelet_is_nearly_orthonormal_and_always_invertible() -> None:
    x, lifted = torch.randn(2, 3, 64, 64), torch.tensor([1.0, 0.0, 1.0])[:, None, None]
    low, details = analyse(x, lifted)
    assert (low.square().sum() + details.square().sum()) / x.square().sum() == pytest.approx(1, abs=0.06)
    assert torch.allclose(synthesise(low, details, lifted), x, atol=1e-4)
    assert torch.equal(low[:, 1], x[:, 1, ::2, ::2])
    assert torch.equal(details[:, 0, 1], x[:, 1, ::2, 1::2])


@pytest.mark.parametrize("size", [(19, 27), (1, 1), (3, 8)])
def test_what_pads_split_components_costs_nothing(size: tuple[int, int]) -> None:
    function = FittedFunction(LAYOUT, initial(LAYOUT))  # the identity mixes
    grids = function.analyse(torch.randn(1, 6, *size) + 3, torch.tensor([0.9]))
    values = sum(int((grid[:, :, LAYOUT.split[0]] != 0).sum()) for grid in grids)
    assert values == size[0] * size[1]


def test_norms_are_those_of_basis_functions() -> None:
    torch.manual_seed(6)
    function, size = FittedFunction(LAYOUT, initial(LAYOUT)), (19, 26)
    with torch.no_grad():
        function.mixing += 0.1 * torch.randn(function.mixing.shape)
    rate = torch.tensor([0.7])
    for level, norms in enumerate(function.norms(size)):
        for component in range(LAYOUT.channels):
            for band, row in ((0, 0), (norms.shape[0] - 1, norms.shape[2] // 2)):
                grids = [torch.zeros(1, *shape) for shape in LAYOUT.grids(*size)]
                grids[level][0, band, component, row, 0] = 1
                step = function.steps(rate)[level][0, 0, component].item()
                latents = (function.synthesise(grids, rate, size) - function.mean[:, None, None]) / step
                expected = norms[band, component, row, 0].item()
                assert latents.square().sum().item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("level", "band"), [(0, 0), (0, 1), (0, 2), (1, 1)])
def test_norms_know_of_prediction(level: int, band: int) -> None:
    """Of components that are split, in the middle of a picture, and but for what predictions predict in turn."""
    layout = dataclasses.replace(PREDICTING, split=tuple(range(LAYOUT.channels)))
    values = initial(layout)
    values["prediction"] = random_prediction(values)["prediction"] // 4
    function, size = FittedFunction(layout, values), (32, 32)
    rate = torch.tensor([0.7])
    for component in range(layout.channels):
        grids = [torch.zeros(1, *shape) for shape in layout.grids(*size)]
        row = grids[level].shape[-1] // 2
        grids[level][0, band, component, row, row] = 1
        with torch.no_grad():
            latents = function.synthesise(grids, rate, size) / function.steps(rate)[level][0, 0, component]
        found = function.norms(size)[level][band, component, row, row].item()
        assert latents.square().sum().item() == pytest.approx(found, rel=0.03 if level else 1e-3)


@given(st.integers(0, 1 << 40))
def test_integer_logarithm(n: int) -> None:
    e = (n + 1).bit_length() - 1
    assert integer_logarithm(np.array([n]))[0] == ((e - 1) << 8) + ((n + 1 << 8) >> e)


def test_logarithms_agree() -> None:
    n = np.arange(5000)
    assert np.abs(logarithm(torch.tensor(n).float()).numpy() - integer_logarithm(n) / 256).max() <= 1 / 256


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 2, 3, 6])
@pytest.mark.parametrize(("networks", "split"), [(4, (0,)), (1, ())])
def test_decoder_reads_what_the_encoder_wrote(
    size: tuple[int, int], channels: int, networks: int, split: tuple[int, ...]
) -> None:
    layout = Layout(preset_named("vlop"), channels, networks, split)
    parameters, grids = random_parameters(layout), random_grids(layout, size)
    encoder = SymbolEncoder()
    known, _ = code_grids(encoder, parameters, layout, 140, size, grids)
    decoded, _ = code_grids(SymbolDecoder(encoder.finish()), parameters, layout, 140, size)
    assert all((a == b).all() for a, b in zip(known, decoded, strict=True))
    assert any(grid.any() for grid in decoded) or size == (1, 1)


def test_arithmetic_and_order_of_summation_do_not_matter() -> None:
    parameters, size = random_parameters(), (19, 26)
    grids = random_grids(LAYOUT, size)
    expected = coded(parameters, grids, size)
    assert coded(parameters, grids, size, arithmetic=DEFINITION) == expected
    order = np.random.default_rng(3).permutation(LAYOUT.preset.context_width)
    permuted = dict(parameters)
    for name in ("hidden1", "step_bias", "level_bias", "band_bias", "out"):
        permuted[name] = parameters[name][:, order]
    permuted["hidden2_bias"] = parameters["hidden2_bias"][order]
    permuted["hidden2"] = parameters["hidden2"][:, order][:, :, order]
    assert coded(permuted, grids, size) == expected


@pytest.mark.parametrize("first_table", [GAUSSIAN, LOGISTIC])
def test_estimated_bits_are_those_of_the_coder(first_table: int) -> None:
    size, layout = (40, 40), Layout(preset_named("hop"), 8, split=(0, 2, 3), first_table=first_table)
    values = initial(layout)
    values["offset"] += 20 * 256  # wide tables: where both count, they count the same
    function = FittedFunction(layout, values)
    counter = BitCounter()
    grids, _ = code_grids(counter, values, layout, 140, size, random_grids(layout, size))
    symbols = [torch.from_numpy(grid).float()[None] for grid in grids]
    estimated, positions = function.bits(symbols, [s.abs() for s in symbols], unit(140))
    assert estimated.item() == pytest.approx(counter.bits, rel=5e-3)  # tables are of whole positions
    assert [p.shape for p in positions] == [s.shape for s in symbols]


@pytest.mark.parametrize("component", [1, 3])  # split, and lifted
def test_context_is_causal(component: int) -> None:
    """What is coded later must not move the table of what is coded earlier."""
    size = (32, 32)
    function = FittedFunction(LAYOUT, random_parameters())
    grids = [torch.from_numpy(grid).float()[None] for grid in random_grids(LAYOUT, size)]
    before = function.bits(grids, [g.abs() for g in grids], unit(90))[1]
    changed = [g.clone() for g in grids]
    changed[2][0, 1, component, 1, 0] += 5
    after = function.bits(changed, [g.abs() for g in changed], unit(90))[1]
    assert all(torch.equal(before[level], after[level]) for level in (2 + 1, 4, 5))
    assert torch.equal(before[2][0, 1, component, 1, 0], after[2][0, 1, component, 1, 0])
    assert not torch.equal(before[1], after[1])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 63), st.integers(0, 6)), min_size=8, max_size=8), st.integers(0, 1000))
def test_differences_are_decoded(pairs: list[tuple[int, int]], seed: int) -> None:
    layout = Layout(preset_named("vlop"), 2)
    changes = tuple(Change(table if table >= 4 else 0, shift) for table, shift in pairs)
    reference, wanted = initial(layout), random_parameters(layout, seed)
    encoder = SymbolEncoder()
    sent = code_differences(encoder, changes, reference, wanted)
    read = code_differences(SymbolDecoder(encoder.finish()), changes, reference)
    for declared in DECLARATIONS:
        assert (sent[declared.name] == read[declared.name]).all()
        moved = sent[declared.name].astype(int) - reference[declared.name]
        if declared.per_step:
            assert (moved == moved[:1]).all() or (np.abs(sent[declared.name]) == LIMIT).any()
        if not change_of(declared, changes).sent:
            assert (read[declared.name] == reference[declared.name]).all()


def plain() -> dict[str, np.ndarray]:
    """Parameters whose context network says the same everywhere, until it is fitted."""
    values = initial(LAYOUT)
    return values | {"out": np.zeros_like(values["out"])}


@pytest.fixture
def latents() -> torch.Tensor:
    """Smooth latents with some structure across channels."""
    torch.manual_seed(4)
    return torch.nn.functional.interpolate(torch.randn(1, 6, 6, 6), size=(24, 24), mode="bicubic") * 2


def test_rounds_lower_what_is_minimised(latents: torch.Tensor) -> None:
    fit = Fit.begin(FittedFunction(LAYOUT, plain()).requires_grad_(requires_grad=False), latents, unit(150))

    def objective() -> float:
        return fit.objective(fit.symbols, [s.abs() for s in fit.symbols])[0].item()

    start = objective()
    fit.run(0, 12, EFFORTS[4])
    rounds_only = objective()
    fit.run(0, 12, EFFORTS[6])
    assert objective() < 0.97 * rounds_only < 0.97 * start


def test_a_move_keeps_what_rounds_have_won(latents: torch.Tensor) -> None:
    """A function whose basis functions have much in common: every component's is a part of all others."""
    values = plain()
    values["mixing"] += round(0.35 * (1 << 12))
    fit = Fit.begin(FittedFunction(LAYOUT, values).requires_grad_(requires_grad=False), latents, unit(150))
    fit.run(0, 3, EFFORTS[1])
    after_rounds, won = fit.total(), [s.clone() for s in fit.symbols]
    fit.restart(fit.rate)
    assert fit.total() > 1.05 * after_rounds
    fit.symbols = won
    fit.differentiate()
    fit.move(fit.rate)
    assert fit.total() <= after_rounds


@pytest.mark.parametrize("rate", [141, 159])
def test_a_move_takes_the_better_of_two(latents: torch.Tensor, rate: int) -> None:
    def after_rounds() -> Fit:
        fit = Fit.begin(FittedFunction(LAYOUT, plain()).requires_grad_(requires_grad=False), latents, unit(150))
        fit.run(0, 3, EFFORTS[1])
        return fit

    moved, restarted, kept = after_rounds(), after_rounds(), after_rounds()
    steps = [kept.function.steps(unit(r)) for r in (150, rate)]
    kept.symbols = [(s * a / b).round() for s, a, b in zip(kept.symbols, *steps, strict=True)]
    kept.rate = unit(rate)
    moved.move(unit(rate))
    restarted.restart(unit(rate))
    assert moved.total() == pytest.approx(min(restarted.total(), kept.total()), rel=1e-5)


def test_a_larger_weight_takes_fewer_bits(latents: torch.Tensor) -> None:
    fit = Fit.begin(FittedFunction(LAYOUT, plain()).requires_grad_(requires_grad=False), latents, unit(170))
    fit.run(0, 2, EFFORTS[4])
    sums = [sum(grid.abs().sum().item() for grid in fit.symbols_at(w * RATE_WEIGHT)) for w in (0.3, 1, 3)]
    assert sums[0] > sums[1] > sums[2]


def test_parameters_are_sent_only_where_they_pay(latents: torch.Tensor) -> None:
    reference = plain()
    fit = Fit.begin(FittedFunction(LAYOUT, reference), latents, unit(150))
    assert fit.quantise_parameters(reference) == UNCHANGED
    fit.run(0, 40, EFFORTS[6])
    before = fit.function.integers()
    changes = fit.quantise_parameters(reference)
    assert any(change.sent for change in changes)
    known = fit.function.integers()
    for declared in DECLARATIONS:
        change = change_of(declared, changes)
        expected = before if change.sent else reference
        distance = np.abs(known[declared.name].astype(int) - expected[declared.name])
        assert (distance <= (1 << change.shift) // 2 + 1).all()


def moved(latents: torch.Tensor) -> dict[str, torch.Tensor]:
    """By which parameters differ from the reference after a few rounds."""
    function = FittedFunction(LAYOUT, plain()).requires_grad_(requires_grad=False)
    before = {name: value.clone() for name, value in function.named_parameters()}
    fit = Fit.begin(function, latents, unit(150))
    fit.run(0, 8, EFFORTS[6])
    assert not any(value.requires_grad for value in function.parameters())
    return {name: value - before[name] for name, value in function.named_parameters()}


def test_parameters_move_only_as_far_as_pays(latents: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    for price in (0.0, adaptation.PRICE, 1e6):
        monkeypatch.setattr(adaptation, "PRICE", price)
        counts.append(sum(int((difference != 0).sum()) for difference in moved(latents).values()))
    assert counts[0] > 2 * counts[1] > counts[2] == 0


def test_a_step_at_the_reference_and_across_it() -> None:
    """Gradients below the price move nothing, whatever the momentum; those of the steps' networks count together."""
    function = FittedFunction(LAYOUT, plain()).requires_grad_(requires_grad=False)
    start = {name: value.clone() for name, value in function.named_parameters()}
    adapting = adaptation.Adaptation(function, RATE_WEIGHT)
    prices = {d.name: RATE_WEIGHT * adaptation.PRICE * 2.0 ** (d.bits - adaptation.UNIT_SHIFT) for d in DECLARATIONS}

    def step(times_price: float) -> torch.Tensor:
        with adapting.differentiable():
            for name, value in function.named_parameters():
                value.grad = torch.full_like(value, times_price * prices[name])
        adapting.step(1.0)
        return function.mean - start["mean"]

    assert torch.equal(step(0.9), torch.zeros(6))
    assert (function.out != start["out"]).all()  # four networks: 3.6 times the price
    assert (step(1.5) < 0).all()
    assert (function.mean != start["mean"]).all()
    for _ in range(20):
        difference = step(-3.0)
        assert (difference <= 0).all()
        if torch.equal(difference, torch.zeros(6)):
            break
    assert torch.equal(difference, torch.zeros(6))  # not past it at once
    assert torch.equal(step(0.5), torch.zeros(6))  # nor away by momentum


def test_networks_of_the_steps_move_alike(latents: torch.Tensor) -> None:
    differences = moved(latents)
    assert differences["out"].any()
    for declared in DECLARATIONS:
        if declared.per_step:
            first, *others = differences[declared.name]
            assert all(torch.allclose(first, other, atol=1e-6) for other in others)
        if declared.group is None:
            assert not differences[declared.name].any()


def test_noise_in_the_place_of_zeros() -> None:
    grid = random_grids(LAYOUT, (60, 60))[0]
    tables = np.random.default_rng(3).integers(0, 64, grid.shape).astype(np.uint8)
    assert np.array_equal(with_noise(grid, tables, 0), grid)
    noisy = with_noise(grid, LOGISTIC + tables, 5)
    assert noisy.dtype == np.float32
    assert np.array_equal(noisy[grid != 0], grid[grid != 0])
    zeros = grid == 0
    assert not noisy[zeros & (tables < 4)].any()
    wide, narrow = zeros & (tables > 30), zeros & (tables == 5)
    assert noisy[wide].std() == pytest.approx(0.5 / 12**0.5, rel=0.05)
    assert noisy[narrow].std() == pytest.approx(0.5 * 0.1 * 640 ** (5 / 63), rel=0.2)
    assert abs(noisy[zeros].mean()) < 0.01


def test_presets_grow() -> None:
    counts = [Layout(preset, 32).macs(64, 96) for preset in PRESETS]
    assert counts == sorted(counts)


def test_what_is_no_reference_is_refused() -> None:
    whole = merge({preset.name: initial(Layout(preset, 3)) for preset in PRESETS})
    check(whole)
    check(whole | {"lifted": np.array([1, 0, 1], np.int16), "first_table": np.array([LOGISTIC], np.int16)})
    two_networks = {f"hop.{name}": whole[f"hop.{name}"][:2] for name in ("hidden1", "hidden2", "out", "direct")}
    prediction = {"prediction": np.zeros((11, 3, 3), np.int16)}
    tables = ({"first_table": np.array(value, np.int16)} for value in ([1], [128], [0, 64], []))
    steps = ({"steps_per_unit": np.array(value, np.int16)} for value in ([0], [-40], [40, 40], []))
    some = ({"lifted": np.ones(4, np.int16)}, {"mean": whole["mean"][:2]}, two_networks, prediction)
    for wrong in (*some, *tables, *steps):
        with pytest.raises(WeightsError):
            check(whole | wrong)
    check(whole | {"prediction": np.zeros((12, 3, 3), np.int16), "steps_per_unit": np.array([80], np.int16)})
    with pytest.raises(WeightsError):
        check({name: value for name, value in whole.items() if name != "lop.out"})
