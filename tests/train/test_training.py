"""Training at toy scale: it learns, resumes where it stopped, and exports what the codec loads."""

import dataclasses
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from latentcodec.cli.train import _changed
from latentcodec.coding.symbols import codable
from latentcodec.coding.tables import LARGEST_SYMBOL, LOG_SCALE_STEP, SMALLEST_SCALE, TABLES
from latentcodec.errors import InputError
from latentcodec.image import read_rgb
from latentcodec.metrics.perceptual import LPIPS, VGG16
from latentcodec.models.autoencoder import AutoencoderConfig
from latentcodec.models.blocks.rate import RATE_STEPS
from latentcodec.models.overfit.fit import Fit, unit
from latentcodec.models.overfit.function import FittedFunction
from latentcodec.models.overfit.presets import PRESETS
from latentcodec.models.overfit.reference import pick
from latentcodec.models.stablecodec.export import export, restore
from latentcodec.models.stablecodec.model import StableCodec
from latentcodec.pipelines.autoencoders import load_autoencoder
from latentcodec.pipelines.base import Settings
from latentcodec.pipelines.neural import RATES, SHARES_OF_Z, least_thrift
from latentcodec.pipelines.overfit import OverfitPipeline
from latentcodec.pipelines.rounding import rate_distortion_rounding
from latentcodec.pipelines.sodec import SodecPipeline
from latentcodec.pipelines.stablecodec import StableCodecPipeline
from latentcodec.rate import Quality
from latentcodec.train import objective, run
from latentcodec.train.adversary import FeatureDiscriminator
from latentcodec.train.data import (
    CropSampler,
    is_validation,
    list_images,
    prefetch,
    prefetch_by_processes,
    to_unit,
)
from latentcodec.train.entropy import Thrift, as_coded, thrift_in_files
from latentcodec.train.loop import Log, Trainer, learning_rate, load_state
from latentcodec.train.objective import texture_distance
from latentcodec.train.rate import RateControl, scale_gradient, target_bpp
from latentcodec.train.run import export_stage, train_stage
from latentcodec.train.stages import ADAM, ALL, DECODER, ENTROPY, STAGES, LossWeights, Stage
from latentcodec.train.tasks import ENCODER_SIDE, StableCodecTask, VaeTask
from latentcodec.weights import store
from tests import tiny

