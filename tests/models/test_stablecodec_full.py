"""StableCodec at full scale, with few channels: strict import in both spellings, adapters, exact coding."""

import copy
import dataclasses
import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from latentcodec import api
from latentcodec.cli.main import cli
from latentcodec.coding.symbols import BitCounter, Coder, SymbolDecoder, SymbolEncoder
from latentcodec.coding.tables import TOTAL
from latentcodec.errors import CorruptError, InputError, LimitError, WeightsError
from latentcodec.image import Picture, read_rgb, write_picture
from latentcodec.limits import Limits
from latentcodec.models.blocks.integers import Rounding
from latentcodec.models.diffusion import layerwise, prompt
from latentcodec.models.diffusion.config import StableDiffusionConfig
from latentcodec.models.stablecodec.full import checkpoint as published
from latentcodec.models.stablecodec.full import guarded
from latentcodec.models.stablecodec.full.checkpoint import ALPHA, RANK_UNET, RANK_VAE, check, convert, expected_shapes
from latentcodec.models.stablecodec.full.codec import LatentCodec
from latentcodec.models.stablecodec.full.config import FullConfig
from latentcodec.models.stablecodec.full.density import REACH, z_frequencies
from latentcodec.models.stablecodec.full.doubles import Depthwise, Pointwise, in_doubles
from latentcodec.models.stablecodec.full.guarded import BAND, RATES_PER_OCTAVE, GuardedEntropy
from latentcodec.models.stablecodec.full.load import PROMPT, place, place_merged
from latentcodec.models.stablecodec.full.model import FullStableCodec
from latentcodec.pipelines import registry, stablecodec_full
from latentcodec.pipelines.base import PayloadBudget, Settings
from latentcodec.pipelines.both import Both
from latentcodec.pipelines.rounding import rate_distortion_rounding
from latentcodec.pipelines.search import Curve, fill_budget
from latentcodec.pipelines.stablecodec_full import PACKING, FullStableCodecPipeline, as_shipped
from latentcodec.weights import hashing, store
from latentcodec.weights.manifest import rows
from tests import tiny_full
from tests.parity.drawn import RATES_BPP, draw

pytest.importorskip("diffusers")
SMALL = StableDiffusionConfig(
    unet_widths=(8, 16), unet_heads=(2, 2), context=16, tokens=5, vae_widths=(8, 8, 8, 8), groups=4
)
CONFIG = FullConfig(
    channels=32, entry=(16, 16), analysis=(32, 32, 32), auxiliary=(32, 16, 16), elic=(8, 16), stable_diffusion=SMALL
)
PHOTO = Path(__file__).parents[1] / "data" / "coffee.png"
NUMBERS = re.compile(r"(matrices|biases|factors)\.(\d)")
OLD = {"matrices": "_matrix", "biases": "_bias", "factors": "_factor"}
Checkpoint = dict[str, dict[str, Tensor]]


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    """Random weights of the right names and shapes."""
    torch.manual_seed(0)
    found = {}
    for name, shape in expected_shapes(CONFIG).items():
        fan_in = max(1, int(np.prod(shape[1:])))
        found[name] = torch.randn(shape) / fan_in**0.5 + (1.0 if name.endswith("norm.weight") else 0.0)
    found["bottleneck.quantiles"] = torch.tensor([-10.0, 0.25, 10.0]).expand(16, 1, 3).contiguous()
    return found


def as_saved(tensors: dict[str, Tensor], old: bool) -> tuple[Checkpoint, dict[str, Tensor]]:
    """The states of a checkpoint as the published program saves them, with its derived tables."""
    states: Checkpoint = {name: {} for name in published.STATES}
    elic = {"h_a.unused": torch.zeros(1)}
    for name, value in tensors.items():
        prefix, _, rest = name.partition(".")
        if prefix == "codec":
            states["state_dict_codec"][rest] = value
        elif prefix == "bottleneck":
            spelled = NUMBERS.sub(lambda match: OLD[match[1]] + match[2], rest) if old else rest
            states["state_dict_codec"][f"entropy_bottleneck.{spelled}"] = value
        elif prefix == "auxiliary_encoder":
            elic[f"g_a.{rest}"] = value
        else:
            adapter = "vae_skip" if prefix == "vae" else "default"
            for ours, theirs in ((".down", "lora_A"), (".up", "lora_B")):
                if rest.endswith(ours):
                    rest = f"{rest.removesuffix(ours)}.{theirs}.{adapter}.weight"
            states[f"state_dict_{prefix}"][rest] = value
    derived = ("gaussian_conditional.scale_table", "entropy_bottleneck._offset", "entropy_bottleneck.target")
    states["state_dict_codec"] |= {name: torch.zeros(3) for name in derived}
    return states, elic


@pytest.mark.parametrize("old", [False, True], ids=["matrices.N", "_matrixN"])
def test_both_spellings_are_imported(old: bool, tensors: dict[str, Tensor]) -> None:
    imported = convert(*as_saved(tensors, old), CONFIG)
    assert set(imported) == set(tensors)
    assert all(torch.equal(imported[name], value) for name, value in tensors.items())


