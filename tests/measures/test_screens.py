"""A first look in bfloat16 and by chance decides as the network's own precision does, on every level."""

import math
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from helpers import DEVICES, slow_answer, small_convolution
from prunability.measures import TrainedRun
from prunability.measures.chance import LOG_ODDS, examples_needed, random_examples, refuted
from prunability.measures.scan import _Group
from prunability.measures.search import (
    PRUNERS,
    SWEEP,
    Pruner,
    Tolerance,
    keep_steps,
    prunabilities,
    prunable,
    pruned,
)
from prunability.measures.variants import (
    FEW,
    LARGEST_COST,
    LEAST_SHARE,
    PASS_COST,
    Variants,
    cost_of_a_pass,
    screen_of,
)
from prunability.training.layers import Linear
from prunability.training.loop import EVALUATION_PIXELS


def both(variants: Variants, loss: float, pruner: Pruner, resolution: int, **options: Any) -> float:
    """A screened scan equals one that evaluates all levels on everything; returns its screen's share."""
    draws: list[Any] = [torch.Generator().manual_seed(k) for k in range(3)] if pruner == "random" else [None]
    found, scan = prunabilities(variants, loss, pruner, SWEEP, draws, resolution, **options)
    draws = [torch.Generator().manual_seed(k) for k in range(3)] if pruner == "random" else [None]
    weights = prunable(variants.network)
    steps = [keep_steps(weights, pruner, resolution, draw) for draw in draws]
    every = [[pruned(weights, kept, step) for kept in steps] for step in range(1, resolution + 1)]
    curve = [variants.losses(weights).mean().item() for weights in every]
    assert found == {t: slow_answer(curve, t.limit(loss)) for t in SWEEP}
    for level, losses in scan.losses.items():
        assert losses == pytest.approx(variants.losses(every[level]).mean(dim=1).tolist(), rel=1e-12)
    assert bool(scan.losses) == (pruner == "random" and any(level is not None for level in scan.first))
    return math.nan if scan.share is None else scan.share


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([0.3, 1.0, 4.0, 10.0]),
    pruner=st.sampled_from(PRUNERS),
    resolution=st.sampled_from([7, 40]),
    at_once=st.sampled_from([1, 3, 16]),
    fit=st.floats(0, 1),
    count=st.sampled_from([10, 400]),
    cost=st.sampled_from([1, PASS_COST, 3000]),
)
def test_a_screened_scan_equals_the_exhaustive_one(
    seed: int, scale: float, pruner: Pruner, resolution: int, at_once: int, fit: float, count: int, cost: int
) -> None:
    """Whatever a pass is taken to cost, which decides how it goes about."""
    net, draws = small_convolution(seed, scale), torch.Generator().manual_seed(seed)
    x = torch.randn(count, 1, 4, 4, dtype=torch.float64, generator=draws)
    right = torch.rand(count, generator=draws) < fit
    y = torch.where(right, net(x).argmax(1), torch.arange(count) % 3)
    loss = F.cross_entropy(net(x), y).item()
    with patch.object(Variants, "pass_cost", lambda *_: cost):
        both(Variants(net, x, y, screened=True), loss, pruner, resolution, at_once=at_once)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("pruner", PRUNERS)
@pytest.mark.parametrize("architecture", ["trained", "mlp", "tiny_nin", "resnet"])
@pytest.mark.parametrize("batched", [False, True])
def test_of_trained_networks(
    architecture: str, pruner: Pruner, batched: bool, device: str, request: pytest.FixtureRequest
) -> None:
    run: TrainedRun = request.getfixturevalue(architecture)
    data = run.data.train_images.to(device), run.data.train_labels.to(device)
    variants = Variants(run.folded.to(device), *data, screened=True)
    assert variants.rough is not None
    variants.batched = variants.rough.batched = batched
    share = both(variants, run.train_loss, pruner, 50)
    run.folded.to("cpu")
    assert share >= LEAST_SHARE


@pytest.mark.parametrize("pruner", PRUNERS)
def test_the_share_covers_the_error_of_every_level(trained: TrainedRun, pruner: Pruner) -> None:
    """Of all levels, from 8 of them: what a sum is wrong by, on all examples and on the hardest."""
    variants = Variants(trained.folded, trained.data.train_images, trained.data.train_labels, screened=True)
    steps = keep_steps(trained.weights, pruner, 200, torch.Generator().manual_seed(0))
    levels = [pruned(prunable(trained.folded), steps, step) for step in range(1, 201)]
    screen = screen_of(variants, levels[::25])
    assert screen is not None
    exact, near = variants.losses(levels), screen.variants.losses(levels)
    assert not torch.equal(exact, near)
    low, high = screen.bounds(near)
    hardest = exact.argsort(dim=1, descending=True)[:, :20]
    for part in (slice(None), hardest):
        sums = [t.sum(1) if isinstance(part, slice) else t.gather(1, part).sum(1) for t in (low, exact, high)]
        assert (sums[0] < sums[1]).all()
        assert (sums[1] < sums[2]).all()


def cancelling(large: float) -> tuple[nn.Module, Tensor, Tensor]:
    """Logits 0 and large − (large − 3): bfloat16 may lose the difference, and all costs ln 2 instead of 0.05."""
    net = nn.Sequential(Linear(3, 2, bias=False)).double()
    with torch.no_grad():
        next(net.parameters()).copy_(torch.tensor([[large, 3 - large, 1e-3], [0.0, 0.0, 0.0]]))
    return net, torch.ones(100, 3, dtype=torch.float64), torch.zeros(100, dtype=torch.long)


