"""Image files <-> pixel arrays. The only module that uses Pillow.

Everything becomes 8-bit sRGB, on purpose and by these rules:

| input | becomes |
|---|---|
| grayscale, 1-bit | three equal channels, marked gray, so that it is written as grayscale again |
| palette | RGB, with alpha if the palette has transparency |
| 16-bit, 32-bit integer | the upper 8 of 16 bits |
| CMYK, Lab, YCbCr | RGB, through the embedded profile if there is one |
| alpha (also as a transparent colour) | kept as its own plane; dropped if it is opaque everywhere |
| EXIF orientation | applied to the pixels |
| ICC profile | pixels converted to sRGB; RGB and gray pictures may keep it instead |
"""

import io
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageDraw, ImageOps, UnidentifiedImageError

from latentcodec.errors import CorruptError, InputError

Pixels = npt.NDArray[np.uint8]
MAX_SIDE = 1 << 14
_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_PROFILE_STAYS = ("RGB", "RGBA", "P", "L", "LA")
_EXIF_PREFIX = b"Exif\0\0"  # that of a JPEG segment, not part of the data


@dataclass(frozen=True)
class Picture:
    """One picture in sRGB (or in the colour space of `icc`, where that is set).

    pixels: uint8 [H, W, 3]; alpha: uint8 [H, W], straight, or None; gray: the three channels are equal.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    gray: bool = False
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None

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


def read_picture(source: Path | bytes, keep_icc: bool = False) -> Picture:
    """Image file (path or contents) -> Picture. Raises InputError if it is not a picture that can be used."""
    name = source.name if isinstance(source, Path) else "standard input"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = source if isinstance(source, Path) else io.BytesIO(source)
            with Image.open(file) as image:
                return _picture(image, keep_icc)
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such file") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{name}: not an image file that Pillow can read") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: {error}") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise InputError(f"{name}: {error}") from error


def _picture(image: Image.Image, keep_icc: bool) -> Picture:
    if max(image.size) > MAX_SIDE:
        raise InputError(f"the picture is {image.width}x{image.height}; sides of 1 to {MAX_SIDE} are supported")
    icc, exif, xmp = image.info.get("icc_profile"), image.getexif(), image.info.get("xmp")
    keep_icc = keep_icc and image.mode in _PROFILE_STAYS  # elsewhere the pixels leave the profile's colour space
    upright = ImageOps.exif_transpose(image)
    exif.pop(0x0112, None)  # orientation: it is in the pixels now
    gray = upright.mode in ("1", "L", "LA", "La", *_SIXTEEN_BIT)
    alpha = _alpha(upright)
    colour = _to_rgb(upright, None if keep_icc else icc)
    return Picture(
        pixels=np.asarray(colour),
        alpha=alpha,
        gray=gray,
        icc=icc if keep_icc else None,
        exif=exif.tobytes().removeprefix(_EXIF_PREFIX) if len(exif) else None,
        xmp=xmp.encode() if isinstance(xmp, str) else xmp,
    )


def _alpha(image: Image.Image) -> Pixels | None:
    """The alpha plane, or None if every pixel is opaque."""
    if not image.has_transparency_data:
        return None
    alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    return None if alpha.min() == 255 else alpha


def _to_rgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    if image.mode in _SIXTEEN_BIT:
        values = np.asarray(image).astype(np.int64)
        return Image.fromarray(np.clip(values >> 8, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pictures are not supported")
    if icc is not None:
        converted = _to_srgb(image, icc)
        if converted is not None:
            return converted
    return image.convert("RGBA").convert("RGB") if image.mode == "PA" else image.convert("RGB")


def _to_srgb(image: Image.Image, icc: bytes) -> Image.Image | None:
    """Colours through the embedded profile; None where the profile does not fit the picture or is broken."""
    base = image.convert({"P": "RGB", "RGBA": "RGB", "LA": "L", "1": "L"}.get(image.mode, image.mode))
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return ImageCms.profileToProfile(base, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def write_picture(picture: Picture, suffix: str) -> bytes:
    """Picture -> contents of an image file of the kind that `suffix` ('.png') names. Raises InputError."""
    image = to_pillow(picture)
    formats = Image.registered_extensions()
    if suffix.lower() not in formats or formats[suffix.lower()] not in Image.SAVE:
        raise InputError(f"cannot write {suffix or 'files without a suffix'}: unknown image format")
    kind = formats[suffix.lower()]
    exif = None if picture.exif is None else _EXIF_PREFIX + picture.exif
    extra = {k: v for k, v in (("icc_profile", picture.icc), ("exif", exif), ("xmp", picture.xmp)) if v}
    if kind in ("PPM", "JPEG", "BMP") and picture.alpha is not None:
        raise InputError(f"{suffix} cannot hold the picture's alpha channel; write .png or .webp")
    out = io.BytesIO()
    try:
        image.save(out, kind, **extra, **({"lossless": True} if kind == "WEBP" else {}))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write {suffix}: {error}") from error
    return out.getvalue()


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


def encode_avif(pixels: Pixels, quality: int, speed: int = 4) -> tuple[int, Pixels]:
    """What AVIF makes of a picture: bytes of the file, and the decoded picture."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "AVIF", quality=quality, speed=speed)
    with Image.open(out) as image:
        return len(out.getvalue()), np.asarray(image.convert("RGB"))


def label_strip(text: str, width: int) -> Pixels:
    """Black text on white, [18, width, 3]."""
    strip = Image.new("RGB", (width, 18), "white")
    ImageDraw.Draw(strip).text((4, 3), text, fill="black")
    return np.asarray(strip)


def write_sheet(pixels: Pixels, path: Path) -> None:
    """Write a large picture for people to look at, in the format of the suffix, at quality 85."""
    Image.fromarray(pixels).save(path, quality=85)
