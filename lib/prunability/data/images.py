"""Whole images and labels as they are, known by the checksum of their content."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

SPLITS = ("train", "test")
# Of images [N, channels, H, W], or of differences of images, the one of two parts that is simple, 0 elsewhere.
Projection = Callable[[Tensor], Tensor]
# Images whose content is known bear their own name, whatever their folder's.
TITLES = {"9cfe0b3afe10c1855e3a464658e191853e6611c6811e9e6bbcec79697dfe7371": "CIFAR-10 (JPEG copy)"}


def identity(title: str, checksum: str) -> str:
    """What images are called, and the beginning of their checksum: two folders may bear one name."""
    return f"{TITLES.get(checksum, title)} (checksum {checksum[:12]}…)"


class DataFacts(NamedTuple):
    """What a study must know of its images; ``shape`` is (channels, height, width)."""

    title: str
    checksum: str
    classes: int
    train: int
    test: int
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class ImageSet:
    """Whole images and labels as they are: uint8 [N, channels, H, W] and int64 [N] a split.

    ``left_out`` says which files beside them are no images, ``simple`` gives of those made of two parts
    the simple one.
    """

    title: str
    classes: int
    images: dict[str, Tensor]
    labels: dict[str, Tensor]
    checksum: str
    left_out: str = ""
    simple: Projection | None = None

    @property
    def facts(self) -> DataFacts:
        """Names and numbers, without the images."""
        channels, height, width = self.images["train"].shape[1:]
        train, test = (len(self.labels[split]) for split in SPLITS)
        return DataFacts(self.title, self.checksum, self.classes, train, test, (channels, height, width))


def checksum(images: dict[str, Tensor], labels: dict[str, Tensor]) -> str:
    """SHA-256 over shapes, pixels and labels of both splits; names and places do not enter."""
    total = hashlib.sha256()
    for split in SPLITS:
        for tensor in (images[split], labels[split]):
            total.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
            total.update(tensor.numpy().data)
    return total.hexdigest()


def image_set(title: str, classes: int, images: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> ImageSet:
    """The images [N, channels, H, W] and labels [N] of each split, with their checksum and name."""
    pixels = {split: torch.from_numpy(np.ascontiguousarray(images[split])) for split in SPLITS}
    targets = {split: torch.from_numpy(labels[split].astype(np.int64)) for split in SPLITS}
    content = checksum(pixels, targets)
    return ImageSet(TITLES.get(content, title), classes, pixels, targets, content)
