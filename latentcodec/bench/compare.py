"""Files as a user names them -> pictures to compare, pairs of two folders, means over pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from latentcodec.api import decode
from latentcodec.bench.codecs import codec_named
from latentcodec.errors import InputError, NotLcodecError
from latentcodec.image import SUFFIXES, Pixels, kind_of, read_picture, without_metadata, write_picture

# Formats of lossy files, whose size says something, as Pillow calls them.
_LOSSY = {"JPEG", "MPO", "WEBP", "AVIF", "JPEG2000", "JXL", "HEIF"}
# Suffixes of formats that a plugin of Pillow opens, and the codec that loads it.
_PLUGINS = {".jxl": "jxl", ".heic": "heic", ".heif": "heic"}
_LCODEC = ".lcx"


@dataclass(frozen=True)
class Side:
    """One side of a comparison: uint8 [H, W, 3] in sRGB, and the size of the file where a codec wrote it."""

    name: str
    pixels: Pixels
    coded_bytes: int | None
    notes: tuple[str, ...] = ()

    @property
    def bpp(self) -> float | None:
        """Bits of the whole file per pixel."""
        height, width = self.pixels.shape[:2]
        return None if self.coded_bytes is None else 8 * self.coded_bytes / (width * height)


def open_side(name: str, data: bytes, device: str = "auto") -> Side:
    """Contents of an .lcx file, or of any picture that can be read -> Side. Raises LcodecError."""
    try:
        picture, coded = decode(data, device=device), True
    except NotLcodecError:
        coded = _kind(name, data) in _LOSSY
        picture = read_picture(data)
    if picture.icc is not None:  # metrics are defined for sRGB
        picture = read_picture(write_picture(without_metadata(picture), ".png"))
    notes = ("the alpha channel is not compared",) if picture.alpha is not None else ()
    return Side(name, picture.pixels, len(data) if coded else None, (*picture.notes, *notes))


def _kind(name: str, data: bytes) -> str:
    """Format of an image file, whatever it is called, after loading a plugin where it takes one."""
    try:
        return kind_of(data)
    except InputError:
        wanted = _PLUGINS.get(Path(name).suffix.lower())
        for plugin in dict.fromkeys(_PLUGINS.values()):
            try:
                codec_named(plugin)
            except InputError:
                if plugin == wanted:
                    raise  # says what to install
        return kind_of(data)


def pair_files(a: Path, b: Path) -> list[tuple[Path, Path]]:
    """Pictures of two folders that are called the same but for their suffix, in the order of their names.

    Raises InputError for a picture without a partner, for two that would have the same one, and for none at all.
    """
    left, right = _by_stem(a), _by_stem(b)
    for here, there, folder in ((left, right, b), (right, left, a)):
        alone = sorted(here.keys() - there.keys())
        if alone:
            raise InputError(f"{here[alone[0]]} has no partner in {folder}; {len(alone)} have none")
    if not left:
        raise InputError(f"no pictures in {a}")
    return [(left[stem], right[stem]) for stem in sorted(left)]


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES | {_LCODEC}:
            if path.stem in found:
                raise InputError(f"{found[path.stem]} and {path.name} are called the same but for their suffix")
            found[path.stem] = path
    return found


Scored = tuple[str, Mapping[str, float | None], Mapping[str, str]]


def mean_scores(pairs: Sequence[Scored]) -> tuple[dict[str, float | None], dict[str, str]]:
    """(name of a pair, values, reasons) -> mean values and reasons.

    A metric that one pair lacks has no mean, and its reason names the pair, unless it is the same for all.
    """
    means: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for metric in pairs[0][1]:
        means[metric] = mean_of_known([values[metric] for _, values, _ in pairs])
        lacking = [(name, why[metric]) for name, _, why in pairs if metric in why]
        if lacking:
            name, reason = lacking[0]
            same = [why for _, why in lacking].count(reason) == len(pairs)
            reasons[metric] = reason if same else f"{name}: {reason}"
    return means, reasons


def mean_of_known(figures: Sequence[float | None]) -> float | None:
    """The mean, or None where one figure is unknown."""
    known = [figure for figure in figures if figure is not None]
    return fmean(known) if len(known) == len(figures) else None
