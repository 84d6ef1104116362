"""The networks of stablecodec.md: names and shapes equal the model, and its formulas give the model's pixels."""

import json
import math

import torch
from documents import table_after
from layers import Layers, layers_of, shapes_of
from torch.nn import functional as F

from latentcodec.models.autoencoder import AutoencoderConfig
from latentcodec.models.stablecodec.config import StableCodecConfig
from latentcodec.models.stablecodec.entropy import EntropyModel
from latentcodec.models.stablecodec.export import export_entropy
from latentcodec.models.stablecodec.model import StableCodec
from latentcodec.weights import store

LAYERS = layers_of("stablecodec.md")
SHIPPED = StableCodecConfig.from_json(store.read_weights(store.path_of("stablecodec-mini")).metadata["config"])
ENCODER = ("vae.encoder.", "auxiliary_encoder.", "analysis.", "entropy.")


def documented_shapes():
    return {"log_gain.scaled": [9, 256], "vae.scale": [32]} | shapes_of(LAYERS)


def test_layer_tables_equal_the_model():
    tensors = StableCodec(SHIPPED).state_dict()
    assert documented_shapes() == {k: list(v.shape) for k, v in tensors.items() if not k.startswith(ENCODER)}


def test_integer_tensors_equal_the_exported_ones():
    with torch.no_grad():
        exported = export_entropy(EntropyModel(SHIPPED))
    documented = {
        tensor.replace("stepN", f"step{n}"): [kind, shape]
        for tensor, kind, shape in table_after("stablecodec.md", "tensor | type | shape")
        for n in range(4)
        if not (n == 0 and "known" in tensor)
    }
    assert documented == {k: [str(v.dtype)[6:], ", ".join(map(str, v.shape))] for k, v in exported.items()}


def test_sizes_equal_those_of_the_shipped_model():
    documented = {key: size for _, key, size, _ in table_after("stablecodec.md", "symbol | key | stablecodec-mini")}
    config = SHIPPED
    for key, size in documented.items():
        value = config
        for name in key.split("."):
            value = getattr(value, name)
        assert size == (", ".join(map(str, value)) if isinstance(value, tuple) else str(value))


def test_absent_keys_mean_what_the_document_says():
    values = json.loads(StableCodecConfig().to_json())
    for key in ("packed_tables", "packed_reach", "noise_planes"):
        del values[key]
    del values["autoencoder"]["shortcut"], values["autoencoder"]["noise_planes"]
    config = StableCodecConfig.from_json(json.dumps(values))
    assert (config.packed_tables, config.packed_reach, config.noise_planes) == (0, 1, 0)
    assert (config.autoencoder.shortcut, config.autoencoder.noise_planes) == (False, 0)
    said = {key: meaning for _, key, _, meaning in table_after("stablecodec.md", "symbol | key | stablecodec-mini")}
    assert "0 where the key is absent" in said["packed_tables"]
    assert "1 where the key is absent" in said["packed_reach"]


class Picture(Layers):
    """From y^ to pixels, with the formulas and layer tables of the document."""

    def unet(self, features):
        def of(name, x):
            return self.layer(f"unet.{name}", x)

        x8 = of("in8", features)
        x16 = of("in16", of("down16", x8))
        x32 = of("mid2", of("mid1", of("down32", x16)))
        x16 = of("out16", x16 + of("up16", x32))
        return of("head", of("out8", x8 + of("up8", x16)))

    def pixels(self, y):
        g = self.without_gain(y)
        features = self.stack("synthesis.", g)
        x_0 = features[: self.channels] - math.sqrt(1 - self.alpha) * self.unet(features)
        shortcut = F.pixel_shuffle(self.conv("auxiliary_decoder.shortcut", g), 4)
        return self.vae(x_0 / math.sqrt(self.alpha) + self.stack("auxiliary_decoder.layers.", g) + shortcut)


def test_formulas_give_the_pixels_of_the_model():
    torch.manual_seed(0)
    inner = AutoencoderConfig(latent_channels=3, widths=(4, 6, 8), noise_planes=3)
    config = StableCodecConfig(
        autoencoder=inner, widths=(8, 6, 10), y_channels=8, z_channels=2, hyper_width=4, context_width=4, embedding=5,
        noise_planes=2, alpha_bar=0.7,
    )  # fmt: skip
    codec = StableCodec(config).double().eval()
    with torch.no_grad():
        for tensor in codec.state_dict().values():
            tensor.uniform_(-0.3, 0.3)
        y = torch.randint(-40, 40, (8, 2, 4)).double()
        for q in (0, 100, 255):
            ours = codec.synthesise(y[None] / 16, torch.tensor([q / 256], dtype=torch.float64))[0]
            theirs = Picture(LAYERS, codec.state_dict(), 3, 0.7, q).pixels(y)
            assert theirs.shape == (3, 64, 128)
            assert ours.std() > 1e-3
            torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-6)
