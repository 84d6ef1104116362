"""Files of method `overfit`: with the shipped autoencoder, and with one from a folder."""

import dataclasses
import json
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from latentcodec import api, errors
from latentcodec.cli.fitting import fitting
from latentcodec.cli.main import main
from latentcodec.image import read_rgb
from latentcodec.metrics.distortion import psnr
from latentcodec.metrics.external import ms_ssim
from latentcodec.models.overfit.fit import EFFORTS, RATE_WEIGHT, Effort, Fit, unit
from latentcodec.models.overfit.function import FittedFunction
from latentcodec.models.overfit.parameters import Change
from latentcodec.models.overfit.presets import PRESETS, Layout
from latentcodec.models.overfit.reference import generalise, pick
from latentcodec.models.tiny_autoencoder import TinyAutoencoder
from latentcodec.pipelines import overfit, overfit_encoding
from latentcodec.pipelines.autoencoders import load_autoencoder
from latentcodec.pipelines.base import PayloadBudget, Settings
from latentcodec.pipelines.objective import PerceptualError
from latentcodec.pipelines.overfit import OverfitPipeline
from latentcodec.pipelines.overfit_prefix import Affine, Prefix
from latentcodec.pipelines.registry import method_named, model_of, pipeline
from latentcodec.rate import Quality
from latentcodec.weights import store

PHOTO = Path(__file__).parents[1] / "data" / "coffee.png"
ENDLESS = """
import dataclasses, itertools, sys
from latentcodec.models.overfit import fit
fit.EFFORTS[5] = dataclasses.replace(fit.EFFORTS[5], rounds=10**9)
run = fit.Fit.run
def told(self, first, last, *rest, **more):
    if last > 10**6:
        print("rounds", file=sys.stderr, flush=True)
    run(self, first, last, *rest, **more)
fit.Fit.run = told
from latentcodec.__main__ import main
sys.exit(main())
"""
FAST = Settings(effort=1)


