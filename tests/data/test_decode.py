import io
import logging
import os
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import png, saved, tiff
from PIL import EpsImagePlugin, Image

from prunability.data.decode import decode
from prunability.foundation.errors import PrunabilityError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (3, 4, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (3, 4), dtype=np.uint8)
# What a viewer does to the stored rows and columns, by the EXIF standard's table of orientations.
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}


def seen(content: bytes) -> np.ndarray:
    """Pixels with the channels last."""
    return decode(content).transpose(1, 2, 0)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "TIFF", "WEBP"])
def test_pixels_are_those_that_were_saved(kind: str) -> None:
    how = {"lossless": True} if kind == "WEBP" else {}
    assert (seen(saved(Image.fromarray(COLOUR), kind, **how)) == COLOUR).all()
    if kind != "WEBP":
        assert (seen(saved(Image.fromarray(GREY), kind)) == GREY[..., None]).all()
        assert (seen(saved(Image.fromarray(GREY > 127), kind)) == 255 * (GREY[..., None] > 127)).all()


def test_palettes_are_colours() -> None:
    image = Image.fromarray(COLOUR).quantize(12)
    for kind in ("PNG", "GIF", "BMP", "TIFF"):
        assert (seen(saved(image, kind)) == COLOUR).all()


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_images_stand_as_exif_says(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    how = {"lossless": True} if kind == "WEBP" else {}
    image = Image.fromarray(COLOUR)
    assert (
        seen(saved(image, kind, exif=exif, **how)) == UPRIGHT[orientation](seen(saved(image, kind, **how)))
    ).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_what_is_transparent_lies_on_white(kind: str) -> None:
    alpha = np.array([[0, 255, 128, 1]] * 3, dtype=np.uint8)
    how = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    black = np.zeros((3, 4, 3), dtype=np.uint8)
    found = seen(saved(Image.fromarray(np.dstack([black, alpha])), kind, **how))
    assert (found[..., 0] == [255, 0, 127, 254]).all()
    opaque = np.dstack([COLOUR, np.full((3, 4), 255, dtype=np.uint8)])
    assert (seen(saved(Image.fromarray(opaque), kind, **how)) == COLOUR).all()
    if kind != "WEBP":
        icon = seen(saved(Image.merge("LA", [Image.new("L", (4, 3)), Image.fromarray(alpha)]), kind))
        assert icon.shape == (3, 4, 1)
        assert (icon[..., 0] == [255, 0, 127, 254]).all()


def test_a_transparent_colour_is_white_too() -> None:
    pixels = COLOUR.copy()
    pixels[1, 2] = 1, 2, 3
    expected = pixels.copy()
    expected[1, 2] = 255
    assert (seen(saved(Image.fromarray(pixels), transparency=(1, 2, 3))) == expected).all()
    flat = GREY.copy()
    flat[flat == 7] = 8
    flat[1, 2] = 7
    grey = seen(saved(Image.fromarray(flat), transparency=7))
    assert (grey == np.where(flat == 7, 255, flat)[..., None]).all()
    palette = Image.fromarray(pixels).quantize(12)
    place = palette.getpixel((2, 1))
    for kind in ("PNG", "GIF"):
        assert (seen(saved(palette, kind, transparency=place)) == expected).all()
    several = bytes([0] * 12)
    assert (seen(saved(palette, "PNG", transparency=several)) == 255).all()


def animation(kind: str) -> bytes:
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:])


