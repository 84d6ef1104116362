"""Tiles at full scale, with few channels: the VAE's result is that of the whole picture, whatever the memory."""

import copy
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from latentcodec.errors import InputError, LimitError
from latentcodec.image import read_rgb
from latentcodec.models.diffusion import layerwise, winograd
from latentcodec.models.diffusion.config import StableDiffusionConfig
from latentcodec.models.diffusion.layers import Layer, decoder_layers, encoder_layers
from latentcodec.models.diffusion.layerwise import run_in_tiles
from latentcodec.models.diffusion.quicken import quicken
from latentcodec.models.stablecodec.full import large
from latentcodec.models.stablecodec.full.config import FullConfig
from latentcodec.models.stablecodec.full.model import FullStableCodec
from latentcodec.pipelines import memory
from latentcodec.pipelines.memory import MemoryModel
from latentcodec.units import parse_bytes

pytest.importorskip("diffusers")
PHOTO = Path(__file__).parents[1] / "data" / "coffee.png"
SMALL = StableDiffusionConfig(
    unet_widths=(8, 16), unet_heads=(2, 2), context=16, tokens=5, vae_widths=(8, 8, 16, 16), groups=4
)
CONFIG = FullConfig(
    channels=32, entry=(16, 16), analysis=(32, 32, 32), auxiliary=(32, 16, 16), elic=(8, 16), stable_diffusion=SMALL
)
LEVEL = 1 / 255
EVERYTHING, SOME, NOTHING = 1000.0, 12.0, 0.0  # values per pixel that may be kept
Chain = tuple[list[Layer], Tensor, Callable[[], Tensor]]


@pytest.fixture(scope="module")
def model() -> FullStableCodec:
    torch.manual_seed(0)
    return FullStableCodec(CONFIG).eval().requires_grad_(requires_grad=False)


@pytest.fixture
def photo() -> Tensor:
    """[1, 3, 256, 512], uint8, dark on one side: tiles of its own would have other statistics."""
    pixels = read_rgb(PHOTO)[100:356, :512].astype(np.float32) * np.linspace(0.2, 1, 512)[:, None]
    return torch.from_numpy(pixels.astype(np.uint8)).permute(2, 0, 1)[None]


@pytest.fixture(params=["encoder", "decoder"])
def chain(request: Any, model: FullStableCodec, photo: Tensor) -> Chain:
    """Layers, an input, and the whole network."""
    network = model.vae.network
    pixels = photo / 127.5 - 1
    if request.param == "encoder":
        return encoder_layers(network), pixels, lambda: network.encode(pixels).latent_dist.parameters
    latents = nn.functional.avg_pool2d(pixels, 8)[:, [0, 1, 2, 0]] + torch.randn(1, 4, 32, 64).mul(0.2)
    return decoder_layers(network), latents, lambda: network.decode(latents).sample


def without_attention(monkeypatch: pytest.MonkeyPatch, model: FullStableCodec) -> None:
    for name, parameter in model.vae.network.named_parameters():
        if "to_out" in name:
            monkeypatch.setattr(parameter, "data", torch.zeros_like(parameter))