def to_unit(pixels: np.ndarray) -> torch.Tensor:
    """uint8 [H, W, 3] -> [1, 3, H, W] in 0..1."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return read_rgb(PHOTO)[100:228, 200:392]


def folder_of(path: Path, seed: int, channels: int) -> Path:
    """An autoencoder of random weights, as a TAESD pair; its decoder undoes nothing, but it is a real one."""
    torch.manual_seed(seed)
    model = TinyAutoencoder(channels, pooled=False)
    path.mkdir()
    for part in ("encoder", "decoder"):
        store.write_tensors(getattr(model, part).state_dict(), path / f"tiny_{part}.safetensors")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("vae") / "a", seed=1, channels=4)


@pytest.mark.parametrize("target", ["0.05bpp", "0.2bpp", "900B", "30"])
def test_round_trip(photo: np.ndarray, target: str) -> None:
    result = api.encode_picture(photo, target, method="overfit", settings=FAST)
    parsed = api.inspect(result.data)
    assert parsed.codec == 1
    assert api.decode(result.data).pixels.shape == photo.shape
    assert len(result.data) <= result.information_bits / 8 * 1.005 + 14
    budget = {"0.05bpp": 0.05 * photo.shape[0] * photo.shape[1] / 8, "0.2bpp": 614, "900B": 900}.get(target)
    if budget is not None:
        assert 0.97 * budget - 2 <= len(result.data) <= budget


@pytest.mark.parametrize("shape", [(1, 1), (8, 3), (9, 17), (65, 33)])
def test_any_size(photo: np.ndarray, shape: tuple[int, int]) -> None:
    pixels = photo[: shape[0], : shape[1]]
    data = api.encode(pixels, "40", method="overfit", settings=FAST)
    assert api.decode(data).pixels.shape == pixels.shape


@pytest.mark.slow
def test_more_effort_saves_bits() -> None:
    photo = read_rgb(PHOTO)[:192, :256]
    codec = pipeline(method_named("overfit"), "mini", "cpu")
    assert isinstance(codec, OverfitPipeline)
    latents = codec.latents(photo)
    step = 2 ** (4 - 7 * round(50 * 2.55) / 255)

    def figures(effort: int) -> tuple[float, float]:
        """Bits, and squared error as so many bits more."""
        encoded = codec.encode(photo, api.Quality(50), Settings(effort))
        exact = codec.decode_exactly(encoded, photo.shape[:2])
        restored = codec.synthesise(exact, encoded.rate, photo.shape[:2])
        return 8 * len(encoded.payload), (restored - latents).square().sum().item() / step**2 / RATE_WEIGHT

    fast, slow, adapting = (sum(figures(effort)) for effort in (1, 4, 5))
    assert adapting < slow < fast


def test_a_high_rate_comes_close_to_the_autoencoder() -> None:
    photo = read_rgb(PHOTO)[100:292, 200:392]  # MS-SSIM takes no smaller ones
    codec = pipeline(method_named("overfit"), "mini", "cpu")
    assert isinstance(codec, OverfitPipeline)
    with torch.inference_mode():
        alone = codec.autoencoder.decode(codec.latents(photo)).clamp(0, 1)[0].permute(1, 2, 0).float()
    coded = api.decode(api.encode(photo, "100", method="overfit", settings=FAST)).pixels
    for measure in (psnr, ms_ssim):
        assert measure(photo, coded) >= 0.99 * measure(photo, (255 * alone).round().byte().numpy())


@pytest.mark.slow
@pytest.mark.parametrize("target", ["0.2bpp", "100"])
def test_taef2(photo: np.ndarray, target: str) -> None:
    """The published autoencoder, where its weights have been fetched."""
    for part in ("taef2-encoder", "taef2-decoder"):
        try:
            store.verify(part)
        except errors.WeightsError as error:
            pytest.skip(str(error))
    data = api.encode_picture(photo, target, method="overfit", vae="taef2", settings=FAST).data
    assert not target.endswith("bpp") or 8 * len(data) <= 0.2 * photo.shape[0] * photo.shape[1]
    fidelity = psnr(photo, api.decode(data).pixels)
    if target == "100":
        autoencoder = load_autoencoder("taef2", torch.device("cpu"))
        unit_photo = to_unit(photo)
        with torch.inference_mode():
            own = autoencoder.decode(autoencoder.encode(unit_photo)).clamp(0, 1)[0].permute(1, 2, 0)
        assert fidelity > 0.99 * psnr(photo, (255 * own).round().byte().numpy())
    else:
        assert fidelity > 20


def test_tiles_are_the_same_picture(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    data = api.encode(photo, "50", method="overfit", settings=FAST)
    whole = api.decode(data).pixels.astype(int)
    monkeypatch.setattr(overfit, "LARGEST_TILE", 18)
    monkeypatch.setattr(overfit, "TILE_MARGIN", 6)
    assert np.abs(api.decode(data).pixels - whole).mean() < 0.5


@pytest.fixture
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Effort 5 in a fifth of its time."""
    monkeypatch.setitem(EFFORTS, 5, Effort(16, adapts=True))


def test_same_seed_same_file(photo: np.ndarray, few_rounds: None) -> None:
    """With changed parameters, and tuned for perception; its bytes are what its symbols are worth, or nearly."""
    for pixels, settings in ((photo, Settings(5)), (photo[:64, :96], Settings(1, "perceptual"))):
        files = [api.encode_picture(pixels, "0.5bpp", method="overfit", settings=settings) for _ in range(2)]
        assert files[0].data == files[1].data
        assert len(files[0].data) <= files[0].information_bits / 8 * 1.005 + 14
        changes = Prefix.read(api.inspect(files[0].data).payload)[0].changes
        assert any(change.sent for change in changes) == (settings.effort == 5)


@pytest.mark.slow
def test_tuned_for_perception(photo: np.ndarray) -> None:
    """What tuning minimises is lower at the same budget."""
    truth = to_unit(photo)
    error = PerceptualError(truth)

    def figures(tune: str) -> tuple[int, float]:
        data = api.encode(photo, "0.15bpp", method="overfit", settings=Settings(4, tune))
        decoded = to_unit(api.decode(data).pixels)
        with torch.no_grad():
            return len(data), float(error(decoded, 0))

    (plain, before), (tuned, after) = figures("mse"), figures("perceptual")
    assert max(plain, tuned) <= 0.15 * photo.shape[0] * photo.shape[1] / 8
    assert after < before


