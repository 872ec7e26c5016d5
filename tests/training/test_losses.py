"""What a step minimises, against sums over Python numbers, and what must not change where no option is on."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from helpers import altered
from prunability.data.dataset import Dataset, prepare
from prunability.data.images import ImageSet
from prunability.training import checkpoints
from prunability.training.arithmetic import fleets_agree
from prunability.training.checkpoints import OutOfTimeError
from prunability.training.config import LOSS, RunConfig, TrainingConfig, shape_of
from prunability.training.fleet import train_fleet
from prunability.training.loop import batches, build, logits, train
from prunability.training.losses import MEMORY, TEMPERATURE, first_memory, objective
from prunability.training.warmup import pace

OPTIONS: dict[str, dict[str, Any]] = {
    "label smoothing": {"label_smoothing": 0.05},
    "confidence penalty": {"confidence_penalty": 0.3},
    "temporal smoothing": {"temporal_smoothing": 0.3},
    "all of them": {"label_smoothing": 0.05, "confidence_penalty": 0.3, "temporal_smoothing": 0.3},
    "warm-up": {"warmup_epochs": 2},
}
LOSSES = [name for name in OPTIONS if name != "warm-up"]
share = st.floats(0, 0.45)


def rules(**options: float) -> TrainingConfig:
    return TrainingConfig(learning_rate=0.1, batch_size=2, precision="float64", stop_at_target=False, **options)  # type: ignore[arg-type]


def softmax(z: list[float]) -> list[float]:
    parts = [math.exp(one) for one in z]
    return [part / sum(parts) for part in parts]


def slow_cost(own: TrainingConfig, z: list[float], label: int, sums: list[float]) -> float:
    """By the definition: the cross-entropy with the target, less the penalty's share of the entropy."""
    p, classes = softmax(z), len(z)
    rest = 1 - own.label_smoothing - own.temporal_smoothing
    target = [
        rest * (place == label) + own.label_smoothing / classes + own.temporal_smoothing * known / sum(sums)
        for place, known in enumerate(sums)
    ]
    entropy = -sum(one * math.log(one) for one in p)
    cross = -sum(wanted * math.log(one) for wanted, one in zip(target, p, strict=True))
    return cross - own.confidence_penalty * entropy