def test_what_is_missing_left_over_or_misshapen_is_named(tensors: dict[str, Tensor]) -> None:
    for change, message in (
        (lambda c, e: c["state_dict_codec"].pop("g_s.synthesis_transform.1.branch2.2.bias"), "lacks codec.g_s.synth"),
        (lambda c, e: c["state_dict_vae"].popitem(), "lacks vae.encoder"),
        (lambda c, e: c["state_dict_unet"].update(surplus=torch.zeros(1)), "holds unet.surplus, which no module has"),
        (lambda c, e: e.update({"g_a.analysis_transform.0.bias": torch.zeros(9)}), r"has shape \[9\], not \[8\]"),
        (lambda c, e: c.pop("state_dict_vae"), "not a StableCodec checkpoint"),
    ):
        states, elic = as_saved(tensors, old=False)
        change(states, elic)
        with pytest.raises(WeightsError, match=message):
            convert(states, elic, CONFIG)


CONV_IN = "encoder.conv_in.lora_A.vae_skip.weight"
NORM = "g_s.synthesis_transform.1.branch2.2.bias"


@pytest.mark.parametrize(
    ("state", "change", "message"),
    [
        (
            "codec",
            lambda s: s.update({"entropy_bottleneck._matrix0": torch.zeros(1)}),
            "both .*matrices.0 and .*_matrix0",
        ),
        (
            "vae",
            lambda s: s.update({CONV_IN.replace("vae_skip", "other"): s[CONV_IN]}),
            "vae.encoder.conv_in.lora_A.other",
        ),
        ("vae", lambda s: s.update({"encoder.conv_in.down": s[CONV_IN]}), "holds vae.encoder.conv_in.down"),
        ("codec", lambda s: s.update({NORM: s[NORM].to(torch.complex64)}), "no array of floating-point"),
        ("codec", lambda s: s.update({NORM: s[NORM].to(torch.float8_e4m3fn)}), "no array of floating-point"),
        ("codec", lambda s: s.update({NORM: s[NORM].to_sparse()}), "no array of floating-point"),
        ("codec", lambda s: s.update({NORM: s[NORM].to("meta")}), "no array of floating-point"),
        ("codec", lambda s: s.update({NORM: s[NORM].long()}), "no array of floating-point"),
        ("codec", lambda s: s.update({NORM: s[NORM].double() + 1e300}), "not numbers of 32 bits"),
        ("codec", lambda s: s.update({NORM: torch.zeros(1).expand(1 << 50)}), "has shape"),
    ],
)
def test_what_a_checkpoint_must_not_hold_is_named(
    tensors: dict[str, Tensor], state: str, change: Callable[[dict[str, Tensor]], None], message: str
) -> None:
    states, elic = as_saved(tensors, old=False)
    change(states[f"state_dict_{state}"])
    with pytest.raises(WeightsError, match=message):
        convert(states, elic, CONFIG)


def test_tensors_that_share_memory_are_imported(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    states, elic = as_saved(tensors, old=False)
    codec = states["state_dict_codec"]
    codec[NORM] = torch.zeros(2, len(codec[NORM]))[0]
    other = next(name for name, value in codec.items() if name != NORM and value.shape == codec[NORM].shape)
    codec[other] = codec[NORM]
    store.write_tensors(convert(states, elic, CONFIG), tmp_path / "a.safetensors", {})


def test_names_that_are_no_names_are_no_checkpoint(tmp_path: Path) -> None:
    torch.save({"a": {1: torch.zeros(1)}}, tmp_path / "a.pkl")
    with pytest.raises(WeightsError, match="more than tensors"):
        store.read_states(tmp_path / "a.pkl")


def test_a_density_that_no_table_holds_is_refused(tensors: dict[str, Tensor]) -> None:
    bottleneck = {name: value for name, value in tensors.items() if name.startswith("bottleneck.")}
    wild = {name: torch.full_like(value, 1e30) for name, value in bottleneck.items() if ".matrices." in name}
    wild |= {name: torch.full_like(value, -1e3) for name, value in bottleneck.items() if ".factors." in name}
    wild |= {name: torch.zeros_like(value) for name, value in bottleneck.items() if ".biases." in name}
    wild["bottleneck.quantiles"] = torch.full_like(bottleneck["bottleneck.quantiles"], 1e30)
    with pytest.raises(WeightsError, match="no frequencies"):
        as_shipped(tensors | wild, torch.zeros(1, 5, 16), CONFIG)


def test_a_configuration_that_no_model_has_is_refused(tensors: dict[str, Tensor]) -> None:
    for wrong in (dataclasses.replace(CONFIG, alpha_bar=2.0), dataclasses.replace(CONFIG, channels=0)):
        with pytest.raises(WeightsError, match="describes no StableCodec"):
            FullConfig.from_json(wrong.to_json())
    groups = dataclasses.replace(CONFIG.stable_diffusion, groups=7)
    with pytest.raises(WeightsError, match="no model has these sizes"):
        check(tensors, dataclasses.replace(CONFIG, stable_diffusion=groups))


def base_networks() -> tuple[Any, Any]:
    torch.manual_seed(1)
    model = FullStableCodec(CONFIG)
    unet = copy.deepcopy(model.unet)
    unet.conv_in = nn.Conv2d(4, 8, 3, padding=1)
    return model.vae.network, unet


def placed(tensors: dict[str, Tensor]) -> FullStableCodec:
    vae, unet = base_networks()
    prompt = torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(2))
    return place(CONFIG, tensors | {"prompt": prompt}, vae.state_dict(), unet.state_dict(), torch.float32)


