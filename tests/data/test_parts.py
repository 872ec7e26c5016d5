"""Images of two parts by their definition, and what shuffling a part leaves alone."""

from dataclasses import replace
from itertools import combinations
from math import comb
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunability.data import parts
from prunability.data.dataset import DataConfig, prepare
from prunability.data.images import ImageSet
from prunability.data.parts import (
    beside,
    coordinates,
    digit_beside,
    digit_pairs,
    errors_of_pairs,
    rotation,
    shuffled,
    slab_values,
)
from prunability.data.sources import in_parts, load_images
from prunability.foundation.errors import PrunabilityError
from prunability.studies import fits, open_study
from prunability.training.config import NETWORKS
from prunability.training.networks import make_network


@pytest.fixture(scope="module")
def pairs(digits: ImageSet) -> ImageSet:
    return digit_pairs(digits)


@pytest.fixture(scope="module")
def lms(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return load_images("lms-5", tmp_path_factory.mktemp("none"))


@pytest.mark.parametrize("slabs", [3, 5, 7, 9])
def test_slabs_alternate_with_gaps_and_the_classes_share_their_first_moments(slabs: int) -> None:
    labels = np.arange(20_000) % 2
    values = slab_values(labels, slabs, np.random.default_rng(0))
    period = (2 + 2 * parts.MARGIN) / slabs
    slab, within = np.divmod(values + 1, period)
    assert np.array_equal(slab % 2, labels)
    assert within.max() < period - 2 * parts.MARGIN
    assert -1 <= values.min() < values.max() <= 1
    for label in (0, 1):
        found = np.bincount(slab[labels == label].astype(int), minlength=slabs)[label::2] / 10_000
        expected = [comb(slabs - 1, place) / 2 ** (slabs - 2) for place in range(label, slabs, 2)]
        np.testing.assert_allclose(found, expected, atol=0.02)
    assert abs(values[labels == 1].mean() - values[labels == 0].mean()) < 0.03


def test_coordinates_are_one_linear_some_of_slabs_and_noise() -> None:
    labels = np.arange(4000) % 2
    values = coordinates(labels, 5, np.random.default_rng(1))
    signed = (2 * labels - 1) * values[:, 0]
    assert signed.min() >= parts.MARGIN
    assert signed.max() <= 1
    apart = [abs(column[labels == 1] ** 2).mean() - abs(column[labels == 0] ** 2).mean() for column in values.T]
    noise = values.T[1 + parts.SLABS :]
    assert len(noise) == parts.SIDE**2 - 1 - parts.SLABS > 0
    assert max(map(abs, apart[1 + parts.SLABS :])) < 0.05
    turn = rotation(np.random.default_rng(2))
    np.testing.assert_allclose(turn @ turn.T, np.eye(len(turn)), atol=1e-12)


def test_lms_is_those_coordinates_rotated_and_rounded(lms: ImageSet) -> None:
    assert lms.facts.shape == (1, parts.SIDE, parts.SIDE)
    assert lms.simple is not None
    for split, images in lms.images.items():
        labels = lms.labels[split]
        assert labels.double().mean() == 0.5
        found = lms.simple(images.double() - 127.5)
        # One direction, along which the classes are as far from zero as their margin, but for rounding.
        flat = found.flatten(1)
        direction = flat[0] / flat[0].norm()
        along = flat @ direction
        torch.testing.assert_close(flat, torch.outer(along, direction))
        sign = (2 * labels - 1) * along
        assert sign.abs().min() > 0
        assert (sign > 0).all() or (sign < 0).all()
        most = along.abs().max()
        assert 0.8 * parts.MARGIN < along.abs().min() / most < 1.5 * parts.MARGIN
        torch.testing.assert_close(lms.simple(found), found)  # a projection


@pytest.mark.parametrize("kind", ["digit-pairs", "lms-5"])
@pytest.mark.parametrize("part", ["simple", "complex"])
def test_a_shuffled_part_is_anothers_and_says_nothing(
    kind: str, part: parts.Part, pairs: ImageSet, lms: ImageSet
) -> None:
    found = pairs if kind == "digit-pairs" else lms
    images, labels, simple = found.images["test"].double(), found.labels["test"], found.simple
    assert simple is not None
    moved = shuffled(images, labels, simple, part)
    rest = {"simple": lambda x: x - simple(x), "complex": simple}[part]
    own = {"simple": simple, "complex": lambda x: x - simple(x)}[part]
    torch.testing.assert_close(rest(moved), rest(images), rtol=0, atol=1e-9)
    # Where it is from: every image gives its part once, half of a class to either.
    distances = torch.cdist(own(moved).flatten(1), own(images).flatten(1))
    if kind == "lms-5":  # digits repeat
        source = distances.argmin(1)
        assert sorted(source.tolist()) == list(range(len(labels)))
        assert [int((labels[source] == own).sum()) for own in (0, 1)] == [len(labels) // 2] * 2
        for label in (0, 1):
            assert (labels[source][labels == label] == label).double().mean() == 0.5
    assert distances.min(1).values.max() < 1e-3  # of 16 pixels from 0 to 255
    assert (own(moved) != own(images)).any()
    assert torch.equal(moved, shuffled(images, labels, simple, part))


@settings(max_examples=20, deadline=None)
@given(quarter=st.integers(1, 20), seed=st.integers(0, 99))
def test_labels_and_sources_are_independent(quarter: int, seed: int) -> None:
    labels = torch.randperm(4 * quarter, generator=torch.Generator().manual_seed(seed)) % 2
    images = torch.stack([labels.double(), torch.arange(len(labels)).double()], 1).view(-1, 1, 1, 2)
    mask = torch.tensor([True, False])
    moved = shuffled(images, labels, lambda x: x * mask, "simple")[:, 0, 0]
    assert torch.equal(moved[:, 1], images[:, 0, 0, 1])
    counts = torch.bincount(2 * labels + moved[:, 0].long(), minlength=4)
    assert counts.tolist() == [quarter] * 4


def test_digits_side_by_side(pairs: ImageSet, digits: ImageSet) -> None:
    (left, right), half = list(errors_of_pairs(digits))[:: len(errors_of_pairs(digits)) - 1], 8
    assert pairs.facts.shape == (1, 8, 16)
    for split, images in pairs.images.items():
        assert images.max() == 240  # 15 times the 16 of digits
        for classes, part in ((left, images[..., :half]), (right, images[..., half:])):
            for label in (0, 1):
                known = digits.images[split][digits.labels[split] == classes[label]].flatten(1)
                seen = part[pairs.labels[split] == label].flatten(1) // 15
                assert (torch.cdist(seen.double(), known.double()).min(1).values == 0).all()


def test_the_simple_digits_are_those_that_a_linear_function_tells_best(digits: ImageSet) -> None:
    from sklearn.linear_model import Ridge

    found = errors_of_pairs(digits)
    assert list(found.values()) == sorted(found.values())
    assert set(found) == set(combinations(range(10), 2))
    for pair in (next(iter(found)), list(found)[-1]):
        own = torch.isin(digits.labels["train"], torch.tensor(pair))
        x = digits.images["train"][own].flatten(1).double().numpy() / 16
        x, y = np.c_[x, np.ones(len(x))], 2.0 * (digits.labels["train"][own] == pair[1]).numpy() - 1
        fitted = Ridge(1e-3 * len(x), fit_intercept=False).fit(x, y).predict(x)
        assert found[pair] == pytest.approx(np.mean((fitted - y) ** 2))


def test_a_digit_beside_a_larger_image_of_colours(digits: ImageSet) -> None:
    shape = (3, 32, 32)
    rng = torch.Generator().manual_seed(0)
    images = {split: torch.randint(0, 256, (60, *shape), generator=rng).byte() for split in ("train", "test")}
    labels = {split: torch.arange(60) % 3 for split in images}
    others = replace(digits, classes=3, images=images, labels=labels)
    found = beside("both", (digits, (0, 1)), (others, (0, 1)))
    assert found.facts.shape == (3, 32, 64)
    left = found.images["test"][..., :32]
    assert torch.equal(left[:, 0], left[:, 2])
    assert torch.equal(left[..., ::4, ::4].repeat_interleave(4, 2).repeat_interleave(4, 3), left)
    assert found.simple is not None
    assert torch.equal(found.simple(found.images["test"].double())[..., :32], left.double())
    with pytest.raises(PrunabilityError, match="two classes, and heights in whole ratios"):
        beside("both", (others, (0, 1)), (digits, (0, 1)))
    where = "/a/place/of/this/machine.tar"
    known = replace(others, title="cats and dogs")
    assert digit_beside(f"digit-beside:folder:{where}", digits, known).title == "digit beside cats and dogs"


def test_training_images_with_a_shuffled_part_are_hashed_as_such_and_no_others(pairs: ImageSet) -> None:
    plain = DataConfig(checksum=pairs.checksum, n_train=2000)
    assert "shuffled" not in plain.model_dump()
    forced = plain.model_copy(update={"shuffled": "simple"})
    assert forced.model_dump()["shuffled"] == "simple"
    one, other = (prepare(pairs, own, torch.device("cpu"), torch.float64) for own in (plain, forced))
    torch.testing.assert_close(one.test_images, other.test_images)
    assert torch.equal(one.train_labels, other.train_labels)
    torch.testing.assert_close(one.train_images[..., 8:], other.train_images[..., 8:])
    moved = (one.train_images[..., :8] != other.train_images[..., :8]).flatten(1).any(1)
    assert moved.double().mean() > 0.9


@pytest.mark.parametrize("kind", NETWORKS)
def test_networks_take_images_that_are_not_square(kind: str, pairs: ImageSet) -> None:
    from helpers import small_network

    network = make_network(small_network(kind, 3, 2), pairs.facts.shape, 2).eval()
    assert network(torch.zeros(2, *pairs.facts.shape)).shape == (2, 2)


@pytest.mark.parametrize("name", ["lms-4", "lms-1", "lms-11", "lms-", "lms-five"])
def test_slabs_are_an_odd_number(name: str, tmp_path: Path) -> None:
    with pytest.raises(PrunabilityError, match=r"^data 'lms-.*': slabs are an odd number from 3 to 9"):
        load_images(name, tmp_path)


def test_images_without_parts_are_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(PrunabilityError, match=r"^digits has no simple part to shuffle") as refused:
        open_study("simplicity", "smoke", "digits", 0, tmp_path)
    assert "\n" not in str(refused.value)
    assert [in_parts(name) for name in ("digits", "folder:x", "digit-pairs", "lms-3", "digit-beside:cifar10")] == [
        False,
        False,
        True,
        True,
        True,
    ]
    assert fits("correlation", "quick", "digits")
    assert fits("simplicity", "quick", "")
    assert not fits("simplicity", "quick", "digits")
    assert fits("simplicity", "quick", "lms-3")
    # What is made by definition is the subject of its study, which is put to nothing else.
    assert [fits("slabs", "quick", data) for data in ("", "lms-3", "digit-pairs", "digits")] == [True] + [False] * 3
