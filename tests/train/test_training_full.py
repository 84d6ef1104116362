"""Implicit bitrate pruning: both stages at full scale with few channels, and the jump at mini scale."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, distributed

from latentcodec import api
from latentcodec.cli.main import cli
from latentcodec.cli.train import _changed
from latentcodec.errors import InputError, WeightsError
from latentcodec.image import Picture, read_rgb, write_picture
from latentcodec.metrics.perceptual import LPIPS, VGG16
from latentcodec.models.diffusion import vision
from latentcodec.models.stablecodec.full.adapted import is_foreign, to_state
from latentcodec.models.stablecodec.full.density import z_frequencies
from latentcodec.pipelines.stablecodec_full import FREQUENCIES, PROMPT
from latentcodec.train import objective, stablecodec_full
from latentcodec.train.adversary import CROSS_ENTROPY, FeatureDiscriminator
from latentcodec.train.augment import augmented
from latentcodec.train.data import CropSampler, list_images, to_unit
from latentcodec.train.loop import Trainer, learning_rate, load_state
from latentcodec.train.parallel import shared_loss
from latentcodec.train.run import export_stage, train_stage
from latentcodec.train.stablecodec_full import FullStableCodecTask
from latentcodec.train.stages import STAGES, Stage
from latentcodec.train.tasks import StableCodecTask
from latentcodec.weights import store
from tests import tiny, tiny_full

pytest.importorskip("diffusers")
pytest.importorskip("transformers")
CPU = torch.device("cpu")
PHOTO = Path(__file__).parents[1] / "data" / "coffee.png"
SHORT = {"steps": 2, "batch": 1, "crop": 256, "warmup_steps": 1, "ema_decay": 0.5}
BASE = dataclasses.replace(STAGES["stablecodec-base-sd-turbo"], **SHORT)
PRUNED = dataclasses.replace(STAGES["stablecodec-ft8-sd-turbo"], **SHORT)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder, pixels = tmp_path / "photos", read_rgb(PHOTO)
    folder.mkdir()
    for number in range(4):
        crop = Picture(pixels[20 * number : 20 * number + 300, 50 * number : 50 * number + 300])
        (folder / f"a-{number}.png").write_bytes(write_picture(crop, ".png"))
    return folder


@pytest.fixture
def elic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ELIC's file; small networks in the place of all that are fetched."""
    rows, text = tiny_full.rows(), tiny_full.tensors()[PROMPT].half()
    monkeypatch.setattr(store, "load_one_by_one", rows.get)
    monkeypatch.setattr(store, "load", lambda name: SimpleNamespace(tensors={}))
    monkeypatch.setattr(objective, "load_lpips", lambda arrays, network: LPIPS(VGG16(1)).requires_grad_(False))
    monkeypatch.setattr(vision, "CLIP_SIZES", tiny_full.CLIP_SIZES)
    monkeypatch.setattr(stablecodec_full, "text_state", lambda tensors: text)
    (tmp_path / "config.json").write_text(tiny_full.CONFIG.to_json())
    own = {k: v for k, v in tiny_full.tensors().items() if k.startswith("auxiliary_encoder.")}
    torch.save({k.replace("auxiliary_encoder.", "g_a."): v for k, v in own.items()}, tmp_path / "elic.pth")
    return tmp_path / "elic.pth"


def train(stage: Stage, photos: Path, start: Path | None = None) -> dict[str, Tensor]:
    """The weights after the stage."""
    config = photos.parent / "config.json" if start is not None and start.suffix == ".pth" else None
    train_stage(stage, photos, photos.parent, CPU, 0, lambda step, row: None, start, config)
    return load_state(photos.parent / stage.name).model