def test_adapters_are_merged_with_their_factor(tensors: dict[str, Tensor]) -> None:
    vae, unet = base_networks()
    model = placed(tensors)
    for network, merged, prefix, name, rank in (
        (vae, model.vae.network, "vae", "encoder.conv_in", RANK_VAE),
        (unet, model.unet, "unet", "mid_block.attentions.0.transformer_blocks.0.attn1.to_q", RANK_UNET),
    ):
        up, down = tensors[f"{prefix}.{name}.up"], tensors[f"{prefix}.{name}.down"]
        x = torch.randn(2, *down.shape[1:]).flatten(1) if down.dim() == 2 else torch.randn(2, down.shape[1], 6, 6)
        before, after = network.get_submodule(name), merged.get_submodule(name)
        if down.dim() == 2:
            change = x @ down.T @ up.T
        else:
            change = nn.functional.conv2d(nn.functional.conv2d(x, down, padding=1), up)
        torch.testing.assert_close(after(x), before(x) + ALPHA / rank * change, rtol=1e-4, atol=1e-4)


def test_pixels_through_the_whole_model(tensors: dict[str, Tensor]) -> None:
    model = placed(tensors)
    with torch.inference_mode():
        y = model.analyse(*model.prepare(torch.rand(1, 3, 256, 512)))
        assert y.shape == (1, 32, 4, 8)
        assert model.synthesise(y.round()).shape == (1, 3, 256, 512)


