"""Barriers against forward passes by hand, and weight matching against every permutation."""

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from helpers import small_network
from prunability.foundation.errors import PrunabilityError
from prunability.measures import TrainedRun, UndefinedMeasureError, connectivity
from prunability.measures.connectivity import (
    ALONG,
    POINTS,
    barrier,
    barriers,
    chain,
    matched,
    matched_barrier,
    permuted,
)
from prunability.measures.probes import PROBES, key
from prunability.training.layers import BatchNorm
from prunability.training.loop import State, one_thread, train
from prunability.training.networks import Network, make_network


@pytest.fixture(scope="module")
def other(tiny_nin: TrainedRun) -> TrainedRun:
    config = tiny_nin.config.model_copy(update={"seed": 1})
    with one_thread():
        return TrainedRun(config, tiny_nin.data, *train(config, tiny_nin.data))


def drawn(kind: str, width: int, depth: int, seed: int) -> Network:
    """A random network in which every tensor, BatchNorm's statistics too, differs from unit to unit."""
    draws = torch.Generator().manual_seed(seed)
    network = make_network(small_network(kind, width, depth), (1, 8, 8), 3).double().eval()
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            values = torch.randn(tensor.shape, generator=draws, dtype=torch.float64)
            tensor.copy_(values.abs() + 0.5 if "running_var" in name else values)
    return network


def similarity(own: State, other: State) -> float:
    """What matching raises, summed over all that is learned at once."""
    return sum((own[name] * other[name]).sum().item() for name in own if "running" not in name and own[name].dim())


def by_hand(state: State, train_images: Tensor, images: Tensor) -> Tensor:
    """Logits of a NiN of one block whose BatchNorms have the mean and the unbiased variance of the training set."""
    for place, stride in ((0, 2), (3, 1), (6, 1)):
        weight, norm = state[f"blocks.0.{place}.weight"], f"blocks.0.{place + 1}"
        padding = weight.shape[2] // 2
        train_images, images = (F.conv2d(x, weight, None, stride, padding) for x in (train_images, images))
        values = train_images.transpose(0, 1).flatten(1)
        scale, shift = (state[f"{norm}.{name}"][:, None, None] for name in ("weight", "bias"))
        mean = values.mean(1)[:, None, None]
        # The training set itself is normalised by the biased variance, as a batch is.
        train_images, images = (
            (((x - mean) / (values.var(1, unbiased=u)[:, None, None] + 1e-5).sqrt()) * scale + shift).relu()
            for x, u in ((train_images, False), (images, True))
        )
    return F.conv2d(images, state["classifier.weight"], state["classifier.bias"]).mean((2, 3))


def test_the_line_between_two_networks(tiny_nin: TrainedRun, other: TrainedRun) -> None:
    data, row = tiny_nin.data, barrier(tiny_nin, other)
    found = dict(zip(ALONG, (row[i : i + 11] for i in range(0, 44, 11)), strict=True))
    for place, t in enumerate(POINTS):
        state = {name: t * tiny_nin.final[name] + (1 - t) * tensor for name, tensor in other.final.items()}
        for side, images, labels in (
            ("train", data.train_images, data.train_labels),
            ("test", data.test_images, data.test_labels),
        ):
            outputs = by_hand(state, data.train_images, images)
            assert found[f"{side}_loss"][place] == pytest.approx(F.cross_entropy(outputs, labels).item(), abs=1e-9)
            assert found[f"{side}_error"][place] == (outputs.argmax(1) != labels).double().mean()
    slow = max(
        found["test_loss"][i] - (i / 10 * found["test_loss"][10] + (1 - i / 10) * found["test_loss"][0])
        for i in range(11)
    )
    assert barriers(row)["test_loss"] == pytest.approx(slow)
    assert slow > 0.01
    assert barriers(barrier(tiny_nin, tiny_nin)) == pytest.approx(dict.fromkeys(ALONG, 0.0), abs=1e-12)


def test_networks_are_left_as_they_are(tiny_nin: TrainedRun, other: TrainedRun) -> None:
    before = {name: tensor.clone() for name, tensor in tiny_nin.network.state_dict().items()}
    matched_barrier(tiny_nin, other)
    assert not tiny_nin.network.training
    assert all(m.momentum == 0.1 for m in tiny_nin.network.modules() if isinstance(m, BatchNorm))
    assert all(torch.equal(tensor, before[name]) for name, tensor in tiny_nin.network.state_dict().items())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_one_hidden_layer_is_matched_as_well_as_can_be(seed: int) -> None:
    first, second = (drawn("mlp", 3, 1, seed + place) for place in (0, 1))
    own, other, layers = first.state_dict(), second.state_dict(), chain(first)
    best = max(similarity(own, permuted(other, layers, 0, torch.tensor(order))) for order in permutations(range(3)))
    assert similarity(own, matched(own, other, layers, torch.Generator())) == pytest.approx(best)


@pytest.mark.parametrize(("kind", "hidden"), [("mlp", 1), ("nin", 6), ("cnn", 4)])
def test_matching_keeps_the_function_and_never_loses(
    kind: str, hidden: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (drawn(kind, 3, 2, seed) for seed in (1, 2))
    own, start, x = first.state_dict(), second.state_dict(), torch.randn(7, 1, 8, 8, dtype=torch.float64)
    layers, met, outputs = chain(first), [second.state_dict()], second(x)
    assert len(layers) == hidden + 1

    def watched(*args: Any) -> State:
        met.append(permuted(*args))
        return met[-1]

    monkeypatch.setattr(connectivity, "permuted", watched)
    end = matched(own, start, layers, torch.Generator().manual_seed(0))
    assert len(met) > (hidden > 1) + 1
    assert end is met[-1]
    reached = [similarity(own, state) for state in met]
    assert reached == sorted(reached)
    for state in met:
        second.load_state_dict(state)
        torch.testing.assert_close(second(x), outputs)
    again = matched(own, end, layers, torch.Generator().manual_seed(5))
    assert again is end


def test_a_network_finds_its_own_permuted_copy(trained: TrainedRun) -> None:
    state, layers, draws = trained.final, chain(trained.network), torch.Generator().manual_seed(3)
    for place, layer in enumerate(layers[:-1]):
        state = permuted(state, layers, place, torch.randperm(len(state[layer.weight]), generator=draws))
    copy = replace(trained, final=state)
    assert barriers(barrier(trained, copy))["train_loss"] > 0.5
    found = matched(trained.final, state, layers, draws)
    assert all(torch.equal(found[name], tensor) for name, tensor in trained.final.items())
    assert barriers(matched_barrier(trained, copy)) == pytest.approx(dict.fromkeys(ALONG, 0.0), abs=1e-12)


def test_what_cannot_be_connected_says_so(resnet: TrainedRun, trained: TrainedRun, tiny_nin: TrainedRun) -> None:
    with pytest.raises(UndefinedMeasureError, match="which a residual network is not made of"):
        matched_barrier(resnet, resnet)
    assert len(barrier(resnet, resnet)) == 44
    for function in (barrier, matched_barrier):
        with pytest.raises(PrunabilityError, match="of one shape"):
            function(trained, tiny_nin)
    assert PROBES["barrier"].pair
    assert key("barrier", "abc") == "barrier_1_abc"
