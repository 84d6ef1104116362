"""The networks of stablecodec.md: names and shapes equal the model, and its formulas give the model's pixels."""

import json
import math

import torch
from documents import table_after, tables_of
from torch.nn import functional as F

from latentcodec.models.autoencoder import AutoencoderConfig
from latentcodec.models.stablecodec.config import StableCodecConfig
from latentcodec.models.stablecodec.entropy import EntropyModel
from latentcodec.models.stablecodec.export import export_entropy
from latentcodec.models.stablecodec.model import StableCodec
from latentcodec.weights import store

LAYERS = [row for table in tables_of("stablecodec.md", "layer | kind | in | out | hidden") for row in table]
TENSORS = {
    "linear": {"weight": "oi", "bias": "o"},
    "conv 1": {"weight": "oi11", "bias": "o"},
    "conv 3": {"weight": "oi33", "bias": "o"},
    "down": {"conv.weight": "oi33", "conv.bias": "o"},
    "up": {"conv.weight": "Oi11", "conv.bias": "O"},
    "residual": {"conv1.weight": "hi33", "conv1.bias": "h", "conv2.weight": "oh33", "conv2.bias": "o"},
}
TENSORS["modulated"] = TENSORS["residual"] | {"modulation.linear.weight": "HE", "modulation.linear.bias": "H"}
for kind in ("residual", "modulated"):
    TENSORS[f"noisy {kind}"] = TENSORS[kind] | {"noise.mix.weight": "hp11", "noise.mix.bias": "h"}
NOISE = {
    name: (int(planes), int(seed))
    for name, planes, seed in table_after("stablecodec.md", "noisy layer | planes | seed")
}
SHIPPED = StableCodecConfig.from_json(store.read_weights(store.path_of("stablecodec-mini")).metadata["config"])
ENCODER = ("vae.encoder.", "auxiliary_encoder.", "analysis.", "entropy.")


def documented_shapes():
    shapes = {"log_gain.scaled": [9, 256], "vae.scale": [32]}
    for name, kind, inputs, outputs, hidden in LAYERS:
        h = 0 if hidden == "-" else int(hidden)
        sizes = {
            "o": int(outputs),
            "O": 4 * int(outputs),
            "i": int(inputs),
            "h": h,
            "H": 2 * h,
            "E": 64,
            "p": NOISE[name][0] if name in NOISE else 0,
            "3": 3,
            "1": 1,
        }
        for tensor, letters in TENSORS[kind].items():
            shapes[f"{name}.{tensor}"] = [sizes[letter] for letter in letters]
    return shapes


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


def noise(planes, height, width, seed):
    def plane(p, i, j):
        a = (0x9E3779B1 * i + 0x85EBCA77 * j + 0xC2B2AE3D * p + 0x27D4EB2F * seed) % 2**32
        a = (a ^ (a >> 15)) * 0x2C1B3C6D % 2**32
        a = (a ^ (a >> 12)) * 0x297A2D39 % 2**32
        a = a ^ (a >> 15)
        return ((a >> 8) / 2**23 - 1) * math.sqrt(3)

    values = [[[plane(p, i, j) for j in range(width)] for i in range(height)] for p in range(planes)]
    return torch.tensor(values, dtype=torch.float64)


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


class Picture:
    """From y^ to pixels, with the formulas and layer tables of the document."""

    def __init__(self, tensors, channels, alpha, q):
        self.tensors, self.channels, self.alpha = tensors, channels, alpha
        self.r = q / 256
        self.kinds = {name: kind for name, kind, *_ in LAYERS}
        angles = [math.pi * self.r * factor for factor in (0.5, 1, 2, 4)]
        u = torch.tensor([self.r, *map(math.sin, angles), *map(math.cos, angles)], dtype=torch.float64)
        self.e = F.relu(self.linear("embedding.linear2", F.relu(self.linear("embedding.linear1", u))))

    def linear(self, name, x):
        return self.tensors[f"{name}.weight"] @ x + self.tensors[f"{name}.bias"]

    def conv(self, name, x, stride=1):
        weight = self.tensors[f"{name}.weight"]
        return F.conv2d(x, weight, self.tensors[f"{name}.bias"], stride, weight.shape[2] // 2)

    def layer(self, name, x):
        kind = self.kinds[name]
        if kind == "conv 3":
            return self.conv(name, x)
        if kind == "down":
            return self.conv(f"{name}.conv", x, stride=2)
        if kind == "up":
            return F.pixel_shuffle(self.conv(f"{name}.conv", x), 2)
        hidden = self.conv(f"{name}.conv1", x)
        if kind.startswith("noisy"):
            planes = self.tensors[f"{name}.noise.mix.weight"].shape[1]
            hidden = hidden + self.conv(f"{name}.noise.mix", noise(planes, *x.shape[1:], NOISE[name][1]))
        if kind.endswith("modulated"):
            v = self.linear(f"{name}.modulation.linear", self.e)[:, None, None]
            half = len(v) // 2
            hidden = hidden * (1 + v[:half]) + v[half:]
        return x + self.conv(f"{name}.conv2", F.relu(hidden))

    def stack(self, prefix, x):
        for name in self.kinds:
            if name.startswith(prefix):
                x = self.layer(name, x)
        return x

    def unet(self, features):
        def of(name, x):
            return self.layer(f"unet.{name}", x)

        x8 = of("in8", features)
        x16 = of("in16", of("down16", x8))
        x32 = of("mid2", of("mid1", of("down32", x16)))
        x16 = of("out16", x16 + of("up16", x32))
        return of("head", of("out8", x8 + of("up8", x16)))

    def pixels(self, y):
        p = 8 * self.r
        b = math.floor(p)
        scaled = self.tensors["log_gain.scaled"]
        gain = torch.exp(8 * ((1 - (p - b)) * scaled[b] + (p - b) * scaled[b + 1]))
        g = y / 16 / gain[:, None, None]
        features = self.stack("synthesis.", g)
        x_0 = features[: self.channels] - math.sqrt(1 - self.alpha) * self.unet(features)
        shortcut = F.pixel_shuffle(self.conv("auxiliary_decoder.shortcut", g), 4)
        latents = x_0 / math.sqrt(self.alpha) + self.stack("auxiliary_decoder.layers.", g) + shortcut
        latents = latents * self.tensors["vae.scale"][:, None, None]
        o = self.stack("vae.decoder.layers.", latents)
        shortcut = F.pixel_shuffle(self.conv("vae.decoder.shortcut", latents), 8)
        return (F.pixel_shuffle(o, 2) + shortcut) / 4 + 0.5


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
            theirs = Picture(codec.state_dict(), 3, 0.7, q).pixels(y)
            assert theirs.shape == (3, 64, 128)
            assert ours.std() > 1e-3
            torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-6)