SIXTEEN = RNG.integers(0, 256, 4 * 3 * 6, dtype=np.uint8).tobytes()
ROWS = b"".join(b"\0" + SIXTEEN[:24] for _ in range(3))
BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "its content is none of PNG, JPEG"),
    "text": (b"not an image", "its content is none of"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "its content is none of"),
    "16 bit grey": (saved(Image.fromarray(GREY.astype(np.uint16) * 257)), "mode I;16, 16 bits.* 8 bits a channel"),
    "16 bit grey TIFF": (saved(Image.fromarray(GREY.astype(np.uint16)), "TIFF"), "16 bits.* 8 bits a channel"),
    "48 bit PNG": (png(4, 3, 16, 2, ROWS), "16 bits.* 8 bits a channel"),
    "64 bit PNG": (png(3, 3, 16, 6, ROWS), "16 bits.* 8 bits a channel"),
    "grey and alpha of 16 bits": (png(6, 3, 16, 4, ROWS), "16 bits.* 8 bits a channel"),
    "48 bit TIFF": (tiff(4, 3, 16, 3, SIXTEEN), "16 bits.* 8 bits a channel"),
    "48 bit PPM": (b"P6 4 3 65535\n" + SIXTEEN, "16 bits.* 8 bits a channel"),
    "10 bit PPM": (b"P6 4 3 1023\n" + bytes(72), "10 bits.* 8 bits a channel"),
    "48 bit plain PPM": (b"P3 1 1 65535\n1 2 60000\n", "16 bits.* 8 bits a channel"),
    "16 bit PGM": (b"P5 4 3 65535\n" + SIXTEEN, "8 bits a channel"),
    "32 bit": (saved(Image.fromarray(GREY.astype(np.int32)), "TIFF"), "8 bits a channel"),
    "floats": (saved(Image.fromarray(GREY.astype(np.float32)), "TIFF"), "8 bits a channel"),
    "pfm": (saved(Image.fromarray(GREY.astype(np.float32)), "PPM"), "8 bits a channel"),
    "CMYK": (saved(Image.new("CMYK", (4, 3)), "JPEG"), "mode CMYK.* grey or RGB"),
    "Lab": (saved(Image.new("LAB", (4, 3)), "TIFF"), "mode LAB.* grey or RGB"),
    "animated GIF": (animation("GIF"), "2 frames"),
    "animated PNG": (animation("PNG"), "2 frames"),
    "animated WEBP": (animation("WEBP"), "2 frames"),
    "pages": (animation("TIFF"), "2 frames"),
    "several JPEGs": (animation("MPO"), "2 frames"),
    "large": (png(2**13, 2**12, 8, 2, b""), "33554432 pixels|8192 × 4096 pixels are too many"),
    "a bomb": (png(2**17, 2**17, 8, 2, b""), "pixels are too many, at most 16,777,216: scale it down"),
    "a bomb that fits a number": (png(2**31 - 1, 2**31 - 1, 8, 2, b""), "pixels are too many, at most"),
    "no width": (png(0, 3, 8, 2, ROWS), "not a readable image"),
    "a PNG without pixels": (png(4, 3, 8, 2, b""), "not a readable image"),
    "odd depth": (png(4, 3, 5, 2, ROWS), "not a readable image"),
    "odd colour": (png(4, 3, 8, 5, ROWS), "not a readable image"),
    "BMP of no size": (saved(Image.fromarray(COLOUR), "BMP")[:18] + bytes(36), "not a readable image"),
    "BMP with a header of 9 bytes": (b"BM" + bytes(12) + b"\x09" + bytes(40), "not a readable image"),
    "BMP of odd depth": (saved(Image.fromarray(COLOUR), "BMP")[:28] + b"\7" + bytes(99), "not a readable image"),
    "half a BMP": (saved(Image.fromarray(COLOUR), "BMP")[:70], "not a readable image"),
    "half a PPM": (b"P6 4 3 255\n" + bytes(9), "not a readable image"),
    "PPM of letters": (b"P6 four 3 255\n" + bytes(99), "not a readable image"),
    "PPM of no maximum": (b"P6 4 3 0\n" + bytes(99), "not a readable image"),
    "half a JPEG": (saved(Image.effect_noise((64, 64), 50), "JPEG")[:900], "not a readable image"),
    "half a GIF": (saved(Image.fromarray(GREY), "GIF")[:-12], "not a readable image"),
    "half a TIFF": (saved(Image.fromarray(COLOUR), "TIFF")[:-12], "not a readable image"),
    "half a WEBP": (saved(Image.fromarray(COLOUR), "WEBP")[:-12], "not a readable image"),
    "icon": (saved(Image.new("RGB", (16, 16)), "ICO"), "its content is none of"),
    "JPEG 2000": (saved(Image.new("RGB", (16, 16)), "JPEG2000"), "its content is none of"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_would_be_misread_is_refused(name: str) -> None:
    content, expected = BAD[name]
    with pytest.raises(PrunabilityError, match=expected) as refused:
        decode(content)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300
    assert " at 0x" not in str(refused.value)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "jpeg"])
def test_of_a_damaged_tiff_nothing_is_said_but_the_refusal(
    compression: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """libtiff has its own way to stderr, which is open again afterwards, and a log that nobody has set up too."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    whole = saved(
        Image.fromarray(RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8)), "TIFF", compression=compression
    )
    refused = 0
    for place in range(8, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 255
        with suppress(PrunabilityError):
            decode(bytes(damaged))
            continue
        refused += 1
    assert refused > 10
    assert capfd.readouterr().err == ""
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


def test_no_other_program_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(Image.fromarray(COLOUR), "EPS")
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("gs was started"))
    with pytest.raises(PrunabilityError, match="its content is none of"):
        decode(content)


WHOLE = saved(Image.fromarray(COLOUR))


@pytest.mark.parametrize("change", [1, 32, 255])
def test_a_damaged_png_is_the_same_image_or_none(change: int) -> None:
    """Its orientation too, which may stand behind the pixels."""
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = saved(Image.fromarray(COLOUR), exif=exif)
    begin, after = turned.index(b"eXIf") - 4, turned.index(b"IDAT") - 4
    behind = turned[:begin] + turned[after:-12] + turned[begin:after] + turned[-12:]
    for whole, pixels in ((WHOLE, COLOUR), (behind, UPRIGHT[6](COLOUR))):
        for place in range(len(whole)):
            damaged = bytearray(whole)
            damaged[place] ^= change
            try:
                found = seen(bytes(damaged))
            except PrunabilityError:
                continue
            assert np.array_equal(found, pixels)


@given(st.integers(0, len(WHOLE) - 1))
def test_a_cut_png_is_the_same_image_or_none(length: int) -> None:
    try:
        found = seen(WHOLE[:length])
    except PrunabilityError:
        return
    assert (found == COLOUR).all()


@given(st.binary(max_size=200), st.sampled_from(["PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP"]), st.data())
def test_any_bytes_are_an_image_or_refused(noise: bytes, kind: str, data: st.DataObject) -> None:
    file = io.BytesIO()
    Image.fromarray(COLOUR).save(file, kind)
    content = file.getvalue()
    place = data.draw(st.integers(0, len(content)))
    try:
        found = decode(content[:place] + noise + content[place + len(noise) :])
    except PrunabilityError as error:
        assert "\n" not in str(error)
    else:
        assert found.dtype == np.uint8
        assert found.shape[0] in (1, 3)
