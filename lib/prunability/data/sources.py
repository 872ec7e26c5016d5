"""Where images come from: the sources of ``NAMES`` below."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from prunability.data.download import download
from prunability.data.folder import load_folder
from prunability.data.images import SPLITS, DataFacts, ImageSet, image_set
from prunability.data.parts import digit_beside, digit_pairs, linear_and_slabs
from prunability.foundation.defaults import defaults
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.files import expanded
from prunability.foundation.seeding import generator

CIFAR10_FILES = tuple(
    f"cifar-10-batches-py/{name}"
    for name in (*(f"data_batch_{part}" for part in range(1, 6)), "test_batch", "batches.meta")
)
# As it is before it is downloaded; its checksum is not known then.
CIFAR10 = DataFacts("CIFAR-10", "0" * 64, 10, 50_000, 10_000, (3, 32, 32))


class Source(NamedTuple):
    """A loader, given the folder for what is kept; of what is downloaded the facts, and its files there."""

    load: Callable[[Path], ImageSet]
    facts: DataFacts | None = None
    downloaded: tuple[str, ...] = ()


@defaults()
def load_images(source: str, folder: Path) -> ImageSet:
    """The images of a source; what has to be downloaded or decoded is kept in ``folder``.

    Raises:
        PrunabilityError: the source is unknown, missing, or not laid out as it should be.
    """
    if source in SOURCES or source.startswith((LMS, BESIDE)):
        return _named(source, folder)
    if source.startswith("folder:") and source != "folder:":
        return load_folder(expanded(source.removeprefix("folder:"), "data"), folder)
    raise PrunabilityError(
        f"unknown data {source!r}: it must be {NAMES} "
        "(a folder or a tar of train/<class>/ and test/<class>/ images)"
    )


def at_hand(source: str, folder: Path) -> bool:
    """Whether a source needs no download."""
    known = SOURCES.get(source)
    return known is None or all((folder / name).is_file() for name in known.downloaded)


def in_parts(source: str) -> bool:
    """Whether the images of a source are made of a simple and a complex part."""
    return source.startswith((PAIRS, LMS, BESIDE))


def by_definition(source: str) -> bool:
    """Whether the images of a source are made of numbers alone, by a definition that is a study's subject."""
    return source.startswith(LMS)


def facts_before(source: str) -> DataFacts | None:
    """What is known of a source before it is downloaded, None where nothing is."""
    return SOURCES[source].facts if source in SOURCES else None


@lru_cache(maxsize=2)
def _named(source: str, folder: Path) -> ImageSet:
    if source.startswith(LMS):
        return linear_and_slabs(source)
    if source.startswith(BESIDE):
        return digit_beside(source, _digits(folder), load_images(source.removeprefix(BESIDE), folder))
    return SOURCES[source].load(folder)


def _digits(folder: Path) -> ImageSet:
    """1,797 real 8×8 digits inside scikit-learn, split 1,000 / 797 by a fixed permutation."""
    del folder
    from sklearn.datasets import load_digits  # noqa: PLC0415  (slow to import, needed only here)

    bunch = load_digits()
    order = torch.randperm(len(bunch.target), generator=generator("digits split")).numpy()
    parts = {"train": order[:1000], "test": order[1000:]}
    images = {split: bunch.images[part, None].astype(np.uint8) for split, part in parts.items()}
    return image_set("digits", 10, images, {split: bunch.target[part] for split, part in parts.items()})


def _cifar10(folder: Path) -> ImageSet:
    from torchvision.datasets import CIFAR10  # noqa: PLC0415  (slow to import, needed only here)

    try:
        try:
            # It knows the checksum of each file.
            sets = [CIFAR10(folder, train=split == "train", download=False) for split in SPLITS]
        except RuntimeError:
            # Its own download would wait for ever; what is there it unpacks.
            download(CIFAR10.url, folder / CIFAR10.filename, CIFAR10.tgz_md5)
            sets = [CIFAR10(folder, train=split == "train", download=True) for split in SPLITS]
    except (PrunabilityError, OSError, RuntimeError) as error:
        raise PrunabilityError(
            f"cifar10 could not be downloaded or is damaged ({error}). With a network, run again; without "
            f"one, put cifar-10-python.tar.gz into {folder}, or give own images as data=folder:PATH"
        ) from error
    images = {split: part.data.transpose(0, 3, 1, 2) for split, part in zip(SPLITS, sets, strict=True)}
    labels = {split: np.array(part.targets) for split, part in zip(SPLITS, sets, strict=True)}
    return image_set("CIFAR-10", 10, images, labels)


PAIRS, LMS, BESIDE = "digit-pairs", "lms-", "digit-beside:"
SOURCES = {
    "digits": Source(_digits),
    "cifar10": Source(_cifar10, CIFAR10, CIFAR10_FILES),
    PAIRS: Source(lambda folder: digit_pairs(_digits(folder))),
}
NAMES = f"{', '.join(SOURCES)}, {LMS}K, {BESIDE}SOURCE or folder:PATH"