@pytest.mark.parametrize("kept", [EVERYTHING, SOME, NOTHING])
def test_in_tiles_as_whole(kept: float, chain: Chain, model: FullStableCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is kept between stages, of however many tiles: to the rounding of floats."""
    layers, x, whole = chain
    without_attention(monkeypatch, model)
    monkeypatch.setattr(layerwise, "TILE_VALUES", 1 << 16)
    pixels = 256 * 512
    result = run_in_tiles(layers, x, int(kept * pixels))
    reference = whole()
    assert reference.std() > 0.05
    assert (result - reference).abs().mean() < 1e-4 * reference.std()
    lengths = [len(stage) for stage in layerwise._stages(layers, kept)]
    assert {EVERYTHING: set(lengths) == {1}, SOME: 3 < len(lengths) < len(layers), NOTHING: len(lengths) == 3}[kept]


def test_attention_sees_all_where_a_tile_holds_it(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    layers, x, whole = chain
    monkeypatch.setattr(layerwise, "TILE_VALUES", 32 * 64 * 16)  # of the stride that it is at
    reference = whole()
    result = run_in_tiles(layers, x, 1 << 40)
    assert (result - reference).abs().mean() < 1e-4 * reference.std()


def test_attention_in_tiles_where_the_picture_is_too_large(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sees a part of the picture, then: near the whole, but no longer the same."""
    layers, x, whole = chain
    (attention,) = [layer for layer in layers if layer.attends]
    monkeypatch.setattr(layerwise, "TILE_VALUES", 24 * 24 * 16)
    monkeypatch.setattr(layerwise, "ATTENTION_POSITIONS", 32 * 64 - 1)
    assert len(layerwise._Stage((attention,))._tiles(32, 64)) > 4
    reference = whole()
    result = run_in_tiles(layers, x, 1 << 40)
    assert 0 < (result - reference).abs().mean() < 0.6 * reference.std()


def test_tiles_that_are_looked_at_are_a_fair_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more than can be looked at: statistics come from everywhere, not from some columns."""
    norms = [nn.GroupNorm(1, 4) for _ in range(8)]
    stage = layerwise._Stage((Layer(nn.Sequential(*norms), tuple(norms), (4, 4), (1, 1), 0),))
    monkeypatch.setattr(layerwise, "TILE_VALUES", 4 * 8 * 8)
    x = torch.ones(1, 4, 128, 128)
    x[..., 64:] = -1
    with torch.no_grad():
        result = stage.run(x + torch.randn(1, 4, 128, 128) / 10)
    assert len(stage._tiles(128, 128)) == 256
    assert result.mean().abs() < 0.2
    assert result.std() == pytest.approx(1, abs=0.05)


def test_layers_that_were_quickened(model: FullStableCodec, photo: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    network = copy.deepcopy(model.vae.network)
    latents = model.vae.encode(photo / 255)
    reference = network.decode(latents).sample
    monkeypatch.setattr(winograd, "FEWEST_CHANNELS", 5)  # more than latents have
    quicken(network.decoder)
    assert any(isinstance(layer, winograd.WinogradConv) for layer in network.decoder.modules())
    monkeypatch.setattr(layerwise, "TILE_VALUES", 32 * 64 * 16)
    result = run_in_tiles(decoder_layers(network), latents, 1 << 40)
    assert (result - reference).abs().mean() < 1e-4 * reference.std()


def test_tiles_with_their_own_statistics_would_differ(model: FullStableCodec, photo: Tensor) -> None:
    whole = model.vae.decode(latents := model.vae.encode(photo / 255))
    halves = torch.cat([model.vae.decode(half) for half in latents.chunk(2, dim=3)], dim=3)
    assert (halves - whole).abs().mean() > LEVEL


def test_statistics_are_those_of_the_whole(
    model: FullStableCodec, photo: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every norm of the decoder, as the whole network sees its input."""
    latents = model.vae.encode(photo / 255)
    layers = decoder_layers(model.vae.network)
    norms = [norm for layer in layers for norm in layer.norms]
    seen: dict[nn.Module, Tensor] = {}
    hooks = [norm.register_forward_pre_hook(lambda norm, inputs: seen.update({norm: inputs[0]})) for norm in norms]
    model.vae.network.decoder(model.vae.network.post_quant_conv(latents))
    for hook in hooks:
        hook.remove()
    known: dict[nn.Module, Any] = {}
    settle = layerwise._Norms.settle

    def settled(self: layerwise._Norms, norm: nn.GroupNorm) -> None:
        settle(self, norm)
        known[norm] = self._known[norm]

    monkeypatch.setattr(layerwise._Norms, "settle", settled)
    monkeypatch.setattr(layerwise, "TILE_VALUES", 1 << 15)
    run_in_tiles(layers, latents, 1 << 40)
    assert set(known) == set(norms) == set(seen)
    for norm, x in seen.items():
        groups = x.reshape(4, -1).double()
        mean, variance = (part.reshape(4, -1)[:, 0].double() for part in known[norm])
        assert torch.allclose(mean, groups.mean(1), rtol=1e-4, atol=1e-4 * float(groups.std()))
        assert torch.allclose(variance, groups.var(1, correction=0), rtol=1e-3)


def test_the_network_is_left_as_it_was(model: FullStableCodec, photo: Tensor) -> None:
    before = model.vae.encode(photo / 255)
    broken = [*encoder_layers(model.vae.network)[:3], Layer(partial(torch.reshape, shape=()), (), (8, 8), (1, 1), 1)]
    with pytest.raises(RuntimeError):
        run_in_tiles(broken, photo / 127.5 - 1, 0)
    assert torch.equal(model.vae.encode(photo / 255), before)


def test_bytes_in_bytes_out(model: FullStableCodec, photo: Tensor) -> None:
    latents = model.vae.encode_large(photo, 1 << 40)
    assert torch.allclose(latents, model.vae.encode(photo / 255), atol=1e-3)
    pixels = model.vae.decode_large(latents, 1 << 40)
    whole = (model.vae.decode(latents).clamp(0, 1) * 255).round()
    assert pixels.dtype == torch.uint8
    assert (pixels - whole).abs().max() <= 1


@pytest.mark.parametrize("length", [1, 11, 12, 13, 20, 21, 40, 157])
def test_windows_cover_a_side_and_overlap(length: int) -> None:
    windows = list(large._windows(length, large.WINDOW))
    assert windows[0].start == 0
    assert windows[-1].stop == length
    for before, after in pairwise(windows):
        assert before.stop - after.start >= large.OVERLAP
        assert after.stop - after.start == large.WINDOW


def test_what_the_codec_sees_is_all_that_it_sees(model: FullStableCodec) -> None:
    """Tiles of y and F are those of the whole; with less around them they are not."""
    torch.manual_seed(1)
    y = 2 * torch.randn(1, 32, 2, 44)
    whole, residual = model.codec.g_s(y), model.codec.aux(y)
    for reach, exact in ((large.CODEC_REACH, True), (2, False)):
        seen = slice(20 - reach, 24 + reach)
        inside = slice(8 * reach, 8 * (reach + 4))
        for network, expected in ((model.codec.g_s, whole), (model.codec.aux, residual)):
            tile = network(y[..., seen])[..., inside]
            assert torch.allclose(tile, expected[..., 160:192], atol=1e-6) == exact


def test_y_in_tiles_is_y(model: FullStableCodec, photo: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = torch.cat([photo, photo.flip(3), photo, photo], dim=3)
    whole = model.analyse(*model.prepare(pixels / 255))
    monkeypatch.setattr(large, "WINDOW", 2)
    monkeypatch.setattr(large, "ELIC_SIDE", 10)
    assert len(list(large.tiles(4, 32, 30, large.CODEC_REACH))) > 2
    assert torch.allclose(large.analyse_large(model, pixels, 1 << 40), whole, atol=1e-3 * float(whole.std()))


def test_blended_windows_have_no_seams(model: FullStableCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a denoiser that looks around but a little, windows are the whole."""
    torch.manual_seed(2)
    y = torch.randn(1, 32, 2, 24).round()
    looks = nn.Conv2d(32, 4, 9, padding=4)

    class Denoiser(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.looks = looks

        def forward(self, features: Tensor, step: int, encoder_hidden_states: Tensor) -> Any:
            return type("Output", (), {"sample": 0.01 * self.looks(features)})

    monkeypatch.setitem(model._modules, "unet", Denoiser())
    whole = model.synthesise_latents(y)
    assert len(list(large._windows(24, large.WINDOW))) == 3
    difference = large.denoise_large(model, y, large.WINDOW) - whole
    assert difference.abs().max() < 1e-4 * whole.std()


@pytest.mark.parametrize(("width", "kept_bytes", "whole"), [(20, 1 << 40, True), (20, 0, False), (30, 1 << 40, False)])
def test_the_denoiser_sees_all_where_it_can(
    width: int, kept_bytes: int, whole: bool, model: FullStableCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to a number of positions, if they fit into memory: then the picture in tiles is the picture."""
    monkeypatch.setattr(layerwise, "TILE_VALUES", 1 << 16)
    monkeypatch.setattr(layerwise, "BAND_VALUES", 0)
    monkeypatch.setattr(large, "LARGEST_WHOLE", 2 * 25)
    y = torch.randn(1, 32, 2, width).round()
    windows: list[tuple[int, ...]] = []
    synthesise = model.synthesise_latents

    def counted(y: Tensor, inside: tuple[slice, slice]) -> Tensor:
        latents = synthesise(y, inside)
        windows.append(tuple(latents.shape[2:]))
        return latents

    monkeypatch.setattr(model, "synthesise_latents", counted)
    monkeypatch.setattr(model.vae, "decode_large", lambda latents, kept_bytes: latents)
    latents = large.synthesise_large(model, y, kept_bytes)
    assert (len(windows) == 1) == whole
    assert set(windows) == {(16, 8 * (width if whole else large.WINDOW))}
    if whole:
        assert torch.allclose(latents, synthesise(y), rtol=1e-4, atol=1e-4)


def test_a_picture_in_tiles_is_the_picture(model: FullStableCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    """From y to pixels, in the limits of the memory model."""
    torch.manual_seed(3)
    monkeypatch.setattr(layerwise, "TILE_VALUES", 1 << 19)
    y = torch.randn(1, 32, 4, 8).round()
    whole = (model.synthesise(y).clamp(0, 1) * 255).round()
    assert whole.std() > 5
    assert (large.synthesise_large(model, y, 1 << 24) - whole).abs().mean() < 0.5


MODEL = MemoryModel(held_bytes=3_300_000_000, itemsize=2, widest=256, attending=512)


def test_memory_grows_with_the_picture_and_tiles_take_less() -> None:
    pixels = [1 << 16, 1 << 20, 1 << 22, 8_294_400, 100_000_000]
    for needed in (MODEL.whole_bytes, MODEL.least_bytes):
        sizes = [needed(count) for count in pixels]
        assert sizes == sorted(sizes)
        assert len(set(sizes)) == len(sizes)
    assert MODEL.least_bytes(8_294_400) < 8_000_000_000 < MODEL.whole_bytes(8_294_400)
    assert MODEL.least_bytes(100_000_000) < MODEL.whole_bytes(100_000_000) / 10


def test_what_is_kept_grows_with_the_limit() -> None:
    pixels = 8_294_400
    kept = [MODEL.kept_bytes(pixels, limit * 10**9) for limit in (5, 8, 12, 64)]
    assert kept[-1] is None
    assert kept[:-1] == sorted(size for size in kept[:-1] if size is not None)
    for limit, size in zip((5, 8, 12), kept, strict=False):
        assert size is not None
        assert MODEL.held_bytes + 16 * pixels + layerwise.tile_bytes(2) + size <= limit * 10**9
    with pytest.raises(
        LimitError, match=r"8294400 pixels, padded, take 4\.\d GB of memory at least, more than the 2\.0 GB"
    ):
        MODEL.kept_bytes(pixels, 2 * 10**9)


def test_without_a_limit_it_is_what_is_free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cpu = torch.device("cpu")
    free = memory._free_of_machine()
    assert 1 << 20 < free < 1 << 50
    assert MODEL.default_limit(cpu) <= MODEL.held_bytes + free
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path)
    assert memory._free_of_container() > 1 << 60
    (tmp_path / "memory").mkdir()
    for maximum, current, kinds in memory.GROUP_FILES:
        (tmp_path / current).write_text("3000\n")
        (tmp_path / kinds).write_text("anon 1000\ninactive_file 1200\nactive_file 300\n")
        for text, left in (("1003000", 1_001_500), ("2000", 500), ("1400", 0)):
            (tmp_path / maximum).write_text(f"{text}\n")
            assert memory._free_of_container() == left
        assert MODEL.default_limit(cpu) == MODEL.held_bytes
        (tmp_path / kinds).unlink()
        (tmp_path / maximum).write_text("4000\n")
        assert memory._free_of_container() == 1000
        (tmp_path / maximum).write_text("max\n")
        assert memory._free_of_container() > 1 << 60


@pytest.mark.parametrize(("text", "size"), [("8GB", 8 * 10**9), ("512MiB", 1 << 29), (" .5 gib ", 1 << 29)])
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["8", "GB", "8gbit", "8iB", "-1GB", "1e3GB", "9" * 99 + "GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="write 8GB"):
        parse_bytes(text)


def test_no_more_memory_is_asked_for_than_the_whole_picture_takes() -> None:
    model, pixels = MemoryModel(2_000_000_000, 2, widest=256, attending=512), 256 * 256
    whole = model.whole_bytes(pixels)
    assert whole < model.least_bytes(pixels)
    with pytest.raises(LimitError, match=rf"take {whole / 1e9:.1f} GB of memory at least"):
        model.kept_bytes(pixels, whole - 10**8)
    assert model.kept_bytes(pixels, whole) is None