def test_both_stages_train_and_what_they_export_codes_pictures(elic: Path, photos: Path, tmp_path: Path) -> None:
    base, pruned = train(BASE, photos, elic), train(PRUNED, photos)
    assert not any(name.startswith("codec.") and is_foreign(name[6:], tiny_full.CONFIG) for name in base)
    names = [name for name in base if not torch.equal(base[name], pruned[name])]
    changed = {".".join(name.split(".")[1:3]) for name in names}
    assert {"codec.g_a", "codec.h_a", "codec.h_s", "codec.g_c", "codec.LRP", "codec.g_s", "codec.aux"} <= changed
    assert {"bottleneck.matrices", "bottleneck.biases", "bottleneck.factors"} <= changed
    assert {"vae.network", "unet.conv_in", "unet.down_blocks"} <= changed
    kept = {name for name in base if name.startswith(("codec.auxiliary_encoder.", "codec.prompt"))}
    assert kept | {"codec.bottleneck.quantiles"} == set(base) - set(names)
    assert any(name.startswith("discriminator.") for name in pruned)

    out = tmp_path / "own.safetensors"
    export_stage(PRUNED, tmp_path, out)
    weights = store.read_weights(out)
    assert set(weights.tensors) == {*tiny_full.tensors(), FREQUENCIES}
    bottleneck = {k[len("bottleneck.") :]: v for k, v in weights.tensors.items() if k.startswith("bottleneck.")}
    assert torch.equal(weights.tensors[FREQUENCIES], z_frequencies(bottleneck))
    pixels = read_rgb(PHOTO)[:100, :150]
    data = api.encode(Picture(pixels), "50", model=str(out))
    assert api.decode(data, model=str(out)).size == (150, 100)
    assert store.read_weights(out).tensors[PROMPT].dtype == torch.float16

    again = dataclasses.replace(PRUNED, name="again", steps=1)
    continued = train(again, photos, out)
    name = "codec.codec.g_s.synthesis_transform.1.branch1.0.weight"
    assert torch.allclose(continued[name], load_state(tmp_path / PRUNED.name).average[name], atol=1e-3)
    export_stage(again, tmp_path, tmp_path / "mixed.safetensors", former=out, share=0.0)
    mixed = store.read_weights(tmp_path / "mixed.safetensors").tensors
    assert all(torch.equal(mixed[name], value) for name, value in weights.tensors.items())


@pytest.mark.filterwarnings("ignore:Grad strides do not match")  # of a layer of one pixel: a remark about speed
def test_processes_share_every_gradient(elic: Path, photos: Path) -> None:
    """One process in a group of one: the wrapper takes the model as it is, frozen networks, adapters and judge."""
    task = FullStableCodecTask(PRUNED, CPU, tiny_full.CONFIG)
    task.start_from({f"codec.{k}": v for k, v in to_state(tiny_full.tensors(), tiny_full.CONFIG).items()}, iter(()))
    batch = CropSampler(list_images(photos), 256, 0).batch(1)
    distributed.init_process_group("gloo", rank=0, world_size=1, store=distributed.HashStore())
    try:
        loss = shared_loss(task)
        loss(batch, 0)[0].backward()
    finally:
        distributed.destroy_process_group()
    trained = {name: p for name, p in task.model.named_parameters() if p.requires_grad}
    assert [name for name, p in trained.items() if p.grad is None] == []


def test_what_a_stage_cannot_start_from_is_said(elic: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="starts from ELIC's published weights"):
        train_stage(BASE, photos, tmp_path, CPU, 0, lambda step, row: None, config=tmp_path / "config.json")
    with pytest.raises(InputError, match=r"do not fit this model: .*down"):
        train(PRUNED, photos, elic)
    mini = tiny.save(tmp_path / "mini.safetensors")
    with pytest.raises(WeightsError, match="no StableCodec at full scale"):
        train(BASE, photos, mini)


def test_the_recipe_is_the_published_one() -> None:
    rates = {}
    for stage in STAGES.values():
        if stage.task == "stablecodec-full":
            assert stage.loss.mse == 4 * 2  # between pictures in 0..1, not -1..1
            assert (stage.loss.vgg, stage.loss.clip) == (1.0, 0.1)
            rates[stage.loss.bpp] = stage
    assert sorted(rates) == [0.5, 2, 3, 4, 6, 8, 12, 16, 24, 32]
    base, pruned = rates.pop(0.5), rates[8]
    assert {stage.start for stage in rates.values()} == {base.name}
    assert [learning_rate(base, step) for step in (200, 119_999)] == [1e-4, 1e-4]
    steps = (500, 4_999, 5_000, 10_000, 15_000, 20_999)
    assert [learning_rate(pruned, step) for step in steps] == pytest.approx([5e-5, 5e-5, 2e-5, 1e-5, 1e-6, 1e-6])
    assert pruned.loss.adversarial == 0.1


def test_stages_of_either_scale_are_found_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, task in (
        (["stablecodec-ft32", "--scale", "sd-turbo"], "stablecodec-full"),
        (["stablecodec-ft"], "stablecodec"),
    ):
        with pytest.raises(SystemExit) as end:
            cli(["train", *arguments, "--dry-run"])
        assert end.value.code == 0
        assert task in capsys.readouterr().out.split()


