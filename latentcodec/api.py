"""Picture <-> file bytes: container and registry, nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from latentcodec.container import chunks as chunk_list
from latentcodec.container import file as container
from latentcodec.container.chunks import Chunk, Tag
from latentcodec.container.file import LcodecFile
from latentcodec.container.header import HEADER_BYTES
from latentcodec.errors import BudgetError, InputError
from latentcodec.image import Picture, Source, as_picture, decode_plane, encode_plane
from latentcodec.limits import DEFAULT_LIMITS, Limits
from latentcodec.pipelines.base import DEFAULT_SETTINGS, Encoded, OutOfReachError, PayloadBudget, Settings
from latentcodec.pipelines.registry import (
    DEFAULT_METHOD,
    Method,
    method_named,
    method_of,
    model_named,
    model_of,
    pipeline,
    with_gradients,
)
from latentcodec.rate import DEFAULT_TARGET, Quality, Target, budget_bytes, parse_target

MINI, SD_TURBO = "mini", "sd-turbo"


@dataclass(frozen=True)
class EncodeResult:
    """A finished file and its information content in bits."""

    data: bytes
    information_bits: float


def encode_picture(
    picture: Source,
    target: Target | str = DEFAULT_TARGET,
    *,
    method: str = DEFAULT_METHOD,
    device: str = "auto",
    best_effort: bool = False,
    vae: str | None = None,
    model: str | None = None,
    scale: str = MINI,
    settings: Settings = DEFAULT_SETTINGS,
) -> EncodeResult:
    """Picture, uint8 array [H, W, 3], Pillow image or path of an image file -> bytes of an .lcx file.

    `target`: Quality, ByteBudget or BppBudget, or a text as the command line takes it: "0.05bpp". A budget covers the
    whole file and is never exceeded. Raises InputError, WeightsError, and BudgetError if the budget is out of reach for
    this picture, which `best_effort` turns into the nearest reachable size. `vae`: name or folder of an autoencoder,
    for method "overfit". `model`: file of weights that training has exported, or name of imported ones, for the other
    methods. `scale`: "mini", or "sd-turbo" for the imported StableCodec checkpoint whose rate is nearest to the budget.
    """
    picture = as_picture(picture)
    target = parse_target(target) if isinstance(target, str) else target
    width, height = picture.size
    chunks = _chunks_of(picture)
    overhead = HEADER_BYTES + (len(chunk_list.write(chunks)) if chunks else 0)
    chosen = method_named(method)
    if scale != MINI:
        model = _checkpoint(chosen, scale, model, target, width * height)
    chosen.check(settings)
    codec = pipeline(chosen, model_named(chosen, vae, model), device)
    with with_gradients():
        if isinstance(target, Quality):
            encoded = codec.encode(picture.pixels, target, settings)
        else:
            budget = budget_bytes(target, width * height)
            try:
                encoded = codec.encode(picture.pixels, PayloadBudget(max(0, budget - overhead), best_effort), settings)
            except OutOfReachError as reach:
                raise BudgetError(_describe(budget, overhead, chunks, reach, width * height)) from reach
    parsed = LcodecFile(
        codec.codec_id, width, height, encoded.rate, codec.fingerprint, encoded.symbols, encoded.payload, chunks
    )
    return EncodeResult(container.write(parsed), encoded.information_bits)


def encode(
    picture: Source,
    target: Target | str = DEFAULT_TARGET,
    *,
    method: str = DEFAULT_METHOD,
    device: str = "auto",
    best_effort: bool = False,
    vae: str | None = None,
    model: str | None = None,
    scale: str = MINI,
    settings: Settings = DEFAULT_SETTINGS,
) -> bytes:
    """`encode_picture`, returning only the file's bytes."""
    return encode_picture(
        picture,
        target,
        method=method,
        device=device,
        best_effort=best_effort,
        vae=vae,
        model=model,
        scale=scale,
        settings=settings,
    ).data


