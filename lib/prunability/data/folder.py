"""A folder or an archive of images, decoded once and kept."""

import hashlib
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from prunability.data import kept
from prunability.data.archive import MOST_IN_ALL, unpacked
from prunability.data.decode import DECODER, MOST_BYTES, decode
from prunability.data.images import SPLITS, TITLES, ImageSet, image_set
from prunability.data.layout import Child, Images, Odd, Parts, choose, listing, name_of
from prunability.foundation.errors import PrunabilityError, shown
from prunability.foundation.files import digest

READERS = 8
# A file that was changed later than this many seconds ago may change again at the same time by its clock.
SETTLED = 2.0


def load_folder(path: Path, cache: Path) -> ImageSet:
    """Images below ``train/<class>/`` and ``test/<class>/``; classes and files in the order of their names.

    Their bytes are their identity. They are read again unless inode, size and time of change of every file are what
    they were when it was read before. Where ``cache`` cannot be written, nothing is kept.

    Raises:
        PrunabilityError: it is not the whole of what it should be; the message says what is wrong.
    """
    try:
        images = None if path.is_file() else _images_of(path)
        files = _files(path, images)
        seen, settled = _seen(files)
        key = kept.trusted(cache, path, seen) or _content(files)
        decoded = _decoded(key, path, cache)
        kept.keep(cache, path, key, seen if settled else "")
        title = TITLES.get(decoded.checksum, _title(path))
        return replace(decoded, title=title, left_out=images.left_out if images else decoded.left_out)
    except PrunabilityError as error:
        raise PrunabilityError(f"data folder:{shown(str(path))}: {error}") from error
    except OSError as error:
        why = f"{shown(str(error.filename))} cannot be read ({error.strerror})"
        raise PrunabilityError(f"data folder:{shown(str(path))}: {why}") from error


# By content alone: another content at the same place is another key.
@lru_cache(maxsize=2)
def _decoded(key: str, path: Path, cache: Path) -> ImageSet:
    if (known := kept.recall(cache, key)) is not None:
        return known
    images = _images_of(path)
    decoded = replace(_assembled(images), left_out=images.left_out)
    if _content(_files(path, images)) != key:
        raise PrunabilityError("it was changed while it was read: run again once it is complete")
    kept.keep(cache, path, key, "", decoded)
    return decoded


def _images_of(path: Path) -> Images:
    if path.is_file():
        return choose(unpacked(path))
    if not path.is_dir():
        what = "neither a folder nor an archive" if path.exists() else "there is no such folder or archive"
        raise PrunabilityError(f"{what}: name one of train/<class>/ and test/<class>/ images")
    return choose(listing(path, _inside))


def _inside(folder: Path) -> Iterator[Child[Path]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            place = Path(entry.path)
            if entry.is_dir():
                yield Child(entry.name, entry.is_symlink(), None, place)
            elif entry.is_file():
                yield Child(entry.name, entry.is_symlink(), place)
            else:
                nowhere = entry.is_symlink() and not place.exists()
                why = "a link that leads nowhere" if nowhere else "neither a file nor a folder"
                yield Child(entry.name, entry.is_symlink(), Odd(why))


def _assembled(images: Images) -> ImageSet:
    arrays: dict[str, np.ndarray] = {}
    count = {split: sum(parts[0] == split for parts, _ in images.files) for split in SPLITS}
    done = dict.fromkeys(SPLITS, 0)
    first: Parts = ()
    shape: tuple[int, ...] = ()
    for parts, item in images.files:
        try:
            pixels = decode(item if isinstance(item, bytes) else item.read_bytes())
        except PrunabilityError as error:
            raise PrunabilityError(f"{name_of(parts)}: {error}") from error
        if not arrays:
            first, shape = parts, pixels.shape
            if len(images.files) * pixels.size > MOST_IN_ALL:
                raise PrunabilityError(f"its images are more than {MOST_IN_ALL >> 30} GiB: scale them down")
            arrays = {split: np.empty((count[split], *shape), np.uint8) for split in SPLITS}
        if pixels.shape != shape:
            raise PrunabilityError(
                f"images must have one size and all be grey or all in colour: (channels, height, width) are "
                f"{shape} of {name_of(first)} and {pixels.shape} of {name_of(parts)}"
            )
        arrays[parts[0]][done[parts[0]]] = pixels
        done[parts[0]] += 1
    classes = sorted({parts[1] for parts, _ in images.files})
    numbers = {name: number for number, name in enumerate(classes)}
    labels = {
        split: np.array([numbers[parts[1]] for parts, _ in images.files if parts[0] == split]) for split in SPLITS
    }
    return image_set("", len(classes), arrays, labels)


def _files(path: Path, images: Images | None) -> list[tuple[Parts, Path]]:
    """What is hashed: the archive itself, or each image of a folder."""
    found = images.files if images else []
    return [(parts, item) for parts, item in found if isinstance(item, Path)] or [((), path)]


def _seen(files: list[tuple[Parts, Path]]) -> tuple[str, bool]:
    """What is known of files without reading them, and whether it will be another once one of them is changed.

    Copying and unpacking can set the time of modification; nothing but the clock sets that of the last change.
    """
    now = time.time()
    facts = [(parts, file.stat()) for parts, file in files]
    for parts, stat in facts:
        if stat.st_size > (most := MOST_BYTES if parts else MOST_IN_ALL):
            raise PrunabilityError(
                f"{name_of(parts) or 'it'}: {stat.st_size:,} bytes are too many, at most {most:,}"
            )
    seen = [[*parts, stat.st_ino, stat.st_size, stat.st_ctime_ns] for parts, stat in facts]
    return digest([DECODER, seen]), max(stat.st_ctime for _, stat in facts) < now - SETTLED


def _content(files: list[tuple[Parts, Path]]) -> str:
    """What tells contents apart: names and bytes, and what decodes them."""
    with ThreadPoolExecutor(READERS) as pool:
        hashes = pool.map(_hash, (file for _, file in files))
        return digest([DECODER, [[*parts, known] for (parts, _), known in zip(files, hashes, strict=True)]])


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _title(path: Path) -> str:
    path = path.resolve()
    return (
        shown(re.sub(r"\.(tar(\.\w+)?|t[gx]z|tbz2?)$", "", path.name) if path.is_file() else path.name) or "images"
    )
