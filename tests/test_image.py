"""Picture files in and out, by the rules of latentcodec.image."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from latentcodec.errors import CorruptError, InputError
from latentcodec.image import (
    FORMATS,
    Picture,
    decode_plane,
    encode_plane,
    left_out,
    over,
    parse_colour,
    read_picture,
    to_pillow,
    write_picture,
)

GRADIENT = np.stack(np.broadcast_arrays(np.arange(40)[:, None] * 6, np.arange(50)[None] * 5, 128), 2).astype(np.uint8)


def file_of(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "PPM", "TIFF", "BMP"])
def test_lossless_formats_arrive_unchanged(kind: str) -> None:
    picture = read_picture(file_of(Image.fromarray(GRADIENT), kind))
    assert np.array_equal(picture.pixels, GRADIENT)
    assert picture.alpha is None
    assert not picture.gray


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_lossy_formats_arrive_nearly_unchanged(kind: str) -> None:
    picture = read_picture(file_of(Image.fromarray(GRADIENT), kind, quality=95))
    assert np.abs(picture.pixels.astype(int) - GRADIENT).mean() < 3


def test_grayscale_is_three_equal_channels_and_written_as_grayscale() -> None:
    plane = GRADIENT[:, :, 0]
    picture = read_picture(file_of(Image.fromarray(plane)))
    assert picture.gray
    assert (picture.pixels == plane[:, :, None]).all()
    assert to_pillow(picture).mode == "L"


def test_one_bit_pictures_are_gray() -> None:
    picture = read_picture(file_of(Image.fromarray(GRADIENT[:, :, 0] > 100)))
    assert picture.gray
    assert set(np.unique(picture.pixels)) == {0, 255}


def test_sixteen_bits_become_the_upper_eight() -> None:
    values = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    picture = read_picture(file_of(Image.fromarray(values)))
    assert picture.gray
    assert np.array_equal(picture.pixels[:, :, 1], values >> 8)


def test_palette_with_transparency_has_alpha() -> None:
    image = Image.fromarray(GRADIENT).quantize(8)
    image.info["transparency"] = 0
    picture = read_picture(file_of(image, transparency=0))
    assert picture.alpha is not None
    assert set(np.unique(picture.alpha)) == {0, 255}


def test_alpha_is_kept_and_opaque_alpha_dropped() -> None:
    alpha = np.full(GRADIENT.shape[:2], 255, np.uint8)
    opaque = read_picture(file_of(Image.fromarray(np.dstack([GRADIENT, alpha]))))
    assert opaque.alpha is None
    alpha[3:9, 4:8] = 77
    picture = read_picture(file_of(Image.fromarray(np.dstack([GRADIENT, alpha]))))
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, alpha)
    assert to_pillow(picture).mode == "RGBA"


def test_orientation_is_applied_and_removed() -> None:
    image = Image.fromarray(GRADIENT)
    exif = image.getexif()
    exif[0x0112] = 6
    exif[0x010E] = "a description"
    picture = read_picture(file_of(image, "PNG", exif=exif))
    assert np.array_equal(picture.pixels, np.rot90(GRADIENT, -1))
    written = Image.open(io.BytesIO(write_picture(picture, ".png")))
    assert 0x0112 not in written.getexif()
    assert written.getexif()[0x010E] == "a description"


def test_cmyk_becomes_rgb() -> None:
    picture = read_picture(file_of(Image.fromarray(GRADIENT).convert("CMYK"), "TIFF"))
    assert np.abs(picture.pixels.astype(int) - GRADIENT).max() <= 2


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# The same profile with the primaries of red and blue exchanged in its table of tags.
SWAPPED = SRGB.replace(b"rXYZ", b"\0tmp").replace(b"bXYZ", b"rXYZ").replace(b"\0tmp", b"bXYZ")


def test_profile_is_converted_away_or_kept() -> None:
    data = file_of(Image.fromarray(GRADIENT), icc_profile=SRGB)
    converted = read_picture(data)
    assert converted.icc is None
    assert np.abs(converted.pixels.astype(int) - GRADIENT).max() <= 1
    kept = read_picture(data, keep_icc=True)
    assert kept.icc == SRGB
    with Image.open(io.BytesIO(write_picture(kept, ".png"))) as written:
        assert written.info["icc_profile"] == SRGB
    with pytest.raises(InputError, match="colour profile"):
        write_picture(kept, ".ppm")


def test_profile_changes_the_colours() -> None:
    converted = read_picture(file_of(Image.fromarray(GRADIENT), icc_profile=SWAPPED))
    assert converted.icc is None
    assert converted.notes == ()
    assert np.abs(converted.pixels.astype(int) - GRADIENT).mean() > 10


def test_profile_that_cannot_stay_is_noted() -> None:
    picture = read_picture(file_of(Image.fromarray(GRADIENT).convert("CMYK"), "TIFF", icc_profile=SRGB), keep_icc=True)
    assert picture.icc is None
    assert any("cannot be kept for mode CMYK" in note for note in picture.notes)


def test_broken_profile_is_ignored() -> None:
    picture = read_picture(file_of(Image.fromarray(GRADIENT), icc_profile=b"not a profile" * 20))
    assert np.array_equal(picture.pixels, GRADIENT)
    assert picture.notes == ("the colour profile could not be applied; sRGB is assumed",)


def test_only_the_first_frame_is_kept_and_that_is_said() -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue", "green")]
    picture = read_picture(file_of(frames[0], "TIFF", save_all=True, append_images=frames[1:]))
    assert picture.pixels[0, 0].tolist() == [255, 0, 0]
    assert picture.notes == ("only the first of 3 frames is kept",)


def test_sixteen_bit_transparency_is_kept() -> None:
    values = np.full((4, 4), 7000, np.uint16)
    values[1, 2] = 300
    picture = read_picture(file_of(Image.fromarray(values), transparency=300))
    assert picture.alpha is not None
    assert (picture.alpha == 0).sum() == 1


def test_tiff_keeps_its_description_without_its_layout() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    picture = read_picture(file_of(Image.fromarray(GRADIENT), "TIFF", exif=exif))
    assert picture.exif is not None
    kept = Image.Exif()
    kept.load(picture.exif)
    assert dict(kept) == {0x010E: "a description"}


@pytest.mark.parametrize("suffix", [suffix for suffix, kind in FORMATS.items() if kind.metadata])
def test_metadata_survives_in_every_format_that_holds_it(suffix: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    picture = Picture(GRADIENT, exif=exif.tobytes(), xmp=xmp)
    assert left_out(picture, suffix) == []
    again = read_picture(write_picture(picture, suffix))
    assert again.xmp == xmp
    assert again.exif is not None
    kept = Image.Exif()
    kept.load(again.exif)
    assert kept[0x010E] == "a description"


@pytest.mark.parametrize("suffix", [".bmp", ".ppm"])
def test_metadata_that_a_format_cannot_hold_is_named(suffix: str) -> None:
    assert left_out(Picture(GRADIENT, xmp=b"<x/>"), suffix) == [f"{suffix} holds no EXIF and no XMP; they are left out"]


def test_sixteen_bits_are_reduced_with_a_note() -> None:
    deep = Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000)
    picture = read_picture(file_of(deep))
    assert picture.gray
    assert picture.notes == ("16 bits per channel become 8",)


def png(colour_type: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A 16-bit PNG of 2x1 pixels, which Pillow reads but does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, colour_type, 0, 0, 0))
    body = [chunk(*c) for c in chunks] + [chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(body)


def test_transparency_of_sixteen_bit_pictures() -> None:
    colours = struct.pack(">6H", 65535, 0, 1234, 5, 6, 7)
    picture = read_picture(png(2, b"\0" + colours, (b"tRNS", colours[:6])))
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[0, 255]]
    gray = read_picture(png(4, b"\0" + struct.pack(">4H", 30000, 65535, 60000, 0)))
    assert gray.gray
    assert gray.alpha is not None
    assert gray.alpha.tolist() == [[255, 0]]
    assert gray.notes == ("16 bits per channel become 8",)


def test_tiff_layout_is_not_taken_for_metadata() -> None:
    assert read_picture(file_of(Image.fromarray(GRADIENT), "TIFF")).exif is None


@pytest.mark.parametrize("exif", [b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff", b"junk"])
def test_damaged_exif_harms_nothing(exif: bytes) -> None:
    picture = read_picture(file_of(Image.fromarray(GRADIENT), exif=b"Exif\0\0" + exif))
    assert np.array_equal(picture.pixels, GRADIENT)
    for suffix in (".png", ".jpg", ".tif", ".webp", ".avif"):
        assert write_picture(Picture(GRADIENT, exif=exif), suffix)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (16384, 1)])
def test_extreme_shapes_are_read(size: tuple[int, int]) -> None:
    assert read_picture(file_of(Image.new("RGB", size))).size == size


def test_unusable_inputs_are_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    truncated = file_of(Image.fromarray(GRADIENT))[:-30]
    cases: list[tuple[Path | bytes, str]] = [
        (tmp_path / "none.png", "no such file"),
        (tmp_path / "text.png", "not an image file"),
        (b"", "not an image file"),
        (truncated, "cannot be read as a picture"),
        (file_of(Image.new("RGB", (16385, 1))), "16385x1"),
        (file_of(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"), "floating-point"),
        (tmp_path, "s a directory"),
    ]
    for source, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            read_picture(source)
        assert "\n" not in str(caught.value)


def test_alpha_over_a_background_is_what_pillow_makes_of_it() -> None:
    alpha = (np.arange(50)[None] * 5 + np.zeros((40, 1))).astype(np.uint8)
    colour = parse_colour("#336699")
    laid = over(Picture(GRADIENT, alpha=alpha), colour)
    front = to_pillow(Picture(GRADIENT, alpha=alpha))
    expected = Image.alpha_composite(Image.new("RGBA", front.size, (*colour, 255)), front).convert("RGB")
    assert laid.alpha is None
    assert np.abs(laid.pixels.astype(int) - np.asarray(expected)).max() <= 1
    gray = Picture(GRADIENT[:, :, :1].repeat(3, 2), alpha=alpha, gray=True)
    assert (over(gray, (9, 9, 9)).gray, over(gray, colour).gray) == (True, False)
    assert repr(gray) == "<Picture 50x40 gray alpha>"


def test_formats_without_alpha_say_so() -> None:
    picture = Picture(GRADIENT, alpha=np.zeros(GRADIENT.shape[:2], np.uint8))
    with pytest.raises(InputError, match="alpha"):
        write_picture(picture, ".jpg")
    with pytest.raises(InputError, match=r"cannot write \.xyz; there is \.png"):
        write_picture(picture, ".xyz")
    with pytest.raises(InputError, match="files without a suffix"):
        write_picture(picture, "")


def test_pictures_of_the_wrong_kind_are_refused() -> None:
    with pytest.raises(InputError, match="uint8"):
        Picture(GRADIENT.astype(np.float32))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="uint8"):
        Picture(GRADIENT[:, :, 0])
    with pytest.raises(InputError, match="alpha"):
        Picture(GRADIENT, alpha=np.zeros((3, 3), np.uint8))


def test_planes_round_trip_and_damage_is_noticed() -> None:
    plane = np.random.default_rng(0).integers(0, 256, (33, 21)).astype(np.uint8)
    data = encode_plane(plane)
    assert np.array_equal(decode_plane(data, (21, 33)), plane)
    with pytest.raises(CorruptError, match="21"):
        decode_plane(data, (22, 33))
    with pytest.raises(CorruptError, match="cannot be read"):
        decode_plane(data[: len(data) // 2], (21, 33))
    with pytest.raises(CorruptError, match="cannot be read"):
        decode_plane(b"no picture", (21, 33))


def test_colours_do_not_go_into_a_grayscale_format() -> None:
    assert write_picture(Picture(GRADIENT[:, :, :1].repeat(3, 2), gray=True), ".pgm").startswith(b"P5")
    with pytest.raises(InputError, match="grayscale only"):
        write_picture(Picture(GRADIENT), ".pgm")
