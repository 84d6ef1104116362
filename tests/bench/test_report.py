"""The page's text, the plots and the tables, without a browser."""

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from latentcodec.bench import plots
from latentcodec.bench.markdown import tables
from latentcodec.bench.peers import BUILT_IN
from latentcodec.bench.pictures import choose, compare
from latentcodec.bench.report import Report, page, prepare
from latentcodec.bench.results import Row, read_tables, write_tsv
from latentcodec.errors import InputError
from latentcodec.image import read_picture
from tests.bench.measured import measure

PAGE = Path(plots.__file__).with_name("page")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    return read_tables([measure(tmp_path_factory.mktemp("measured"))])


@pytest.fixture(scope="module")
def report(rows: list[Row]) -> Report:
    return prepare(rows, None, BUILT_IN)


def data_of(text: str) -> dict[str, object]:
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert block is not None
    return dict(json.loads(block[1]))


def test_page_needs_nothing_from_outside(report: Report) -> None:
    gaps: list[str] = []
    text = page(report, list(compare(report.rows, ["cup.png"], gaps)), gaps)
    assert gaps == []
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert "default-src 'none'" in text
    data = data_of(text)
    assert [curve["name"] for curve in data["curves"]] == ["jpeg", "webp"]  # type: ignore[attr-defined]
    assert len(data["comparisons"][0]["files"]) == 10  # type: ignore[index]


def test_embedded_pictures_are_the_decoded_ones_without_loss(report: Report) -> None:
    import base64

    (comparison,) = compare(report.rows, ["cup.png"], [])
    for decoded in comparison.files[:2]:
        embedded = read_picture(base64.b64decode(decoded.uri.removeprefix("data:image/webp;base64,")))
        assert (embedded.pixels == read_picture(Path(decoded.row.decoded)).pixels).all()


def test_nothing_from_the_table_becomes_markup(rows: list[Row]) -> None:
    nasty = "</script><script>alert(1)</script><!--{script}{data}"
    text = page(
        prepare([replace(row, codec=nasty + row.codec, image=nasty) for row in rows[:1]], None, BUILT_IN), [], []
    )
    assert "alert(1)</script>" not in text
    assert text.count("<script") == 2
    assert data_of(text)["images"] == [nasty]


def test_chosen_images(rows: list[Row]) -> None:
    assert choose(rows, None) == ["cup.png", "spoon.png", "wood.png"]
    assert choose(rows, ["wood", "cup.png"]) == ["cup.png", "wood.png"]
    with pytest.raises(InputError, match=r"no image called 'fork' in the table; there is cup.png, spoon.png, wood.png"):
        choose(rows, ["fork"])


def test_pictures_that_cannot_be_shown_are_told(rows: list[Row], tmp_path: Path) -> None:
    gone = replace(rows[0], image="gone.png", decoded=str(tmp_path / "gone" / "x.png"))
    half = replace(rows[1], decoded=str(Path(rows[1].decoded).with_name("none.png")))
    gaps: list[str] = []
    shown = list(compare([gone, half, replace(rows[0], decoded=""), rows[2]], ["gone.png", "cup.png", "x"], gaps))
    assert [len(comparison.files) for comparison in shown] == [1]
    assert [re.sub(r"\S*/", "", gap) for gap in gaps] == [
        "gone.png cannot be shown: original.png: no such file",
        "none.png: no such file",
        "x has no decoded pictures in the table",
    ]


def test_several_tables_are_one_and_duplicates_are_refused(rows: list[Row], tmp_path: Path) -> None:
    plain = [replace(row, decoded="") for row in rows]
    write_tsv(plain[:10], tmp_path / "a.tsv")
    write_tsv(plain[10:], tmp_path / "b.tsv")
    assert [row.key for row in read_tables([tmp_path / "a.tsv", tmp_path / "b.tsv"])] == [row.key for row in rows]
    with pytest.raises(InputError, match=r"a.tsv: a second row for cup.png, jpeg at q4"):
        read_tables([tmp_path / "a.tsv", tmp_path / "a.tsv"])


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.png", "decoded/../../secret.png"])
def test_a_table_names_no_pictures_elsewhere(rows: list[Row], tmp_path: Path, path: str) -> None:
    write_tsv([replace(rows[0], decoded=path)], tmp_path / "a.tsv")
    with pytest.raises(InputError, match="does not lie beside the table"):
        read_tables([tmp_path / "a.tsv"])


def test_anchor(rows: list[Row]) -> None:
    assert prepare(rows, None, BUILT_IN).anchor == "jpeg"
    with_ours = [replace(row, codec="stablecodec") if row.codec == "jpeg" else row for row in rows]
    assert prepare(with_ours, None, BUILT_IN).anchor == "webp"
    with pytest.raises(InputError, match="no curve of a codec called 'avif'; there is jpeg, webp"):
        prepare(rows, "avif", BUILT_IN)


def test_plots_draw_every_curve_and_are_reproducible(report: Report) -> None:
    files = plots.draw(report)
    assert sorted(files) == ["flip.png", "flip.svg", "psnr.png", "psnr.svg"]
    assert files == plots.draw(report)
    ElementTree.fromstring(files["psnr.svg"])
    pixels = read_picture(files["psnr.png"]).pixels.reshape(-1, 3)
    for colour in plots.COLOURS[:2]:
        assert (pixels == list(bytes.fromhex(colour[1:]))).all(axis=1).sum() > 100


def test_plots_and_page_have_the_same_colours() -> None:
    style = (PAGE / "page.css").read_text()
    for index, colour in enumerate(plots.COLOURS):
        assert f".measured-{index} {{ --series: light-dark({colour}," in style


def test_tables_in_markdown(report: Report) -> None:
    text = tables(report, "plots")
    point = report.summary.curves[0].points[0]
    assert "![PSNR over bits per pixel](plots/psnr.svg)" in text
    assert "### Other settings\n\n| codec | target | bpp | PSNR, dB | FLIP |" in text
    psnr = point.values["psnr"]
    assert psnr.margin is not None
    assert (
        f"| jpeg | q4 | {point.bpp.mean:.4f} ± {point.bpp.margin:.4f} | {psnr.mean:.2f} ± {psnr.margin:.2f} |" in text
    )
    assert "### BD-rate against jpeg" in text


def test_budgets_have_their_own_tables_in_markdown(rows: list[Row]) -> None:
    cup = [replace(rows[0], codec=codec, target=target, bpp=bpp) for codec, target, bpp in (
        ("avif", "900B", 0.5), ("lcodec", "0.4bpp", 0.4), ("avif", "0.4bpp", 0.41), ("jpeg", "50", 0.3))]  # fmt: skip
    text = tables(prepare(cup, None, BUILT_IN))
    tables_of = re.findall(r"### (\S+).*?--- \|\n(.*?)\n\n", text, re.DOTALL)
    assert [(title, re.findall(r"^\| (\w+) ", body, re.MULTILINE)) for title, body in tables_of[:3]] == [
        ("0.4bpp", ["lcodec", "avif"]), ("900B", ["avif"]), ("Other", ["jpeg"]),
    ]  # fmt: skip


def test_tables_in_markdown_hold_text_as_text(rows: list[Row]) -> None:
    text = tables(prepare([replace(rows[0], codec="a|b<i>`_x_")], None, BUILT_IN))
    assert r"| a\|b\<i>\`\_x\_ |" in text
    assert "BD-rate" not in text
