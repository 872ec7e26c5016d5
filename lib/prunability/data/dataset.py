"""What a run sees: a fixed training subset with its label noise, and the test set, as normalised tensors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from prunability.data.images import ImageSet, Projection, identity
from prunability.data.parts import shuffled
from prunability.foundation.defaults import defaults
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.fields import Count, Fraction, Frozen
from prunability.foundation.seeding import generator


class DataConfig(Frozen):
    """Which training and test examples; the data set is named by the checksum of its content."""

    checksum: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    n_train: Count
    label_noise: Fraction = 0.0
    seed: Annotated[int, Field(ge=0)] = 0
    # The part that training images have from one another; of whole images none, and then not written or hashed.
    shuffled: Literal["", "simple", "complex"] = Field(default="", exclude_if=lambda part: not part)


@dataclass(frozen=True)
class Dataset:
    """What a run sees, on its device: normalised float images [N, channels, H, W] and labels [N].

    ``following`` gives the training images, with labels, that a larger subset would add: as many as are asked for,
    or as there are, normalised as the run's own. ``ends`` [2, channels, 1, 1] is what black and the brightest value
    of any image became, where that is known; ``simple`` gives of images in two parts the simple one.
    """

    classes: int
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    following: Callable[[int], tuple[Tensor, Tensor]] | None = None
    ends: Tensor | None = None
    simple: Projection | None = None


@defaults()
def prepare(images: ImageSet, config: DataConfig, device: torch.device, dtype: torch.dtype) -> Dataset:
    """The fixed training subset with its label noise, and the whole test set, normalised.

    With probability ``label_noise`` a training label becomes a uniformly drawn wrong label (Nakkiran et
    al. 2020). Noise is drawn for the whole training set, so a subset keeps the labels of the larger one.
    Channels are normalised by the mean and the standard deviation of the training subset.

    Raises:
        PrunabilityError: these are not the images of ``config``, there are too few of them, or they have no parts.
    """
    if images.checksum != config.checksum:
        raise PrunabilityError(
            f"these images are {identity(images.title, images.checksum)}, the run asks for "
            f"{identity('others', config.checksum)}: point `data` at the images the run was trained on"
        )
    total = len(images.labels["train"])
    if config.n_train > total:
        raise PrunabilityError(f"n_train {config.n_train} is more than the {total} images of {images.title}")
    draws = generator("label noise", config.seed)
    labels = images.labels["train"]
    wrong = (labels + torch.randint(1, images.classes, (total,), generator=draws)) % images.classes
    noisy = torch.rand(total, generator=draws, dtype=torch.float32) < config.label_noise
    labels = torch.where(noisy, wrong, labels)
    order = torch.randperm(total, generator=generator("subset", config.seed))
    chosen, others = order[: config.n_train], order[config.n_train :]
    pixels = images.images["train"]
    if config.shuffled:
        pixels = shuffled(pixels.double(), images.labels["train"], projection(images), config.shuffled)
    train = pixels[chosen].to(torch.float64)
    mean, std = train.mean((0, 2, 3), keepdim=True), train.std((0, 2, 3), keepdim=True)

    brightest = max(int(split.max()) for split in images.images.values())

    def normalise(values: Tensor) -> Tensor:
        scaled = ((values - mean) / std.where(std > 0, 1.0)).to(device, dtype)
        return scaled.contiguous(memory_format=torch.channels_last)

    def following(count: int) -> tuple[Tensor, Tensor]:
        return normalise(pixels[others[:count]]), labels[others[:count]].to(device)

    return Dataset(
        classes=images.classes,
        train_images=normalise(train),
        train_labels=labels[chosen].to(device),
        test_images=normalise(images.images["test"]),
        test_labels=images.labels["test"].to(device),
        following=following,
        ends=normalise(torch.tensor([0, brightest]).view(2, 1, 1, 1)),
        simple=images.simple,
    )


def projection(images: ImageSet) -> Projection:
    """What gives the simple part of images.

    Raises:
        PrunabilityError: they are not made of two parts.
    """
    if images.simple is None:
        raise PrunabilityError(
            f"{images.title} has no simple part to shuffle: take digit-pairs, lms-K or digit-beside:SOURCE"
        )
    return images.simple