def test_noise_of_the_fit_is_that_of_the_file(photo: np.ndarray) -> None:
    codec = pipeline(method_named("overfit"), "mini", "cpu")
    assert isinstance(codec, OverfitPipeline)
    encoded = codec.encode(photo, api.Quality(40), FAST)
    exact = codec.decode_exactly(encoded, photo.shape[:2])
    fit = Fit.begin(
        FittedFunction(codec.layout(PRESETS[-1]), exact.parameters), codec.latents(photo), unit(encoded.rate)
    )
    fit.symbols = [torch.from_numpy(grid.astype(np.float32))[None] for grid in exact.grids]
    fit.refresh()
    smooth, noisy = fit.restored(), fit.restored(8)
    file = codec.synthesise(
        dataclasses.replace(exact, prefix=dataclasses.replace(exact.prefix, noise=8)), encoded.rate, photo.shape[:2]
    )
    added = (noisy - smooth).square().mean()
    assert added > 0
    assert (noisy - file).square().mean() < 1e-3 * added  # floats may choose another table here and there


def test_noise_takes_no_bytes_and_is_where_texture_is_seen(photo: np.ndarray) -> None:
    textured = read_rgb(PHOTO)[:192, 300:556]
    codec = pipeline(method_named("overfit"), "mini", "cpu")
    assert isinstance(codec, OverfitPipeline)
    noisy = codec.encode(textured, api.Quality(40), Settings(1, "perceptual"))
    prefix, data = Prefix.read(noisy.payload)
    assert prefix.noise
    assert len(dataclasses.replace(prefix, noise=0).write() + data) == len(noisy.payload)
    for pixels, tune in ((textured, "mse"), (photo[:17, :9], "perceptual")):
        assert Prefix.read(codec.encode(pixels, api.Quality(40), Settings(1, tune)).payload)[0].noise == 0


