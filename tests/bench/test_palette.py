"""The colours of curves can be told apart by everybody, and seen on their background."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from latentcodec.bench import report

STYLE = (Path(report.__file__).with_name("page") / "page.css").read_text()
# Machado, Oliveira, Fernandes, IEEE TVCG 2009: simulation of colour vision deficiency at severity 1.
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_LMS = [[0.4122215, 0.5363325, 0.0514460], [0.2119035, 0.6806995, 0.1073970], [0.0883025, 0.2817188, 0.6299787]]
TO_LAB = [[0.2104543, 0.7936178, -0.0040720], [1.9779985, -2.4285922, 0.4505937], [0.0259040, 0.7827718, -0.8086758]]


def colours(pattern: str, theme: int) -> np.ndarray:
    """Linear RGB, one row per colour of the style that `pattern` names."""
    found = re.findall(pattern + r": light-dark\(#(\w{6}), #(\w{6})\)", STYLE)
    values = np.array([list(bytes.fromhex(pair[theme])) for pair in found]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def oklab(linear: np.ndarray) -> np.ndarray:
    return np.cbrt(np.clip(linear, 0, 1) @ np.transpose(TO_LMS)) @ np.transpose(TO_LAB)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("vision", VISION)
def test_curves_are_apart(vision: str, theme: int) -> None:
    series = colours(r"\.measured-\d \{ --series", theme)
    seen = oklab(series @ np.transpose(VISION[vision]))
    assert len(seen) == 8
    # 0.02 is about a just noticeable difference in OKLab.
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 0.06


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("pattern", "least"),
    [(r"--ink", 7), (r"--soft", 4.5), (r"--accent", 4.5), (r"--edge", 3), (r"--series", 3)],
)
def test_contrast_against_the_background(pattern: str, least: float, theme: int) -> None:
    weights = [0.2126, 0.7152, 0.0722]
    for ground in ("--paper", "--raised"):
        (behind,) = colours(ground, theme) @ weights
        for luminance in colours(pattern, theme) @ weights:
            low, high = sorted((behind, luminance))
            assert (high + 0.05) / (low + 0.05) >= least
