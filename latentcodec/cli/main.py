"""The `lcodec` group, its lazily imported commands, and the map from errors to exit codes."""

import sys
from importlib import import_module

import click

from latentcodec import __version__
from latentcodec.cli.files import explain
from latentcodec.errors import LcodecError

COMMANDS = ("encode", "decode", "info", "compare", "weights", "bench", "latents", "report", "train")
EXIT_CODES = """\b
Exit codes:
  0  success
  1  unexpected failure
  2  wrong usage
  3  nothing written because the output exists (--no-clobber)
  4  an input picture or option cannot be used
  5  a file is not lcodec's, damaged, too new or over the limits
  6  weights are missing or not the ones a file needs
  7  the byte budget is out of reach
  130  interrupted
"""


class LazyGroup(click.Group):
    """Imports a command's module when the command is looked up."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = import_module(f"latentcodec.cli.{name}")
        command: click.Command = getattr(module, f"{name}_command")
        return command


@click.group(cls=LazyGroup, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="lcodec")
def cli() -> None:
    """Image codec for very low rates (0.005 to 0.3 bits per pixel).

    \b
    lcodec encode photo.png -q 0.05bpp -o photo.lcx
    lcodec decode photo.lcx -o photo.out.png
    lcodec info photo.lcx
    """


def main() -> None:
    """Entry point: one line and an exit code for every error that is not a bug."""
    try:
        sys.exit(cli.main(standalone_mode=False) or 0)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        fail("interrupted", 130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except (LcodecError, MemoryError, OSError, RuntimeError) as error:
        fail(*explain(error))


def fail(message: str, code: int) -> None:
    """Print one line and leave."""
    click.echo(f"lcodec: {message}", err=True)
    sys.exit(code)