def _checkpoint(method: Method, scale: str, model: str | None, target: Target, pixels: int) -> str:
    """Path of the weights that a scale stands for. Raises InputError, WeightsError."""
    if scale != SD_TURBO or method.name != "stablecodec":
        raise InputError(f"method {method.name} has no scale {scale!r}; stablecodec has {MINI} and {SD_TURBO}")
    if model is not None:
        raise InputError("a model and a scale: name one of them")
    if isinstance(target, Quality):
        raise InputError(f"scale {SD_TURBO} chooses a checkpoint for a budget; for a quality, name one as the model")
    from latentcodec.pipelines.stablecodec_full import nearest_checkpoint

    return str(nearest_checkpoint(8 * budget_bytes(target, pixels) / pixels))


def decode(
    data: bytes,
    *,
    device: str = "auto",
    limits: Limits = DEFAULT_LIMITS,
    vae: str | None = None,
    model: str | None = None,
    fidelity: float = 0.0,
) -> Picture:
    """Bytes of an .lcx file -> picture. Raises FormatError, LimitError, WeightsError.

    `vae`, `model`: folder of the autoencoder, or file of weights, if the file was written with what this program does
    not know by name.
    `fidelity` 0..1, for method "sodec": 0 is the realistic picture, 1 the faithful preview, which takes a fraction of
    the time; between, they are blended. Raises InputError for other methods.
    """
    if not 0 <= fidelity <= 1:
        raise InputError(f"fidelity is a number from 0 to 1, not {fidelity}")
    parsed = inspect(data, limits=limits)
    method = method_of(parsed.codec)
    if fidelity and not method.preview:
        raise InputError(f"files of method {method.name} hold no preview; those of sodec do")
    chosen = model_of(method, parsed.weights, vae, model)
    size = parsed.width, parsed.height
    alpha = parsed.chunk(Tag.ALPHA)
    plane = None if alpha is None else decode_plane(alpha, size)
    encoded = Encoded(parsed.rate, parsed.symbols, parsed.payload, 0.0)
    codec = pipeline(method, chosen, device)
    picture = Picture(
        pixels=codec.decode(encoded, size, fidelity, limits.max_memory_bytes),
        alpha=plane,
        icc=parsed.chunk(Tag.ICC),
        exif=parsed.chunk(Tag.EXIF),
        xmp=parsed.chunk(Tag.XMP),
    )
    return _as_gray(picture) if parsed.chunk(Tag.GRAY) is not None else picture


def inspect(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> LcodecFile:
    """Bytes of an .lcx file -> its validated fields; nothing is decoded. Raises FormatError, LimitError."""
    return container.read(data, limits)


def _chunks_of(picture: Picture) -> tuple[Chunk, ...]:
    candidates = (
        (Tag.ICC, picture.icc),
        (Tag.EXIF, picture.exif),
        (Tag.XMP, picture.xmp),
        (Tag.GRAY, b"" if picture.gray else None),
        (Tag.ALPHA, None if picture.alpha is None else encode_plane(picture.alpha)),
    )
    chunks = tuple(Chunk(tag, data) for tag, data in candidates if data is not None)
    for chunk in chunks:
        if len(chunk.data) > DEFAULT_LIMITS.max_chunk_bytes:  # nobody could decode it without raising limits
            largest = DEFAULT_LIMITS.max_chunk_bytes
            raise InputError(f"{Tag(chunk.tag).name} takes {len(chunk.data)} bytes; a chunk holds {largest} at most")
    return chunks


def _as_gray(picture: Picture) -> Picture:
    """Luma (Rec. 601, integer) in all three channels: the model's colours need not be exactly neutral."""
    red, green, blue = (picture.pixels[:, :, channel].astype("uint32") for channel in range(3))
    luma = ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16).astype("uint8")
    return replace(picture, pixels=luma[:, :, None].repeat(3, axis=2), gray=True)


def _describe(budget: int, overhead: int, chunks: Sequence[Chunk], reach: OutOfReachError, pixels: int) -> str:
    smallest, largest = reach.smallest + overhead, reach.largest + overhead
    low, high = (8 * size / pixels for size in (smallest, largest))
    asked = f"{budget} bytes ({8 * budget / pixels:.4f} bpp)" if budget else "less than a byte"
    takes = f"{smallest} to {largest} bytes ({low:.4f} to {high:.4f} bpp)"
    beside = ", ".join(f"{len(chunk.data)} of {Tag(chunk.tag).name.lower()}" for chunk in chunks if chunk.data)
    return f"{asked} is out of reach for this picture: it takes {takes}{', with ' + beside if beside else ''}"
