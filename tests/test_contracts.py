"""What `make check` enforces, for those who run only the tests."""

import re
import subprocess
import sys
from pathlib import Path

from tests.generate_docs import CONTAINER_PAGE, container_page

ROOT = Path(__file__).parents[1]


def test_imports_follow_the_arrows() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports"))]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


def test_dissected_file_in_the_document_is_fresh() -> None:
    assert CONTAINER_PAGE.read_text() == container_page()


def test_recipes_name_stages_that_exist() -> None:
    from latentcodec.train.stages import STAGES

    loop = re.search(r"for stage in ([a-z ]+);", (ROOT / "Makefile").read_text())
    assert loop is not None
    named = set(loop[1].split())
    for page in ("README.md", "docs/training.md", "latentcodec/cli/train.py"):
        named |= set(re.findall(r"lcodec train ([a-z]+) ", (ROOT / page).read_text()))
    assert named <= set(STAGES)
