"""The auxiliary encoder: the analysis transform of ELIC (He et al. 2022), frozen."""

from torch import Tensor, nn
from torch.nn import functional as F


class Bottleneck(nn.Module):
    """x + pointwise, 3x3, pointwise, with half of the channels between."""

    def __init__(self, channels: int):
        super().__init__()
        self.branch = _narrowed(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class ResidualUnit(nn.Module):
    """relu(x + pointwise, 3x3, pointwise), as the attention of Cheng et al. 2020 has it."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = _narrowed(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.conv(x))


class Attention(nn.Module):
    """x + a * sigmoid(b), each of three residual units."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv_a = nn.Sequential(*(ResidualUnit(channels) for _ in range(3)))
        self.conv_b = nn.Sequential(*(ResidualUnit(channels) for _ in range(3)), nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_a(x) * self.conv_b(x).sigmoid()


class ElicAnalysis(nn.Module):
    """Pixels [B, 3, H, W] in 0..1 -> features [B, M, H/16, W/16]."""

    def __init__(self, width: int, outputs: int):
        super().__init__()
        self.analysis_transform = nn.Sequential(
            _down(3, width),
            *(Bottleneck(width) for _ in range(3)),
            _down(width, width),
            *(Bottleneck(width) for _ in range(3)),
            Attention(width),
            _down(width, width),
            *(Bottleneck(width) for _ in range(3)),
            _down(width, outputs),
            Attention(outputs),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        return self.analysis_transform(pixels)


def _down(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 5, stride=2, padding=2)


def _narrowed(channels: int) -> nn.Sequential:
    half = channels // 2
    return nn.Sequential(
        nn.Conv2d(channels, half, 1),
        nn.ReLU(),
        nn.Conv2d(half, half, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(half, channels, 1),
    )