def test_drops_and_the_optimiser_are_checked() -> None:
    assert _changed(PRUNED, ["drops=()"]).drops == ()
    assert _changed(PRUNED, ["loss.bpp=5.0"]).loss.bpp == 5
    for change in ("drops=((1,),)", "optimiser=sgd"):
        with pytest.raises(InputError, match="optimiser is one of muon, adamw, adam; drops are pairs"):
            _changed(PRUNED, [change])


def test_cross_entropy_rewards_what_passes_and_never_certainty() -> None:
    unsure, sure = torch.zeros(1), torch.full((1,), 9.0)
    assert CROSS_ENTROPY.passing(sure) < CROSS_ENTROPY.passing(unsure) < CROSS_ENTROPY.passing(-sure)
    assert CROSS_ENTROPY.restored(-sure) < CROSS_ENTROPY.restored(unsure)
    logits = torch.linspace(-6, 6, 1201)
    best = logits[CROSS_ENTROPY.real(logits).argmin()].sigmoid().item()
    assert best == pytest.approx(0.8, abs=1e-2)
    judge = FeatureDiscriminator((4,), CROSS_ENTROPY)
    assert judge.generator_loss([torch.rand(2, 4, 8, 8)]).min() > 0


def test_pictures_of_a_batch_are_changed_alike_and_send_gradients() -> None:
    torch.manual_seed(0)
    pictures = torch.rand(6, 3, 32, 40, requires_grad=True)
    first, second = augmented([pictures, pictures.detach()])
    assert torch.equal(first, second)
    assert not torch.equal(first[0], augmented([pictures])[0][0])
    grey = (first == 0.5).all(1).float().mean((1, 2))
    assert grey.min() > 0.05
    assert grey.max() < 0.6
    first.sum().backward()
    assert pictures.grad is not None
    assert torch.isfinite(pictures.grad).all()
    assert (pictures.grad != 0).any((1, 2, 3)).all()


def mini_batches(photos: Path) -> Iterator[Tensor]:
    sampler = CropSampler(list_images(photos), 64, 0)
    while True:
        yield sampler.batch(4)


def test_the_jump_at_mini_scale_begins_at_its_own_rates(photos: Path, tmp_path: Path) -> None:
    """The first stage ends at three times the bits; without a search for gains, the second would begin there."""
    config = dataclasses.replace(tiny.CONFIG, autoencoder=dataclasses.replace(tiny.CONFIG.autoencoder, shortcut=True))
    change = {"steps": 3, "batch": 4, "crop": 64, "loss": dataclasses.replace(BASE.loss, vgg=0.0, clip=0.0)}
    rich, pruned = (dataclasses.replace(STAGES[f"stablecodec-{name}"], **change) for name in ("base", "ft"))
    vae = {k.removeprefix("vae."): v for k, v in tiny.build(config=config).state_dict().items() if k.startswith("vae.")}
    pixels = torch.cat([to_unit(batch, CPU) for batch, _ in zip(mini_batches(photos), range(4), strict=False)])
    rate = torch.full((len(pixels),), 0.25)  # more than the few channels can spend would be a rate out of reach

    def excess(task: StableCodecTask) -> float:
        """Bits per pixel relative to what the rate parameter stands for."""
        with torch.no_grad():
            _, _, bpp = task._code(pixels, rate, task._target(rate, 0))
        return (bpp.mean() / task._target(rate, 0)[0] * task.stage.annealing[0]).item()

    torch.manual_seed(0)
    first = StableCodecTask(rich, CPU, config)
    trainer = Trainer(rich, first, tmp_path / "base", CPU)
    trainer.start_from(vae, mini_batches(photos))
    assert excess(first) == pytest.approx(3, rel=0.3)
    trainer.run(mini_batches(photos))
    average = load_state(tmp_path / "base").average
    for jump, expected in ((True, 1.0), (False, 3.0)):
        second = StableCodecTask(dataclasses.replace(pruned, jump=jump), CPU, config)
        second.start_from(average, mini_batches(photos))
        assert excess(second) == pytest.approx(expected, rel=0.3)
        assert torch.equal(second.control.log_weight, average["control.log_weight"]) != jump
    assert np.isfinite(second.loss(next(mini_batches(photos)), 0)[0].item())
