from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from helpers import DEVICES, slow_answer, slow_losses, small_convolution
from prunability.measures import TrainedRun
from prunability.measures.search import (
    HEADLINE,
    SWEEP,
    Pruner,
    Tolerance,
    keep_steps,
    loss_curve,
    prunabilities,
    prunable,
    pruned,
)
from prunability.measures.variants import Variants
from prunability.training.layers import Linear

PRUNERS: tuple[Pruner, ...] = ("magnitude", "random", "layerwise")


def examples(net: nn.Module, seed: int, n: int, fit: bool) -> tuple[Tensor, Tensor]:
    x = torch.randn(n, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    labels = net(x).argmax(1) if fit else torch.arange(n) % 3
    return x, labels.detach()


def check(net: nn.Module, x: Tensor, y: Tensor, pruner: Pruner, grid: int, at_once: int) -> None:
    draws: list[Any] = [None]
    orders: list[list[int]] = [[]]
    if pruner == "random":
        d = sum(weight.numel() for weight in prunable(net).values())
        draws = [torch.Generator().manual_seed(k) for k in range(3)]
        orders = [torch.randperm(d, generator=torch.Generator().manual_seed(k)).tolist() for k in range(3)]
    with torch.no_grad():
        loss = F.cross_entropy(net(x), y).item()
    slow = slow_losses(net, x, y, pruner, grid, orders)
    tolerances = [HEADLINE, *SWEEP]
    found, scan = prunabilities(Variants(net, x, y), loss, pruner, tolerances, draws, grid, at_once)
    assert found == {tolerance: slow_answer(slow, tolerance.limit(loss)) for tolerance in tolerances}
    assert scan.examples <= at_once * grid * len(y) * len(draws)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([0.3, 1.0, 4.0]),
    pruner=st.sampled_from(PRUNERS),
    resolution=st.sampled_from([7, 20]),
    at_once=st.sampled_from([1, 3, 16]),
    fit=st.booleans(),
)
def test_equals_the_exhaustive_scan(
    seed: int, scale: float, pruner: Pruner, resolution: int, at_once: int, fit: bool
) -> None:
    net = small_convolution(seed, scale)
    check(net, *examples(net, seed, 40, fit), pruner, resolution, at_once)


@pytest.mark.parametrize("pruner", PRUNERS)
@pytest.mark.parametrize("case", ["tied", "zero tensor", "all zero"])
def test_ties_and_zero_tensors(pruner: Pruner, case: str) -> None:
    net = small_convolution(3)
    with torch.no_grad():
        if case == "tied":
            for weight in prunable(net).values():
                weight.copy_(weight.sign() * 0.5)
        else:
            for weight in list(prunable(net).values())[: 1 if case == "zero tensor" else None]:
                weight.zero_()
    check(net, *examples(net, 0, 30, case == "tied"), pruner, 20, 1)


def test_a_bump_below_the_answer() -> None:
    """The loss passes the tolerance, rises above it again and falls: the first pass is the answer.

    Linear in one feature: kept weights 8 (right), −6 (wrong), 5 (right), so that the logit of the right
    class goes 8, 2, 7 as more weights are kept.
    """
    net = nn.Sequential(Linear(3, 2, bias=False)).double()
    with torch.no_grad():
        next(net.parameters()).copy_(torch.tensor([[8.0, -6.0, 5.0], [0.0, 0.0, 0.0]]))
    x, y = torch.ones(4, 3, dtype=torch.float64), torch.zeros(4, dtype=torch.long)
    curve = loss_curve(Variants(net, x, y), "magnitude", resolution=6)
    assert curve[1] > curve[0] < 0.1
    assert curve[1] > 0.1 > curve[2]
    check(net, x, y, "magnitude", 6, 1)
    loss = F.cross_entropy(net(x), y).item()
    found, _ = prunabilities(Variants(net, x, y), loss, "magnitude", [HEADLINE], resolution=6)
    assert found[HEADLINE] == 1 / 6


