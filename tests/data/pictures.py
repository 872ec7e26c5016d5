"""Small data sets of images, and images that Pillow does not write."""

import io
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("ant", "bee", "cat")


def picture_folder(root: Path, train: int = 6, test: int = 3) -> Path:
    """Random images 4 wide and 5 high of three classes, so many of each in each split."""
    rng = np.random.default_rng(0)
    for split, number in (("train", train), ("test", test)):
        for name in CLASSES:
            place = root / split / name
            place.mkdir(parents=True)
            for index in range(number):
                Image.fromarray(rng.integers(0, 256, (5, 4, 3), dtype=np.uint8)).save(place / f"{index:03}.png")
    return root


def pack(folder: Path, target: Path, prefix: str = "", mode: str = "w:xz") -> Path:
    """The two splits of a folder in a tar, the test set first."""
    with tarfile.open(target, mode) as archive:  # type: ignore[call-overload]
        for split in ("test", "train"):
            archive.add(folder / split, f"{prefix}{split}")
    return target


def saved(image: Image.Image, kind: str = "PNG", **how: object) -> bytes:
    """The file of an image."""
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG of any bit depth and colour type; each row begins with its filter."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(width: int, height: int, bits: int, channels: int, pixels: bytes) -> bytes:
    """An uncompressed TIFF of three or four channels of so many bits."""
    tags = 9
    after = 8 + 2 + tags * 12 + 4
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, channels, after),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, after + 2 * channels),
        (277, 3, 1, channels),
        (278, 4, 1, height),
        (279, 4, 1, len(pixels)),
    ]
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, tags) + body + b"\0" * 4 + struct.pack("<H", bits) * channels + pixels