def test_what_bfloat16_would_get_wrong_is_decided_without_it() -> None:
    net, x, y = cancelling(1001)
    variants = Variants(net, x, y, screened=True)
    assert variants.rough is not None
    loss = F.cross_entropy(net(x), y).item()
    weights = prunable(net)
    steps = keep_steps(weights, "magnitude", 6)
    level = pruned(weights, steps, 4)  # both large weights
    limit = Tolerance("absolute", 0.1).limit(loss)
    assert variants.mean_losses([level]).item() < limit < variants.rough.mean_losses([level]).item() / 2
    assert math.isnan(both(variants, loss, "magnitude", 6))  # bfloat16 was given up


def test_what_is_no_number_in_bfloat16_only_gives_it_up() -> None:
    net, x, y = cancelling(1001)
    variants = Variants(net, x * 1e36, y, screened=True)
    assert screen_of(variants, []) is None


def test_levels_after_one_within_a_limit_are_not_looked_at_for_it() -> None:
    group = _Group([[{}]] * 3, 2, torch.device("cpu"))
    group.low[0], group.high[0] = 2.5, 2.5  # 5 in all
    assert group.missing([6.0, 3.0]) == {1: 3.0, 2: 3.0}
    assert group.missing([6.0]) == {}
    assert group.missing([3.0, 4.0]) == {1: 4.0, 2: 4.0}


def test_not_where_it_does_not_pay(trained: TrainedRun) -> None:
    assert trained.variants.rough is None  # float64


@settings(deadline=None)
@given(limit=st.floats(0.01, 0.5), seed=st.integers(0, 10**6), wrong=st.floats(0.0, 1.0))
def test_chance_never_refuses_what_is_within_the_limit(limit: float, seed: int, wrong: float) -> None:
    """The hardest case: as many examples as the limit allows cost what losses are cut off at, others nothing."""
    total = 400
    losses = torch.zeros(total, dtype=torch.float64)
    losses[: int(total * limit / 2 * wrong)] = 2.0
    assert losses.mean() <= limit
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    assert not any(refuted(losses[order[:count]], limit) for count in range(1, total + 1, 7))


def test_the_odds_of_a_refusal_are_as_said() -> None:
    """Exactly, by counting: of all ways to draw n of N examples, those that refuse a mean at the limit."""
    assert 1e6 * math.exp(-LOG_ODDS) < 1e-9  # over all levels and draws that a study ever looks at
    total, costly = 60, 12
    limit = 2.0 * costly / total
    for count in (10, 30, 50):
        for seen in range(min(count, costly) + 1):
            if refuted(torch.tensor([2.0] * seen + [0.0] * (count - seen)), limit):
                ways = sum(
                    math.comb(costly, k) * math.comb(total - costly, count - k)
                    for k in range(seen, min(count, costly) + 1)
                )
                assert ways / math.comb(total, count) <= math.exp(-LOG_ODDS)


def test_as_many_examples_as_are_said_to_refuse_do() -> None:
    losses = torch.rand(500, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 4
    count = examples_needed(losses, 0.4)
    part = losses[random_examples(500)]
    assert refuted(part[: int(count)], 0.4)
    assert not refuted(part[: int(count / 3)], 0.4)
    assert examples_needed(losses, 1.9) == math.inf


def test_the_cost_of_a_pass_is_found_where_passes_are_timed(trained: TrainedRun) -> None:
    assert cost_of_a_pass(lambda count: 3e-3 + 2e-6 * count, 4096) == 1500
    assert cost_of_a_pass(lambda count: 2e-6 * count, 4096) == 1
    assert cost_of_a_pass(lambda _: 1e-3, 4096) == LARGEST_COST
    assert cost_of_a_pass(lambda count: count / 0, FEW) == PASS_COST
    assert trained.variants.pass_cost(16) == PASS_COST  # on a CPU nothing is timed


def test_on_a_gpu_it_is_found_once_for_networks_of_a_kind(
    trained: TrainedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[int] = []

    def seconds(_: Variants, count: int) -> float:
        timed.append(count)
        return 1e-3 + 1e-5 * count

    monkeypatch.setattr(Variants, "_seconds", seconds)
    monkeypatch.setattr("prunability.measures.variants._costs", {})
    for _ in range(2):
        variants = Variants(trained.folded, trained.data.train_images, trained.data.train_labels)
        variants.on_gpu = variants.batched = True
        assert [variants.pass_cost(count) for count in (1, 10, 1000)] == [100, 10, 1]
        variants.batched = False
        assert variants.pass_cost(10) == 100
    assert timed == [FEW, len(trained.data.train_labels)]


@pytest.mark.parametrize(("examples", "levels", "parts", "groups"), [(1000, 64, 64, 64), (50_000, 16, 1, 10)])
def test_more_is_evaluated_together_on_a_gpu(examples: int, levels: int, parts: int, groups: int) -> None:
    """Of 8×8 images and of 64×64 ones; an eighth of them under each draw of noise, 50 of them in each group."""
    side = 8 if examples == 1000 else 64
    images, labels = torch.zeros(1, 1, side, side).expand(examples, -1, -1, -1), torch.zeros(examples).long()
    variants = Variants(nn.Sequential(Linear(3, 2)), images, labels)
    assert (variants.at_once, variants.side_by_side(50, gradients=True)) == (2 if variants.batched else 1, 1)
    variants.on_gpu = variants.batched = True
    with patch.dict(EVALUATION_PIXELS, cpu=EVALUATION_PIXELS["cuda"]):
        together = variants.side_by_side(examples // 8), variants.side_by_side(50, gradients=True)
    assert (variants.at_once, *together) == (levels, parts, groups)
