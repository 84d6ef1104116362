"""lcodec compare as a user types it: exact output, JSON, exit codes, folders."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from latentcodec import api
from latentcodec.bench.codecs import codec_named
from latentcodec.cli.main import main
from latentcodec.errors import InputError
from latentcodec.image import Picture, write_picture
from latentcodec.rate import Quality
from tests import tiny

GOLDEN = Path(__file__).parents[1] / "golden"
Compare = Callable[..., tuple[int, str, str]]


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Compare:
    """Run the command in a folder of its own, where no weights were fetched and no programs are installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LCODEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lcodec", "compare", "--device", "cpu", *arguments])
        with pytest.raises(SystemExit) as leaving:
            main()
        captured = capsys.readouterr()
        return int(leaving.value.code or 0), captured.out, captured.err

    return run


def write(name: str, value: int, side: int = 4, alpha: int | None = None) -> None:
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    plane = None if alpha is None else np.full((side, side), alpha, np.uint8)
    path.write_bytes(write_picture(Picture(np.full((side, side, 3), value, np.uint8), plane), path.suffix))


def test_every_metric_is_listed_with_a_figure_or_a_reason(compare: Compare) -> None:
    write("a.png", 128, 161)
    write("b.bmp", 128, 161)
    assert compare("a.png", "b.bmp") == (
        0,
        "reference     a.png, 161x161\n"
        "picture       b.bmp, 161x161\n"
        "\n"
        "metric                       better  value\n"
        "PSNR                         higher  inf dB\n"
        "MS-SSIM                      higher  1.0000\n"
        "SSIMULACRA2                  higher  100.0000\n"
        "ColorVideoVDP (standard_4k)  higher  not measured: no program cvvdp on the PATH; install it apart from "
        "lcodec: 'pipx install cvvdp'\n"
        "FLIP (67 pixels per degree)  lower   0.0000\n"
        "LPIPS (AlexNet)              lower   not measured: weights are missing; run 'lcodec weights fetch "
        "lpips-alex'\n"
        "DISTS (VGG16)                lower   not measured: weights are missing; run 'lcodec weights fetch lpips-vgg "
        "dists'\n",
        "",
    )


def test_size_and_rate_of_a_codecs_file_are_told(compare: Compare) -> None:
    write("a.png", 10, 20)
    write("b.jpg", 11, 20)
    size = Path("b.jpg").stat().st_size
    code, out, err = compare("a.png", "b.jpg", "--metrics", "psnr")
    assert (code, err) == (0, "")
    assert out == (
        "reference     a.png, 20x20\n"
        f"picture       b.jpg, 20x20, {size} bytes, {size / 50:.4f} bpp\n"
        "\n"
        "metric  better  value\n"
        "PSNR    higher  48.1308 dB\n"
    )


@pytest.mark.parametrize("name", ["jxl", "heic"])
def test_formats_of_plugins_are_opened(compare: Compare, name: str) -> None:
    write("a.png", 10, 20)
    try:
        data = codec_named(name).encode(np.full((20, 20, 3), 10, np.uint8), Quality(50)).data
    except InputError as error:
        pytest.skip(str(error))
    Path(f"b.{name}").write_bytes(data)
    code, out, _ = compare("a.png", f"b.{name}", "--metrics", "psnr")
    assert code == 0
    assert f"b.{name}, 20x20, {len(data)} bytes, {len(data) / 50:.4f} bpp\n" in out


def test_json_holds_numbers_reasons_and_infinity(compare: Compare) -> None:
    write("a.png", 7)
    code, out, _ = compare("--json", "--metrics", "psnr,ms_ssim", "a.png", "a.png")
    assert code == 4  # one of the metrics asked for was not measured
    side = {"file": "a.png", "width": 4, "height": 4, "bytes": None, "bpp": None}
    assert json.loads(out) == {
        "reference": side,
        "picture": side,
        "metrics": {
            "psnr": {"value": "inf", "unit": "dB", "better": "higher", "title": "PSNR"},
            "ms_ssim": {
                "value": None, "unit": "", "better": "higher", "title": "MS-SSIM",
                "reason": "needs sides of at least 161 pixels, and the pictures are 4x4",
            },
        },
    }  # fmt: skip


def test_lcx_files_are_decoded(compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "model_of", lambda method, fingerprint, vae, model: "tiny")
    monkeypatch.setattr(api, "pipeline", lambda method, weights, device: tiny.load())
    code, out, _ = compare("--json", "--metrics", "psnr", str(GOLDEN / "odd-size.png"), str(GOLDEN / "odd-size.lcx"))
    report = json.loads(out)
    assert code == 0
    assert float(report["metrics"]["psnr"]["value"]) > 30
    assert report["picture"]["bytes"] == (GOLDEN / "odd-size.lcx").stat().st_size
    width, height = report["picture"]["width"], report["picture"]["height"]
    assert report["picture"]["bpp"] == 8 * report["picture"]["bytes"] / (width * height)


