"""LPIPS (Zhang et al. 2018, eq. 1) and DISTS (Ding et al. 2020, eq. 6) on torch tensors.

Both take pictures [B, 3, H, W] in 0..1 and return [B] in float32: 0 for identical pictures, larger is worse.
Networks: ImageNet classifiers (AlexNet, VGG16) whose weights arrive as a mapping of arrays; this file knows no paths.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# (in, out, kernel, stride, padding, max-pool before the layer); features are the ReLU outputs of every layer.
_ALEXNET = ((3, 64, 11, 4, 2, False), (64, 192, 5, 1, 2, True), (192, 384, 3, 1, 1, True),
            (384, 256, 3, 1, 1, False), (256, 256, 3, 1, 1, False))  # fmt: skip
_VGG_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
VGG_CHANNELS = (64, 128, 256, 512, 512)


class AlexNet(nn.Module):
    """Features of the five convolutions of AlexNet."""

    channels = (64, 192, 384, 256, 256)

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(i, o, k, s, p) for i, o, k, s, p, _ in _ALEXNET)

    def forward(self, x: Tensor) -> Iterator[Tensor]:
        for layer, row in zip(self.convs, _ALEXNET, strict=True):
            if row[5]:
                x = F.max_pool2d(x, 3, 2)
            x = F.relu(layer(x))
            yield x


class VGG16(nn.Module):
    """Features at the end of the first `depth` stages of VGG16; `l2_pool` pools between stages as DISTS does."""

    def __init__(self, depth: int = 5, l2_pool: bool = False):
        super().__init__()
        self.l2_pool = l2_pool
        self.channels = VGG_CHANNELS[:depth]
        self.stages = nn.ModuleList()
        width = 3
        for stage in _VGG_STAGES[:depth]:
            layers = []
            for out in stage:
                layers.append(nn.Conv2d(width, out, 3, 1, 1))
                width = out
            self.stages.append(nn.ModuleList(layers))

    def forward(self, x: Tensor) -> Iterator[Tensor]:
        for number, stage in enumerate(self.stages):
            if number:
                x = _l2_pool(x) if self.l2_pool else F.max_pool2d(x, 2, 2)
            for layer in stage.children():
                x = F.relu(layer(x))
            yield x


def _l2_pool(x: Tensor) -> Tensor:
    """Pooling of DISTS: root of the Hann-weighted mean of squares, stride 2 (Ding et al. 2020, eq. 3)."""
    window = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device)
    kernel = torch.outer(window, window).expand(x.shape[1], 1, 3, 3)
    return (F.conv2d(x.square(), kernel, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()


class LPIPS(nn.Module):
    """Learned distance: squared difference of unit-normalised features, weighted per channel, summed over layers."""

    shift: Tensor
    spread: Tensor

    def __init__(self, network: AlexNet | VGG16):
        super().__init__()
        self.network = network
        self.heads = nn.ParameterList(nn.Parameter(torch.ones(c)) for c in network.channels)
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188])[:, None, None], persistent=False)
        self.register_buffer("spread", torch.tensor([0.458, 0.448, 0.450])[:, None, None], persistent=False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.distance(self.features(a), self.features(b))

    def features(self, x: Tensor) -> list[Tensor]:
        """Feature maps of every layer, not normalised."""
        return list(self.network((x * 2 - 1 - self.shift) / self.spread))

    def distance(self, a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
        """[B], from what `features` returned for two pictures."""
        terms = [_unit_distance(fa, fb, head).mean(1) for fa, fb, head in zip(a, b, self.heads, strict=True)]
        return torch.stack(terms).sum(0)


def _unit_distance(a: Tensor, b: Tensor, head: Tensor) -> Tensor:
    """Features [B, C, h, w] -> sum over channels of head * (a/|a| - b/|b|)^2, float32 [B, h * w].

    The square is expanded into three products over channels, which makes every pass over the features a plain
    multiplication or a matrix product: several times faster than normalising them first, in training above all. A
    compiler makes one pass of plain sums, and none of products that a library computes.
    """
    with torch.autocast(a.device.type, enabled=False):
        a, b = (x.float().permute(0, 2, 3, 1).flatten(1, 2) for x in (a, b))
        if torch.compiler.is_compiling():
            norm_a, norm_b = ((x * x).sum(-1) + 1e-12 for x in (a, b))
            aa, bb, ab = ((x * y * head).sum(-1) for x, y in ((a, a), (b, b), (a, b)))
            return aa / norm_a + bb / norm_b - 2 * ab * (norm_a * norm_b).rsqrt()
        weights = torch.stack([head, torch.ones_like(head)], dim=1)
        (aa, norm_a), (bb, norm_b) = ((x.square() @ weights).unbind(-1) for x in (a, b))
        norm_a, norm_b = norm_a + 1e-12, norm_b + 1e-12
        return aa / norm_a + bb / norm_b - 2 * ((a * b) @ head) * (norm_a * norm_b).rsqrt()


class DISTS(nn.Module):
    """Structure and texture similarity of VGG16 features and of the picture itself; 1 - weighted similarity."""

    mean: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.network = VGG16(l2_pool=True)
        total = 3 + sum(self.network.channels)
        self.alpha = nn.Parameter(torch.full((total,), 1.0))
        self.beta = nn.Parameter(torch.full((total,), 1.0))
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None], persistent=False)
        self.register_buffer("spread", torch.tensor([0.229, 0.224, 0.225])[:, None, None], persistent=False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.distance(self.features(a), self.features(b))

    def features(self, x: Tensor) -> list[Tensor]:
        """The picture itself and the feature maps of every stage."""
        return [x, *self.network((x - self.mean) / self.spread)]

    def distance(self, a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
        """[B], from what `features` returned for two pictures."""
        weight = self.alpha.sum() + self.beta.sum()
        similarity = a[0].new_zeros(a[0].shape[0])
        start = 0
        for fa, fb in zip(a, b, strict=True):
            part = slice(start, start + fa.shape[1])
            texture, structure = _similarities(fa.float(), fb.float())
            similarity = similarity + (texture @ self.alpha[part] + structure @ self.beta[part]) / weight
            start = part.stop
        return 1 - similarity


def _similarities(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Feature maps [B, C, h, w] -> texture (means) and structure (covariance) similarity, each [B, C]."""
    small = 1e-6
    mean_a, mean_b = a.mean((2, 3)), b.mean((2, 3))
    # Centred first: E[ab] - E[a]E[b] loses so much in float32 that a constant picture would differ from itself
    a, b = a - mean_a[:, :, None, None], b - mean_b[:, :, None, None]
    var_a, var_b, covariance = a.square().mean((2, 3)), b.square().mean((2, 3)), (a * b).mean((2, 3))
    texture = (2 * mean_a * mean_b + small) / (mean_a.square() + mean_b.square() + small)
    structure = (2 * covariance + small) / (var_a + var_b + small)
    return texture, structure


