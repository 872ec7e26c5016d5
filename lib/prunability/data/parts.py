"""Images made of two parts, one simpler than the other, and what they are with a part of each from another image.

All have two classes, and both parts say which; the parts of an image are drawn independently given its label.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from math import comb
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunability.data.images import SPLITS, ImageSet, Projection, image_set
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.seeding import generator, seed_for

Part = Literal["simple", "complex"]
# Of LMS: the sides of an image, whose pixels are coordinates, one of them linear, and so many of slabs.
SIDE, SLABS = 4, 11
# Half the gap between neighbouring slabs, and between the classes on the linear coordinate; all are in [−1, 1].
MARGIN, MOST_SLABS = 0.1, 9
# The least images of a split.
COUNTS = {"train": 2000, "test": 400}


def shuffled(images: Tensor, labels: Tensor, simple: Projection, part: Part) -> Tensor:
    """Images [N, channels, H, W], of floats, each with its ``part`` from another, the other part its own.

    A seeded permutation, by which each of two classes as large has half of its parts from either: then a part says
    nothing at all of the label.
    """
    order = torch.randperm(len(labels), generator=generator("shuffled part"))
    order = order[labels.cpu()[order].argsort(stable=True)]
    source = torch.empty_like(order)
    source[order] = order.roll(len(order) // 4)
    own, given = images, images[source]
    if part == "complex":
        own, given = given, own
    return own + simple(given - own)


def slab_values(labels: NDArray[np.int64], slabs: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A coordinate in [−1, 1] that is in an even one of so many slabs for label 0 and in an odd one for label 1.

    Slab i has the weight C(slabs − 1, i) within its class, with which the classes share their first moments, the
    mean among them: for 3 and 5 slabs the shares of Shah et al. 2020.
    """
    weights = np.array([comb(slabs - 1, slab) for slab in range(slabs)], dtype=float)
    width, found = (2 - 2 * MARGIN * (slabs - 1)) / slabs, np.empty(len(labels))
    for label in (0, 1):
        own = np.flatnonzero(labels == label)
        place = rng.choice(np.arange(label, slabs, 2), len(own), p=weights[label::2] / weights[label::2].sum())
        found[own] = -1 + place * (width + 2 * MARGIN) + width * rng.random(len(own))
    return found