def test_one_step_is_taken_in_float32(tensors: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of x_t without its noise is a fifteenth: of bfloat16, a third of that would be rounding."""
    model = placed(tensors)
    y, clean, alpha_bar = torch.randn(1, 32, 4, 4), torch.randn(1, 4, 32, 32), model.config.alpha_bar
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        residual = model.codec.aux(y)
        with torch.autocast("cpu", enabled=False):
            noisy = model.codec.g_s(y)[:, :4]
        noise = (noisy - math.sqrt(alpha_bar) * clean) / math.sqrt(1 - alpha_bar)
        monkeypatch.setattr(model.unet, "forward", lambda *given, **named: SimpleNamespace(sample=noise))
        assert torch.allclose(model.synthesise_latents(y), clean + residual, atol=1e-3)


def test_frequencies_of_z_are_those_of_its_density(tensors: dict[str, Tensor]) -> None:
    """Against the definition, summed over each unit interval in small steps."""
    bottleneck = {k.removeprefix("bottleneck."): v for k, v in tensors.items() if k.startswith("bottleneck.")}
    rows = z_frequencies(bottleneck)
    assert rows.shape == (16, 2 * REACH + 1)
    assert (rows.sum(1) == TOTAL).all()
    assert (rows >= 1).all()
    x = torch.linspace(-8, 8, 16001, dtype=torch.float64).expand(16, 1, -1).clone() + 0.25
    t = {name: value.double() for name, value in bottleneck.items()}
    for n in range(5):
        x = nn.functional.softplus(t[f"matrices.{n}"]) @ x + t[f"biases.{n}"]
        if n < 4:
            x = x + t[f"factors.{n}"].tanh() * x.tanh()
    cumulative = x[:, 0].sigmoid()
    for symbol in (-3, 0, 2):
        at = [8000 + round((symbol + half) * 1000) for half in (-0.5, 0.5)]
        mass = cumulative[:, at[1]] - cumulative[:, at[0]]
        assert torch.allclose(rows[:, symbol + REACH].double() / TOTAL, mass, atol=2e-5, rtol=1e-3)


def test_a_symmetric_density_of_z_is_highest_at_its_median(tensors: dict[str, Tensor]) -> None:
    """The logits of both edges of the middle interval then add up to exactly zero."""
    bottleneck = {k.removeprefix("bottleneck."): v for k, v in tensors.items() if k.startswith("bottleneck.")}
    symmetric = {name: torch.zeros_like(v) if name.startswith("biases") else v for name, v in bottleneck.items()}
    rows = z_frequencies(symmetric | {"quantiles": torch.zeros(16, 1, 3)})
    assert (rows.argmax(1) == REACH).all()


def entropy(
    tensors: dict[str, Tensor], noise: float = 0.0, seed: int = 0, config: FullConfig = CONFIG
) -> GuardedEntropy:
    """The entropy model; `noise`: relative error of every layer's output, as another machine might have it."""
    codec = LatentCodec(config).eval().requires_grad_(requires_grad=False)
    codec.load_state_dict({k.removeprefix("codec."): v for k, v in tensors.items() if k.startswith("codec.")})
    bottleneck = {k.removeprefix("bottleneck."): v for k, v in tensors.items() if k.startswith("bottleneck.")}
    medians = bottleneck["quantiles"][:, 0, 1].double().numpy()
    coder = GuardedEntropy(codec, z_frequencies(bottleneck).long().numpy(), medians)
    generator = torch.Generator().manual_seed(seed)

    def disturb(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        return output * (1 + noise * (2 * torch.rand(output.shape, generator=generator, dtype=output.dtype) - 1))

    if noise:
        for module in coder._codec.modules():
            if not list(module.children()):
                module.register_forward_hook(disturb)
    return coder


def decisions(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """What entropy models round from here on, step by step."""
    decided: list[np.ndarray] = []
    snap = GuardedEntropy._snap

    def note(self: GuardedEntropy, coder: Coder, x: np.ndarray, encoding: bool) -> np.ndarray:
        decided.append(x)
        return snap(self, coder, x, encoding)

    monkeypatch.setattr(GuardedEntropy, "_snap", note)
    return decided


def source() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    z, y = rng.normal(size=(16, 2, 3)) * 3, rng.normal(size=(32, 8, 12)) * 4
    return z.astype(np.float32), y.astype(np.float32)


@pytest.mark.parametrize("rate", [64, 128, 200])
def test_symbols_come_back_and_their_size_is_counted(rate: int, tensors: dict[str, Tensor]) -> None:
    encoder, counter = SymbolEncoder(), BitCounter()
    coded = entropy(tensors).code(Both(encoder, counter), rate, (2, 3), source())
    payload = encoder.finish()
    decoded = entropy(tensors).code(SymbolDecoder(payload), rate, (2, 3))
    assert np.array_equal(decoded.joined, coded.joined)
    assert np.array_equal(decoded.z, coded.z)
    assert decoded.digest() == coded.digest()
    assert 0 <= len(payload) - counter.bits / 8 < 4
    assert np.array_equal(decoded.y, coded.y)


def test_layers_in_doubles_are_the_layers(tensors: dict[str, Tensor]) -> None:
    codec = placed(tensors).codec
    quick, plain = in_doubles(codec), copy.deepcopy(codec).double()
    base = torch.randn(1, CONFIG.channels, 5, 7, dtype=torch.float64)
    kinds = {type(module) for module in quick.modules()}
    assert {Depthwise, Pointwise} <= kinds
    assert next(codec.parameters()).dtype == torch.float32
    with torch.inference_mode():
        for found, expected in zip(quick.parameters_of_step(2, base), plain.parameters_of_step(2, base), strict=True):
            assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)
        z = torch.randn(1, CONFIG.channels // 2, 2, 3, dtype=torch.float64)
        assert torch.allclose(quick.h_s(z), plain.h_s(z), rtol=1e-12, atol=1e-12)


def test_finer_steps_for_higher_rates(tensors: dict[str, Tensor]) -> None:
    sizes = []
    for rate in (0, 96, 128, 160, 255):
        encoder = SymbolEncoder()
        entropy(tensors).code(encoder, rate, (2, 3), source())
        sizes.append(len(encoder.finish()))
    assert sizes == sorted(sizes)
    assert sizes[-1] > 2 * sizes[0]


@pytest.mark.parametrize(("seed", "rate"), [(0, 128), (1, 128), (2, 255), (3, 0)])
def test_errors_of_another_machine_change_nothing(
    seed: int, rate: int, tensors: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors hundreds of times those of float64 move no decision by half the band around it."""
    decided = decisions(monkeypatch)
    encoder = SymbolEncoder()
    coded = entropy(tensors).code(encoder, rate, (2, 3), source())
    decoded = entropy(tensors, noise=1e-13, seed=seed).code(SymbolDecoder(encoder.finish()), rate, (2, 3))
    here, there = np.concatenate(decided[:4]), np.concatenate(decided[4:])
    moved = np.abs(here - there)
    assert np.median(moved) > 0
    assert moved.max() < BAND / 2
    assert np.array_equal(decoded.joined, coded.joined)
    assert np.array_equal(decoded.z, coded.z)


def test_without_the_guard_they_would(tensors: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """Larger errors, a band as wide: the list is what keeps the symbols right."""
    wrong = {}
    for band in (0.0, 2.0**-4):
        monkeypatch.setattr(guarded, "BAND", band)
        encoder = SymbolEncoder()
        coded = entropy(tensors).code(encoder, 128, (2, 3), source())
        wrong[band] = 0
        for seed in range(3):
            try:
                decoded = entropy(tensors, 2e-6, seed).code(SymbolDecoder(encoder.finish()), 128, (2, 3))
                wrong[band] += not np.array_equal(decoded.joined, coded.joined)
            except Exception:  # whatever a decoder that has lost its way runs into
                wrong[band] += 1
    assert wrong[0.0] == 3
    assert wrong[2.0**-4] == 0


@pytest.fixture
def imported(tensors: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint on disk, imported as a user would, with small networks in the place of SD-Turbo's."""
    transformers = pytest.importorskip("transformers")
    monkeypatch.setenv("LCODEC_CACHE", str(tmp_path / "cache"))
    sizes = {"vocab_size": 49408, "hidden_size": 16, "intermediate_size": 8, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 2, "max_position_embeddings": 77, "hidden_act": "gelu"}
    torch.manual_seed(4)
    text = transformers.CLIPTextModel(transformers.CLIPTextConfig(**sizes)).state_dict()
    vae, unet = base_networks()
    rows = {
        "sd-turbo-text": {f"text_model.{name.removeprefix('text_model.')}": value for name, value in text.items()},
        "sd-turbo-vae": vae.state_dict(),
        "sd-turbo-unet": unet.state_dict(),
    }
    load = store.load

    def held(name: str) -> store.Weights:
        return store.Weights(rows[name], {}, 0) if name in rows else load(name)

    monkeypatch.setattr(prompt, "SIZES", sizes)
    monkeypatch.setattr(stablecodec_full.store, "load", held)
    monkeypatch.setattr(stablecodec_full.store, "load_one_by_one", rows.get)
    monkeypatch.setattr(stablecodec_full, "FullConfig", SmallConfig)
    states, elic = as_saved(tensors, old=True)
    torch.save(states, tmp_path / "stablecodec_ft8.pkl")
    torch.save(elic, tmp_path / "elic.pth")
    return tmp_path


class SmallConfig(FullConfig):
    """As if the published model were small: what `FullConfig()` is within these tests."""

    def __new__(cls) -> FullConfig:  # type: ignore[misc]
        return SMALL_TEXT

    from_json = FullConfig.from_json


SMALL_TEXT = dataclasses.replace(CONFIG, stable_diffusion=dataclasses.replace(SMALL, tokens=77))


def test_a_checkpoint_becomes_files(imported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Import, list, encode within a budget, decode without naming the weights; another fingerprint is refused."""
    run("weights", "import", imported / "stablecodec_ft8.pkl", "--elic", imported / "elic.pth")
    told = capsys.readouterr()
    assert "licence Stability AI non-commercial" in told.err
    (path,) = (imported / "cache").glob("stablecodec_ft8.????.safetensors")
    assert hashing.sha256_of(path).startswith(path.name.split(".")[1])
    run("weights", "list")
    assert "stablecodec_ft8" in capsys.readouterr().out
    pixels = read_rgb(PHOTO)[:200, :300]
    budget = 2000
    data = api.encode(Picture(pixels), f"{budget}B", model="stablecodec_ft8")
    assert len(data) <= budget
    decoded = api.decode(data)
    assert decoded.size == (300, 200)
    assert np.array_equal(decoded.pixels, api.decode(data, model="stablecodec_ft8").pixels)
    assert api.encode(Picture(pixels), f"{budget}B", scale="sd-turbo") == data
    run("weights", "import", imported / "stablecodec_ft8.pkl", "--elic", imported / "elic.pth", "--name", "other_ft32")
    for message, options in (
        ("choose", {"target": "50"}),
        ("name one of them", {"model": "stablecodec_ft8"}),
        ("method sodec has no scale", {"method": "sodec"}),
    ):
        with pytest.raises(InputError, match=message):
            api.encode(Picture(pixels), **({"target": "1kB", "scale": "sd-turbo"} | options))
    with pytest.raises(InputError, match="imported are other_ft32, stablecodec_ft8"):
        api.encode(Picture(pixels), "20", model="stablecodec_ft9")
    for held in store.kept():
        held.unlink()
    with pytest.raises(WeightsError, match="the file needs stablecodec weights with fingerprint"):
        api.decode(data)


def test_commands_as_typed(imported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As typed, with ELIC's file where the checkpoint is; changed weights are refused before any work."""
    (imported / "elic.pth").rename(imported / "elic_official.pth")
    run("weights", "import", imported / "stablecodec_ft8.pkl")
    photo, coded, decoded = (imported / name for name in ("photo.png", "photo.lcx", "decoded.png"))
    photo.write_bytes(write_picture(Picture(read_rgb(PHOTO)[:200, :300]), ".png"))
    run("encode", photo, "--method", "stablecodec", "--scale", "sd-turbo", "-q", "0.3bpp", "-o", coded)
    assert coded.stat().st_size <= 0.3 * 200 * 300 / 8
    run("decode", coded, "--device", "cpu", "-o", decoded)
    assert read_rgb(decoded).shape == (200, 300, 3)
    (path,) = store.kept()
    run("weights", "verify", "stablecodec_ft8")
    weights = store.read_weights(path)
    name = next(name for name in weights.tensors if name.startswith("codec.g_s."))
    store.write_tensors({**weights.tensors, name: weights.tensors[name] / 2}, path, weights.metadata)
    monkeypatch.delattr(registry, "_built")
    with pytest.raises(WeightsError, match="the file needs weights"):
        api.decode(coded.read_bytes())
    with pytest.raises(WeightsError, match="is not what was imported"):
        api.encode(Picture(read_rgb(photo)), "0.3bpp", model="stablecodec_ft8")
    assert cli.main(("weights", "verify", "stablecodec_ft8"), standalone_mode=False) == WeightsError.exit_code
    (imported / "elic_official.pth").unlink()
    with pytest.raises(InputError, match="--elic"):
        run("weights", "import", imported / "stablecodec_ft8.pkl")


def test_the_checkpoint_whose_rate_is_nearest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of the nine published ones; a first stage, whose rate nobody states, only where there is nothing else."""
    monkeypatch.setenv("LCODEC_CACHE", str(tmp_path))
    (tmp_path / "stablecodec_base.0123.safetensors").touch()
    assert stablecodec_full.nearest_checkpoint(0.02).name.startswith("stablecodec_base")
    for stage in stablecodec_full.PUBLISHED_BPP:
        (tmp_path / f"stablecodec_{stage}.0123.safetensors").touch()
    for stage, rate in stablecodec_full.PUBLISHED_BPP.items():
        assert f"_{stage}." in stablecodec_full.nearest_checkpoint(rate * 1.01).name
    assert "_ft6." in stablecodec_full.nearest_checkpoint(0.02).name
    assert "_ft2." in stablecodec_full.nearest_checkpoint(1).name


def test_a_picture_too_large_for_memory_is_coded_in_tiles(imported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through library and command line; too little memory is one error, before any work."""
    run("weights", "import", imported / "stablecodec_ft8.pkl", "--elic", imported / "elic.pth")
    method = registry.method_named("stablecodec")
    pipeline: Any = registry.pipeline(method, registry.model_named(method, None, "stablecodec_ft8"))
    monkeypatch.setattr(layerwise, "TILE_VALUES", 1 << 17)
    monkeypatch.setattr(layerwise, "BAND_VALUES", 0)
    enough = pipeline._memory.least_bytes(256 * 768) + 10**6
    assert enough < pipeline._memory.whole_bytes(256 * 768)
    picture = Picture(read_rgb(PHOTO)[:256, :600])
    data = api.encode(picture, "50", model="stablecodec_ft8")
    whole = api.decode(data).pixels
    tiled = api.decode(data, limits=Limits(max_memory_bytes=enough)).pixels
    assert not np.array_equal(tiled, whole)
    assert np.abs(tiled.astype(int) - whole).mean() < 1
    assert np.array_equal(api.decode(data).pixels, whole)
    again = api.encode(picture, "50", model="stablecodec_ft8", settings=Settings(max_memory_bytes=enough))
    assert len(again) == pytest.approx(len(data), rel=0.02)
    (imported / "a.lcx").write_bytes(data)
    run("decode", imported / "a.lcx", "-o", imported / "a.png", "--max-memory", f"{enough}B")
    assert np.array_equal(read_rgb(imported / "a.png"), tiled)
    assert pipeline._kept_bytes(256, 600, 1 << 40) is None
    monkeypatch.setattr(stablecodec_full, "LARGEST_WHOLE_PIXELS", 256 * 600)  # beyond, memory makes no difference
    assert pipeline._kept_bytes(256, 600, 1 << 40) > 1 << 20
    for settings in (Settings(max_memory_bytes=10**8), Settings(max_memory_bytes=0)):
        with pytest.raises(LimitError, match=r"196608 pixels, padded, take 0\.7 GB of memory at least, more than"):
            api.decode(data, limits=Limits(max_memory_bytes=settings.max_memory_bytes))
        with pytest.raises(LimitError, match="of memory at least"):
            api.encode(picture, "50", model="stablecodec_ft8", settings=settings)


def test_merged_networks_are_used_if_they_are_what_was_written(
    imported: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = stablecodec_full.import_checkpoint(imported / "stablecodec_ft8.pkl", imported / "elic.pth", "a")
    other = stablecodec_full.import_checkpoint(imported / "stablecodec_ft8.pkl", imported / "elic.pth", "b")
    monkeypatch.setattr(hashing, "LARGE", 1)
    run("weights", "merge", "a")
    done = Path(capsys.readouterr().out.strip())
    assert hashing.is_noted(done)
    assert store.kept() == [path, other]
    run("weights", "list")
    assert "merged      with networks of SD-Turbo" in capsys.readouterr().out
    weights, cpu, config = store.read_weights(path), torch.device("cpu"), SMALL_TEXT
    tensors = {name: value for name, value in weights.tensors.items() if name != stablecodec_full.FREQUENCIES}
    base = [store.load_one_by_one(row) for row in stablecodec_full.BASE]
    again = place(config, tensors, *base, torch.bfloat16)
    expected = again.state_dict()
    monkeypatch.setattr(stablecodec_full, "place", None)  # from here on nothing is merged
    found = stablecodec_full._placed(config, tensors, weights, torch.bfloat16)
    assert [n for n, value in found.state_dict().items() if not torch.equal(value, expected[n])] == []
    assert found.unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    assert FullStableCodecPipeline(weights, cpu).fingerprint == weights.fingerprint
    content = done.read_bytes()
    done.write_bytes(content[:-1] + b"x")
    with pytest.raises(TypeError):
        FullStableCodecPipeline(weights, cpu)
    hashing.forget(done)
    caplog.clear()
    with pytest.raises(TypeError):
        FullStableCodecPipeline(weights, cpu)
    assert f"{done.name} is not as it was written" in caplog.text
    changed = {**weights.tensors, "prompt": weights.tensors["prompt"] / 2}
    store.keep("a", weights.tensors, weights.metadata["model"])  # the same again
    store.keep("a", changed, weights.metadata["model"])
    assert done.exists()  # b needs it
    store.keep("b", changed, weights.metadata["model"])
    assert not done.exists()


@pytest.mark.parametrize(("largest", "kind"), [(2.0**24 - 1, None), (2.0**24, WeightsError), (math.nan, WeightsError)])
def test_values_too_large_for_the_band_are_refused(largest: float, kind: type[Exception] | None) -> None:
    """Up to the limit a rounding of float64 is a thirtieth of the band."""
    assert 30 * np.spacing(guarded.LARGEST) / 2 < BAND
    entropy: Any = GuardedEntropy.__new__(GuardedEntropy)
    values = np.array([0.25, largest])
    if kind is None:
        assert entropy._snap(BitCounter(), values, True).tolist() == [0, largest]
        return
    with pytest.raises(kind, match="no table can code"):
        entropy._snap(BitCounter(), values, True)
    with pytest.raises(CorruptError, match="no table can code"):
        entropy._snap(SymbolDecoder(b"", PACKING), values, False)


def test_merged_networks_without_tensors_are_refused(imported: Path) -> None:
    path = stablecodec_full.import_checkpoint(imported / "stablecodec_ft8.pkl", imported / "elic.pth", "a")
    tensors = {n: v for n, v in store.read_weights(path).tensors.items() if n != stablecodec_full.FREQUENCIES}
    with pytest.raises(WeightsError, match="no tensors of vae"):
        place_merged(SMALL_TEXT, tensors, {})


def test_elic_is_one_state(imported: Path) -> None:
    checkpoint = imported / "stablecodec_ft8.pkl"
    with pytest.raises(WeightsError, match="holds 3 states"):
        stablecodec_full.import_checkpoint(checkpoint, checkpoint, "a")


def test_weights_that_no_import_wrote_are_refused(imported: Path) -> None:
    """With one line, whatever is wrong."""
    path = stablecodec_full.import_checkpoint(imported / "stablecodec_ft8.pkl", imported / "elic.pth", "a")
    good, cpu = store.read_weights(path), torch.device("cpu")
    frequencies = good.tensors[stablecodec_full.FREQUENCIES]
    for changes, message in (
        ({"prompt": good.tensors["prompt"][:, :5]}, "no state of 77 tokens"),
        ({"prompt": good.tensors["prompt"] * float("nan")}, "no state of 77 tokens"),
        ({stablecodec_full.FREQUENCIES: frequencies[1:]}, "no frequencies"),
        ({stablecodec_full.FREQUENCIES: frequencies + 1}, "no frequencies"),
        ({stablecodec_full.FREQUENCIES: frequencies.float()}, "no frequencies"),
        ({stablecodec_full.FREQUENCIES: frequencies.to(torch.uint32)}, "no frequencies"),
    ):
        with pytest.raises(WeightsError, match=message):
            FullStableCodecPipeline(store.Weights(good.tensors | changes, good.metadata, 0), cpu)
    with pytest.raises(WeightsError, match="describes no StableCodec"):
        FullStableCodecPipeline(store.Weights(good.tensors, {"model": "{}"}, 0), cpu)


def test_a_tensor_of_sd_turbo_of_another_shape_is_named(tensors: dict[str, Tensor]) -> None:
    """Of a layer with an adapter, and of one without."""
    vae, unet = base_networks()
    for name in ("mid_block.resnets.0.conv1.weight", "mid_block.resnets.0.norm1.weight"):
        wrong = unet.state_dict() | {name: unet.state_dict()[name][:-1]}
        with pytest.raises(WeightsError, match=name):
            place(CONFIG, tensors | {"prompt": torch.zeros(1, 5, 16)}, vae.state_dict(), wrong, torch.float32)


def test_weights_with_one_fingerprint_cannot_both_be_kept(imported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint, elic = imported / "stablecodec_ft8.pkl", imported / "elic.pth"
    path = stablecodec_full.import_checkpoint(checkpoint, elic, "a")
    weights = store.read_weights(path)
    name = next(name for name in weights.tensors if name.startswith("codec.g_s."))
    changed = {**weights.tensors, name: weights.tensors[name] / 2}
    shipped = {entry.sha256 for entry in rows().values()}
    monkeypatch.setattr(store, "_leading", lambda sha256: 0 if sha256 in shipped else weights.fingerprint)
    with pytest.raises(WeightsError, match=rf"fingerprint of {path.name}"):
        store.keep("b", changed, weights.metadata["model"])
    assert store.kept() == [path]
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name]
    path.unlink()
    monkeypatch.setattr(store, "_leading", lambda sha256: 1)
    with pytest.raises(WeightsError, match=r"fingerprint of stablecodec-mini: one of them"):
        store.keep("b", changed, weights.metadata["model"])
    assert list(path.parent.iterdir()) == []


def test_importing_again_gives_the_same_fingerprint_whatever_the_name(imported: Path) -> None:
    checkpoint, elic = imported / "stablecodec_ft8.pkl", imported / "elic.pth"
    paths = [stablecodec_full.import_checkpoint(checkpoint, elic, name) for name in ("a", "b", "a", "a")]
    assert len({path.name.split(".")[1] for path in paths}) == 1
    assert len(list((imported / "cache").glob("a.*"))) == 1
    for name in ("a/b", "../a", "a.b", ""):
        with pytest.raises(WeightsError, match="cannot be called"):
            store.keep(name, {}, "")


@pytest.mark.parametrize("name", ["/no/such.safetensors", "a/b", "*", "[", "..", ""])
def test_weights_that_do_not_exist_are_said_not_to(name: str) -> None:
    with pytest.raises(InputError, match="no file"):
        api.encode(np.zeros((8, 8, 3), np.uint8), "50", model=name)


@pytest.mark.parametrize("content", [b"", b"hello, world", b"\x80\x02}q\x00.", bytes(range(256)) * 9])
def test_what_is_no_checkpoint_is_one_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    with pytest.raises(WeightsError):
        stablecodec_full.import_checkpoint(path, path, "a")


class Liar:
    """A decoder whose file lists elements that do not exist: bytes out of range, or positions."""

    def __init__(self, digits: list[int]) -> None:
        self.digits = digits

    def code_rows(self, rows: np.ndarray, count: int, numbers: None) -> np.ndarray:
        return np.full((len(rows), count), REACH, np.int32)

    def code(self, tables: np.ndarray, symbols: None) -> np.ndarray:
        if len(tables) == 1:
            return np.array([1], np.int32)
        return np.array(self.digits, np.int32) if len(tables) == 4 else np.zeros(len(tables), np.int32)


@pytest.mark.parametrize("digits", [[-255] * 4, [255] * 4, [127] * 4, [-128, -128, 127, -128]])
def test_hostile_lists_are_refused(digits: list[int], tensors: dict[str, Tensor]) -> None:
    with pytest.raises(CorruptError, match="the file lists an element"):
        entropy(tensors).code(Liar(digits), 128, (1, 1))


def test_a_full_list_still_decodes(tensors: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """More doubtful elements than a list holds: the rest is decided as without a guard."""
    monkeypatch.setattr(guarded, "BAND", 0.4)
    encoder = SymbolEncoder()
    coded = entropy(tensors).code(encoder, 128, (2, 3), source())
    decoded = entropy(tensors).code(SymbolDecoder(encoder.finish()), 128, (2, 3))
    assert np.array_equal(decoded.joined, coded.joined)


def test_weights_that_are_not_numbers_are_refused(tensors: dict[str, Tensor]) -> None:
    broken = tensors | {"codec.g_a.pre2.bias": torch.full((16,), float("nan"))}
    with pytest.raises(WeightsError, match=r"codec\.g_a\.pre2\.bias holds values that are not numbers"):
        published.check(broken, CONFIG)


def test_checkpoints_that_hold_code_are_refused(imported: Path) -> None:
    (imported / "evil.pkl").write_bytes(pickle.dumps({"state_dict_codec": print}, 2))
    with pytest.raises(WeightsError, match="not a file of tensors"):
        stablecodec_full.import_checkpoint(imported / "evil.pkl", imported / "elic.pth", "evil")
    torch.save({"state_dict_codec": {"a": 3}}, imported / "odd.pkl")
    with pytest.raises(WeightsError, match="more than tensors"):
        stablecodec_full.import_checkpoint(imported / "odd.pkl", imported / "elic.pth", "odd")
    assert not list((imported / "cache").glob("*.safetensors"))


def run(*arguments: str | Path) -> None:
    cli.main([*map(str, arguments)], standalone_mode=False)


def test_budgets_are_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    """With scales as those of a trained model, between the narrowest and the widest tables: in random ones all jump."""
    rows = tiny_full.rows()
    monkeypatch.setattr(stablecodec_full.store, "load_one_by_one", rows.get)
    whole = tiny_full.tensors()
    shipped, metadata = as_shipped(whole, whole[PROMPT], tiny_full.CONFIG)
    codec = FullStableCodecPipeline(store.Weights(shipped, metadata, 1), torch.device("cpu"))
    photo = read_rgb(PHOTO)[:200, :300]
    fills = []
    for size in (900, 1200, 1500, 1800):
        encoded = codec.encode(photo, PayloadBudget(size))
        assert len(encoded.payload) <= size
        fills.append(len(encoded.payload) / size)
    assert np.mean(fills) >= 0.98


def test_budgets_at_published_rates_are_filled() -> None:
    """768x512 pixels with latents drawn at the rates of ft32, ft8 and ft2, and budgets around these."""
    fills = []
    for seed, bpp in enumerate(RATES_BPP):
        nominal = bpp * 768 * 512 / 8
        drawn = draw(np.random.default_rng(seed), 8 * nominal, spread=1.0, share_of_z=0.15)
        model, latents = drawn.entropy_model(), (drawn.z.astype(np.float32), drawn.y.astype(np.float32))

        def evaluate(
            rate: int,
            thrift: float,
            model: GuardedEntropy = model,
            latents: tuple[np.ndarray, np.ndarray] = latents,
        ) -> tuple[int, int]:
            coder = SymbolEncoder(PACKING)
            model.code(coder, rate, latents[0].shape[1:], latents, Rounding(y=rate_distortion_rounding(thrift)))
            size = len(coder.finish())
            return size, size

        for share in (0.85, 1.0, 1.2):
            budget = PayloadBudget(round(share * nominal))
            size = fill_budget(evaluate, budget, Curve(nominal / 4, math.log(2) / RATES_PER_OCTAVE / 2))
            assert size <= budget.size_bytes
            fills.append(size / budget.size_bytes)
    assert np.mean(fills) >= 0.99
