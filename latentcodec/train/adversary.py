"""A patch discriminator (Isola et al. 2017) with hinge loss (Lim and Ye 2017), for the last stage of training."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from latentcodec.models.blocks.convs import conv

WIDTHS = (32, 64, 128)
SLOPE = 0.2


class PatchDiscriminator(nn.Module):
    """Pictures [B, 3, H, W] in 0..1 -> realism of patches [B, 1, H/8, W/8]; spectrally normalised."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS):
        super().__init__()
        layers = []
        channels = 3
        for width in widths:
            layers.append(spectral_norm(conv(channels, width, kernel=5, stride=2, gain=math.sqrt(2))))
            channels = width
        self.layers = nn.ModuleList(layers)
        self.head = spectral_norm(conv(channels, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        x = pixels * 2 - 1
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
        return self.head(x)

    def generator_loss(self, output: Tensor) -> Tensor:
        """[B]: low where the pictures pass as real. Sends no gradient to the discriminator."""
        with _frozen(self):
            return -self(output).float().mean((1, 2, 3))

    def own_loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Scalar hinge loss. Sends no gradient to the codec."""
        real, fake = self(target).float(), self(output.detach()).float()
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    parameters = [p for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    yield
    for parameter in parameters:
        parameter.requires_grad_(True)
