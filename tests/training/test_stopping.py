"""The stopping rule against its definition, evaluated in full wherever it may be asked for."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from prunability.data.dataset import Dataset
from prunability.measures import TrainedRun
from prunability.measures.speed import training_speed_estimates
from prunability.training import checkpoints
from prunability.training.config import NiNConfig, RunConfig
from prunability.training.course import CLOSE, Course, parts
from prunability.training.dropout import dropout_keys, dropout_mask, places
from prunability.training.fleet import train_fleet
from prunability.training.loop import batches, build, optimiser_of, train
from prunability.training.stopping import judge

OFTEN = {
    "learning_rate": st.sampled_from([0.03, 0.1, 0.2]),
    "weight_decay": st.sampled_from([0.0, 1e-3]),
    "batch_size": st.sampled_from([7, 30, 50, 120]),
    "target_loss": st.sampled_from([0.01, 0.02, 0.045, 0.3]),
    "max_epochs": st.sampled_from([3, 12, 30]),
}
FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def losses_by_step(config: RunConfig, data: Dataset) -> Iterator[tuple[int, int, int, Tensor]]:
    """Plain training: epoch, step, steps of an epoch, and the losses of all examples after it, float64 [N]."""
    network = build(config, (1, 8, 8), 10)
    optimiser, rate = optimiser_of(network, config.training), torch.tensor([config.dropout], dtype=torch.float64)
    shapes = network.dropout_shapes((1, 8, 8))
    for epoch in range(config.training.max_epochs):
        order = batches(config, epoch)
        keys = dropout_keys(config, epoch, len(order), len(shapes))
        for step, index in enumerate(order):
            numbers = [places(shape, len(index), False, index.device) for shape in shapes]
            masks = [
                dropout_mask(key[None], rate, number)[0] for key, number in zip(keys[step], numbers, strict=True)
            ]
            optimiser.zero_grad()
            F.cross_entropy(network.train()(data.train_images[index], masks), data.train_labels[index]).backward()
            optimiser.step()
            with torch.no_grad():
                outputs = network.eval()(data.train_images)
            yield epoch, step + 1, len(order), F.cross_entropy(outputs, data.train_labels, reduction="none")


def by_definition(config: RunConfig, data: Dataset) -> tuple[str, int, float]:
    """How a training ends, after how many steps, and at which loss; undecidable ones are not asked for."""
    close, taken, loss = False, 0, math.nan
    for _, step, steps, losses in losses_by_step(config, data):
        taken, loss = taken + 1, losses.mean().item()
        if step == steps or (close and step in {math.ceil(quarter * steps / 4) for quarter in range(1, 5)}):
            # Where rounding decides, another order of summation decides otherwise.
            assume(all(abs(loss / limit - 1) > 1e-4 for limit in (CLOSE, config.training.target_loss)))
            if loss <= config.training.target_loss:
                return "converged", taken, loss
            close = close or loss < CLOSE
    return "not converged", taken, loss


def some_run(base: RunConfig, seed: int, dropout: float, rules: dict[str, Any]) -> RunConfig:
    content = base.model_dump() | {"seed": seed, "network": NiNConfig(width=12, depth=2, dropout=dropout)}
    return RunConfig.model_validate(content | {"training": base.training.model_dump() | rules})


RUNS = st.tuples(st.integers(0, 1000), st.sampled_from([0.0, 0.1, 0.3]), st.fixed_dictionaries(OFTEN))


@FEW
@given(RUNS)
def test_a_training_stops_where_the_definition_says(
    small_run: RunConfig, small_data: Dataset, drawn: tuple[int, float, dict[str, Any]]
) -> None:
    config = some_run(small_run, *drawn)
    status, steps, loss = by_definition(config, small_data)
    result = train(config, small_data)[2]
    assert (result.status, result.steps) == (status, steps)
    assert result.epochs == math.ceil(steps / (120 // config.training.batch_size))
    assert result.train_loss == pytest.approx(loss, rel=1e-5)
    if status == "converged":
        assert result.curve[-1][1] == pytest.approx(result.train_loss, rel=1e-12)


@FEW
@given(st.lists(RUNS, min_size=2, max_size=4, unique_by=str), st.sampled_from([7, 30, 50]))
def test_a_fleet_stops_where_the_definition_says(
    small_run: RunConfig, small_data: Dataset, drawn: list[tuple[int, float, dict[str, Any]]], batch: int
) -> None:
    """Each of its networks, beside others that are judged at other times."""
    configs = [some_run(small_run, seed, rate, rules | {"batch_size": batch}) for seed, rate, rules in drawn]
    expected = [by_definition(config, small_data) for config in configs]
    found = {one.config.hash: one.result for one in train_fleet(configs, small_data, 2)}
    for config, (status, steps, loss) in zip(configs, expected, strict=True):
        assert (found[config.hash].status, found[config.hash].steps) == (status, steps)
        assert found[config.hash].train_loss == pytest.approx(loss, rel=1e-5)


def course_at(config: RunConfig, known: Tensor, *, close: bool) -> Course:
    """A training that is to be judged after its first epoch."""
    course = Course(config)
    course.close = close
    assert course.took(torch.zeros(1, 1, dtype=torch.int64), torch.ones(1, 1), whole=True)
    course.known = known.float()
    return course


LOSS = st.floats(-12, 3).map(math.exp)


@given(st.data(), st.integers(1, 4), st.integers(100, 300), st.booleans())
def test_no_refusal_is_wrong(small_run: RunConfig, data: st.DataObject, rows: int, count: int, close: bool) -> None:
    """Whatever was known before, and with losses of single examples that are rounded otherwise than together."""
    content = small_run.model_dump()
    config = RunConfig.model_validate(
        content
        | {"data": content["data"] | {"n_train": count}, "training": content["training"] | {"target_loss": 0.01}}
    )
    noise = torch.Generator().manual_seed(data.draw(st.integers(0, 10**6)))
    scales = torch.tensor([data.draw(LOSS) for _ in range(rows)], dtype=torch.float64)[:, None]
    powers = torch.rand(rows, count, generator=noise, dtype=torch.float64) ** data.draw(st.sampled_from([0.5, 9]))
    truth = scales * powers
    wrong = data.draw(st.sampled_from([None, math.nan, math.inf]))
    if wrong is not None:
        truth[0, data.draw(st.integers(0, count - 1))] = wrong
    stale = truth.nan_to_num(1, 1) * (data.draw(LOSS) * torch.rand(rows, count, generator=noise))
    courses = [course_at(config, known, close=close) for known in stale]
    seen = torch.zeros(rows, count, dtype=torch.int64)

    def losses(chosen: Sequence[int], index: Tensor | None) -> Tensor:
        if index is None:
            seen[list(chosen)] += count
            return truth[list(chosen)]
        for row, own in zip(chosen, index, strict=True):
            assert not seen[row, own].any()
            seen[row, own] += 1
        return torch.stack([truth[row, own] for row, own in zip(chosen, index, strict=True)]) * 1.005

    judge(courses, losses)
    limit = 0.01 if close else CLOSE
    for row, course in enumerate(courses):
        loss, (_, noted) = truth[row].mean().item(), course.curve[-1]
        if not math.isfinite(loss):  # unless enough others came first
            assert course.status == ("diverged" if seen[row, ~truth[row].isfinite()].any() else None)
        elif noted is None:
            assert loss > limit
            assert course.status is None
            assert course.close == close
        else:
            assert noted == pytest.approx(loss, rel=1e-12)
            assert (course.status == "converged") == (loss <= 0.01)
            assert course.close == (close or loss < CLOSE)
            assert torch.equal(course.known, truth[row].float())


def test_a_refusal_takes_no_more_than_its_proof(small_run: RunConfig) -> None:
    """Ten examples of 5 nats among 120 prove a mean above 0.05 by themselves, if they are known to be hard."""
    truth = torch.full((1, 120), 1e-3, dtype=torch.float64)
    truth[0, 30:120:9] = 5.0
    course, asked = course_at(small_run, truth[0], close=False), []

    def losses(_: Sequence[int], index: Tensor | None) -> Tensor:
        asked.append(index)
        return truth[:, slice(None) if index is None else index[0]]

    judge([course], losses)
    (index,) = asked
    assert index is not None
    assert set(range(30, 120, 9)) < set(index[0].tolist())
    assert index.numel() < 120
    # What is known to be too little is not tried.
    course.known = truth[0] / 100
    asked.clear()
    judge([course], losses)
    assert asked == [None]


@given(st.integers(1, 200))
def test_quarters(steps: int) -> None:
    quarters = parts(steps, close=True)
    assert [step for part in quarters for step in range(part.start, part.stop)] == [*range(steps)]
    assert {part.stop for part in quarters} == {math.ceil(k * steps / 4) for k in (1, 2, 3, 4)}
    assert parts(steps, close=False) == [slice(0, steps)]


def test_a_checkpoint_has_all_that_the_rule_goes_by(small_run: RunConfig, tmp_path: Path) -> None:
    course, path = Course(small_run), tmp_path / "one.checkpoint"
    course.took(torch.arange(120)[None], torch.linspace(0, 2, 120)[None], whole=True)
    course.evaluated(torch.linspace(0, 0.099, 120, dtype=torch.float64).flip(0))
    course.status = None  # which no checkpoint has: none is written at the end
    checkpoints.keep(path, small_run, course, {})
    again = Course(small_run)
    assert checkpoints.resume(path, small_run, again, ()) == {}
    for name, value in vars(course).items():
        found = vars(again)[name]
        assert torch.equal(found, value) if isinstance(value, torch.Tensor) else found == value
    assert again.close
    assert again.known.argmax() == 0


def test_measures_of_speed_leave_out_an_epoch_that_is_not_whole(trained: TrainedRun) -> None:
    losses: list[tuple[float | None, float | None]] = [(2.0, None), (1.0, 0.04), (0.1, 0.009)]
    for steps, last in ((36, 0.1), (27, 1.0)):
        result = replace(trained.result, curve=losses, epochs=3, steps=steps)
        values = training_speed_estimates(replace(trained, result=result))
        assert values["training_losses_of_last_epoch"] == last
        whole = [loss for loss, _ in losses if loss is not None and loss >= last]
        fading = sum(loss * 0.999**age for age, loss in enumerate(reversed(whole)))
        assert values["training_losses_moving_average"] == pytest.approx(fading)