def load_lpips(arrays: Mapping[str, Tensor], network: AlexNet | VGG16) -> LPIPS:
    """LPIPS with weights named conv.N.weight / conv.N.bias / head.N, in layer order; `network` may be cut short."""
    metric = LPIPS(network)
    _copy_convs(arrays, network)
    for number, head in enumerate(metric.heads):
        head.data.copy_(arrays[f"head.{number}"].flatten())
    return metric.eval().requires_grad_(False)


def load_dists(arrays: Mapping[str, Tensor], alpha: Tensor, beta: Tensor) -> DISTS:
    """DISTS from VGG16 convolutions named as in `load_lpips` and its published channel weights."""
    metric = DISTS()
    _copy_convs(arrays, metric.network)
    metric.alpha.data.copy_(alpha.flatten())
    metric.beta.data.copy_(beta.flatten())
    return metric.eval().requires_grad_(False)


def _copy_convs(arrays: Mapping[str, Tensor], network: nn.Module) -> None:
    layers = (m for m in network.modules() if isinstance(m, nn.Conv2d))
    for number, layer in enumerate(layers):
        layer.weight.data.copy_(arrays[f"conv.{number}.weight"])
        if layer.bias is not None:
            layer.bias.data.copy_(arrays[f"conv.{number}.bias"])
