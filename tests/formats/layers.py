"""The layers of the documents: their tensors' shapes, and what their formulas compute."""

import math

import torch
from documents import table_after, tables_of
from torch.nn import functional as F

EMBEDDING = 64


def layers_of(name):
    """Rows of all layer tables of a document: name, kind, channels in, out and hidden."""
    return [row for table in tables_of(name, "layer | kind | in | out | hidden") for row in table]


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
# Of an attention, `h` are the tokens' channels and `n`, `k` heads and places, by the document's sizes.
TENSORS["attention 1"] = {
    "query.weight": "ii11", "query.bias": "i", "key_value.weight": "Ih11", "key_value.bias": "I",
    "out.weight": "ii11", "out.bias": "i", "bias": "n1k",
}  # fmt: skip
TENSORS["attention 2"] = TENSORS["attention 1"] | {"bias": "n4k"}


def noise_of(name):
    """Planes and seed of the noisy layers of a document, by name."""
    rows = table_after(name, "noisy layer | planes | seed")
    return {layer: (int(planes), int(seed)) for layer, planes, seed in rows}


NOISE = noise_of("stablecodec.md")


def shapes_of(layers, noise=NOISE):
    """Shapes of all tensors of layers."""
    shapes = {}
    for name, kind, inputs, outputs, hidden in layers:
        h = 0 if hidden == "-" else int(hidden)
        sizes = {
            "o": int(outputs),
            "O": 4 * int(outputs),
            "i": int(inputs),
            "I": 2 * int(inputs),
            "h": h,
            "H": 2 * h,
            "E": EMBEDDING,
            "p": noise[name][0] if name in noise else 0,
            "n": 4,
            "k": 25,
            "4": 4,
            "3": 3,
            "1": 1,
        }
        for tensor, letters in TENSORS[kind].items():
            shapes[f"{name}.{tensor}"] = [sizes[letter] for letter in letters]
    return shapes


def noise(planes, height, width, seed):
    def plane(p, i, j):
        a = (0x9E3779B1 * i + 0x85EBCA77 * j + 0xC2B2AE3D * p + 0x27D4EB2F * seed) % 2**32
        a = (a ^ (a >> 15)) * 0x2C1B3C6D % 2**32
        a = (a ^ (a >> 12)) * 0x297A2D39 % 2**32
        a = a ^ (a >> 15)
        return ((a >> 8) / 2**23 - 1) * math.sqrt(3)

    values = [[[plane(p, i, j) for j in range(width)] for i in range(height)] for p in range(planes)]
    return torch.tensor(values, dtype=torch.float64)


class Layers:
    """The formulas of layers, rate embedding and gain, in float64."""

    noise = NOISE

    def __init__(self, layers, tensors, channels, alpha, q):
        self.tensors, self.channels, self.alpha = tensors, channels, alpha
        self.r = q / 256
        self.kinds = {name: kind for name, kind, *_ in layers}
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
        if kind in ("conv 1", "conv 3"):
            return self.conv(name, x)
        if kind == "down":
            return self.conv(f"{name}.conv", x, stride=2)
        if kind == "up":
            return F.pixel_shuffle(self.conv(f"{name}.conv", x), 2)
        hidden = self.conv(f"{name}.conv1", x)
        if kind.startswith("noisy"):
            planes = self.tensors[f"{name}.noise.mix.weight"].shape[1]
            hidden = hidden + self.conv(f"{name}.noise.mix", noise(planes, *x.shape[1:], self.noise[name][1]))
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

    def without_gain(self, y):
        """y^ in sixteenths -> g."""
        p = 8 * self.r
        b = math.floor(p)
        scaled = self.tensors["log_gain.scaled"]
        gain = torch.exp(8 * ((1 - (p - b)) * scaled[b] + (p - b) * scaled[b + 1]))
        return y / 16 / gain[:, None, None]

    def vae(self, latents):
        """Latents with unit variance -> pixels."""
        latents = latents * self.tensors["vae.scale"][:, None, None]
        o = self.stack("vae.decoder.layers.", latents)
        shortcut = F.pixel_shuffle(self.conv("vae.decoder.shortcut", latents), 8)
        return (F.pixel_shuffle(o, 2) + shortcut) / 4 + 0.5