def plain(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(outputs, labels, reduction="none")


@settings(deadline=None, max_examples=30)
@given(share, share, st.floats(0, 3), st.integers(0, 2**31))
def test_a_step_costs_what_its_definition_says(smooth: float, temporal: float, penalty: float, seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    own = rules(label_smoothing=smooth, temporal_smoothing=temporal, confidence_penalty=penalty)
    labels = torch.randint(3, (5,), generator=draws)
    memory = first_memory(own, labels, 3).get(MEMORY)
    slow = [[float(place == label) for place in range(3)] for label in labels.tolist()]
    for index in (torch.tensor([4, 1]), torch.tensor([1, 0])):
        outputs = 3 * torch.randn(2, 3, generator=draws, dtype=torch.float64)
        found = objective(own, outputs, plain(outputs, labels[index]), memory, index)
        rows = zip(index.tolist(), outputs.tolist(), strict=True)
        for cost, (example, z) in zip(found.tolist(), rows, strict=True):
            assert cost == pytest.approx(slow_cost(own, z, int(labels[example]), slow[example]), abs=1e-12)
            added = softmax([one / TEMPERATURE for one in z])
            slow[example] = [a + b for a, b in zip(slow[example], added, strict=True)]
        if memory is not None:
            torch.testing.assert_close(memory, torch.tensor(slow, dtype=torch.float64))


@pytest.mark.parametrize("option", LOSSES)
def test_its_gradient_is_that_of_finite_differences(option: str) -> None:
    own, labels, index = rules(**OPTIONS[option]), torch.tensor([2, 0, 1]), torch.tensor([2, 0])
    outputs = torch.randn(2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)

    def cost(outputs: torch.Tensor) -> torch.Tensor:
        memory = first_memory(own, labels, 3).get(MEMORY)
        return objective(own, outputs, plain(outputs, labels[index]), memory, index)

    assert torch.autograd.gradcheck(cost, outputs)


def test_without_an_option_it_is_the_cross_entropy_itself() -> None:
    outputs, index = torch.zeros(2, 3), torch.tensor([0, 1])
    assert objective(rules(), outputs, own := plain(outputs, index), None, index) is own
    assert first_memory(rules(label_smoothing=0.1), index, 3) == {}


def test_what_is_off_is_no_part_of_a_run(small_run: RunConfig) -> None:
    """Its hash is that of before there were options; what is on makes another run, of another draw and fleet."""
    named = {*LOSS, "warmup_epochs"}
    assert not named & {*small_run.training.model_dump()}
    assert altered(small_run, **dict.fromkeys(LOSS, 0.0), warmup_epochs=0) == small_run
    assert not any(name in small_run.model_dump_json() + shape_of(small_run) for name in named)
    others = [altered(small_run, **own) for own in OPTIONS.values()]
    assert len({run.hash for run in (small_run, *others)}) == len(others) + 1
    assert [RunConfig.model_validate_json(run.model_dump_json()) for run in others] == others
    assert [shape_of(run) == shape_of(small_run) for run in others] == [False] * len(LOSSES) + [True]


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("option", OPTIONS)
def test_a_fleet_equals_networks_alone(small_run: RunConfig, digits: ImageSet, option: str, optimiser: str) -> None:
    """In float64, with different rates; one enters two epochs later. The loss recorded is the plain one."""
    whole: dict[str, Any] = {"optimiser": optimiser, "batch_size": 20, "max_epochs": 3, "stop_at_target": False}
    base = altered(small_run, **whole, **OPTIONS[option])
    runs = [
        altered(base, learning_rate=rate, max_epochs=epochs) for rate, epochs in ((0.02, 2), (0.01, 3), (0.015, 3))
    ]
    data = prepare(digits, base.data, torch.device("cpu"), torch.float64)
    found = {one.config.hash: one for one in train_fleet(runs, data, 2)}
    for run in runs:
        _, final, result = train(run, data)
        one = found[run.hash]
        assert max((one.final[name] - final[name]).abs().max().item() for name in final) < 1e-10
        assert one.result.sum_of_training_losses == pytest.approx(result.sum_of_training_losses, rel=1e-10)
        assert one.result.train_loss == pytest.approx(plain_loss(run, final, data), rel=1e-9)


def test_fleets_of_every_option_can_be_tried(small_run: RunConfig, small_data: Dataset) -> None:
    """A trial has no target of its own, which label smoothing might never reach."""
    for own in OPTIONS.values():
        assert isinstance(fleets_agree(altered(small_run, **own), small_data), bool)


def plain_loss(run: RunConfig, final: dict[str, torch.Tensor], data: Dataset) -> float:
    network = build(run, data.train_images.shape[1:], data.classes)
    network.load_state_dict(final)
    return float(plain(logits(network, data.train_images), data.train_labels).mean())


@pytest.mark.parametrize("fleet", [False, True], ids=["alone", "fleet"])
@pytest.mark.parametrize("option", ["temporal smoothing", "warm-up"])
def test_it_goes_on_exactly(
    small_run: RunConfig,
    small_data: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    fleet: bool,
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY", math.inf)
    run, path = altered(small_run, max_epochs=4, **OPTIONS[option]), tmp_path / "one.checkpoint"

    def made(until: float = math.inf) -> dict[str, torch.Tensor]:
        if fleet:
            return next(train_fleet([run], small_data, 1, lambda _: path, until)).final
        return train(run, small_data, path, until)[1]

    whole = made()
    for _ in range(3):
        with pytest.raises(OutOfTimeError):
            made(until=0.0)
    went_on = made()
    assert all(torch.equal(whole[name], went_on[name]) for name in whole)


def test_a_mean_that_is_forgotten_is_another_training(small_run: RunConfig, small_data: Dataset) -> None:
    """The running mean does something: without it targets would be the labels'."""
    run = altered(small_run, max_epochs=3, target_loss=1e-9)
    one, other = (train(own, small_data)[1] for own in (run, altered(run, temporal_smoothing=0.3)))
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_the_rate_rises_in_a_straight_line(small_run: RunConfig) -> None:
    run = altered(small_run, warmup_epochs=2)
    found = torch.cat([pace(run, epoch, 3) for epoch in range(3)])
    assert found.tolist() == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1, 1, 1, 1])
    assert pace(small_run, 0, 3).tolist() == [1, 1, 1]


def test_warm_up_is_what_smaller_rates_do(small_run: RunConfig, small_data: Dataset) -> None:
    """Of two steps, the first at half the rate."""
    rules = {"batch_size": 60, "warmup_epochs": 1, "max_epochs": 1, "stop_at_target": False, "weight_decay": 1e-3}
    run = altered(small_run, **rules)
    run = run.model_copy(update={"network": run.network.model_copy(update={"dropout": 0.0})})
    data = small_data
    (initial, final, result), rate = train(run, data), run.training.learning_rate
    assert result.steps == 2
    network = build(run, data.train_images.shape[1:], 10)
    network.load_state_dict(initial)
    optimiser = torch.optim.SGD(network.parameters(), rate, run.training.momentum)
    network.train()
    for own, index in zip((0.5, 1.0), batches(run, 0), strict=True):
        optimiser.param_groups[0].update(lr=own * rate, weight_decay=run.training.weight_decay)
        optimiser.zero_grad()
        plain(network(data.train_images[index]), data.train_labels[index]).mean().backward()
        optimiser.step()
    for name, tensor in network.named_parameters():
        torch.testing.assert_close(tensor.detach(), final[name], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"label_smoothing": 0.5, "temporal_smoothing": 0.5}, "1 together, it must be less than 1"),
        ({"label_smoothing": 0.1}, "rests at 0.0513 nats or more, not below target_loss 0.05: raise that"),
        ({"warmup_epochs": 7, "max_epochs": 6}, "warmup_epochs 7 exceeds max_epochs 6"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(small_run: RunConfig, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        altered(small_run, **options)
