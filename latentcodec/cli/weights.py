"""lcodec weights list | verify | fetch | import | merge"""

from collections.abc import Iterator
from pathlib import Path

import click

from latentcodec.errors import InputError, WeightsError
from latentcodec.weights import hashing, store
from latentcodec.weights.manifest import GROUPS, row, rows

ELIC = "elic_official.pth"
CHECKPOINTS = (
    f"the checkpoints have no published hash to check a download against: get stablecodec_ft*.pkl and {ELIC} "
    "from their authors (github.com/LuizScarlet/StableCodec), then run 'lcodec weights import'"
)


@click.group("weights")
def weights_command() -> None:
    """List, verify, fetch and import weights files.

    What is fetched or imported lies in the folder LCODEC_CACHE, by default ~/.cache/lcodec.
    """


@weights_command.command("list")
def list_command() -> None:
    """Every weights file: where it is, its size, licence and purpose."""
    for name, entry in rows().items():
        state = "present" if store.path_of(name).exists() else "not fetched"
        click.echo(f"{name:<18}{entry.size_bytes / 1e6:6.1f} MB  {state:<12}{entry.purpose}")
        click.echo(f"{'':<18}licence: {entry.licence}")
    for path in store.kept():
        name, fingerprint, _ = path.name.rsplit(".", 2)
        click.echo(f"{name:<18}{path.stat().st_size / 1e6:6.1f} MB  {'imported':<12}fingerprint {fingerprint}")
        merged = store.derived(int(fingerprint, 16), "merged")
        if merged.exists():
            click.echo(f"{'':<18}{merged.stat().st_size / 1e6:6.1f} MB  {'merged':<12}with networks of SD-Turbo")
            click.echo(f"{'':<18}licence: {row('sd-turbo-unet').licence}")


@weights_command.command("verify")
@click.argument("names", nargs=-1)
def verify_command(names: tuple[str, ...]) -> None:
    """Check the SHA-256 of weights files (if none is named: the shipped, the fetched and the imported)."""
    there = [name for name, entry in rows().items() if entry.source is None or store.path_of(name).exists()]
    wrong = 0
    for name in names or (*there, *(path.name.rsplit(".", 2)[0] for path in store.kept())):
        try:
            for checked, sha256 in _verified(name):
                click.echo(f"{checked}: {sha256}")
        except WeightsError as error:
            click.echo(f"lcodec: {error}", err=True)
            wrong += 1
    if wrong:
        raise click.exceptions.Exit(WeightsError.exit_code)


def _verified(name: str) -> Iterator[tuple[str, str]]:
    """Names and SHA-256 of a row's file, or of what was imported and merged under a name. Raises WeightsError."""
    if name in rows() or not store.kept(name):
        yield name, hashing.sha256_of(store.verify(name))
        return
    for path in store.kept(name):
        sha256 = store.verify_kept(path)
        yield name, sha256
        merged = store.derived(int(sha256[:4], 16), "merged")
        if merged.exists():
            if hashing.sha256_of(merged) != hashing.noted_sha256(merged):
                raise WeightsError(f"{merged} is not as it was written: 'lcodec weights merge {name}' again")
            yield f"{name}, merged", hashing.sha256_of(merged)


@weights_command.command("fetch")
@click.argument("names", nargs=-1, required=True)
@click.option("--from", "original", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Use this file instead of downloading it; its hash is checked all the same.")  # fmt: skip
def fetch_command(names: tuple[str, ...], original: Path | None) -> None:
    """Download weights that do not ship in the package, check their hash and show their licence.

    \b
    lcodec weights fetch lpips-alex lpips-vgg dists
    lcodec weights fetch inception-fid --from pt_inception-2015-12-05-6726825d.pth
    lcodec weights fetch stablecodec             SD-Turbo; checkpoints are imported
    """
    wanted = [member for name in names for member in GROUPS.get(name, (name,))]
    if original is not None and len(wanted) > 1:
        raise InputError("--from is the file of one name")
    if "stablecodec" in names:
        click.echo(CHECKPOINTS, err=True)
    for name in wanted:
        click.echo(f"{name}: licence {row(name).licence}", err=True)
        click.echo(f"{name}: {store.fetch(name, original)}")


@weights_command.command("import")
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--elic", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help=f"ELIC's published weights, the auxiliary encoder; by default, {ELIC} beside the checkpoint.",
              )  # fmt: skip
@click.option(
    "--name",
    default=None,
    help="What to call it (default: as the file); _ft2 to _ft32 at its end tell --scale sd-turbo its rate.",
)
def import_command(checkpoint: Path, elic: Path | None, name: str | None) -> None:
    """Convert a published StableCodec checkpoint to safetensors, once. Needs SD-Turbo's text encoder, fetched.

    \b
    lcodec weights fetch stablecodec
    lcodec weights import stablecodec_ft8.pkl
    lcodec encode photo.png --model stablecodec_ft8 -q 0.02bpp -o photo.lcx
    """
    from latentcodec.pipelines.precision import fast_dtype
    from latentcodec.pipelines.registry import resolve_device
    from latentcodec.pipelines.stablecodec_full import MERGED_TYPE, import_checkpoint

    elic = elic or checkpoint.with_name(ELIC)
    if not elic.exists():
        raise InputError(f"there is no {elic}; name the file of ELIC's weights with --elic")
    for needed in GROUPS["stablecodec"]:
        click.echo(f"{needed}: licence {row(needed).licence}", err=True)
    path = import_checkpoint(checkpoint, elic, name or checkpoint.stem)
    click.echo(f"{path}: SHA-256 {hashing.sha256_of(path)}")
    if fast_dtype(resolve_device("auto")) == MERGED_TYPE:
        merge = f"lcodec weights merge {path.name.split('.')[0]}"
        click.echo(f"{merge!r} makes it load in seconds, for 2 GB of disk", err=True)


@weights_command.command("merge")
@click.argument("name")
def merge_command(name: str) -> None:
    """Make an imported checkpoint load in seconds: keep the networks of SD-Turbo with its adapters in them (2 GB).

    \b
    lcodec weights merge stablecodec_ft8
    """
    from latentcodec.pipelines.registry import DEFAULT_METHOD, method_named, model_named
    from latentcodec.pipelines.stablecodec_full import merge_checkpoint

    path = model_named(method_named(DEFAULT_METHOD), None, name)
    click.echo(merge_checkpoint(Path(path)))
