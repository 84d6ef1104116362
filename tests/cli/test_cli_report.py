"""lcodec report as a user types it."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from latentcodec.cli.main import main
from tests.bench.measured import measure

Outcome = tuple[int, str]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return measure(tmp_path_factory.mktemp("measured"))


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def report(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> Outcome:
    monkeypatch.setattr(sys, "argv", ["lcodec", "report", *map(str, arguments)])
    with pytest.raises(SystemExit) as leaving:
        main()
    return int(leaving.value.code or 0), capsys.readouterr().err


def test_everything_at_once(table: Path, capsys, monkeypatch) -> None:
    arguments = (table, "-o", "r.html", "--images", "cup", "--plots", "out/plots", "--markdown", "out.md")
    code, err = report(capsys, monkeypatch, *arguments)
    assert code == 0
    assert sorted(str(p) for p in Path().rglob("*.*")) == [
        "out.md", "out/plots/flip.png", "out/plots/flip.svg", "out/plots/psnr.png", "out/plots/psnr.svg", "r.html",
    ]  # fmt: skip
    assert f"r.html: {Path('r.html').stat().st_size} bytes" in err
    assert "](out/plots/psnr.svg)" in Path("out.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 4, "nothing to write; give -o FILE, --plots DIR or --markdown FILE"),
        (["-o", "r.html", "--images", "fork"], 4,
         "no image called 'fork' in the table; there is cup.png, spoon.png, wood.png"),
        (["-o", "r.html", "--anchor", "avif"], 4, "no curve of a codec called 'avif'; there is jpeg, webp"),
        (["-o", "TABLE"], 4, "TABLE: the output would replace the input"),
        (["-o", "no/r.html"], 4, "cannot write no/r.html: no such file or directory"),
    ],
)  # fmt: skip
def test_errors_are_one_line_and_leave_nothing(
    table: Path, capsys, monkeypatch, arguments: list[str], code: int, message: str
) -> None:
    arguments, message = [a.replace("TABLE", str(table)) for a in arguments], message.replace("TABLE", str(table))
    before = table.read_bytes()
    assert report(capsys, monkeypatch, table, *arguments) == (code, f"lcodec: {message}\n")
    assert list(Path().iterdir()) == []
    assert table.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"image\tcodec\n", "bad.tsv is no table of results: it has no column 'target'"),
        (b"image\tcodec\ttarget\tbpp\n", "the table has no rows"),
        (b"\xff\xfe\x00", "bad.tsv is no table of results: it is not UTF-8"),
    ],
)
def test_files_that_are_no_tables(capsys, monkeypatch, content: bytes, message: str) -> None:
    Path("bad.tsv").write_bytes(content)
    assert report(capsys, monkeypatch, "bad.tsv", "-o", "r.html") == (4, f"lcodec: {message}\n")


def test_missing_packages_are_named(table: Path, capsys, monkeypatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("latentcodec.cli.report.find_spec", lambda name: None if name == "bjontegaard" else find(name))
    outcome = report(capsys, monkeypatch, table, "-o", "r.html")
    assert outcome == (4, "lcodec: lcodec report needs bjontegaard; pip install 'lcodec[bench]'\n")


def test_help_imports_no_heavy_packages() -> None:
    script = (
        "import sys; from latentcodec.cli.main import cli\n"
        "cli.main(['report', '--help'], standalone_mode=False)\n"
        "heavy = {'torch', 'numpy', 'PIL', 'matplotlib', 'scipy', 'bjontegaard', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