def test_only_the_whole_network_is_admissible() -> None:
    net = nn.Sequential(Linear(1, 2, bias=False)).double()
    with torch.no_grad():
        next(net.parameters()).copy_(torch.tensor([[9.0], [-9.0]]))
    x = torch.ones(3, 1, dtype=torch.float64)
    y = torch.zeros(3, dtype=torch.long)
    strict = Tolerance("absolute", 1e-6)
    loss = F.cross_entropy(net(x), y).item()
    found, _ = prunabilities(Variants(net, x, y), loss, "magnitude", [strict], resolution=2)
    assert found[strict] == 1.0
    check(net, x, y, "magnitude", 2, 1)


@settings(deadline=None)
@given(d=st.integers(1, 500), resolution=st.integers(1, 60), seed=st.integers(0, 99), levels=st.integers(1, 5))
def test_exactly_ceil_of_weights_are_kept(d: int, resolution: int, seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    values = torch.tensor(rng.integers(-levels, levels + 1, d), dtype=torch.float64)
    weights = {"a": values[: d // 2], "b": values[d // 2 :]}
    weights = {name: part for name, part in weights.items() if len(part)}
    for pruner in PRUNERS:
        steps = keep_steps(weights, pruner, resolution, torch.Generator().manual_seed(seed))
        for step in range(1, resolution + 1):
            kept = {name: part <= step for name, part in steps.items()}
            if pruner == "layerwise":
                for name, part in kept.items():
                    assert int(part.sum()) == -(-step * len(weights[name]) // resolution)
            else:
                assert sum(int(part.sum()) for part in kept.values()) == -(-step * d // resolution)
            if pruner == "magnitude":
                mask = torch.cat(list(kept.values()))
                order = sorted(range(d), key=lambda i: (-abs(values[i].item()), i))
                assert set(torch.nonzero(mask).flatten().tolist()) == set(order[: int(mask.sum())])


def test_masks_are_nested_and_whole_at_one(trained: TrainedRun) -> None:
    weights = prunable(trained.network)
    steps = keep_steps(weights, "random", 50, torch.Generator().manual_seed(0))
    whole = pruned(weights, steps, 50)
    assert all(torch.equal(whole[name], weight) for name, weight in weights.items())
    fewer, more = pruned(weights, steps, 10), pruned(weights, steps, 11)
    for name in weights:
        assert ((fewer[name] == 0) | (fewer[name] == more[name])).all()


def test_only_convolution_and_linear_weights_are_prunable(trained: TrainedRun) -> None:
    names = set(prunable(trained.network))
    expected = {n for n, p in trained.network.named_parameters() if p.dim() == 4}
    assert names == expected
    assert "classifier.bias" not in names


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("pruner", PRUNERS)
@pytest.mark.parametrize("batched", [False, True])
def test_trained_network_on_each_device(trained: TrainedRun, pruner: Pruner, device: str, batched: bool) -> None:
    net = trained.network.to(device)
    variants = Variants(net, trained.data.train_images.to(device), trained.data.train_labels.to(device))
    variants.batched = batched  # as one computation over variants, or one by one
    draws: list[Any] = [torch.Generator().manual_seed(k) for k in range(2)] if pruner == "random" else [None]
    found, scan = prunabilities(variants, trained.train_loss, pruner, SWEEP, draws)
    draws = [torch.Generator().manual_seed(k) for k in range(2)] if pruner == "random" else [None]
    variants.batched = False
    curve = loss_curve(variants, pruner, draws)
    trained.network.to("cpu")
    assert found == {t: slow_answer(curve, t.limit(trained.train_loss)) for t in SWEEP}
    assert scan.examples < len(curve) * len(draws) * len(trained.data.train_labels)


def test_limits() -> None:
    assert Tolerance("absolute", 0.1).limit(0.02) == pytest.approx(0.12)
    assert Tolerance("relative", 0.5).limit(0.02) == pytest.approx(0.03)
    with pytest.raises(ValueError, match="positive"):
        Tolerance("absolute", 0)
