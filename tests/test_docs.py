"""The documentation shows what exists."""

import re
from pathlib import Path

import click
import pytest

from latentcodec.cli.main import cli
from tests.generate_docs import cli_page

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("formats/*.md")])


def test_every_option_of_every_command_has_help() -> None:
    def walk(command: click.Command) -> None:
        assert command.help
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not isinstance(parameter.type, click.Choice):
                assert parameter.help or parameter.name in ("seed",), f"{command.name} {parameter.name}"
        if isinstance(command, click.Group):
            for name in command.list_commands(click.Context(command)):
                child = command.get_command(click.Context(command), name)
                assert child is not None
                walk(child)

    walk(cli)


def test_cli_page_shows_every_command() -> None:
    page = cli_page()
    for name in ("encode", "decode", "info", "compare", "weights verify", "bench", "report", "train"):
        assert f"## lcodec {name}\n" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_make_targets_named_in_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([a-z-]+)", (ROOT / "README.md").read_text()):
        assert f"\n{target}:" in makefile


def test_changelog_and_version_agree() -> None:
    from latentcodec import __version__

    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert "### Bitstream" in changelog
    newest = re.findall(r"^## (.*)$", changelog, re.MULTILINE)[0]
    assert newest in ("Unreleased", __version__)
