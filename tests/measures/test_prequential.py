from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from prunability.data.dataset import prepare
from prunability.data.images import ImageSet
from prunability.measures import TrainedRun, UndefinedMeasureError
from prunability.measures.prequential import following_losses


def sized(run: TrainedRun, digits: ImageSet, n: int) -> Any:
    return prepare(digits, run.config.data.model_copy(update={"n_train": n}), torch.device("cpu"), torch.float64)


def test_what_follows_costs_what_its_network_says(tiny_nin: TrainedRun, digits: ImageSet) -> None:
    """The images of a larger subset beyond its own, normalised by the mean and the deviation of its own."""
    larger = tiny_nin.config.data.model_copy(update={"n_train": 150})
    images, labels = raw(digits, larger), sized(tiny_nin, digits, 150).train_labels
    mean, std = images[:60].mean(), images[:60].std()
    costs = [
        F.cross_entropy(tiny_nin.network((image[None] - mean) / std), label[None]).item()
        for image, label in zip(images, labels, strict=True)
    ]
    assert following_losses(tiny_nin) == pytest.approx([sum(costs[60:120]), sum(costs[60:150])], rel=1e-9)


def raw(digits: ImageSet, config: Any) -> torch.Tensor:
    """The pixels of a subset, from its normalised images."""
    data = prepare(digits, config, torch.device("cpu"), torch.float64).train_images
    black, white = data.min(), data.max()
    return ((data - black) / (white - black) * digits.images["train"].max()).round()


def test_where_images_do_not_suffice_all_there_are(tiny_nin: TrainedRun, digits: ImageSet) -> None:
    data = sized(tiny_nin, digits, 990)
    assert data.following(100)[1].shape == (10,)
    assert len(set(following_losses(replace(tiny_nin, data=data)))) == 1
    with pytest.raises(UndefinedMeasureError, match="no example follows"):
        following_losses(replace(tiny_nin, data=sized(tiny_nin, digits, 1000)))


def test_noise_in_labels_is_that_of_the_larger_subset(tiny_nin: TrainedRun, digits: ImageSet) -> None:
    noisy = tiny_nin.config.data.model_copy(update={"label_noise": 0.5})
    small = prepare(digits, noisy, torch.device("cpu"), torch.float64)
    large = prepare(digits, noisy.model_copy(update={"n_train": 100}), torch.device("cpu"), torch.float64)
    assert small.following is not None
    assert torch.equal(torch.cat([small.train_labels, small.following(40)[1]]), large.train_labels)