CPU = torch.device("cpu")
CONFIG = dataclasses.replace(
    tiny.CONFIG,
    autoencoder=dataclasses.replace(tiny.CONFIG.autoencoder, widths=(16, 16, 16)),
    widths=(16, 32, 32),
    hyper_width=16,
    context_width=16,
)
VAE = Stage("vae", "vae", None, 30, 4, 64, 2e-3, LossWeights(mse=1.0), warmup_steps=2)
PICTURE = dataclasses.replace(
    VAE,
    name="picture",
    task="stablecodec",
    start="vae",
    loss=LossWeights(mse=10.0, vgg=0.1, texture=0.1, latent=0.1, adversarial=0.01),
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    photo = Image.open(Path(__file__).parents[1] / "data" / "coffee.png")
    for number in range(12):
        photo.crop((20 * number, 10 * number, 20 * number + 150, 10 * number + 120)).save(folder / f"a-{number}.png")
    return folder


def batches(photos: Path, seed: int = 0):
    sampler = CropSampler(list_images(photos), 64, seed)
    while True:
        yield sampler.batch(4)


@pytest.mark.slow
def test_vae_learns(photos: Path, tmp_path: Path) -> None:
    rows: list[dict[str, float]] = []
    torch.manual_seed(0)
    stage = dataclasses.replace(VAE, steps=60)
    trainer = Trainer(stage, VaeTask(stage, CPU, CONFIG), tmp_path / "vae", CPU, lambda step, row: rows.append(row))
    trainer.run(batches(photos))
    assert rows[-1]["mse"] < 0.5 * rows[0]["mse"]


@pytest.mark.slow
def test_whole_chain_trains_and_its_export_codes_pictures(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    # The perceptual network's weights are fetched, not shipped: any weights will do here.
    monkeypatch.setattr(objective.store, "load", lambda name: SimpleNamespace(tensors={}))
    monkeypatch.setattr(objective, "load_lpips", lambda arrays, network: LPIPS(VGG16(1)).requires_grad_(False))
    Trainer(VAE, VaeTask(VAE, CPU, CONFIG), tmp_path / "vae", CPU).run(batches(photos))
    task = StableCodecTask(PICTURE, CPU, CONFIG)
    trainer = Trainer(PICTURE, task, tmp_path / "picture", CPU)
    trainer.start_from(load_state(tmp_path / "vae").average, batches(photos))
    before = {k: v.clone() for k, v in task.model.state_dict().items()}
    trainer.run(batches(photos))
    after = task.model.state_dict()
    changed = {k for k in after if not torch.equal(before[k], after[k])}
    assert any(k.startswith("discriminator.") for k in changed)
    assert any(k.startswith("codec.entropy.") for k in changed)
    assert any(k.startswith("codec.vae.decoder") for k in changed)
    assert not any(k.startswith("codec.vae.encoder") for k in changed)

    codec = StableCodec(CONFIG)
    average = load_state(tmp_path / "picture").average
    codec.load_state_dict({k.removeprefix("codec."): v for k, v in average.items() if k.startswith("codec.")})
    store.write_tensors(export(codec), tmp_path / "w.safetensors", {"config": CONFIG.to_json()})
    pipeline = StableCodecPipeline(store.read_weights(tmp_path / "w.safetensors"), CPU)
    pixels = np.asarray(Image.open(photos / "a-1.png"))
    encoded = pipeline.encode(pixels, Quality(90))
    decoded = pipeline.decode(encoded, (150, 120))
    assert np.abs(decoded.astype(int) - pixels).mean() < np.abs(pixels.mean((0, 1)) - pixels).mean()


@pytest.mark.parametrize("coded", [False, True])
def test_a_decoder_is_trained_alone(coded: bool, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objective.store, "load", lambda name: SimpleNamespace(tensors={}))
    monkeypatch.setattr(objective, "load_lpips", lambda arrays, network: LPIPS(VGG16(1)).requires_grad_(False))
    stage = dataclasses.replace(PICTURE, steps=2, part=DECODER, coded=coded)
    task = StableCodecTask(stage, CPU, CONFIG)
    trainer = Trainer(stage, task, tmp_path, CPU)
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    trainer.run(batches(photos))
    changed = {
        name.split(".")[1] for name, value in task.model.state_dict().items() if not torch.equal(value, before[name])
    }
    assert {"synthesis", "auxiliary_decoder", "unet", "vae"} <= changed
    assert not changed & {*ENCODER_SIDE, "log_weight"}
    assert torch.equal(task.codec.vae.encoder.layers[0].weight, before["codec.vae.encoder.layers.0.weight"])


class HostReads(TorchDispatchMode):
    """Notes what has to wait for a device: values read from it, and sizes that depend on values."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: set[str] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if any(word in str(function) for word in ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh")):
            self.calls.add(str(function))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(("part", "coded"), [(ALL, False), (ALL, True), (DECODER, True), (ENTROPY, False)])
def test_a_step_can_be_captured(part: str, coded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objective.store, "load", lambda name: SimpleNamespace(tensors={}))
    monkeypatch.setattr(objective, "load_lpips", lambda arrays, network: LPIPS(VGG16(1)).requires_grad_(False))
    loss = dataclasses.replace(PICTURE.loss, ms_ssim=0.1)
    task = StableCodecTask(dataclasses.replace(PICTURE, crop=128, part=part, coded=coded, loss=loss), CPU, CONFIG)
    assert task.capturable
    batch = torch.randint(256, (2, 3, 128, 128), dtype=torch.uint8)
    task.loss(batch, 0)  # which builds what is built once
    with HostReads() as reads:
        loss_of_step, _ = task.loss(batch, 1)
        loss_of_step.backward()
        torch.nn.utils.clip_grad_norm_(task.model.parameters(), 1.0)
    assert not reads.calls
    analysed = task.codec.analysis.state_dict(keep_vars=True).values()
    assert any(p.grad is not None and p.grad.any() for p in analysed) == (part == ALL)
    with HostReads() as reads:
        loss_of_step.item()
    assert reads.calls


def test_an_entropy_model_is_trained_alone(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    stage = dataclasses.replace(PICTURE, steps=40, part=ENTROPY, loss=LossWeights(), optimiser=ADAM, learning_rate=1e-2)
    task = StableCodecTask(stage, CPU, CONFIG)

    def judged() -> float:
        torch.manual_seed(1)
        return task.loss(next(batches(photos, seed=7)), 0)[0].item()

    before, loss = {name: value.clone() for name, value in task.model.state_dict().items()}, judged()
    Trainer(stage, task, tmp_path, CPU).run(batches(photos))
    assert judged() < 0.97 * loss
    after = task.model.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    last = {f"codec.entropy.steps.{step}.out.{kind}" for step in range(4) for kind in ("weight", "bias")}
    assert {name for name in changed if "prior" not in name and "offset" not in name} == last
    for name in last:  # the first half of which makes means
        half = len(after[name]) // 2
        assert torch.equal(after[name][:half], before[name][:half])


@pytest.mark.parametrize(("is_y", "thrift"), [(False, Thrift(0.1, 0.04)), (True, Thrift(0.05, 0.0))])
def test_symbols_are_those_that_an_encoder_codes(is_y: bool, thrift: Thrift) -> None:
    random = np.random.default_rng(5)
    tables = random.integers(0, TABLES, 20_000).astype(np.uint8)
    residual = (random.normal(size=len(tables)) * SMALLEST_SCALE * np.exp(LOG_SCALE_STEP * tables)).astype(np.float32)
    residual[::4] = np.clip(4 * residual[::4], -LARGEST_SYMBOL, LARGEST_SYMBOL)  # some that no table expects
    coded = codable(tables, rate_distortion_rounding(thrift.y if is_y else thrift.z)(residual, tables))
    position = torch.from_numpy(tables).float()
    leaf = torch.from_numpy(residual).requires_grad_()
    decoded, counted = as_coded(leaf, position, is_y, thrift)
    assert (decoded.detach().numpy() != coded).mean() < 1e-3  # information is rounded in tables
    assert torch.equal(decoded, counted)
    assert (torch.autograd.grad(decoded.sum(), leaf)[0] == 1).all()


def test_a_decoder_sees_as_much_thrift_as_files_have() -> None:
    rates = torch.tensor([0.0, 105 / 255, 1.0])
    least = torch.tensor([least_thrift(round(255 * rate)) for rate in rates.tolist()])
    drawn = torch.stack([thrift_in_files(rates, of_z=True).y.flatten() / least for _ in range(200)])
    assert (drawn.min(), drawn.max()) == (pytest.approx(1, abs=0.05), pytest.approx(2.5, abs=0.05))


def test_hyper_latents_are_as_thrifty_in_training_as_in_files() -> None:
    steps = (0, 90, 105, 120, 255)
    thrift = thrift_in_files(torch.tensor(steps) / RATE_STEPS, of_z=True)
    assert torch.is_tensor(thrift.z)
    assert (thrift.z / thrift.y).flatten().tolist() == pytest.approx([1, 1, 0.5, 0, 0], abs=1e-5)
    assert np.interp(steps, RATES, SHARES_OF_Z).tolist() == pytest.approx([1, 1, 0.5, 0, 0])
    plain = thrift_in_files(torch.tensor(steps) / RATE_STEPS, of_z=False)
    assert torch.is_tensor(plain.z)
    assert not plain.z.any()
    assert (StableCodecPipeline.thrifty_z, SodecPipeline.thrifty_z) == (True, False)


def test_texture_is_the_amount_of_detail_wherever_it_is() -> None:
    torch.manual_seed(0)
    features = [torch.rand(2, 8, 16, 16), torch.rand(2, 4, 8, 8)]
    moved = [f.roll((3, 5), (2, 3)) for f in features]
    blurred = [f.mean((2, 3), keepdim=True).expand_as(f) for f in features]
    assert texture_distance(features, features).tolist() == [0, 0]
    assert texture_distance(moved, features).max() < 1e-6
    assert texture_distance(blurred, features).min() > 0.05
    assert texture_distance([f * 2 for f in features], features).max() <= 1


def test_texture_is_compared_window_by_window() -> None:
    torch.manual_seed(0)
    left, right = torch.rand(1, 4, 16, 8), 3 * torch.rand(1, 4, 16, 8)
    picture, mirrored = torch.cat([left, right], 3), torch.cat([right, left], 3)
    assert texture_distance([mirrored], [picture]).max() < 1e-6
    assert texture_distance([mirrored], [picture], windows=2).min() > 0.05
    assert texture_distance([picture], [picture], windows=2).tolist() == [0]


def test_processes_prepare_different_crops(photos: Path) -> None:
    batches = prefetch_by_processes(CropSampler(list_images(photos), 64, 0), 2)
    seen = [next(batches) for _ in range(4)]
    assert all(batch.shape == (2, 3, 64, 64) and batch.dtype == torch.uint8 for batch in seen)
    assert not any(torch.equal(a, b) for number, a in enumerate(seen) for b in seen[:number])


def test_autoencoder_starts_as_a_linear_transform(photos: Path) -> None:
    torch.manual_seed(0)
    config = AutoencoderConfig(latent_channels=24, widths=(8, 8, 8))
    task = VaeTask(VAE, CPU, dataclasses.replace(tiny.CONFIG, autoencoder=config))
    task.start_from(None, batches(photos))
    pixels = to_unit(next(batches(photos)), CPU)
    with torch.no_grad():
        latents = task.model.encode(pixels)
        error = (task.model.decode(latents) - pixels).square().mean()
    assert error < 0.1 * pixels.var()


class ToyTask:
    """A deterministic task: one convolution and a bias learn to brighten pictures."""

    config = ""
    speeds: dict[str, float] = {}  # noqa: RUF012

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.Conv2d(16, 16, 3, padding=1))

    def is_foreign(self, name: str) -> bool:
        return False

    def start_from(self, weights: dict[str, torch.Tensor], batches: object) -> None:
        raise NotImplementedError

    def loss(self, batch: torch.Tensor, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        pixels = batch.float() / 255
        return (self.model(pixels).mean(1) - pixels.mean(1) - 0.1).square().mean(), {}


def test_a_stopped_run_goes_on_exactly_where_it_stopped(tmp_path: Path) -> None:
    stage = dataclasses.replace(VAE, steps=12)
    pictures = torch.randint(0, 256, (12, 4, 3, 32, 32), generator=torch.Generator().manual_seed(1)).byte()

    def train(folder: Path, stops: tuple[int, ...]) -> dict[str, torch.Tensor]:
        for stop in stops:
            trainer = Trainer(stage, ToyTask(), folder, CPU)

            def source(trainer: Trainer = trainer, stop: int = stop):
                while True:
                    trainer.stop = trainer.step + 1 >= stop
                    yield pictures[trainer.step]

            trainer.run(source())
            assert trainer.step == stop
        return load_state(folder).average

    whole, parts = train(tmp_path / "whole", (12,)), train(tmp_path / "parts", (5, 12))
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-5, atol=1e-7)


def test_exported_weights_can_be_trained_further() -> None:
    shipped = store.read_weights(tiny.GOLDEN_WEIGHTS).tensors
    codec = StableCodec(tiny.CONFIG)
    restore(shipped, codec)
    again = export(codec)
    assert set(again) == set(shipped)
    for name, value in shipped.items():
        assert torch.equal(again[name], value), name


def test_log_keeps_columns_that_come_and_go_and_forgets_what_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    with Log(path, 0) as log:
        log.write({"step": 20, "a": 1.0})
        log.write({"step": 40, "a": 2.0, "b": 3.0})
        log.write({"step": 60, "b": 4.0})
    assert path.read_text().split() == ["step,a,b", "20,1.0,", "40,2.0,3.0", "60,,4.0"]
    with Log(path, 40) as log:
        log.write({"step": 60, "c": 5.0})
    assert path.read_text().split() == ["step,a,b,c", "20,1.0,,", "40,2.0,3.0,", "60,,,5.0"]


def test_a_broken_training_picture_is_named(photos: Path) -> None:
    (photos / "a-3.png").write_bytes((photos / "a-3.png").read_bytes()[:500])
    with pytest.raises(InputError, match=r"a-3\.png: cannot be read"):
        CropSampler(list_images(photos), 64, 0)


def test_learning_rate_warms_up_holds_and_decays() -> None:
    stage = dataclasses.replace(VAE, steps=1000, warmup_steps=100, learning_rate=1.0)
    assert learning_rate(stage, 0) == pytest.approx(0.01)
    assert learning_rate(stage, 500) == 1.0
    assert learning_rate(stage, 875) == pytest.approx(0.5)
    assert learning_rate(stage, 999) == pytest.approx(0.1)


def test_rate_weight_rises_where_too_many_bits_are_spent() -> None:
    control = RateControl(PICTURE)
    rate = torch.tensor([0.0, 1.0])
    before = control.weight(rate)
    target = target_bpp(rate, (0.01, 0.5))
    assert target.tolist() == pytest.approx([0.01, 0.5])
    control.update(rate, target * torch.tensor([10, 0.1]), target)
    after = control.weight(rate)
    assert after[0] > before[0]
    assert after[1] < before[1]


def test_discriminator_and_codec_do_not_disturb_each_other() -> None:
    discriminator = FeatureDiscriminator((4, 6))
    output = [torch.rand(2, 4, 32, 32, requires_grad=True), torch.rand(2, 6, 16, 16, requires_grad=True)]
    assert discriminator.generator_loss(output).shape == (2,)
    discriminator.generator_loss(output).mean().backward()
    assert all(features.grad is not None for features in output)
    assert all(p.grad is None for p in discriminator.parameters())
    output[0].grad = output[1].grad = None
    discriminator.own_loss(output, [torch.rand(2, 4, 32, 32), torch.rand(2, 6, 16, 16)]).backward()
    assert all(features.grad is None for features in output)
    assert any(p.grad is not None for p in discriminator.parameters())


@pytest.mark.parametrize("factor", [0.01, 100])
def test_discriminator_sees_contrast_and_no_size(factor: float) -> None:
    discriminator = FeatureDiscriminator((4,)).eval()
    features = torch.rand(2, 4, 16, 16)
    (judged,) = discriminator([features])
    scaled = features / features.square().mean((1, 2, 3), keepdim=True).sqrt()
    torch.testing.assert_close(discriminator.heads[0](scaled), judged, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(discriminator([factor * features])[0], judged, rtol=1e-3, atol=1e-3)


def test_validation_pictures_are_few_and_never_trained_on(tmp_path: Path) -> None:
    paths = [tmp_path / f"a-{number}.png" for number in range(400)]
    aside = [path for path in paths if is_validation(path)]
    assert 4 <= len(aside) <= 20
    for path in paths[:40]:
        Image.new("RGB", (8, 8)).save(path)
    assert not set(list_images(tmp_path)) & set(aside)


def test_folders_without_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no training pictures"):
        list_images(tmp_path)
    with pytest.raises(InputError, match="run that stage first"):
        load_state(tmp_path)


def test_recipes_are_changed_by_field() -> None:
    changed = _changed(
        STAGES["sodec"], ["steps=30", "loss.align=0", "name=short", "annealing=(1.0, 1.0)", "part=codec"]
    )
    assert (changed.steps, changed.loss.align, changed.name, changed.part) == (30, 0.0, "short", "codec")
    assert changed.annealing == (1.0, 1.0)
    assert changed.loss.mse == STAGES["sodec"].loss.mse
    for change, message in (
        ("stepz=3", "no field 'stepz'"),
        ("loss.nothing=1", r"no field 'loss\.nothing'"),
        ("loss=1", "no field 'loss'"),
        ("steps=many", "steps is a int, not 'many'"),
        ("task=vae", "no field 'task'"),
        ("part=some", "part is one of all, decoder, codec, diffusion, preview, entropy"),
        ("warmup_steps=0", "at least 1"),
        ("annealing=(1,)", "two numbers"),
    ):
        with pytest.raises(InputError, match=message):
            _changed(STAGES["sodec"], [change])
    for name, change in (
        ("sodec", "coded=True"),
        ("vae", "coded=True"),
        ("picture", "renewed=True"),
        ("sodec-joint-sd21", "renewed=True"),
        ("sodec-entropy", "renewed=True"),
    ):
        with pytest.raises(InputError, match="is for task"):
            _changed(STAGES[name], [change])


def test_stages_chain_up() -> None:
    for stage in STAGES.values():
        assert stage.start is None or stage.start in STAGES


def test_an_error_while_reading_pictures_ends_the_training(photos: Path) -> None:
    sampler = CropSampler(list_images(photos), 64, 0)
    sampler.names = []  # nothing left to draw from
    with pytest.raises(ValueError, match="does not match the population"):
        next(prefetch(sampler, 2))


def test_signals_mean_what_they_meant_after_a_run(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    trainer = Trainer(dataclasses.replace(VAE, steps=1), ToyTask(), tmp_path, CPU)
    trainer.run(iter([torch.zeros(4, 3, 32, 32, dtype=torch.uint8)]))
    assert signal.getsignal(signal.SIGTERM) is before


def test_bits_reach_the_entropy_model_and_the_latents_with_their_own_weights() -> None:
    y = torch.ones(2, 3, 1, 1, requires_grad=True)
    scale = torch.ones(3, requires_grad=True)
    bits = (scale_gradient(y, torch.tensor([2.0, 5.0])) * scale[:, None, None]).sum((1, 2, 3))
    (torch.tensor([1.0, 10.0]) * bits).sum().backward()
    assert y.grad is not None
    assert scale.grad is not None
    assert y.grad.flatten(1).tolist() == [[2.0] * 3, [50.0] * 3]
    assert scale.grad.tolist() == [11.0] * 3


def test_export_averages_with_former_weights(tmp_path: Path) -> None:
    """A share of 1 changes nothing; one half lies in the middle."""
    codecs = [tiny.build(seed, CONFIG) for seed in (1, 2)]
    former = tmp_path / "former.safetensors"
    store.write_tensors(export(codecs[0]), former, {"config": CONFIG.to_json()})
    name = "codec.vae.decoder.layers.0.weight"
    first, second = ({f"codec.{key}": value for key, value in codec.state_dict().items()} for codec in codecs)
    average = {key: value.clone() for key, value in second.items()}
    run._mix(PICTURE, CONFIG, average, former, 1.0)
    assert torch.equal(average[name], second[name])
    run._mix(PICTURE, CONFIG, average, former, 0.5)
    assert torch.allclose(average[name], (first[name] + second[name]) / 2, atol=1e-3)


def test_reference_of_overfit_is_trained_and_exported(photos: Path, tmp_path: Path) -> None:
    """Steps make latents cost less than the start does, and what is exported codes files."""
    stage = dataclasses.replace(STAGES["overfit-mini"], batch=4, crop=64, warmup_steps=2, ema_decay=0.9)
    pixels = read_rgb(sorted(photos.iterdir())[0])
    costs = []
    for steps in (1, 40):
        path = tmp_path / f"{steps}.safetensors"
        some = dataclasses.replace(stage, steps=steps)
        train_stage(some, photos, tmp_path / str(steps), CPU, 0, lambda step, row: None)
        export_stage(some, tmp_path / str(steps), path)
        arrays = {name: tensor.numpy() for name, tensor in store.read_weights(path).tensors.items()}
        codec = OverfitPipeline(load_autoencoder("mini", CPU), arrays, native=True, fingerprint=1, device=CPU)
        function = FittedFunction(codec.layout(PRESETS[3]), pick(arrays, PRESETS[3])).requires_grad_(False)
        fit = Fit.begin(function, codec.latents(pixels), unit(128))
        costs.append(fit.objective(fit.symbols, [symbols.abs() for symbols in fit.symbols])[0].item())
    assert costs[1] < 0.99 * costs[0]
    encoded = codec.encode(pixels, Quality(60), Settings(1))
    assert codec.decode(encoded, (pixels.shape[1], pixels.shape[0])).shape == pixels.shape
    shipped = store.load("overfit-mini").tensors
    assert {n: v.shape for n, v in shipped.items()} == {n: v.shape for n, v in arrays.items()}
    assert set(arrays["lifted"].tolist()) == {0, 1}
