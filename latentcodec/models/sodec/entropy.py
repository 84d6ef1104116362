"""The entropy model in floating point, as it is trained: a hyperprior without context.

    y --HyperAnalysis H_a--> z --round--> z^ --Probability P--> mean and scale of y

Symbols of y are round(y - mean); everything here lives in the quantised domain (y already multiplied by its gain).
Files are never coded with P as it is here: `integer_entropy` runs the same network in integers, after `export`.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from latentcodec.models.blocks.convs import conv
from latentcodec.models.blocks.information import Symbolise, as_trained, gaussian_information
from latentcodec.models.blocks.rate import KnotModulation, RateKnots
from latentcodec.models.sodec.config import SodecConfig

INITIAL_POSITIONS = (3.0, 18.0)  # at the lowest and highest rate


class HyperAnalysis(nn.Module):
    """y [B, M, h, w] -> z [B, Cz, h/4, w/4], before rounding."""

    def __init__(self, config: SodecConfig):
        super().__init__()
        width = config.hyper_width
        self.conv1 = conv(config.y_channels, width)
        self.modulation = KnotModulation(width)
        self.conv2 = conv(width, width, stride=2)
        self.conv3 = conv(width, width, stride=2)
        self.conv4 = conv(width, config.z_channels, kernel=1)

    def forward(self, y: Tensor, rate: Tensor) -> Tensor:
        # Latents in the quantised domain grow with the rate; the logarithm keeps the network's input in range.
        hidden = F.relu(self.modulation(self.conv1(y.sign() * y.abs().log1p()), rate))
        return self.conv4(F.relu(self.conv3(F.relu(self.conv2(hidden)))))


class Probability(nn.Module):
    """z^ [B, Cz, h, w] -> mean and table position before the offset, both [B, M, 4h, 4w]."""

    def __init__(self, config: SodecConfig):
        super().__init__()
        width = config.hyper_width
        self.conv1 = conv(config.z_channels, width, kernel=1)
        self.modulation = KnotModulation(width)
        self.conv2 = conv(width, width)
        self.conv3 = conv(width, 4 * width, kernel=1)
        self.conv4 = conv(width, width)
        self.conv5 = conv(width, 4 * width, kernel=1)
        self.out = conv(width, 2 * config.y_channels, kernel=1, gain=0.1)

    def forward(self, z: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        hidden = F.relu(self.modulation(self.conv1(z), rate))
        hidden = F.relu(F.pixel_shuffle(self.conv3(F.relu(self.conv2(hidden))), 2))
        hidden = F.relu(F.pixel_shuffle(self.conv5(F.relu(self.conv4(hidden))), 2))
        mean, position = self.out(hidden).chunk(2, dim=1)
        return mean, position


class EntropyModel(nn.Module):
    """Rate of y and z, and y^ and z^ as the decoder will see them.

    Table positions of y are the output of P plus an offset per channel and rate, which is all that the decoder knows
    where z says nothing.
    """

    def __init__(self, config: SodecConfig):
        super().__init__()
        self.hyper_analysis = HyperAnalysis(config)
        self.probability = Probability(config)
        self.prior = RateKnots(config.z_channels, *INITIAL_POSITIONS, speed=50.0)
        self.offset = RateKnots(config.y_channels, *INITIAL_POSITIONS, speed=50.0)

    def forward(self, y: Tensor, rate: Tensor, symbolise: Symbolise = as_trained) -> tuple[Tensor, Tensor, Tensor]:
        """y [B, M, h, w] (gain applied), rate [B] -> y^ and z^ (straight-through rounding), bits [B]."""
        z = self.hyper_analysis(y, rate)
        prior = self.prior(rate).expand_as(z)
        known, counted = symbolise(z, prior, False)
        bits = gaussian_information(counted, prior).sum((1, 2, 3))
        mean, position = self.probability(known, rate)
        position = position + self.offset(rate)
        decoded, counted = symbolise(y - mean, position, True)
        bits = bits + gaussian_information(counted, position).sum((1, 2, 3))
        return mean + decoded, known, bits
