"""Encoding effort: rounds that only ever help, gradients that are right, files of the same size that look better."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from latentcodec import api
from latentcodec.errors import BudgetError, InputError
from latentcodec.image import Pixels, read_rgb
from latentcodec.metrics.distortion import psnr
from latentcodec.metrics.perceptual import AlexNet, load_lpips
from latentcodec.metrics.structural import ms_ssim
from latentcodec.models.blocks.integers import CodedLatents
from latentcodec.models.blocks.shipping import float_tensors
from latentcodec.pipelines import judged, neural
from latentcodec.pipelines.base import PayloadBudget, Settings
from latentcodec.pipelines.judged import JudgedPicture
from latentcodec.pipelines.objective import PerceptualError, SquaredError, objective_for
from latentcodec.pipelines.refinement import ROUNDS, Comparison, Refinement, Source
from latentcodec.pipelines.stablecodec import StableCodecPipeline
from latentcodec.weights import store
from tests import tiny

PHOTO = Path(__file__).parents[1] / "data" / "coffee.png"
CHANNELS, SIDE = 6, 4


@dataclass
class Linear:
    """A codec whose decoder mixes channels: nearest integers, each on its own, are not the best ones.

    `bits` of a symbol grow with its size; `harmful`: gradients that point the wrong way.
    """

    harmful: bool = False
    original: Tensor = field(init=False)
    mixture: Tensor = field(init=False)
    seen: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        numbers = torch.Generator().manual_seed(0)
        self.mixture = torch.randn(CHANNELS, CHANNELS, generator=numbers)
        self.y = 2 * torch.randn(1, CHANNELS, SIDE, SIDE, generator=numbers)
        self.original = self._decode(self.y)

    def _decode(self, y: Tensor) -> Tensor:
        return torch.einsum("ij,bjhw->bihw", self.mixture, y)

    def gain(self, rate: int) -> Tensor:
        return torch.full((1, CHANNELS, 1, 1), math.exp(0.01 * (rate - 128)))

    def with_hyper_latents(self, y: Tensor, rate: int) -> Source:
        return np.zeros((1, 1, 1), np.float32), y[0].numpy()

    def measure(self, source: Source, rate: int) -> tuple[CodedLatents, float]:
        symbols = np.rint(source[1]).astype(np.int64)
        return CodedLatents(np.zeros((1, 1, 1), np.int32), 16 * symbols), float(np.log2(1 + 3 * np.abs(symbols)).sum())

    def compare(self, coded: CodedLatents, rate: int, number: int, with_gradient: bool) -> Comparison:
        self.seen.append(number)
        y = torch.from_numpy(coded.values())[None].requires_grad_()
        picture = self._decode(y / self.gain(rate))
        error = (picture - self.original).square().mean()
        (gradient,) = torch.autograd.grad(error, y)
        return Comparison(picture.detach(), error.item(), -gradient if self.harmful else gradient)

    def error(self, picture: Tensor, number: int) -> float:
        return (picture - self.original).square().mean().item()


class Jumping(Linear):
    """Sizes go from nearly nothing to ten thousand bits in a step of the rate."""

    def measure(self, source: Source, rate: int) -> tuple[CodedLatents, float]:
        return super().measure(source, rate)[0], 1e4 if rate > 249 else 1.0


def start(codec: Linear) -> tuple[Refinement, float, float]:
    """A refinement, and bits and error before it."""
    source = codec.with_hyper_latents(codec.y, 128)
    coded, bits = codec.measure(source, 128)
    return Refinement(codec, codec.y, 128, bits, slope=0.01), bits, codec.compare(coded, 128, 0, False).error


def result(codec: Linear, refinement: Refinement) -> tuple[float, float]:
    """Bits and error at the rate that was found."""
    rate = refinement._rate
    coded, bits = codec.measure(refinement.source(rate), rate)
    return bits, codec.compare(coded, rate, 0, False).error


def test_rounds_lower_the_error_and_keep_the_size() -> None:
    codec = Linear()
    refinement, bits, error = start(codec)
    told: list[tuple[int, int]] = []
    refinement.run(Settings(effort=8, report=lambda step, steps, b, e: told.append((step, steps))))
    after, less = result(codec, refinement)
    assert less < 0.95 * error
    assert 0.95 * bits < after < 1.05 * bits
    assert told[0] == (1, ROUNDS[8])
    assert [step for step, _ in told] == list(range(1, len(told) + 1))


def test_sizes_are_expected_to_grow_as_they_did_and_no_picture_makes_them_grow_without_bounds() -> None:
    codec = Linear()
    refinement, *_ = start(codec)
    refinement.run(Settings(effort=8))
    curve, rate = refinement.expected, refinement._rate
    measured = [codec.measure(refinement.source(rate + step), rate + step)[1] for step in (-10, 0, 10)]
    assert curve.at_zero * math.exp(curve.slope * rate) == pytest.approx(measured[1] / 8)
    assert 0.01 <= curve.slope <= 2 * math.log(measured[2] / measured[0]) / 20
    flat = Jumping()
    refinement = Refinement(flat, flat.y, 250, 40.0, slope=0.01)
    refinement.run(Settings(effort=8))
    assert refinement.expected.slope <= 0.1
    assert 0 < refinement.expected.rate_for(5) < 255


def test_gradients_that_mislead_do_no_harm_and_end_the_search() -> None:
    codec = Linear(harmful=True)
    refinement, bits, error = start(codec)
    codec.seen.clear()
    refinement.run(Settings(effort=10))
    assert result(codec, refinement) <= (1.02 * bits, error)
    assert len(codec.seen) < ROUNDS[10]


def test_effort_is_a_number_of_rounds_and_may_be_stopped() -> None:
    for effort, rounds in ROUNDS.items():
        codec = Linear()
        refinement, *_ = start(codec)
        codec.seen.clear()
        refinement.run(Settings(effort=effort, stopped=lambda seen=codec.seen: len(seen) > 2))
        assert codec.seen == list(range(min(rounds, 2) + 1))


def _judged(side: int) -> tuple[JudgedPicture, Pixels]:
    pixels = np.array(read_rgb(PHOTO)[:side, :side])
    pipeline = tiny.load()
    original = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    return JudgedPicture(pipeline, original, (side, side), SquaredError, pipeline.measure), pixels


def _coded(side: int) -> CodedLatents:
    numbers = np.random.default_rng(1)
    shapes = (4, side // 64, side // 64), (16, side // 32, side // 32)
    z, y = (numbers.integers(-3, 4, shape) for shape in shapes)
    return CodedLatents(z.astype(np.int32), 16 * y.astype(np.int64))


def test_the_gradient_is_that_of_the_error() -> None:
    codec, _ = _judged(64)
    coded = _coded(64)
    found = codec.compare(coded, 200, 0, with_gradient=True)
    assert found.gradient is not None
    assert found.error == pytest.approx(codec.error(found.picture, 0), rel=1e-3)
    length = 0.5
    step = length * found.gradient[0] / found.gradient.norm()
    errors = [
        codec.compare(CodedLatents(coded.z, coded.y + sign * (16 * step).numpy()), 200, 0, with_gradient=False).error  # type: ignore[arg-type]
        for sign in (-1, 1)
    ]
    assert (errors[1] - errors[0]) / (2 * length) == pytest.approx(found.gradient.norm().item(), rel=0.1)


def test_a_large_picture_is_judged_by_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, coded = _judged(384)[0].compare(_coded(384), 200, 0, with_gradient=True), _coded(384)
    monkeypatch.setattr(judged, "LARGEST_SIDE", 5)
    tiled = _judged(384)[0].compare(coded, 200, 0, with_gradient=True)
    assert tiled.error == pytest.approx(whole.error, rel=0.02)
    assert (tiled.picture - whole.picture).abs().mean() < 0.01
    assert whole.gradient is not None
    assert tiled.gradient is not None
    assert torch.cosine_similarity(tiled.gradient.flatten(), whole.gradient.flatten(), dim=0) > 0.9


def test_the_shipped_perceptual_network_is_lpips() -> None:
    """Within 1 % of what the published weights say."""
    photo = torch.from_numpy(read_rgb(PHOTO)[:128, :160].copy()).permute(2, 0, 1)[None].float() / 255
    blurred = torch.nn.functional.avg_pool2d(photo, 9, 1, 4, count_include_pad=False)
    ours = load_lpips(float_tensors(store.load("lpips-alex-int8").tensors), AlexNet())
    found = ours(blurred, photo).item()
    assert found == pytest.approx(0.3114, rel=0.01)
    expected = found + 5 * (blurred - photo).square().mean().item()
    assert PerceptualError(photo)(blurred, 0).item() == pytest.approx(expected, rel=0.01)
    structure = 1 - ms_ssim(blurred, photo).item()
    assert objective_for("perceptual", 0)(photo)(blurred, 0).item() == pytest.approx(
        expected + 0.5 * structure, rel=0.01
    )
    narrow, small = photo[..., 40:], blurred[..., 40:]  # 120 pixels: too small for MS-SSIM
    assert objective_for("perceptual", 0)(narrow)(small, 0).item() == PerceptualError(narrow)(small, 0).item()


@pytest.mark.parametrize("slope", [0.0005, 0.002])
def test_rounds_keep_the_size_where_bits_grow_faster_than_of_files(slope: float) -> None:
    """Of latents that are not analysed anew, bits grow several times as fast with the rate as those of files do."""
    codec, sizes = Linear(), []
    target = 0.8 * codec.measure(codec.with_hyper_latents(codec.y, 128), 128)[1]
    refinement = Refinement(codec, codec.y, 128, target, slope)
    refinement.run(Settings(7, report=lambda number, rounds, bits, quality: sizes.append(bits)))
    assert len(sizes) > 3
    assert sizes == pytest.approx([target] * len(sizes), rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["stablecodec", "sodec"])
def test_effort_makes_a_better_picture_of_no_more_bytes(method: str) -> None:
    pixels = np.array(read_rgb(PHOTO)[100:292, 200:456])
    photo = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    budget, errors, sizes = 600, {}, {}
    for tune in ("perceptual", "psnr"):
        for effort in (1, 4):
            settings = Settings(effort=effort, tune=tune if effort > 1 else None)
            data = api.encode(pixels, f"{budget}B", method=method, device="cpu", settings=settings)
            decoded = (
                torch.from_numpy(api.decode(data, device="cpu").pixels.copy()).permute(2, 0, 1)[None].float() / 255
            )
            errors[tune, effort] = objective_for(tune, 128)(photo)(decoded, 0).item()
            sizes[tune, effort] = len(data)
        assert errors[tune, 4] < 0.97 * errors[tune, 1]
    assert all(0.97 * budget <= size <= budget for size in sizes.values())


def test_effort_is_reproducible_and_a_quality_keeps_its_size() -> None:
    pixels = np.array(read_rgb(PHOTO)[100:228, 200:328])
    plain = api.encode(pixels, "60", device="cpu")
    better = [api.encode(pixels, "60", device="cpu", settings=Settings(effort=3)) for _ in range(2)]
    assert better[0] == better[1] != plain
    assert len(better[0]) <= len(plain)


@pytest.mark.parametrize("target", ["0.05bpp", "50"])
def test_without_effort_rounding_is_tuned(target: str) -> None:
    """Less error of the kind that is asked for, in the same bytes."""
    pixels = np.array(read_rgb(PHOTO)[:256, :384])
    budget = {"0.05bpp": 0.05 * pixels.size / 24}.get(target) or len(api.encode(pixels, target, device="cpu"))
    decoded = {}
    for tune in (None, "perceptual", "psnr", "ssim"):
        data = api.encode(pixels, target, device="cpu", settings=Settings(tune=tune))
        assert 0.98 * budget < len(data) <= budget
        decoded[tune] = api.decode(data, device="cpu").pixels
    assert np.array_equal(decoded[None], decoded["perceptual"])
    for tune in ("psnr", "ssim"):
        assert psnr(pixels, decoded[tune]) > psnr(pixels, decoded["perceptual"])


@pytest.mark.slow
def test_effort_adds_to_what_tuning_gives() -> None:
    """Rounding is tuned with effort as well: more of it is never less than none."""
    pixels = np.array(read_rgb(PHOTO)[:256, :384])
    files = [api.encode(pixels, "0.05bpp", device="cpu", settings=Settings(effort, "psnr")) for effort in (1, 4)]
    fidelity = [psnr(pixels, api.decode(data, device="cpu").pixels) for data in files]
    assert fidelity[1] > fidelity[0] + 0.1


@pytest.mark.slow
@pytest.mark.parametrize("best_effort", [False, True])
@pytest.mark.parametrize("settings", [Settings(1, "psnr"), Settings(3)])
def test_what_is_within_reach_without_tuning_is_with_it(settings: Settings, best_effort: bool) -> None:
    """Thrift cannot spend as much as the highest rate has."""
    pixels = np.array(read_rgb(PHOTO)[:128, :128])
    most = len(api.encode(pixels, "100", device="cpu"))
    data = api.encode(pixels, f"{most}B", device="cpu", settings=settings, best_effort=best_effort)
    assert 0.99 * most <= len(data) <= most


def test_hyper_latents_give_way_where_bits_are_fewest(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = read_rgb(PHOTO)
    budget = 0.005 * pixels.shape[0] * pixels.shape[1] / 8
    assert 0.95 * budget <= len(api.encode(pixels, "0.005bpp", device="cpu")) <= budget
    monkeypatch.setattr(neural, "SHARES_OF_Z", (0.0, 0.0))
    with pytest.raises(BudgetError):
        api.encode(pixels, "0.005bpp", device="cpu")


@pytest.mark.parametrize(("rate", "of_z"), [(0, 0.03), (90, 0.03), (105, 0.0125), (120, 0.0), (255, 0.0)])
def test_how_thriftily_hyper_latents_are_rounded(monkeypatch: pytest.MonkeyPatch, rate: int, of_z: float) -> None:
    weights: list[float] = []
    monkeypatch.setattr(neural, "rate_distortion_rounding", weights.append)
    pipeline = StableCodecPipeline.__new__(StableCodecPipeline)
    pipeline._rounding(rate, None, 0.01)
    assert weights == pytest.approx([of_z, neural.least_thrift(rate) + 0.01])
    pipeline.thrifty_z = False  # as of SODEC, whose pictures are made of z too
    pipeline._rounding(rate, None)
    assert weights[2] == 0


def test_rounding_is_thriftier_where_bits_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [neural.least_thrift(rate) for rate in (0, 90, 105, 120, 255)]
    assert found == pytest.approx([0.02, 0.02, 0.015, 0.01, 0.01])
    pixels = np.array(read_rgb(PHOTO)[:256, :384])
    thrifty = api.encode(pixels, "0.015bpp", device="cpu")
    monkeypatch.setattr(neural, "THRIFTS", (0.0, 0.0))
    plain = api.encode(pixels, "0.015bpp", device="cpu")
    assert api.inspect(plain).rate < api.inspect(thrifty).rate


def test_what_cannot_be_tuned_for() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(InputError, match="method stablecodec cannot be tuned for mse; there is perceptual, psnr, ssim"):
        api.encode(pixels, "50", settings=Settings(effort=2, tune="mse"))
    with pytest.raises(InputError, match="method overfit cannot be tuned for psnr; there is mse, perceptual"):
        api.encode(pixels, "50", method="overfit", settings=Settings(tune="psnr"))
    with pytest.raises(InputError, match=r"effort 11 is not in 1..10"):
        Settings(effort=11)


def test_similarity_of_small_pictures() -> None:
    """Five scales of SSIM need 161 pixels; smaller ones have one."""
    numbers = torch.Generator().manual_seed(0)
    for side in (64, 192):
        picture = torch.rand(1, 3, side, side, generator=numbers)
        assert objective_for("ssim", 128)(picture)(picture, 0).item() == pytest.approx(0, abs=1e-5)
        assert objective_for("ssim", 128)(picture)(1 - picture, 0).item() > 0.5


def test_a_payload_of_a_budget_stays_within() -> None:
    pixels = np.array(read_rgb(PHOTO)[:64, :64])
    pipeline = tiny.load()
    for effort in (1, 5):
        encoded = pipeline.encode(pixels, PayloadBudget(60), Settings(effort=effort))
        assert len(encoded.payload) <= 60


@pytest.mark.parametrize("tune", ["perceptual", "psnr", "ssim"])
@pytest.mark.parametrize("size", [(1, 1), (7, 65), (65, 70), (200, 130)])
def test_any_size_and_any_picture(size: tuple[int, int], tune: str) -> None:
    """Tiny, padded, flat: a file of no more bytes than without effort."""
    numbers = np.random.default_rng(0)
    pipeline = tiny.load()
    for pixels in (np.full((*size, 3), 130, np.uint8), numbers.integers(0, 256, (*size, 3), np.uint8)):
        for quality in (0.0, 60.0):
            plain = pipeline.encode(pixels, api.Quality(quality))
            better = pipeline.encode(pixels, api.Quality(quality), Settings(effort=4, tune=tune))
            assert len(better.payload) <= len(plain.payload)
            assert pipeline.decode(better, (size[1], size[0])).shape == pixels.shape


def test_padding_does_not_count() -> None:
    """The error of a picture is that of what is seen of it."""
    pixels = torch.from_numpy(np.array(read_rgb(PHOTO)[:128, :128])).permute(2, 0, 1)[None].float() / 255
    codec = tiny.load()
    judge = JudgedPicture(codec, pixels, (70, 90), SquaredError, codec.measure)
    other = pixels.clone()
    other[:, :, 70:] += 1
    other[:, :, :, 90:] += 1
    assert judge.error(other, 0) == 0
    other[:, :, 0, 0] += 1
    assert judge.error(other, 0) == pytest.approx(1 / (70 * 90), rel=1e-4)


def test_budgets_out_of_reach_are_what_they_are_without_effort() -> None:
    pixels = np.array(read_rgb(PHOTO)[:64, :64])
    said = []
    for effort in (1, 3):
        with pytest.raises(BudgetError) as refused:
            api.encode(pixels, "900kB", device="cpu", settings=Settings(effort=effort))
        said.append(str(refused.value))
    assert said[0] == said[1]
    assert len(api.encode(pixels, "13B", device="cpu", best_effort=True, settings=Settings(effort=3))) < 60
