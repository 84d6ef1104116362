"""Features of FID and KID: 256-pixel patches of pictures, seen by the Inception-v3 of the original FID.

Patches are cut as HiFiC proposed and NeuralCompression does (Mentzer et al. 2020): a grid from the upper left corner,
and for pictures of 384 pixels or more on both sides a second grid, shifted by half a patch both ways.

The network is the TensorFlow Inception-v3 of 2015-12-05 in the port of pytorch-fid, whose tensor names are used here.
Like that port it differs from torchvision's: mean pooling ignores the padding, the last block takes a maximum, and the
input is resized to 299x299 (bilinear, half-pixel centres) and scaled to -1..1. Verified: names, shapes and features
equal those of pytorch-fid's and torch-fidelity's code with random weights. Not verified here: a published FID, since
the weights file could not be had when this was written.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentcodec.image import Pixels
from latentcodec.metrics.registry import PATCH_SIDE

FEATURES = 2048
_INPUT_SIDE = 299

Kernel = int | tuple[int, int]
# A branch of a block: its convolutions one after the other as (name, channels, kernel). Two whose names end in "a" and
# "b" read the same input and are concatenated.
Branch = tuple[tuple[str, int, Kernel], ...]


class ConvNorm(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: Kernel, stride: int = 1, padded: bool = True):
        super().__init__()
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (height // 2, width // 2) if padded else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, (height, width), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches side by side, concatenated. The branch called branch_pool reads the pooled input."""

    def __init__(self, inputs: int, branches: tuple[Branch, ...], largest: bool = False):
        super().__init__()
        self.branches = branches
        self.largest = largest
        for branch in branches:
            width = inputs
            for name, channels, kernel in branch:
                self.add_module(name, ConvNorm(width, channels, kernel))
                if not name.endswith("a"):
                    width = 2 * channels if name.endswith("b") else channels

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self._run(branch, x) for branch in self.branches], 1)

    def _run(self, branch: Branch, x: Tensor) -> Tensor:
        if branch[0][0] == "branch_pool":
            x = F.max_pool2d(x, 3, 1, 1) if self.largest else F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        halves = []
        for name, _, _ in branch:
            y = self.get_submodule(name)(x)
            if name[-1] not in "ab":
                x = y
                continue
            halves.append(y)
            if name.endswith("b"):
                x = torch.cat(halves, 1)
        return x


class Reduction(nn.Module):
    """Branches that end with stride 2, and a maximum over the input, concatenated."""

    def __init__(self, inputs: int, branches: tuple[Branch, ...]):
        super().__init__()
        self.branches = branches
        for branch in branches:
            width = inputs
            for name, channels, kernel in branch:
                last = name == branch[-1][0]
                self.add_module(name, ConvNorm(width, channels, kernel, stride=2 if last else 1, padded=not last))
                width = channels

    def forward(self, x: Tensor) -> Tensor:
        parts = []
        for branch in self.branches:
            y = x
            for name, _, _ in branch:
                y = self.get_submodule(name)(y)
            parts.append(y)
        return torch.cat([*parts, F.max_pool2d(x, 3, 2)], 1)


_ROW, _COLUMN = (1, 7), (7, 1)


def _block_a(pooled: int) -> tuple[Branch, ...]:
    return (
        (("branch1x1", 64, 1),),
        (("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)),
        (("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)),
        (("branch_pool", pooled, 1),),
    )


def _block_c(width: int) -> tuple[Branch, ...]:
    return (
        (("branch1x1", 192, 1),),
        (("branch7x7_1", width, 1), ("branch7x7_2", width, _ROW), ("branch7x7_3", 192, _COLUMN)),
        (("branch7x7dbl_1", width, 1), ("branch7x7dbl_2", width, _COLUMN), ("branch7x7dbl_3", width, _ROW),
         ("branch7x7dbl_4", width, _COLUMN), ("branch7x7dbl_5", 192, _ROW)),
        (("branch_pool", 192, 1),),
    )  # fmt: skip


_BLOCK_B: tuple[Branch, ...] = (
    (("branch3x3", 384, 3),),
    (("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)),
)
_BLOCK_D: tuple[Branch, ...] = (
    (("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3)),
    (("branch7x7x3_1", 192, 1), ("branch7x7x3_2", 192, _ROW), ("branch7x7x3_3", 192, _COLUMN),
     ("branch7x7x3_4", 192, 3)),
)  # fmt: skip
_BLOCK_E: tuple[Branch, ...] = (
    (("branch1x1", 320, 1),),
    (("branch3x3_1", 384, 1), ("branch3x3_2a", 384, (1, 3)), ("branch3x3_2b", 384, (3, 1))),
    (("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3),
     ("branch3x3dbl_3a", 384, (1, 3)), ("branch3x3dbl_3b", 384, (3, 1))),
    (("branch_pool", 192, 1),),
)  # fmt: skip


class Inception(nn.Module):
    """uint8 patches [B, 3, H, W] -> features [B, 2048], float32."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvNorm(3, 32, 3, stride=2, padded=False)
        self.Conv2d_2a_3x3 = ConvNorm(32, 32, 3, padded=False)
        self.Conv2d_2b_3x3 = ConvNorm(32, 64, 3)
        self.Conv2d_3b_1x1 = ConvNorm(64, 80, 1)
        self.Conv2d_4a_3x3 = ConvNorm(80, 192, 3, padded=False)
        self.Mixed_5b = Mixed(192, _block_a(32))
        self.Mixed_5c = Mixed(256, _block_a(64))
        self.Mixed_5d = Mixed(288, _block_a(64))
        self.Mixed_6a = Reduction(288, _BLOCK_B)
        self.Mixed_6b = Mixed(768, _block_c(128))
        self.Mixed_6c = Mixed(768, _block_c(160))
        self.Mixed_6d = Mixed(768, _block_c(160))
        self.Mixed_6e = Mixed(768, _block_c(192))
        self.Mixed_7a = Reduction(768, _BLOCK_D)
        self.Mixed_7b = Mixed(1280, _BLOCK_E)
        self.Mixed_7c = Mixed(2048, _BLOCK_E, largest=True)
        self.fc = nn.Linear(FEATURES, 1008)  # the published classifier; not used for features

    def forward(self, patches: Tensor) -> Tensor:
        x = F.interpolate(patches.float() / 255, (_INPUT_SIDE, _INPUT_SIDE), mode="bilinear", align_corners=False)
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(2 * x - 1)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = F.max_pool2d(x, 3, 2)
        for name, block in self.named_children():
            if name.startswith("Mixed"):
                x = block(x)
        return x.mean((2, 3))


def load_inception(arrays: Mapping[str, Tensor]) -> Inception:
    """The network with weights under the names of pytorch-fid, all of them."""
    network = Inception()
    network.load_state_dict(dict(arrays))
    return network.eval().requires_grad_(False)


def patches(pixels: Pixels) -> Iterator[Pixels]:
    """uint8 [H, W, 3] -> its patches, each uint8 [256, 256, 3]; none where a side is shorter."""
    half = PATCH_SIDE // 2
    shifts = (0, half) if min(pixels.shape[:2]) >= PATCH_SIDE + half else (0,)
    for shift in shifts:
        for top in range(shift, pixels.shape[0] - PATCH_SIDE + 1, PATCH_SIDE):
            for left in range(shift, pixels.shape[1] - PATCH_SIDE + 1, PATCH_SIDE):
                yield pixels[top : top + PATCH_SIDE, left : left + PATCH_SIDE]


def to_tensor(cut: list[Pixels]) -> Tensor:
    """Patches -> uint8 [N, 3, 256, 256]."""
    return torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2)