def test_stopped_early_keeps_the_noise_that_latents_aim_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels no longer decide, but decoders still add what the fit counted on."""
    photo, rounds = read_rgb(PHOTO)[:192, 300:556], [0]
    monkeypatch.setattr(overfit_encoding, "NOISE_AIMED_AT", (8,))

    def stopped() -> bool:
        rounds[0] += 1
        return rounds[0] > 3

    codec = pipeline(method_named("overfit"), "mini", "cpu")
    encoded = codec.encode(photo, api.Quality(40), Settings(2, "perceptual", stopped=stopped))
    assert Prefix.read(encoded.payload)[0].noise == 8


def test_out_of_reach(photo: np.ndarray) -> None:
    """Both ends that the error names can be had."""
    ends = []
    for budget in ("14B", "100kB"):
        with pytest.raises(errors.BudgetError, match=r"takes \d\d to \d{4,} bytes") as caught:
            api.encode(photo, budget, method="overfit", settings=FAST)
        found = re.search(r"takes (\d+) to (\d+) bytes", str(caught.value))
        assert found is not None
        ends.append([int(size) for size in found.groups()])
    for size in (ends[0][0], ends[1][1]):
        assert 0.96 * size < len(api.encode(photo, f"{size}B", method="overfit", settings=FAST)) <= size
    assert ends[0] == pytest.approx(ends[1], rel=0.05, abs=3)
    data = api.encode(photo, "100kB", method="overfit", settings=FAST, best_effort=True)
    assert 5000 < len(data) < 100_000


def test_stopped_early_keeps_what_there_is(photo: np.ndarray) -> None:
    rounds = []
    stopping = Settings(10, "mse", lambda step, *rest: rounds.append(step), lambda: len(rounds) >= 2)
    data = api.encode(photo, "0.1bpp", method="overfit", settings=stopping)
    assert api.decode(data).pixels.shape == photo.shape
    assert max(rounds) < 30


def test_foreign_autoencoder(photo: np.ndarray, folder: Path, tmp_path: Path, few_rounds: None) -> None:
    photo = photo[:64, :96]
    result = api.encode_picture(photo, "0.2bpp", method="overfit", vae=str(folder), settings=Settings(5))
    data = result.data
    assert len(data) <= result.information_bits / 8 * 1.005 + 14
    assert Prefix.read(api.inspect(data).payload)[0].preset == PRESETS[-1]
    assert len(data) <= 0.2 * photo.shape[0] * photo.shape[1] / 8
    assert api.decode(data, vae=str(folder)).pixels.shape == photo.shape
    with pytest.raises(errors.WeightsError, match="--vae"):
        api.decode(data)
    with pytest.raises(errors.WeightsError, match="not mini"):
        api.decode(data, vae="mini")
    with pytest.raises(errors.WeightsError, match="written with mini"):
        api.decode(api.encode(photo, "20", method="overfit", settings=FAST), vae=str(folder))
    other = folder_of(tmp_path / "b", seed=2, channels=4)
    with pytest.raises(errors.WeightsError, match="needs autoencoder"):
        api.decode(data, vae=str(other))


def test_a_folder_that_changes_is_read_again(photo: np.ndarray, tmp_path: Path) -> None:
    paths = [folder_of(tmp_path / name, seed, channels=4) for seed, name in enumerate("ab")]
    own, others = (api.encode(photo[:64, :64], "20", method="overfit", vae=str(p), settings=FAST) for p in paths)
    expected = api.decode(others, vae=str(paths[1])).pixels
    for file in paths[1].iterdir():
        file.replace(paths[0] / file.name)
    assert np.array_equal(api.decode(others, vae=str(paths[0])).pixels, expected)
    assert api.encode(photo[:64, :64], "20", method="overfit", vae=str(paths[0]), settings=FAST) == others
    with pytest.raises(errors.WeightsError, match="needs autoencoder"):
        api.decode(own, vae=str(paths[0]))


def test_every_single_byte_change_is_refused(photo: np.ndarray, folder: Path) -> None:
    data = api.encode(photo[:64, :64], "20", method="overfit", vae=str(folder), settings=FAST)
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x40
        with pytest.raises(errors.LcodecError):
            api.decode(bytes(damaged), vae=str(folder))
    for length in range(len(data)):
        with pytest.raises(errors.FormatError):
            api.decode(data[:length], vae=str(folder))


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("channels", [0, 1, 64])
def test_prefix(changed: bool, channels: int) -> None:
    changes = tuple(Change(4 + group, group) for group in range(8)) if changed else (Change(),) * 8
    affine = Affine.of(torch.randn(1, channels, 5, 5)) if channels else None
    prefix = Prefix(PRESETS[2], changes, affine, 16 if channels else 8, noise=9)
    read, rest = Prefix.read(prefix.write() + b"rest")
    assert rest == b"rest"
    assert (read.preset, read.changes, read.stride, read.noise) == (prefix.preset, prefix.changes, prefix.stride, 9)
    if affine is not None:
        assert read.affine is not None
        assert (read.affine.mean == affine.mean).all()
        assert (read.affine.scale == affine.scale).all()
    for length in range(len(prefix.write())):
        with pytest.raises(errors.CorruptError):
            Prefix.read(prefix.write()[:length])


def test_latents_whose_mean_is_out_of_reach_are_scaled_down() -> None:
    """A byte says means up to 8; the rest has to be within what symbols of the coarsest band can say."""
    latents = torch.full((1, 2, 16, 16), 15.0) + 0.05 * torch.randn(1, 2, 16, 16)
    mean, scale = Affine.of(latents).tensors()
    normalised = (latents - mean) / scale
    assert normalised.abs().max() < 4
    codec = pipeline(method_named("overfit"), "mini", "cpu")
    assert isinstance(codec, OverfitPipeline)
    layout = Layout(PRESETS[-1], 2)
    arrays = generalise(pick(codec.reference, PRESETS[-1]), layout)
    fit = Fit.begin(FittedFunction(layout, arrays).requires_grad_(requires_grad=False), normalised, unit(255))
    fit.run(0, 3, EFFORTS[1])
    assert ((fit.restored() - normalised) * scale).square().mean().sqrt() < 0.3


def test_a_payload_of_noise_is_refused(photo: np.ndarray) -> None:
    codec = pipeline(method_named("overfit"), "mini", "cpu")
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(40):
        encoded = api.Encoded(int(random.integers(256)), 7, random.bytes(60), 0.0)
        try:
            codec.decode(encoded, (40, 30))
        except errors.CorruptError:
            refused += 1
    assert refused >= 38  # a digest of one byte lets one in 256 through, which the checksum of the file catches


def test_autoencoders_that_are_none(tmp_path: Path) -> None:
    device = torch.device("cpu")
    with pytest.raises(errors.InputError, match="nor a folder"):
        load_autoencoder("nothing", device)
    with pytest.raises(errors.InputError, match="of a TAESD encoder not one file but none"):
        load_autoencoder(str(tmp_path), device)
    for name in ("autoencoder_encoder.pth", "autoencoder_decoder.pth", "decoder.safetensors"):
        (tmp_path / name).touch()
    with pytest.raises(errors.InputError, match=r"of a TAESD decoder not .* autoencoder_decoder\.pth, decoder"):
        load_autoencoder(str(tmp_path), device)
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    with pytest.raises(errors.InputError, match="UNet2DModel"):
        load_autoencoder(str(tmp_path), device)
    for text in ("no JSON", "[]", "{}", "[" * 100_000):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(errors.InputError, match="no JSON object that names a class"):
            load_autoencoder(str(tmp_path), device)
    with pytest.raises(errors.WeightsError):
        model_of(method_named("overfit"), 0x1234)


@pytest.mark.parametrize("kind", ["AutoencoderKL", "AutoencoderTiny"])
def test_diffusers_folder(photo: np.ndarray, tmp_path: Path, kind: str) -> None:
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    if kind == "AutoencoderKL":
        model = diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            block_out_channels=(8, 8, 8),
            latent_channels=4,
            norm_num_groups=4,
        )
    else:
        model = diffusers.AutoencoderTiny(encoder_block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8,) * 4)
    model.save_pretrained(tmp_path / "vae")
    loaded = load_autoencoder(str(tmp_path / "vae"), torch.device("cpu"))
    assert (loaded.channels, loaded.stride) == (4, 4 if kind == "AutoencoderKL" else 8)
    data = api.encode(photo, "30", method="overfit", vae=str(tmp_path / "vae"), settings=FAST)
    assert api.decode(data, vae=str(tmp_path / "vae")).pixels.shape == photo.shape
    # What is not loaded, and who wrote the folder, makes no other autoencoder; what is does.
    config = json.loads((tmp_path / "vae" / "config.json").read_text())
    (tmp_path / "vae" / "config.json").write_text(json.dumps(config | {"_diffusers_version": "0", "_name_or_path": ""}))
    (tmp_path / "vae" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"not loaded")
    assert api.decode(data, vae=str(tmp_path / "vae")).pixels.shape == photo.shape
    (tmp_path / "vae" / "config.json").write_text(json.dumps(config | {"scaling_factor": 0.5}))
    with pytest.raises(errors.WeightsError, match="the file needs autoencoder"):
        api.decode(data, vae=str(tmp_path / "vae"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("in_channels", "1 channels"),
        ("out_channels", r"pixels \[1, 1, 4, 4\]"),
        ("nan", "finite"),
        ("missing", "missing keys: decoder.conv_out.bias"),
    ],
)
def test_a_model_of_diffusers_that_is_no_autoencoder_of_pictures(
    tmp_path: Path, change: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    diffusers = pytest.importorskip("diffusers")
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    sizes = {"block_out_channels": (8, 8), "norm_num_groups": 4} | ({change: 1} if "channels" in change else {})
    model = diffusers.AutoencoderKL(**blocks, **sizes)
    if change == "nan":
        model.decoder.conv_in.weight.data.fill_(float("nan"))
    model.save_pretrained(tmp_path)
    if change == "missing":
        path = tmp_path / "diffusion_pytorch_model.safetensors"
        tensors = {n: v for n, v in store.read_weights(path).tensors.items() if n != "decoder.conv_out.bias"}
        store.write_tensors(tensors, path, {"format": "pt"})
    capfd.readouterr()
    with pytest.raises(errors.WeightsError, match=message):
        load_autoencoder(str(tmp_path), torch.device("cpu"))
    assert capfd.readouterr() == ("", "")


def test_latents_that_are_not_finite_are_refused(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = pipeline(method_named("overfit"), "mini", "cpu")
    monkeypatch.setattr(type(codec), "latents", lambda self, pixels: torch.full((1, 32, 5, 5), torch.nan))
    with pytest.raises(errors.WeightsError, match="not finite"):
        codec.encode(photo, Quality(50), FAST)


@pytest.mark.slow
@pytest.mark.parametrize("budget", [40, 90, 150])
def test_a_small_budget_is_full(budget: int) -> None:
    pixels = read_rgb(PHOTO)[100:228, 100:228]
    codec = pipeline(method_named("overfit"), "mini", "cpu")
    size = len(codec.encode(pixels, PayloadBudget(budget), FAST).payload)
    assert budget - 1 <= size <= budget


def test_command_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path) -> None:
    monkeypatch.chdir(tmp_path)

    def lcodec(*arguments: str | Path) -> int:
        monkeypatch.setattr(sys, "argv", ["lcodec", *map(str, arguments)])
        with pytest.raises(SystemExit) as leaving:
            main()
        return int(leaving.value.code or 0)

    fast = ("--method", "overfit", "--effort", "1")
    assert lcodec("encode", PHOTO, *fast, "-q", "2kB", "-o", "o.lcx") == 0
    assert Path("o.lcx").stat().st_size <= 2000
    assert lcodec("decode", "o.lcx", "-o", "o.png") == 0
    assert lcodec("encode", PHOTO, *fast, "--vae", folder, "-o", "foreign.lcx") == 0
    assert lcodec("decode", "foreign.lcx", "-o", "p.png") == 6
    assert not Path("p.png").exists()
    assert lcodec("decode", "foreign.lcx", "--vae", folder, "-o", "p.png") == 0
    assert lcodec("encode", PHOTO, *fast, "--tune", "ssim", "-o", "q.lcx") == 4
    assert lcodec("encode", PHOTO, "--vae", folder, "-o", "q.lcx") == 4
    assert lcodec("encode", PHOTO, *fast, "--vae", "nowhere", "-o", "q.lcx") == 4
    assert not Path("q.lcx").exists()


def test_a_second_interrupt_does_not_wait() -> None:
    with fitting(5, None, keep_partial=True, quiet=True, pixels=100) as settings:
        signal.raise_signal(signal.SIGINT)
        assert settings.stopped()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.slow
@pytest.mark.parametrize(("keep", "status"), [(True, 0), (False, 130)])
def test_interrupts(tmp_path: Path, keep: bool, status: int) -> None:
    """SIGINT to a real process whose rounds never end."""
    command = [sys.executable, "-c", ENDLESS, "encode", str(PHOTO), "--method", "overfit", "--effort", "5", "-q", "3kB"]
    output = tmp_path / "o.lcx"
    more = ["--keep-partial"] if keep else []
    # A shell that runs the tests in its background has them ignore interrupts, and what they start as well.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    started = partial(subprocess.Popen, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    with started([*command, *more, "-o", output]) as process:
        try:
            assert process.stderr is not None
            assert "rounds\n" in iter(process.stderr.readline, "")
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=100) == status
        finally:
            process.kill()
    assert output.exists() == (status == 0)
    if status == 0:
        assert output.stat().st_size <= 3000


def test_an_autoencoder_that_takes_pictures_whole_has_a_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, path = TinyAutoencoder(4, pooled=True), tmp_path / "pooled"
    path.mkdir()
    for part in ("encoder", "decoder"):
        store.write_tensors(getattr(model, part).state_dict(), path / f"{part}.safetensors")
    pixels = np.zeros((40, 40, 3), np.uint8)
    data = api.encode(pixels, "20", method="overfit", vae=str(path), settings=FAST)
    monkeypatch.setattr(overfit, "WHOLE_PIXELS", 1599)
    with pytest.raises(errors.LimitError, match="whole"):
        api.decode(data, vae=str(path))
    with pytest.raises(errors.InputError, match="whole"):
        api.encode(pixels, "20", method="overfit", vae=str(path), settings=FAST)
