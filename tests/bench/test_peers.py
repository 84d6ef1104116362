"""Published figures are drawn where images and definitions are the same, and nowhere else."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from latentcodec.bench.peers import BUILT_IN, KODAK, published
from latentcodec.bench.results import Row
from latentcodec.bench.statistics import METRICS, bd_rate
from latentcodec.errors import InputError

ROWS = [Row(f"{name}.png", "lcodec", "0.1bpp", 768, 512, "", 4915, 0.1) for name in sorted(KODAK)]


def test_published_curves_of_kodak() -> None:
    curves = {curve.name: curve for curve in published(ROWS)}
    assert list(curves) == ["StableCodec", "AEIC-ME (estimated bpp)", "AEIC-SE (estimated bpp)", "MS-ILLM", "VTM"]
    first = curves["StableCodec"].points[0]
    assert (first.bpp.mean, first.bpp.margin, first.values["lpips_alex"].mean) == (0.00579, None, 0.30967)
    assert all("arXiv" in curve.source or "doi" in curve.source for curve in curves.values())


def test_ms_ssim_of_luma_is_not_drawn_beside_that_of_rgb() -> None:
    with_it = {curve.name for curve in published(ROWS) if any("ms_ssim" in point.values for point in curve.points)}
    assert with_it == {"MS-ILLM", "VTM"}


def test_bd_rate_between_published_curves() -> None:
    curves = {curve.name: curve for curve in published(ROWS)}
    results = {
        metric.column: bd_rate(curves["StableCodec"], curves["AEIC-ME (estimated bpp)"], metric).percent
        for metric in METRICS
        if metric.column in ("psnr", "lpips_alex", "dists")
    }
    # Worked out apart from the package: trapezoid sums of 200,001 samples of both interpolated curves.
    assert results == pytest.approx({"psnr": 1.5467, "lpips_alex": -9.0035, "dists": -26.1412}, abs=1e-3)


@pytest.mark.parametrize("rows", [ROWS[1:], [*ROWS, replace(ROWS[0], image="other.png")],
                                  [replace(row, width=512) for row in ROWS]],
                         ids=["an image less", "an image more", "cropped"])  # fmt: skip
def test_other_images_have_no_published_figures(rows: list[Row]) -> None:
    assert published(rows) == ()


def test_own_file_in_json(tmp_path: Path) -> None:
    record = {"name": "X", "paper": "P", "table": "T", "images": "kodak", "rate": "file", "bpp": [0.2, 0.1],
              "metrics": {"psnr": {"definition": "RGB", "values": [30, 25]}}}  # fmt: skip
    path = tmp_path / "peers.json"
    path.write_text(json.dumps({"codec": [record]}))
    (curve,) = published(ROWS, path)
    assert [point.values["psnr"].mean for point in curve.points] == [25, 30]
    assert curve.source == "P; T"


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"codec": [{"images": "kodak"}]}', '{"codec": [7]}'])
def test_a_file_of_another_layout_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "peers.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"peers\.json"):
        published(ROWS, path)


def test_every_published_metric_is_a_column() -> None:
    text = BUILT_IN.read_text()
    assert all(f"metrics.{name}" in text for name in ("psnr", "ms_ssim", "lpips_alex", "dists"))
