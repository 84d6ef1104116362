"""What `make check` enforces, for those who run only the tests."""

import re
import subprocess
import sys
from pathlib import Path

from tests.generate_docs import CONTAINER_PAGE, OVERFIT_PAGE, container_page, overfit_page

ROOT = Path(__file__).parents[1]


def test_imports_follow_the_arrows() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports"))]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


def test_dissected_files_in_the_documents_are_fresh() -> None:
    assert CONTAINER_PAGE.read_text() == container_page()
    assert OVERFIT_PAGE.read_text() == overfit_page()


def test_recipes_name_stages_that_exist() -> None:
    from latentcodec.train.stages import STAGES

    pages = [ROOT / name for name in ("README.md", "Makefile", "latentcodec/cli/train.py")]
    command = re.compile(r"lcodec train ([a-z0-9][a-z0-9-]*) (?:--scale ([a-z0-9-]+))?")
    found = [found for page in (*pages, *ROOT.glob("docs/*.md")) for found in command.findall(page.read_text())]
    named = {f"{stage}-{scale}" if scale else stage for stage, scale in found}
    assert named
    assert named <= set(STAGES)
