"""sodec.md: tables equal the model, formulas give the model's pixels, and a second decoder reads its symbols."""

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import second_decoder as second
import torch
from documents import table_after
from layers import Layers, layers_of, noise_of, shapes_of
from torch.nn import functional as F

from latentcodec.coding import tables
from latentcodec.container import file as container
from latentcodec.models.autoencoder import AutoencoderConfig
from latentcodec.models.sodec.config import SodecConfig
from latentcodec.models.sodec.entropy import EntropyModel
from latentcodec.models.sodec.export import NOT_FLOATS, export_entropy
from latentcodec.models.sodec.model import Sodec
from latentcodec.weights import store
from tests import tiny_sodec
from tests.golden.sodec.create import CASES, FOLDER

SHARED = ("embedding.", "unet.", "vae.decoder.")
NOISE = noise_of("stablecodec.md")
LAYERS = [row for row in layers_of("stablecodec.md") if row[0].startswith(SHARED)] + layers_of("sodec.md")
ENCODER = ("analysis.", "entropy.hyper_analysis.")
SHIPPED = SodecConfig.from_json(store.read_weights(store.path_of("sodec-mini")).metadata["config"])


def test_layer_tables_equal_the_model():
    documented = {"log_gain.scaled": [9, 192], "vae.scale": [32]} | shapes_of(LAYERS, NOISE)
    tensors = Sodec(SHIPPED).state_dict()
    assert documented == {k: list(v.shape) for k, v in tensors.items() if not k.startswith((*NOT_FLOATS, *ENCODER))}


def test_integer_tensors_equal_the_exported_ones():
    with torch.no_grad():
        exported = export_entropy(EntropyModel(SHIPPED))
    documented = {tensor: [kind, shape] for tensor, kind, shape in table_after("sodec.md", "tensor | type | shape")}
    assert documented == {k: [str(v.dtype)[6:], ", ".join(map(str, v.shape))] for k, v in exported.items()}


def test_sizes_equal_those_of_the_shipped_model():
    for _, key, size, meaning in table_after("sodec.md", "symbol | key | sodec-mini"):
        value = SHIPPED
        for name in key.split("."):
            value = getattr(value, name)
        assert size == (", ".join(map(str, value)) if isinstance(value, tuple) else str(value)), meaning


def test_an_absent_key_means_what_the_document_says():
    values = json.loads(SodecConfig().to_json())
    del values["packed_octets"]
    assert SodecConfig.from_json(json.dumps(values)).packed_octets == 0
    said = {key: meaning for _, key, _, meaning in table_after("sodec.md", "symbol | key | sodec-mini")}
    assert "0 where the key is absent" in said["packed_octets"]


class Pictures(Layers):
    """From z and y^ to both pictures, with the formulas and layer tables of the document."""

    heads, reach = 2, 2
    noise = NOISE

    def preview(self, g):
        layers = self.stack("preview_decoder.layers.", g)
        shortcut = F.pixel_shuffle(self.conv("preview_decoder.shortcut", g), 16)
        return (F.pixel_shuffle(layers, 4) + shortcut) / 4 + 0.5

    def tokens(self, p):
        return self.stack("guidance.layers.", F.pixel_unshuffle(4 * (p - 0.5), 8))

    def latent(self, g, z):
        w = self.stack("prior_features.", z)
        features = self.stack("transform.stack.", torch.cat([g, w]))
        shortcut = F.pixel_shuffle(self.conv("transform.shortcut", g), 2)
        return torch.cat([features[: self.channels] + shortcut, features[self.channels :]])

    def attend(self, name, x, tokens):
        s, reach = int(self.kinds[name].split()[1]), self.reach
        q = self.conv(f"{name}.query", x)
        k, v = F.pad(self.conv(f"{name}.key_value", tokens), (reach,) * 4).chunk(2)
        d, bias = len(q) // self.heads, self.tensors[f"{name}.bias"]
        answers = torch.empty_like(q)
        for row in range(x.shape[1]):
            for column in range(x.shape[2]):
                places = (
                    ...,
                    slice(row // s, row // s + 2 * reach + 1),
                    slice(column // s, column // s + 2 * reach + 1),
                )
                for head in range(self.heads):
                    own = slice(head * d, head * d + d)
                    keys, values = k[own][places].flatten(1), v[own][places].flatten(1)
                    likeness = q[own, row, column] @ keys / math.sqrt(d)
                    weight = torch.softmax(likeness + bias[head, s * (row % s) + column % s], 0)
                    answers[own, row, column] = values @ weight
        return x + self.conv(f"{name}.out", answers)

    def unet(self, features, tokens):
        def of(name, x):
            return self.layer(f"unet.{name}", x)

        x8 = of("in8", features)
        x16 = of("in16", of("down16", x8))
        x32 = self.attend("unet.attend32", of("mid1", of("down32", x16)), tokens)
        x16 = of("out16", self.attend("unet.attend16", x16 + of("up16", of("mid2", x32)), tokens))
        return of("head", of("out8", x8 + of("up8", x16)))

    def pixels(self, z, y):
        g = self.without_gain(y)
        p = self.preview(g)
        features = self.latent(g, z)
        n = self.unet(features, self.tokens(p))
        x_0 = (features[: self.channels] - math.sqrt(1 - self.alpha) * n) / math.sqrt(self.alpha)
        return p, self.vae(x_0)


def test_formulas_give_the_pixels_of_the_model():
    torch.manual_seed(0)
    inner = AutoencoderConfig(latent_channels=4, widths=(4, 6, 8), decoder_depths=(2, 6, 4), noise_planes=3)
    codec = Sodec(replace(tiny_sodec.CONFIG, autoencoder=inner, alpha_bar=0.7)).double().eval()
    with torch.no_grad():
        for tensor in codec.state_dict().values():
            tensor.uniform_(-0.3, 0.3)
        z, y = torch.randint(-4, 4, (4, 1, 2)).double(), torch.randint(-40, 40, (12, 4, 8)).double()
        for q in (0, 100, 255):
            rate = torch.tensor([q / 256], dtype=torch.float64)
            preview = codec.preview(y[None] / 16, rate)
            ours = preview[0], codec.synthesise(y[None] / 16, z[None], preview, rate)[0]
            theirs = Pictures(LAYERS, codec.state_dict(), 4, 0.7, q).pixels(z, y)
            for one, other in zip(ours, theirs, strict=True):
                assert other.shape == (3, 64, 128)
                assert one.std() > 1e-3
                torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["plain", "one-pixel", "lowest-rate", "octets"])
def test_golden_files_decode_by_the_documents_alone(name):
    file = container.read((FOLDER / f"{name}.lcx").read_bytes())
    weights = store.read_weights(CASES[name][2])
    lists = {k.removeprefix("integer."): v.tolist() for k, v in weights.tensors.items() if k.startswith("integer.")}
    frequencies = second.tables((Path(tables.__file__).parent / "gaussian.bin").read_bytes())
    config = json.loads(weights.metadata["config"])
    constants = config["packed_tables"], config["packed_reach"], config.get("packed_octets", 0)
    decoder = second.Decoder(file.payload, frequencies, *constants)
    z, y = second.SodecLatents(lists, file.rate).decode(decoder, -(-file.height // 64), -(-file.width // 64))
    assert second.digest(z, y) == file.symbols
    exact = np.array(z, "<i4").tobytes() + np.array(y, "<i8").tobytes()
    assert hashlib.sha256(exact).hexdigest() == json.loads((FOLDER / "golden.json").read_text())[name]
