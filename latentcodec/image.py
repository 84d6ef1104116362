"""Image files <-> pixel arrays. The only module that uses Pillow.

Everything becomes 8-bit sRGB, on purpose and by these rules; what gets lost on the way is named in `Picture.notes`.

| input | becomes |
|---|---|
| grayscale, 1-bit | three equal channels, marked gray, so that it is written as grayscale again |
| palette | RGB, with alpha if the palette has transparency |
| 16-bit, 32-bit integer | the upper 8 of 16 bits |
| CMYK, Lab, YCbCr | RGB, through the embedded profile if there is one |
| alpha (also as a transparent colour) | kept as its own plane; dropped if it is opaque everywhere |
| EXIF orientation | applied to the pixels |
| ICC profile | pixels converted to sRGB; RGB and 8-bit gray pictures may keep it instead |
| several frames or pages | the first |
"""

import io
import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageColor, ImageDraw, ImageOps, PngImagePlugin, UnidentifiedImageError

from latentcodec.errors import CorruptError, InputError
from latentcodec.limits import MAX_SIDE

Pixels = npt.NDArray[np.uint8]
_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_PROFILE_STAYS = ("RGB", "RGBA", "P", "L", "LA")
_EXIF_PREFIX = b"Exif\0\0"  # that of a JPEG segment, not part of the data
_ORIENTATION = 0x0112
_PNG_XMP, _TIFF_XMP = "XML:com.adobe.xmp", 700
# A TIFF's own directory describes its layout; only these of its tags describe the picture.
_DESCRIPTIVE = {0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298, 0x8769, 0x8825}

# What folders are searched for. JPEG XL and HEIC can be read once a plugin of Pillow is loaded.
SUFFIXES = frozenset(
    {".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg", ".webp", ".avif"}
    | {".jp2", ".j2k", ".jxl", ".heic", ".heif"}
)

# Sides are limited here, not Pillow's number of pixels: 16384 x 16384 is allowed.
Image.MAX_IMAGE_PIXELS = MAX_SIDE * MAX_SIDE