def coordinates(labels: NDArray[np.int64], slabs: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """LMS [N, SIDE²]: the linear coordinate, then those of slabs, then uniform noise, all in [−1, 1]."""
    linear = (2 * labels - 1) * (MARGIN + (1 - MARGIN) * rng.random(len(labels)))
    columns = [linear, *(slab_values(labels, slabs, rng) for _ in range(SLABS))]
    columns += [rng.uniform(-1, 1, len(labels)) for _ in range(SIDE**2 - len(columns))]
    return np.stack(columns, axis=1)


def rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    """A random orthogonal matrix [SIDE², SIDE²]: row i is the direction of coordinate i among the pixels."""
    return np.linalg.qr(rng.normal(size=(SIDE**2, SIDE**2)))[0]


def linear_and_slabs(name: str) -> ImageSet:
    """LMS-k of Shah et al. 2020, named ``lms-k``, rotated and rounded to the pixels of grey images.

    Raises:
        PrunabilityError: k is no number of slabs.
    """
    slabs = name.removeprefix("lms-")
    if slabs not in map(str, range(3, MOST_SLABS + 1, 2)):
        raise PrunabilityError(f"data {name!r}: slabs are an odd number from 3 to {MOST_SLABS}, as in lms-5")
    rng = np.random.default_rng(seed_for(name))
    turn = rotation(rng)
    labels = {split: rng.permutation(np.arange(count) % 2) for split, count in COUNTS.items()}
    turned = {split: coordinates(own, int(slabs), rng) @ turn for split, own in labels.items()}
    most = max(np.abs(values).max() for values in turned.values())
    images = {
        split: np.rint(127.5 * (1 + values / most)).astype(np.uint8).reshape(-1, 1, SIDE, SIDE)
        for split, values in turned.items()
    }
    direction = torch.from_numpy(turn[0].copy())

    def simple(pixels: Tensor) -> Tensor:
        own = direction.to(pixels)
        return torch.outer(pixels.flatten(1) @ own, own).view(pixels.shape)

    return replace(image_set(name, 2, images, labels), simple=simple)


def linear_error(images: Tensor, labels: Tensor) -> float:
    """Mean squared error of the affine function of images [N, ...] that fits labels −1 and 1 best, ridge 1e-3."""
    x = torch.cat([images.flatten(1).double() / images.max(), torch.ones(len(images), 1, dtype=torch.float64)], 1)
    y = 2 * labels.double() - 1
    weights = torch.linalg.solve(x.T @ x + 1e-3 * len(x) * torch.eye(x.shape[1], dtype=torch.float64), x.T @ y)
    return float((x @ weights - y).square().mean())


def errors_of_pairs(digits: ImageSet) -> dict[tuple[int, int], float]:
    """How badly a linear function tells each two classes of the training images apart, the best told first."""
    images, labels, found = digits.images["train"], digits.labels["train"], {}
    for pair in combinations(range(digits.classes), 2):
        own = (labels == pair[0]) | (labels == pair[1])
        found[pair] = linear_error(images[own], (labels[own] == pair[1]).long())
    return dict(sorted(found.items(), key=lambda item: item[1]))


def digit_pairs(digits: ImageSet) -> ImageSet:
    """Two digits side by side: of the two classes that a linear function tells best, and those it tells worst."""
    simple, *_, hard = errors_of_pairs(digits)
    return beside("digit-pairs", (digits, simple), (digits, hard))


def digit_beside(name: str, digits: ImageSet, others: ImageSet) -> ImageSet:
    """A digit, of the classes that are told best, beside an image of the first two classes of others.

    Its title names these as they are known, wherever they lie.
    """
    found = beside(name, (digits, next(iter(errors_of_pairs(digits)))), (others, (0, 1)))
    return replace(found, title=f"digit beside {others.title}")


def beside(name: str, simple: tuple[ImageSet, Sequence[int]], hard: tuple[ImageSet, Sequence[int]]) -> ImageSet:
    """An image of a simple set at the left, one of a hard set at the right; each with the two classes taken of it.

    Each half is drawn with replacement from its split's images of the label's class. The left ones are enlarged by
    a whole factor to the height of the right ones, with their brightest pixel near 255, and have as many channels.

    Raises:
        PrunabilityError: the right ones lack a class, or their height is no multiple of the left ones'.
    """
    (left, _), (right, taken) = simple, hard
    channels, height, width = right.facts.shape
    factor, rest = divmod(height, left.facts.shape[1])
    if rest or not factor or max(taken) >= right.classes:
        raise PrunabilityError(f"data {name!r}: the images must have two classes, and heights in whole ratios")
    rng = np.random.default_rng(seed_for("side by side"))
    images, labels = {}, {}
    for split in SPLITS:
        own = np.isin(right.labels[split].numpy(), taken).sum()
        labels[split] = rng.permutation(np.arange(max(COUNTS[split], own // 2 * 2)) % 2)
        halves = [_drawn(half, classes, split, labels[split], rng) for half, classes in (simple, hard)]
        halves[0] = np.kron(halves[0], np.ones((1, 1, factor, factor), np.uint8)).repeat(channels, axis=1)
        images[split] = np.concatenate([half * (255 // half.max()) for half in halves], axis=3)
    seen = torch.arange(images["train"].shape[3]) < images["train"].shape[3] - width
    return replace(image_set(name, 2, images, labels), simple=lambda pixels: pixels * seen.to(pixels))


def _drawn(
    half: ImageSet, classes: Sequence[int], split: str, labels: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """For each label an image of its class."""
    known = half.labels[split].numpy()
    places = np.empty(len(labels), dtype=np.int64)
    for label, name in enumerate(classes):
        own = labels == label
        places[own] = rng.choice(np.flatnonzero(known == name), own.sum())
    found: NDArray[np.uint8] = half.images[split].numpy()[places]
    return found
