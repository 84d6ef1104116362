"""Metrics that other people's programs compute: MS-SSIM, FLIP, ColorVideoVDP. None is needed to encode or decode.

Two are packages, imported when used. ColorVideoVDP is a program of its own, because its package brings torchvision,
which replaces a CPU build of torch by one for CUDA; it runs as a process, from wherever it was installed.
"""

import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from latentcodec.errors import InputError
from latentcodec.image import Picture, Pixels, write_picture
from latentcodec.metrics.distortion import check_pair
from latentcodec.metrics.registry import Metric

CVVDP_DISPLAY = "standard_4k"
_MODULES = {"pytorch-msssim": "pytorch_msssim", "flip-evaluator": "flip_evaluator"}


def require(metric: Metric) -> None:
    """Raises InputError, with the command that helps, where the package or program of the metric is not installed."""
    if metric.package and find_spec(_MODULES[metric.package]) is None:
        raise InputError(f"the package {metric.package} is not installed; run 'pip install {metric.package}'")
    if metric.program and shutil.which(metric.program) is None:
        raise InputError(
            f"no program {metric.program} on the PATH; install it apart from lcodec: 'pipx install {metric.program}'"
        )


def ms_ssim(a: Pixels, b: Pixels, device: torch.device | str = "cpu") -> float:
    """MS-SSIM of uint8 [H, W, 3], 0 to 1: per channel of sRGB, then their mean. Raises InputError below 161 pixels."""
    from pytorch_msssim import ms_ssim as measure

    check_pair("ms_ssim", a, b)
    # float64: a variance is the small difference of large means here
    x, y = (torch.from_numpy(pixels.copy()).to(device).permute(2, 0, 1)[None].double() for pixels in (a, b))
    return float(measure(x, y, data_range=255))


def flip(reference: Pixels, test: Pixels) -> float:
    """Mean FLIP of uint8 [H, W, 3], 0 to 1: LDR, 67.02 pixels per degree, which is the tool's default."""
    from flip_evaluator import evaluate

    check_pair("flip", reference, test)
    a, b = (pixels.astype(np.float32) / 255 for pixels in (reference, test))
    _, mean, _ = evaluate(a, b, "LDR", applyMagma=False)
    return float(mean)


def cvvdp(reference: Pixels, test: Pixels, device: str = "cpu") -> float:
    """Quality of uint8 [H, W, 3] in JOD, 10 for equal pictures, on the display CVVDP_DISPLAY. Raises InputError."""
    check_pair("cvvdp", reference, test)
    with tempfile.TemporaryDirectory() as folder:
        # BMP: the program reads PNG only where it finds or can download the library FreeImage
        paths = {"--ref": Path(folder) / "reference.bmp", "--test": Path(folder) / "test.bmp"}
        for path, pixels in zip(paths.values(), (reference, test), strict=True):
            path.write_bytes(write_picture(Picture(pixels), ".bmp"))
        command = ["cvvdp", "--quiet", "--display", CVVDP_DISPLAY, "--device", device]
        for option, path in paths.items():
            command += [option, str(path)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return float(result.stdout.split()[-1])
    except (IndexError, ValueError) as error:  # it may report an error and still exit with 0
        reason = (result.stderr.strip().splitlines() or ["no figure"])[-1]
        raise InputError(f"cvvdp failed: {reason}") from error