def test_alpha_is_left_out_with_a_note(compare: Compare) -> None:
    write("a.png", 7, alpha=100)
    write("b.png", 7)
    code, out, err = compare("--metrics", "psnr", "a.png", "b.png")
    assert (code, err) == (0, "a.png: the alpha channel is not compared\n")
    assert "inf dB" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["a.png", "none.png"], 4, "none.png: no such file or directory"),
        (["a.png", "text"], 4, "text: not an image file that Pillow can read"),
        (["a.png", "cut.lcx"], 5, "cut.lcx: "),
        (["a.png", "large.png"], 4, "pictures of different sizes cannot be compared: 4x4 and 5x5"),
        (["a.png", "folder"], 4, "a folder can only be compared with a folder"),
        (["a.png", "a.png", "--metrics", "vmaf"], 4, "no metric called 'vmaf'; there is psnr, ms_ssim, ssimulacra2, "
                                                     "cvvdp, flip, lpips_alex, dists"),
        (["a.png", "a.png", "--metrics", "fid"], 4, "fid compares folders, not two pictures"),
        (["folder", "empty"], 4, "folder/x.png has no partner in empty; 1 have none"),
        (["empty", "empty"], 4, "no pictures in empty"),
        (["folder", "unequal"], 4, "unequal/x.png: pictures of different sizes cannot be compared: 4x4 and 5x5"),
    ],
)  # fmt: skip
def test_errors_are_one_line(compare: Compare, arguments: list[str], code: int, message: str) -> None:
    write("a.png", 1)
    write("large.png", 1, 5)
    write("folder/x.png", 1)
    write("unequal/x.png", 1, 5)
    Path("empty").mkdir()
    Path("text").write_text("no picture")
    Path("cut.lcx").write_bytes((GOLDEN / "odd-size.lcx").read_bytes()[:5])
    actual, out, err = compare(*arguments)
    assert (actual, out) == (code, "")
    assert err.startswith(f"lcodec: {message}")
    assert err.count("\n") == 1


def test_folders_give_means_over_pairs(compare: Compare) -> None:
    for name, original, decoded in (("x", 10, 11), ("y", 10, 20)):
        write(f"originals/{name}.png", original, 8)
        write(f"decoded/{name}.bmp", decoded, 8)
    Path("decoded/notes.txt").write_text("not a picture")
    code, out, err = compare("originals", "decoded", "--metrics", "psnr,ms_ssim,fid")
    assert (code, err) == (4, "")
    assert out == (
        "reference     originals, 2 pictures\n"
        "picture       decoded, 2 pictures\n"
        "\n"
        "metric                       better  value\n"
        "PSNR                         higher  38.1308 dB\n"
        "MS-SSIM                      higher  not measured: needs sides of at least 161 pixels, and the pictures are "
        "8x8\n"
        "FID (Inception-v3, patches)  lower   not measured: weights 'inception-fid' are missing; run 'lcodec weights "
        "fetch inception-fid'\n"
    )


def test_json_of_folders_has_means_and_pairs(compare: Compare) -> None:
    for name, decoded in (("x", 10), ("y", 11)):
        write(f"a/{name}.png", 10, 8)
        write(f"b/{name}.jpg", decoded, 8)
    sizes = [Path(f"b/{name}.jpg").stat().st_size for name in "xy"]
    code, out, _ = compare("a", "b", "--json", "--metrics", "ssimulacra2,psnr")
    report = json.loads(out)
    assert code == 0
    assert report["reference"] == {"folder": "a", "pictures": 2, "bpp": None}
    assert report["picture"] == {"folder": "b", "pictures": 2, "bpp": pytest.approx(sum(sizes) / 16)}
    assert [pair["picture"]["file"] for pair in report["pairs"]] == ["b/x.jpg", "b/y.jpg"]
    assert [pair["metrics"]["psnr"]["value"] for pair in report["pairs"]] == ["inf", pytest.approx(48.1308, abs=1e-4)]
    assert report["metrics"]["psnr"]["value"] == "inf"


def test_a_metric_that_one_pair_lacks_has_no_mean(compare: Compare) -> None:
    for name, side in (("x", 8), ("y", 7)):
        write(f"a/{name}.png", 10, side)
        write(f"b/{name}.png", 10, side)
    _, out, _ = compare("a", "b", "--metrics", "ssimulacra2")
    assert out.splitlines()[-1] == (
        "SSIMULACRA2  higher  not measured: y.png: needs sides of at least 8 pixels, and the pictures are 7x7"
    )


def test_two_files_of_one_name_are_refused(compare: Compare) -> None:
    write("a/x.png", 1)
    write("a/x.bmp", 1)
    write("a/x.jpg", 1)
    assert compare("a", "a")[2] == "lcodec: a/x.bmp and x.jpg are called the same but for their suffix\n"


def test_a_terminal_gets_a_drawn_table(compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    write("a.png", 1)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    _, out, _ = compare("--metrics", "psnr", "a.png", "a.png")
    assert "inf dB" in out
    assert "┃" in out
