"""Commands as a user types them: outputs, exit codes, one-line errors, files whole or not at all."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentcodec.cli.fitting import progress
from latentcodec.cli.main import main

PHOTO = Path(__file__).parents[1] / "data" / "coffee.png"


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Lcodec = Callable[..., Outcome]


@pytest.fixture
def lcodec(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Lcodec:
    """Run the command line in an empty folder, in this process."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["lcodec", *map(str, arguments)])
        with pytest.raises(SystemExit) as leaving:
            main()
        captured = capsys.readouterr()
        return Outcome(int(leaving.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A small picture, for tests that are not about pictures."""
    path = tmp_path / "small.png"
    Image.open(PHOTO).resize((120, 80)).save(path)
    return path


def test_the_main_job(lcodec: Lcodec) -> None:
    encoded = lcodec("encode", PHOTO, "-q", "0.05bpp", "-o", "photo.lcx")
    size = Path("photo.lcx").stat().st_size
    assert encoded == Outcome(0, "", f"{PHOTO} -> photo.lcx: 600x400, {size} bytes, {8 * size / 240_000:.4f} bpp\n")
    assert 0.97 * 1500 <= size <= 1500
    assert lcodec("decode", "photo.lcx", "-o", "photo.png") == Outcome(0, "", "photo.lcx -> photo.png: 600x400\n")
    decoded, original = np.asarray(Image.open("photo.png"), float), np.asarray(Image.open(PHOTO), float)
    assert decoded.shape == original.shape
    assert np.sqrt(np.mean((decoded - original) ** 2)) < 35


def test_info_prints_every_field_in_order(lcodec: Lcodec, small: Path) -> None:
    lcodec("encode", small, "-q", "30", "-o", "a.lcx", "--quiet")
    shown = lcodec("info", "a.lcx")
    names = [line.split()[0] for line in shown.out.splitlines()]
    assert names == [
        "file", "bytes", "bpp", "magic", "version", "codec", "has_chunks", "width", "height", "rate", "weights",
        "symbols", "checksum", "method", "header_bytes", "chunk_bytes", "payload_bytes", "chunks",
    ]  # fmt: skip
    figures = json.loads(lcodec("info", "--json", "a.lcx").out)
    assert figures["width"] == 120
    assert figures["height"] == 80
    assert (figures["codec"], figures["method"], figures["chunks"]) == (2, "stablecodec", {})
    assert shown.out.splitlines()[-1].split() == ["chunks", "none"]
    assert figures["bytes"] == Path("a.lcx").stat().st_size == 12 + figures["payload_bytes"]


def test_names_are_derived_and_folders_filled(lcodec: Lcodec, small: Path, tmp_path: Path) -> None:
    assert lcodec("encode", small).code == 0
    assert (tmp_path / "small.lcx").exists()
    Image.open(small).save(tmp_path / "other.jpg")
    assert lcodec("encode", small, tmp_path / "other.jpg", "-o", "out/").code == 0
    assert sorted(p.name for p in Path("out").iterdir()) == ["other.lcx", "small.lcx"]
    assert lcodec("decode", "out/other.lcx", "out/small.lcx", "-o", "out", "--format", "webp").code == 0
    assert sorted(p.name for p in Path("out").iterdir()) == ["other.lcx", "other.webp", "small.lcx", "small.webp"]


def test_same_picture_gives_the_same_file(lcodec: Lcodec, small: Path) -> None:
    lcodec("encode", small, "-o", "a.lcx")
    lcodec("encode", small, "-o", "b.lcx")
    assert Path("a.lcx").read_bytes() == Path("b.lcx").read_bytes()


def test_existing_files_are_overwritten_unless_told_not_to(lcodec: Lcodec, small: Path) -> None:
    Path("a.lcx").write_text("precious")
    kept = lcodec("encode", small, "-o", "a.lcx", "-n")
    assert kept == Outcome(3, "", "lcodec: a.lcx exists, not overwritten\n")
    assert Path("a.lcx").read_text() == "precious"
    assert lcodec("encode", small, "-o", "a.lcx").code == 0
    assert Path("a.lcx").read_bytes()[:2] == b"\x9c\xd1"


def test_a_decoded_file_that_nobody_named_never_replaces_another(lcodec: Lcodec, small: Path) -> None:
    original = small.read_bytes()
    lcodec("encode", small)
    assert lcodec("decode", "small.lcx") == Outcome(
        3, "", "lcodec: small.png exists, not overwritten; -o writes over it\n"
    )
    assert small.read_bytes() == original
    assert lcodec("decode", "small.lcx", "-o", "small.png").code == 0
    assert small.read_bytes() != original


def test_a_background_in_place_of_alpha(lcodec: Lcodec, small: Path) -> None:
    picture = Image.open(small).convert("RGB")
    picture.putalpha(Image.effect_noise(picture.size, 90))
    picture.save("clear.png")
    refused = lcodec("encode", "clear.png", "-q", "300B")
    assert refused.code == 7
    assert re.search(r"it takes .*, with \d{4} of alpha; --best-effort", refused.err)
    assert lcodec("encode", "clear.png", "-q", "300B", "--background", "#808080").code == 0
    assert json.loads(lcodec("info", "--json", "clear.lcx").out)["chunks"] == {}


def test_json_is_one_object_per_file(lcodec: Lcodec, small: Path) -> None:
    shown = lcodec("encode", small, "--json", "-q", "20")
    figures = json.loads(shown.out)
    assert shown.err == ""
    assert figures["bytes"] == Path("small.lcx").stat().st_size
    assert 0 <= figures["bytes"] - figures["information_bytes"] <= 14


def test_quality_orders_sizes(lcodec: Lcodec, small: Path) -> None:
    sizes = []
    for quality in ("0", "25", "50", "75", "100"):
        lcodec("encode", small, "-q", quality, "-o", "a.lcx")
        sizes.append(Path("a.lcx").stat().st_size)
    assert sizes == sorted(sizes)
    assert sizes[-1] > 5 * sizes[0]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["encode", "none.png"], 4, "none.png: no such file"),
        (["encode", "text.png"], 4, "text.png: not an image file that Pillow can read"),
        (["encode", "small.png", "-q", "fast"], 4, "cannot read the target 'fast'; write 0.05bpp, 20kB, 2048B or a "
                                                   "quality from 0 to 100"),
        (["encode", "small.png", "-q", "101"], 4, "quality 101 is not in 0..100; for bytes write 101B"),
        (["encode", "small.png", "-q", "0bpp"], 4, "a budget must be above 0 and at most 1000 bits per pixel"),
        (["encode", "small.png", "--method", "magic"], 4,
         "no method called 'magic'; there is stablecodec, overfit, sodec"),
        (["encode", "small.png", "-o", "no/such/folder.lcx"], 4,
         "small.png: cannot write no/such/folder.lcx: no such file or "
                                                                "directory"),
        (["encode", "small.png", "text.png", "-o", "text.png"], 4, "text.png: several inputs need a folder for their "
                                                                   "outputs"),
        (["encode", "small.png", "text.png", "-o", "o.lcx"], 4,
         "o.lcx: several inputs need a folder; if this is to be one, write o.lcx/"),
        (["decode", "text.png"], 4, "text.png: inputs do not end in .png; outputs do, and are named with -o"),
        (["encode", "small.png", "new.lcx"], 4,
         "new.lcx: inputs do not end in .lcx; outputs do, and are named with -o"),
        (["encode", "."], 4, ". is a folder; name the files in it"),
        (["encode", "small.png", "--background", "clear"], 4,
         "no colour called 'clear'; write white or '#336699'"),
        (["decode", "good.lcx", "--format", "jpg", "-o", "a.png"], 4,
         "--format jpg and -o a.png are two formats: give one of them"),
        (["encode", "small.png", "small.png", "-o", "-"], 4, "only one file fits on standard output"),
        (["decode", "none.lcx"], 4, "none.lcx: no such file or directory"),
        (["decode", "text.png", "-o", "x.png"], 5, "text.png: not an lcodec file"),
        (["decode", "damaged.lcx"], 5, "damaged.lcx: the checksum does not match: the file is damaged or cut short"),
        (["decode", "good.lcx", "--max-pixels", "99"], 5,
         "good.lcx: 120x80 exceeds the limit of 99 pixels (--max-pixels)"),
        (["decode", "good.lcx", "-o", "a.xyz"], 4,
         "good.lcx: cannot write .xyz; there is .png .jpg .jpeg .webp .avif .tif "
                                                   ".tiff .bmp .ppm .pgm"),
        (["info", "text.png"], 5, "text.png: not an lcodec file"),
        (["weights", "verify", "nothing"], 6, "no weights called 'nothing'; see 'lcodec weights list'"),
    ],
)  # fmt: skip
def test_errors_are_one_line_and_leave_nothing(
    lcodec: Lcodec, small: Path, arguments: list[str], code: int, message: str
) -> None:
    Path("text.png").write_text("no picture")
    lcodec("encode", small, "-o", "good.lcx")
    damaged = bytearray(Path("good.lcx").read_bytes())
    damaged[-1] ^= 1
    Path("damaged.lcx").write_bytes(damaged)
    before = sorted(Path().iterdir())
    outcome = lcodec(*arguments)
    assert outcome == Outcome(code, "", f"lcodec: {message}\n")
    assert sorted(Path().iterdir()) == before


def test_unreachable_budget_names_the_range_and_best_effort_clamps(lcodec: Lcodec, small: Path) -> None:
    refused = lcodec("encode", small, "-q", "12B")
    assert refused.code == 7
    assert "12 bytes (0.0100 bpp) is out of reach for this picture: it takes" in refused.err
    assert refused.err.endswith("; --best-effort takes the nearest\n")
    assert not Path("small.lcx").exists()
    clamped = lcodec("encode", small, "-q", "12B", "--best-effort")
    assert clamped.code == 0
    smallest = Path("small.lcx").stat().st_size
    assert clamped.err.startswith(f"{small}: {smallest} bytes are the fewest that it takes, not 12\n")
    assert f"it takes {smallest} to" in refused.err


def test_wrong_weights_are_named(lcodec: Lcodec, small: Path) -> None:
    import dataclasses

    from latentcodec.container import file as container

    lcodec("encode", small, "-o", "a.lcx")
    parsed = container.read(Path("a.lcx").read_bytes())
    other = dataclasses.replace(parsed, weights=parsed.weights ^ 1)
    Path("a.lcx").write_bytes(container.write(other))
    outcome = lcodec("decode", "a.lcx")
    assert outcome.code == 6
    assert f"fingerprint {other.weights:04x}; this program has {parsed.weights:04x}" in outcome.err


def test_good_files_are_done_although_others_fail(lcodec: Lcodec, small: Path) -> None:
    Path("text.png").write_text("no picture")
    outcome = lcodec("encode", "text.png", small, "-o", "out/")
    assert outcome.code == 4
    assert "small.lcx" in outcome.err
    assert [p.name for p in Path("out").iterdir()] == ["small.lcx"]


def test_a_quality_below_one_may_be_a_forgotten_unit(lcodec: Lcodec, small: Path) -> None:
    outcome = lcodec("encode", small, "-q", "0.05", "-o", "o.lcx")
    assert outcome.code == 0
    assert outcome.err.startswith("-q 0.05 is a quality, of 0 to 100; for bits per pixel write 0.05bpp\n")
    assert lcodec("encode", small, "-q", "0.05", "-o", "o.lcx", "--quiet").err == ""


def test_metadata_is_announced_when_left_out(lcodec: Lcodec, small: Path) -> None:
    with Image.open(small) as image:
        exif = image.getexif()
        exif[0x010E] = "description"
        image.save("tagged.png", exif=exif)
    left = lcodec("encode", "tagged.png", "-o", "a.lcx")
    assert "bytes of EXIF/XMP left out (--keep-metadata stores them)" in left.err
    kept = lcodec("encode", "tagged.png", "-o", "b.lcx", "--keep-metadata")
    assert "left out" not in kept.err
    lcodec("decode", "b.lcx", "-o", "b.png")
    with Image.open("b.png") as decoded:
        assert decoded.getexif()[0x010E] == "description"


def test_standard_streams(small: Path) -> None:
    command = [sys.executable, "-m", "latentcodec"]
    encoded = subprocess.run(
        [*command, "encode", "-", "-q", "300B"], input=small.read_bytes(), capture_output=True, check=True
    )
    assert len(encoded.stdout) <= 300
    decoded = subprocess.run([*command, "decode", "-"], input=encoded.stdout, capture_output=True, check=True)
    assert Image.open(io.BytesIO(decoded.stdout)).size == (120, 80)


def test_coding_does_not_import_the_compiler_of_pytorch(small: Path) -> None:
    """It would be a second of every command; arithmetic on the meta device is enough to ask for it."""
    script = (
        "import sys; from latentcodec.cli.main import cli\n"
        "for arguments in (['encode', sys.argv[1], '-o', 'a.lcx', '--quiet'], ['decode', 'a.lcx', '--quiet']):\n"
        "    cli.main(arguments, standalone_mode=False)\n"
        "print(sorted({'torch', 'torch._dynamo', 'sympy'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, small]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=small.parent)
    assert run.stdout == "['torch']\n"


def test_help_and_info_import_no_heavy_packages(small: Path, lcodec: Lcodec) -> None:
    lcodec("encode", small, "-o", "a.lcx")
    script = (
        "import sys; from latentcodec.cli.main import cli\n"
        "for arguments in (['--help'], ['info', 'a.lcx'], ['weights', 'list'], ['encode', '--help']):\n"
        "    cli.main(arguments, standalone_mode=False)\n"
        "heavy = {'torch', 'numpy', 'PIL', 'constriction', 'safetensors', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_interruption_leaves_no_partial_file(lcodec: Lcodec, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    outcome = lcodec("encode", small, "-o", "a.lcx")
    assert outcome.code == 130
    assert outcome.err.endswith("lcodec: interrupted\n")
    assert os.listdir() == ["small.png"]


def test_an_output_never_replaces_an_input_whatever_it_is_called(lcodec: Lcodec, small: Path, tmp_path: Path) -> None:
    before = small.read_bytes()
    (tmp_path / "link.lcx").symlink_to(small)
    os.link(small, tmp_path / "hard.lcx")
    for arguments in (
        (small, "-o", f"../{tmp_path.name}/small.png"),
        (small, "-o", "link.lcx"),
        (small, "-o", "hard.lcx"),
        (small, "-o", small),
    ):
        outcome = lcodec("encode", *arguments)
        assert outcome.code == 4
        assert "the output would replace the input" in outcome.err
    assert small.read_bytes() == before
    clash = lcodec("encode", small, f"../{tmp_path.name}/small.png", "-o", "out/")
    assert (clash.code, f"both {small} and ../{tmp_path.name}/small.png would be written there" in clash.err) == (
        4,
        True,
    )
    assert not Path("out").exists()


@pytest.mark.parametrize("arguments", [("encode", "."), ("encode", "/"), ("decode", "a.lcx", "-o", "a.xyz")])
def test_impossible_names_are_one_line(lcodec: Lcodec, arguments: tuple[str, ...]) -> None:
    outcome = lcodec(*arguments)
    assert outcome.code == 4
    assert outcome.err.count("\n") == 1


def test_a_link_to_itself_is_replaced(lcodec: Lcodec, small: Path, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert lcodec("encode", small, "-q", "10", "-o", "loop").code == 0
    assert (tmp_path / "loop").is_file()


def test_memory_that_one_file_lacks_does_not_stop_the_others(
    lcodec: Lcodec, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from latentcodec import api

    def encode(picture: object, *more: object, **options: object) -> api.EncodeResult:
        if not done:
            done.append(1)
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return api.EncodeResult(b"data", 0.0)

    done: list[int] = []
    monkeypatch.setattr(api, "encode_picture", encode)
    Path("b.png").write_bytes(small.read_bytes())
    outcome = lcodec("encode", small, "b.png", "-o", "out", "--quiet")
    assert outcome == Outcome(1, "", f"lcodec: {small}: not enough memory for a picture of this size\n")
    assert Path("out/b.lcx").read_bytes() == b"data"


def test_an_error_counts_more_than_a_file_that_was_skipped(lcodec: Lcodec, small: Path) -> None:
    Path("out").mkdir()
    Path("out/small.lcx").write_bytes(b"old")
    Path("text.png").write_text("no picture")
    assert lcodec("encode", small, "text.png", "-o", "out", "-n").code == 4
    assert Path("out/small.lcx").read_bytes() == b"old"


def test_an_overwritten_file_keeps_its_mode(lcodec: Lcodec, small: Path) -> None:
    Path("a.lcx").write_bytes(b"old")
    Path("a.lcx").chmod(0o600)
    assert lcodec("encode", small, "-q", "10", "-o", "a.lcx").code == 0
    assert Path("a.lcx").stat().st_mode & 0o777 == 0o600


def test_a_reader_that_leaves_ends_the_command_without_a_word(
    lcodec: Lcodec, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(target: str, data: bytes) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("latentcodec.cli.encode.write_output", write)
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # which the command closes
    monkeypatch.setattr(sys, "argv", ["lcodec", "encode", str(small), "-q", "10", "-o", "a.lcx"])
    with pytest.raises(SystemExit) as leaving:
        main()
    assert leaving.value.code == 1
    assert sys.stderr.closed


def test_a_faithful_preview_and_everything_between(lcodec: Lcodec, small: Path) -> None:
    lcodec("encode", small, "--method", "sodec", "-q", "60", "-o", "a.lcx")
    assert json.loads(lcodec("info", "--json", "a.lcx").out)["method"] == "sodec"
    pictures = {}
    for name, options in {"real": (), "0": ("--fidelity", "0"), "half": ("--fidelity", "0.5"), "1": ("--fidelity", "1"),
                          "preview": ("--preview",)}.items():  # fmt: skip
        assert lcodec("decode", "a.lcx", "-o", f"{name}.png", *options) == Outcome(
            0, "", f"a.lcx -> {name}.png: 120x80\n"
        )
        pictures[name] = np.asarray(Image.open(f"{name}.png"), float)
    assert np.array_equal(pictures["real"], pictures["0"])
    assert np.array_equal(pictures["preview"], pictures["1"])
    between = (pictures["real"] + pictures["preview"]) / 2
    inside = np.all([(pictures[name] > 0) & (pictures[name] < 255) for name in ("real", "preview")], axis=0)
    assert np.abs(pictures["half"] - between)[inside].max() <= 1
    assert np.abs(pictures["real"] - pictures["preview"]).max() > 3
    original = np.asarray(Image.open(small), float)
    errors = {name: np.mean((picture - original) ** 2) for name, picture in pictures.items()}
    assert errors["half"] < (errors["real"] + errors["preview"]) / 2  # the average of two estimates


def test_previews_are_for_files_that_hold_one(lcodec: Lcodec, small: Path) -> None:
    lcodec("encode", small, "-o", "a.lcx", "--quiet")
    message = "lcodec: a.lcx: files of method stablecodec hold no preview; those of sodec do\n"
    assert lcodec("decode", "a.lcx", "--preview") == Outcome(4, "", message)
    assert not Path("a.png").exists()
    both = lcodec("decode", "a.lcx", "--preview", "--fidelity", "0.5")
    assert both == Outcome(4, "", "lcodec: --preview is --fidelity 1: give one of them\n")
    assert lcodec("decode", "a.lcx", "--fidelity", "1.5").code == 2


def test_what_progress_says() -> None:
    assert progress(8000.0, "latents 12.3 dB", 80_000) == "effort: 1000 bytes, 0.1000 bpp, latents 12.3 dB"
