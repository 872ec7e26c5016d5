"""What a folder or an archive must hold: the images of ``train/<class>/`` and ``test/<class>/``, and no others."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from PIL import Image

from prunability.data.decode import FORMATS
from prunability.data.images import SPLITS
from prunability.foundation.errors import PrunabilityError, shown

Parts = tuple[str, ...]
F = TypeVar("F")
# What is made beside images by computers and of no interest to anybody.
LITTER = {"__MACOSX", "Thumbs.db", "ehthumbs.db", "desktop.ini", "Icon\r"}
# Endings of images: those that are read, and others that a person would miss.
READ = {ending for ending, kind in Image.registered_extensions().items() if kind in FORMATS}
UNREAD = {*Image.registered_extensions(), ".heic", ".heif", ".jxl", ".svg"} - READ
CLASS_DEPTH, IMAGE_DEPTH = 2, 3
# How many names a message gives of many.
SOME = 3


class Odd(NamedTuple):
    """What is neither a file nor a folder, in words."""

    why: str


Item = Path | bytes | Odd | None
Listing = Mapping[Parts, Item]


class Child(NamedTuple, Generic[F]):
    """What lies in a folder: ``item`` is a file, by its place or its content; None stands for ``folder``."""

    name: str
    linked: bool
    item: Item
    folder: F | None = None


class Images(NamedTuple):
    """The images in order, each by (split, class, name); and what else there is, in words."""

    files: list[tuple[Parts, Path | bytes]]
    left_out: str


def is_image(name: str) -> bool:
    """Whether a file bears the name of an image that is read."""
    return not hidden(name) and _ending(name) in READ


def hidden(name: str) -> bool:
    """Whether a name is of no interest to whoever looks for images."""
    return name.startswith(".") or name in LITTER


def listing(folder: F, inside: Callable[[F], Iterable[Child[F]]]) -> Listing:
    """All below the splits of a folder, except in hidden ones; links to folders are followed as far as classes."""
    found: dict[Parts, Item] = {}
    waiting: list[tuple[Parts, F]] = [((), folder)]
    while waiting:
        above, place = waiting.pop()
        for child in inside(place):
            parts = (*above, child.name)
            if not above and child.name not in SPLITS:
                continue
            if child.folder is None:
                found[parts] = child.item
            elif hidden(child.name):
                continue
            elif child.linked and len(parts) > CLASS_DEPTH:
                found[parts] = Odd("a link to a folder, inside a class")
            else:
                found[parts] = None
                waiting.append((parts, child.folder))
    return found


def choose(found: Listing) -> Images:
    """The images of a listing from ``train/`` and ``test/`` downwards, in the order of their names.

    Raises:
        PrunabilityError: a person would see other images there than these, or there are none of a split or a class.
    """
    files, others = [], []
    for parts, item in sorted(found.items()):
        ending = _ending(parts[-1])
        if item is None:
            # A folder that is called an image: what is in it, if anything, is seen to by itself.
            others += [parts] * (len(parts) >= IMAGE_DEPTH and ending in READ)
        elif hidden(parts[-1]):
            others.append(parts)
        elif isinstance(item, Odd):
            raise PrunabilityError(f"{name_of(parts)} is {item.why}: put an image there, or nothing")
        elif ending in UNREAD:
            raise PrunabilityError(
                f"{name_of(parts)}: {ending} is not read; convert it to one of {', '.join(FORMATS)}, or remove it"
            )
        elif ending not in READ:
            others.append(parts)
        elif len(parts) != IMAGE_DEPTH:
            raise PrunabilityError(f"{name_of(parts)} must lie in {parts[0]}/<class>/, not above it or deeper")
        else:
            files.append((parts, item))
    _check_classes(found, {parts[:CLASS_DEPTH] for parts, _ in files}, others)
    words = (
        f"{len(others):,} of the files are no images and left out, such as {name_of(others[0])}" if others else ""
    )
    return Images(files, words)


def name_of(parts: Parts) -> str:
    """A name below the data set's folder, as it is shown."""
    return shown("/".join(parts))


def _ending(name: str) -> str:
    # Without a Path, for there are tens of thousands.
    return os.path.splitext(name)[1].lower()  # noqa: PTH122


def _check_classes(found: Listing, filled: set[Parts], others: list[Parts]) -> None:
    for split in SPLITS:
        if not any(parts[0] == split for parts in filled):
            raise PrunabilityError(f"no image under {split}/<class>/")
    folders = {parts for parts, item in found.items() if item is None and len(parts) == CLASS_DEPTH}
    if empty := sorted(folders - filled):
        beside = [name_of(parts) for parts in others if parts[:CLASS_DEPTH] == empty[0]]
        raise PrunabilityError(
            f"{name_of(empty[0])}/ holds no image"
            + (f" but {len(beside)} other files, such as {beside[0]}" if beside else "")
            + f": put {', '.join(FORMATS)} files there, or remove it"
        )
    train, test = ({parts[1] for parts in filled if parts[0] == split} for split in SPLITS)
    if odd := sorted(train ^ test):
        named = [*map(shown, odd[:SOME])]
        more = f" and {len(odd) - SOME} more" if len(odd) > SOME else ""
        raise PrunabilityError(f"classes {named}{more} are in one of train/ and test/ only")
    if len(train) < 2:
        raise PrunabilityError(f"at least two classes are needed, found {[*map(shown, sorted(train))]}")
