"""One image's pixels, as a person would see them: or a refusal."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
import PIL
from PIL import Image, ImageOps, PngImagePlugin, PpmImagePlugin, TiffImagePlugin, UnidentifiedImageError, features

from prunability.foundation.errors import PrunabilityError, shown

# Raster images only: Pillow goes by content, and what is EPS it would give to Ghostscript, whatever its name.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
# What kept copies were decoded by: the number is raised when this module gives other pixels.
DECODER = ["2", PIL.__version__, *(str(features.version(part)) for part in ("libjpeg_turbo", "webp", "libtiff"))]
GREY, COLOUR = ("1", "L", "LA"), ("P", "PA", "RGB", "RGBA")
# Of one file.
MOST_BYTES, MOST_PIXELS = 2**26, 2**24
# Transparent parts show this.
BACKGROUND = "white"
TIFF_BITS = 258
# What Pillow logs of damage would else be on stderr, where nobody has set up a log.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def decode(content: bytes) -> np.ndarray:
    """uint8 [channels, H, W] of an image file: one channel of a grey one, else three.

    It stands upright as its EXIF says; what is transparent lies on white.

    Raises:
        PrunabilityError: it is damaged, too large, of more than one frame, or not 8 bits a channel of grey or RGB.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of metadata that it cannot read, which nobody sees, and of sizes that are refused below.
            warnings.simplefilter("ignore")
            return _pixels(content)
    except PrunabilityError:
        raise
    except Image.DecompressionBombError as error:  # Pillow's own limit is a larger one.
        raise PrunabilityError(f"its pixels are too many, at most {MOST_PIXELS:,}: scale it down") from error
    except Exception as error:  # Pillow raises whatever comes of damaged bytes.
        raise PrunabilityError(f"not a readable image ({_why(error)}): make it anew, or remove it") from error


def _pixels(content: bytes) -> np.ndarray:
    with Image.open(BytesIO(content), formats=FORMATS) as image:
        if image.width * image.height > MOST_PIXELS:
            raise PrunabilityError(
                f"{image.width} × {image.height} pixels are too many, at most {MOST_PIXELS:,}: scale it down"
            )
        if isinstance(image, PngImagePlugin.PngImageFile):
            # Reading the pixels leaves their checksums unread.
            image.verify()
    with Image.open(BytesIO(content), formats=FORMATS) as image:
        if (frames := getattr(image, "n_frames", 1)) > 1:
            raise PrunabilityError(f"{frames} frames, it must be one: split or remove it")
        bits = _bits(image, content)
        if bits > 8 or image.mode not in GREY + COLOUR:
            raise PrunabilityError(
                f"mode {image.mode}, {bits} bits: it must be grey or RGB of 8 bits a channel; convert it"
            )
        with _unheard():
            image.load()
        grey = image.mode in GREY
        ImageOps.exif_transpose(image, in_place=True)
        if image.has_transparency_data:
            over = image.convert("RGBA")
            flat = Image.alpha_composite(Image.new("RGBA", over.size, BACKGROUND), over).convert("RGB")
            array = np.asarray(flat)[..., :1] if grey else np.asarray(flat)
        else:
            array = np.asarray(image.convert("L"))[..., None] if grey else np.asarray(image.convert("RGB"))
    return array.transpose(2, 0, 1)


@contextmanager
def _unheard() -> Iterator[None]:
    """Without what libtiff says of damage on stderr, past Python: it is refused in a line of this module's."""
    try:
        heard = os.dup(2)
    except OSError:  # there is no stderr
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(heard, 2)
        os.close(heard)


def _bits(image: Image.Image, content: bytes) -> int:
    """Bits a channel in the file, which Pillow reduces to eight without a word."""
    if isinstance(image, PngImagePlugin.PngImageFile):
        # Of the header, which comes first: length, name, width, height, depth.
        return content[24]
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return int(max(image.tag_v2.get(TIFF_BITS, (1,))))
    if isinstance(image, PpmImagePlugin.PpmImageFile) and isinstance(args := image.tile[0].args, tuple):
        return int(args[-1]).bit_length()
    return 16 if image.mode.startswith(("I", "F")) else 8


def _why(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"its content is none of {', '.join(FORMATS)}"
    return shown((str(error).splitlines() or [type(error).__name__])[0])
