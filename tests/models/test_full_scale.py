"""SODEC at full scale, with networks of the same layout but few channels: frozen weights, adapters, files, training."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from latentcodec import api
from latentcodec.errors import WeightsError
from latentcodec.image import Picture, read_rgb, write_picture
from latentcodec.models.autoencoder import AutoencoderConfig
from latentcodec.models.blocks.lora import ADAPTERS, adapt, merge
from latentcodec.models.diffusion import stable_diffusion
from latentcodec.models.diffusion.config import StableDiffusionConfig
from latentcodec.models.sodec.config import SCALES, SodecConfig
from latentcodec.models.sodec.export import is_foreign
from latentcodec.models.sodec.model import Sodec
from latentcodec.pipelines import autoencoders, frozen
from latentcodec.pipelines.base import Settings
from latentcodec.rate import Quality
from latentcodec.train.loop import load_state
from latentcodec.train.run import export_stage, train_stage
from latentcodec.train.stages import STAGES, LossWeights
from latentcodec.weights import store

pytest.importorskip("transformers")
PHOTO = Path(__file__).parents[1] / "data" / "coffee.png"
SMALL = StableDiffusionConfig(
    unet_widths=(8, 16), unet_heads=(2, 2), context=16, tokens=5, vae_widths=(8, 8, 8, 8), groups=4, lora_rank=2,
    vit_width=12, vit_layers=2, vit_heads=2,
)  # fmt: skip
CONFIG = SodecConfig(
    autoencoder=AutoencoderConfig(latent_channels=4), widths=(8, 8, 8), codec_widths=(4, 8, 12), y_channels=12,
    z_channels=4, hyper_width=10, prior_width=4, embedding=8, alpha_bar=0.0046601, stable_diffusion=SMALL,
)  # fmt: skip
PUBLISHED = {
    "to_q.": "query.", "to_k.": "key.", "to_v.": "value.", "to_out.0.": "proj_attn.",
}  # fmt: skip
PUBLISHED_VIT = {
    ".attention.q_proj.": ".attention.attention.query.", ".attention.k_proj.": ".attention.attention.key.",
    ".attention.v_proj.": ".attention.attention.value.", ".attention.o_proj.": ".attention.output.dense.",
}  # fmt: skip


def published(network: nn.Module, names: dict[str, str]) -> dict[str, torch.Tensor]:
    """Tensors of a frozen network as they would be published: without adapters, under their older names."""
    tensors = {}
    for name, value in network.state_dict().items():
        if ADAPTERS in name:
            continue
        name = name.replace(".parametrizations.weight.original", ".weight")
        for new, old in names.items():
            name = name.replace(new, old)
        tensors[name] = value.clone()
    return tensors


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, torch.Tensor]]:
    """Rows of weights.toml that hold small random networks."""
    torch.manual_seed(5)
    codec: Any = Sodec(CONFIG)
    held = {
        "sd21-vae": published(codec.vae.network, PUBLISHED),
        "sd21-unet": published(codec.unet.network, {}),
        "dinov2-b14": published(codec.guidance.vit, PUBLISHED_VIT),
    }
    monkeypatch.setattr(frozen, "store", SimpleNamespace(load=lambda name: SimpleNamespace(tensors=held[name])))
    return held


def test_adapters_start_as_nothing_and_merge_into_their_weights() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1), nn.Flatten(), nn.Linear(16, 5))
    x = torch.randn(2, 3, 4, 4)
    before = network(x)
    adapt(network, ("0", "3"), rank=2)
    assert torch.equal(network(x), before)
    assert {name for name, p in network.named_parameters() if p.requires_grad} == {
        f"{layer}{ADAPTERS}{matrix}" for layer in (0, 3) for matrix in ("down", "up")
    }
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(".up"):
                parameter.normal_()
    adapted = network(x)
    assert not torch.allclose(adapted, before)
    merge(network)
    torch.testing.assert_close(network(x), adapted)
    assert set(network.state_dict()) == {f"{layer}.{kind}" for layer in (0, 1, 3) for kind in ("weight", "bias")}


def test_published_weights_are_put_in_place(rows: dict[str, dict[str, torch.Tensor]]) -> None:
    codec: Any = Sodec(CONFIG)
    frozen.put_in_place(codec, torch.float32)
    held = codec.vae.network.state_dict()["encoder.mid_block.attentions.0.to_q.weight"]
    assert torch.equal(held, rows["sd21-vae"]["encoder.mid_block.attentions.0.query.weight"])
    assert not any(p.requires_grad for p in codec.vae.parameters())
    trained = {name for name, p in codec.named_parameters() if p.requires_grad}
    assert not any(is_foreign(name, CONFIG) for name in trained)
    assert any(name.startswith("unet.") for name in trained)
    assert any(name.startswith("guidance.projector.") for name in trained)


@pytest.mark.parametrize("row", ["sd21-vae", "sd21-unet", "dinov2-b14"])
def test_a_tensor_too_few_or_too_many_is_named(row: str, rows: dict[str, dict[str, torch.Tensor]]) -> None:
    name = next(name for name in rows[row] if name.endswith("bias"))
    value = rows[row].pop(name)
    with pytest.raises(WeightsError, match=name.rpartition(".")[0].rpartition(".")[2]):
        frozen.put_in_place(Sodec(CONFIG), torch.float32)
    rows[row] |= {name: value, "surplus.weight": value}
    with pytest.raises(WeightsError, match=r"surplus\.weight"):
        frozen.put_in_place(Sodec(CONFIG), torch.float32)
    del rows[row]["surplus.weight"]
    rows[row][name] = value[:-1]
    with pytest.raises(WeightsError, match="size mismatch"):
        frozen.put_in_place(Sodec(CONFIG), torch.float32)


def test_training_and_files_at_full_scale(rows: dict[str, dict[str, torch.Tensor]], tmp_path: Path) -> None:
    """Three stages, an export without the frozen networks, and files that decode with it and with nothing else."""
    photos, pixels = tmp_path / "photos", read_rgb(PHOTO)
    photos.mkdir()
    for number in range(6):
        path = photos / f"a-{number}.png"
        crop = Picture(pixels[40 * number : 40 * number + 130, 50 * number : 50 * number + 140])
        path.write_bytes(write_picture(crop, ".png"))
    (tmp_path / "config.json").write_text(CONFIG.to_json())
    names = ("sodec-codec-sd21", "sodec-diffusion-sd21", "sodec-joint-sd21", "sodec-sd21")
    loss = LossWeights(mse=10.0, align=5.0)
    stages = [dataclasses.replace(STAGES[n], steps=2, batch=2, crop=64, loss=loss, warmup_steps=1) for n in names]
    for stage in stages:
        cpu = torch.device("cpu")
        train_stage(stage, photos, tmp_path, cpu, 0, lambda step, row: None, config=tmp_path / "config.json")
    state = load_state(tmp_path / names[-1])
    assert not any(is_foreign(name.removeprefix("codec."), CONFIG) for name in (*state.model, *state.average))
    out = tmp_path / "own.safetensors"
    export_stage(stages[-1], tmp_path, out)
    assert not any(is_foreign(name, CONFIG) for name in store.read_weights(out).tensors)
    data = api.encode(Picture(pixels[:100, :150]), Quality(60), method="sodec", model=str(out))
    decoded = api.decode(data, model=str(out))
    assert decoded.size == (150, 100)
    assert not np.array_equal(decoded.pixels, api.decode(data, model=str(out), fidelity=1.0).pixels)
    with pytest.raises(WeightsError, match="name a file of them with --model"):
        api.decode(data)
    with pytest.raises(WeightsError, match="the file needs weights"):
        api.decode(data, model=str(store.path_of("stablecodec-mini")))


def test_the_full_scale_is_the_published_one() -> None:
    """Sizes of Stable Diffusion 2.1 and DINOv2-B/14, counted without building them."""
    with torch.device("meta"):
        codec: Any = Sodec(SCALES["sd21"])
    unet = published(codec.unet.network, {})
    assert sum(value.numel() for value in unet.values()) == 865_910_724
    assert sum(value.numel() for value in codec.vae.network.state_dict().values()) == 83_653_863
    assert sum(value.numel() for value in codec.guidance.vit.state_dict().values()) == 86_580_480
    assert (codec.config.stable_diffusion.tokens, codec.config.stable_diffusion.context) == (77, 1024)


def test_the_autoencoder_of_sd_turbo_serves_method_overfit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files say which autoencoder they need; its weights are fetched, so nobody has to name them to decode."""
    torch.manual_seed(5)
    network: Any = stable_diffusion.FrozenAutoencoder(SMALL).network
    held = {name: value.half() for name, value in published(network, PUBLISHED).items()}
    monkeypatch.setattr(stable_diffusion, "StableDiffusionConfig", lambda: SMALL)
    monkeypatch.setattr(autoencoders.store, "load_one_by_one", {"sd-turbo-vae": held}.get)
    pixels = read_rgb(PHOTO)[:96, :128]
    data = api.encode(Picture(pixels), Quality(60), method="overfit", vae="sd-turbo", settings=Settings(1))
    assert api.decode(data).size == (128, 96)
    with pytest.raises(WeightsError, match="was written with sd-turbo, not with taef2"):
        api.decode(data, vae="taef2")