@dataclass(frozen=True, repr=False)
class Picture:
    """One picture in sRGB (or in the colour space of `icc`, where that is set).

    pixels: uint8 [H, W, 3]; alpha: uint8 [H, W], straight, or None; gray: the three channels are equal; exif: TIFF
    structure without prefix; notes: what was lost or ignored when it was read, for people.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    gray: bool = False
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        more = ("gray",) * self.gray + tuple(n for n in ("alpha", "icc", "exif", "xmp") if getattr(self, n) is not None)
        return f"<Picture {'x'.join(map(str, self.size))}{''.join(f' {name}' for name in more)}>"

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            raise InputError(f"pixels are {self.pixels.dtype} {list(self.pixels.shape)}, expected uint8 [H, W, 3]")
        if not 1 <= min(self.size) <= max(self.size) <= MAX_SIDE:
            raise InputError(f"the picture is {self.size[0]}x{self.size[1]}; sides of 1 to {MAX_SIDE} are supported")
        if self.alpha is not None and (self.alpha.dtype != np.uint8 or self.alpha.shape != self.pixels.shape[:2]):
            raise InputError("alpha must be uint8 [H, W], of the same size as the pixels")

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.pixels.shape[1], self.pixels.shape[0]


Source = Picture | Pixels | Image.Image | str | os.PathLike[str]


def as_picture(source: Source) -> Picture:
    """Whatever a caller of the library has -> Picture. Raises InputError for what is no picture."""
    if isinstance(source, Picture):
        return source
    if isinstance(source, str | os.PathLike):
        return read_picture(source)
    if isinstance(source, Image.Image):
        return from_pillow(source)
    if isinstance(source, np.ndarray):
        return Picture(source)
    raise InputError(f"{type(source).__name__} is no picture; give a Picture, an array, a Pillow image or a path")


def read_picture(source: str | os.PathLike[str] | bytes, keep_icc: bool = False) -> Picture:
    """Image file (path or contents) -> Picture. Raises InputError if it is not a picture that can be used."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
                return _picture(image, keep_icc)
    except (InputError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise InputError("no such file") from error
    except UnidentifiedImageError as error:
        raise InputError("not an image file that Pillow can read") from error
    except Exception as error:  # damaged files make Pillow and its plugins raise almost anything
        raise InputError(f"cannot be read as a picture: {_one_line(error)}") from error


def from_pillow(image: Image.Image, keep_icc: bool = False) -> Picture:
    """Pillow image -> Picture, by the rules for files. Raises InputError."""
    try:
        return _picture(image, keep_icc)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # an image may still have to be read from its file
        raise InputError(f"cannot be read as a picture: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


def _picture(image: Image.Image, keep_icc: bool) -> Picture:
    if max(image.size) > MAX_SIDE:
        raise InputError(f"the picture is {image.width}x{image.height}; sides of 1 to {MAX_SIDE} are supported")
    notes = []
    if getattr(image, "n_frames", 1) > 1:
        notes.append(f"only the first of {getattr(image, 'n_frames', 1)} frames is kept")
    icc = image.info.get("icc_profile")
    stays = bool(keep_icc and icc and image.mode in _PROFILE_STAYS)
    if keep_icc and icc and not stays:
        notes.append(f"the colour profile cannot be kept for mode {image.mode}")
    raw = [str(tile[3]) for tile in getattr(image, "tile", ())]  # as stored; gone once the pixels are loaded
    gray = image.mode in ("1", "L", "LA", "La", *_SIXTEEN_BIT) or any("LA;16" in mode for mode in raw)
    if image.mode in _SIXTEEN_BIT or any(";16" in mode for mode in raw):
        notes.append("16 bits per channel become 8")
    upright, exif = _upright(image), _exif(image, notes)
    colour, applied = _to_rgb(upright, None if stays else icc)
    if icc and not stays and not applied:
        notes.append("the colour profile could not be applied; sRGB is assumed")
    xmp = upright.info.get("xmp")
    return Picture(
        pixels=np.asarray(colour),
        alpha=_alpha(upright),
        gray=gray,
        icc=icc if stays else None,
        exif=exif,
        xmp=xmp.encode() if isinstance(xmp, str) else xmp,
        notes=tuple(notes),
    )


def _upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF orientation says; unreadable EXIF says nothing."""
    image.load()  # so that what fails below is the EXIF, not the pixels
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # Pillow's EXIF reader raises what its input makes it
        return image


def _exif(image: Image.Image, notes: list[str]) -> bytes | None:
    """Descriptive EXIF without orientation, which is in the pixels; unreadable EXIF is noted and left out."""
    try:
        exif = image.getexif()
        unwanted = {_ORIENTATION} if image.format != "TIFF" else set(exif) - _DESCRIPTIVE
        for tag in unwanted & set(exif):
            del exif[tag]
        return exif.tobytes().removeprefix(_EXIF_PREFIX) if len(exif) else None
    except Exception:  # Pillow's EXIF reader raises what its input makes it
        notes.append("the EXIF data cannot be read and are left out")
        return None


def _alpha(image: Image.Image) -> Pixels | None:
    """The alpha plane, or None if every pixel is opaque."""
    if not image.has_transparency_data:
        return None
    if image.mode in _SIXTEEN_BIT:
        opaque = np.asarray(image) != image.info["transparency"]
        alpha = np.where(opaque, 255, 0).astype(np.uint8)
    else:
        transparent = image.info.get("transparency")
        if image.mode == "RGB" and isinstance(transparent, tuple) and max(transparent) > 255:
            image = image.copy()  # a colour in 16 bits, of pixels that have become 8
            image.info["transparency"] = tuple(value >> 8 for value in transparent)
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    return None if alpha.min() == 255 else alpha


def _to_rgb(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, bool]:
    """Colours as 8-bit RGB, and whether the profile was applied."""
    if image.mode in _SIXTEEN_BIT:
        values = np.asarray(image).astype(np.int64)
        return Image.fromarray(np.clip(values >> 8, 0, 255).astype(np.uint8)).convert("RGB"), False
    if image.mode == "F":
        raise ValueError("floating-point pictures are not supported")
    converted = None if icc is None else _to_srgb(image, icc)
    if converted is not None:
        return converted, True
    return (image.convert("RGBA").convert("RGB") if image.mode == "PA" else image.convert("RGB")), False


def _to_srgb(image: Image.Image, icc: bytes) -> Image.Image | None:
    """Colours through the embedded profile; None where the profile does not fit the picture or is broken."""
    base = image.convert({"P": "RGB", "RGBA": "RGB", "LA": "L", "1": "L"}.get(image.mode, image.mode))
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return ImageCms.profileToProfile(base, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


@dataclass(frozen=True)
class _Format:
    """How one kind of image file is written, and what it can hold."""

    name: str
    alpha: bool
    metadata: bool
    options: dict[str, object]


_PNG = _Format("PNG", alpha=True, metadata=True, options={})
_JPEG = _Format("JPEG", alpha=False, metadata=True, options={"quality": 95, "subsampling": 0})
_PPM = _Format("PPM", alpha=False, metadata=False, options={})
_TIFF = _Format("TIFF", alpha=True, metadata=True, options={"compression": "tiff_lzw"})
FORMATS = {
    ".png": _PNG,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": _Format("WEBP", alpha=True, metadata=True, options={"lossless": True, "exact": True}),
    ".avif": _Format("AVIF", alpha=True, metadata=True, options={"quality": 95}),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".bmp": _Format("BMP", alpha=False, metadata=False, options={}),
    ".ppm": _PPM,
    ".pgm": _PPM,
}


def write_picture(picture: Picture, suffix: str) -> bytes:
    """Picture -> contents of an image file of the kind that `suffix` ('.png') names; the kinds are FORMATS.

    PNG, WebP, TIFF, PPM and BMP are lossless, JPEG and AVIF of quality 95. Raises InputError for another suffix, and
    where the kind cannot hold the picture's alpha, colours or colour profile.
    """
    check_suffix(suffix)
    kind = FORMATS[suffix.lower()]
    if picture.alpha is not None and not kind.alpha:
        raise InputError(
            f"{suffix} cannot hold the picture's alpha channel; write .png or .webp, or encode it over a --background"
        )
    if picture.icc is not None and not kind.metadata:
        raise InputError(f"{suffix} cannot hold the picture's colour profile; write .png, .jpg or .webp")
    if suffix.lower() == ".pgm" and not picture.gray:
        raise InputError(".pgm holds grayscale only; write .ppm or .png")
    image = to_pillow(picture)
    out = io.BytesIO()
    try:
        image.save(out, kind.name, **(_metadata(picture, kind.name) if kind.metadata else {}), **kind.options)
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"cannot write {suffix}: {_one_line(error)}") from error
    return out.getvalue()


def _metadata(picture: Picture, kind: str) -> dict[str, object]:
    """Options of Pillow's writer that store profile, EXIF and XMP."""
    exif = _checked_exif(picture.exif)
    options: dict[str, object] = {"icc_profile": picture.icc, "exif": exif, "xmp": picture.xmp}
    if kind == "PNG" and picture.xmp:
        chunks = PngImagePlugin.PngInfo()
        chunks.add_itxt(_PNG_XMP, picture.xmp.decode("utf-8", "replace"))
        options["pnginfo"] = chunks
    if kind == "TIFF":
        tags = Image.Exif()
        if exif:
            tags.load(exif)
        if picture.xmp:
            tags[_TIFF_XMP] = picture.xmp
        options["exif"] = tags if len(tags) else None
    return {name: value for name, value in options.items() if value}


def check_suffix(suffix: str) -> None:
    """Raises InputError for a suffix that is not among FORMATS."""
    if suffix.lower() not in FORMATS:
        raise InputError(f"cannot write {suffix or 'files without a suffix'}; there is {' '.join(FORMATS)}")


def left_out(picture: Picture, suffix: str) -> list[str]:
    """What a file of this kind will not hold of the picture, in words."""
    notes = []
    if not FORMATS[suffix.lower()].metadata and (picture.exif or picture.xmp):
        notes.append(f"{suffix} holds no EXIF and no XMP; they are left out")
    elif picture.exif and _checked_exif(picture.exif) is None:
        notes.append("the EXIF data cannot be read and are left out")
    return notes


def _checked_exif(data: bytes | None) -> bytes | None:
    """EXIF of a file as written by anybody: what cannot be parsed is left out, and so is a stray orientation."""
    if data is None:
        return None
    exif = Image.Exif()
    try:
        exif.load(_EXIF_PREFIX + data)
        exif.pop(_ORIENTATION, None)
        return exif.tobytes()
    except Exception:  # Pillow's EXIF reader raises what its input makes it
        return None


def to_pillow(picture: Picture) -> Image.Image:
    """Picture -> Pillow image of mode L, LA, RGB or RGBA."""
    image = Image.fromarray(picture.pixels)
    if picture.gray:
        image = image.getchannel("G")
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    return image


def encode_plane(plane: Pixels) -> bytes:
    """One plane uint8 [H, W] -> lossless WebP. Raises InputError for a side of MAX_SIDE, which WebP cannot hold."""
    if max(plane.shape) >= MAX_SIDE:
        raise InputError(f"an alpha channel is limited to {MAX_SIDE - 1} pixels on a side")
    out = io.BytesIO()
    Image.fromarray(plane).convert("RGB").save(out, "WEBP", lossless=True, quality=100, method=6)
    return out.getvalue()


def decode_plane(data: bytes, size: tuple[int, int]) -> Pixels:
    """Lossless WebP of one plane -> uint8 [H, W] of exactly `size` (width, height). Raises CorruptError."""
    try:
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
            if image.size != size:
                raise CorruptError(f"the alpha plane is {image.size}, the picture {size}")
            return np.asarray(image.convert("RGB").getchannel("G"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise CorruptError(f"the alpha plane cannot be read: {error}") from error


def kind_of(data: bytes) -> str:
    """Pillow's name of the format of an image file: "JPEG", "WEBP". Raises InputError for other bytes."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.format or ""
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError("not an image file that Pillow can read") from error


def parse_colour(text: str) -> tuple[int, int, int]:
    """'white' or '#336699' -> red, green and blue. Raises InputError."""
    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise InputError(f"no colour called {text!r}; write white or '#336699'") from error
    return red, green, blue


def over(picture: Picture, colour: tuple[int, int, int]) -> Picture:
    """The same picture without alpha: laid over a colour, in sRGB values as browsers do."""
    if picture.alpha is None:
        return picture
    alpha = picture.alpha[:, :, None].astype(np.int32)
    behind = np.array(colour, np.int32)
    pixels = (alpha * picture.pixels + (255 - alpha) * behind + 127) // 255
    gray = picture.gray and len(set(colour)) == 1
    return replace(picture, pixels=pixels.astype(np.uint8), alpha=None, gray=gray)


def without_metadata(picture: Picture) -> Picture:
    """The same picture without EXIF and XMP."""
    return replace(picture, exif=None, xmp=None)


def read_rgb(path: Path) -> Pixels:
    """Image file -> uint8 [H, W, 3], sRGB assumed: for training data and metrics, without any colour conversion."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def resized_crop(pixels: Pixels, box: tuple[int, int, int, int], size: int) -> Pixels:
    """Region (left, top, right, bottom) of [H, W, 3], scaled to [size, size, 3] with a Lanczos filter."""
    left, top, right, bottom = box
    region = pixels[top:bottom, left:right]
    if region.shape[:2] == (size, size):
        return region
    return np.asarray(Image.fromarray(region).resize((size, size), Image.Resampling.LANCZOS))


def resize(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """[H, W, 3] -> `size` (width, height), Lanczos."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def label_strip(text: str, width: int) -> Pixels:
    """Black text on white, [18, width, 3]."""
    strip = Image.new("RGB", (width, 18), "white")
    ImageDraw.Draw(strip).text((4, 3), text, fill="black")
    return np.asarray(strip)


def write_sheet(pixels: Pixels, path: Path) -> None:
    """Write a large picture for people to look at, in the format of the suffix, at quality 85."""
    Image.fromarray(pixels).save(path, quality=85)
