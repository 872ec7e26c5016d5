from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from helpers import altered
from prunability.data.dataset import Dataset, prepare
from prunability.data.images import ImageSet
from prunability.foundation.seeding import generator
from prunability.measures import TrainedRun
from prunability.training import checkpoints, loop
from prunability.training.checkpoints import OutOfTimeError
from prunability.training.config import NiNConfig, RunConfig
from prunability.training.course import CLOSE, Course
from prunability.training.dropout import dropout_keys, dropout_mask, places
from prunability.training.loop import batches, build, logits, one_thread, train
from prunability.training.networks import NiN

CPU = torch.device("cpu")


def textbook(config: RunConfig, data: Dataset, steps: int) -> tuple[NiN, float]:
    """Plain SGD with momentum, written out: buf = m·buf + g + λ·w, w −= η·buf."""
    network = build(config, (1, 8, 8), 10)
    assert isinstance(network, NiN)
    buffers = {name: torch.zeros_like(p) for name, p in network.named_parameters()}
    rules, total = config.training, 0.0
    per_epoch = len(data.train_labels) // rules.batch_size
    for epoch in range(-(-steps // per_epoch)):
        order = torch.randperm(len(data.train_labels), generator=generator(*config.seed_key("data order"), epoch))
        count, rate = len(order) // rules.batch_size, torch.tensor([config.dropout], dtype=torch.float64)
        keys = dropout_keys(config, epoch, count, len(network.blocks))
        for step in range(min(per_epoch, steps - epoch * per_epoch)):
            start = step * rules.batch_size
            index = order[start : start + rules.batch_size]
            network.train()
            x = data.train_images[index]
            for layer, block in enumerate(network.blocks):
                x = block(x)
                numbers = places(x.shape[1:], len(x), True, x.device)
                x = x * dropout_mask(keys[step, layer][None], rate, numbers)[0].permute(3, 0, 1, 2)
            weight, bias = network.classifier.weight, network.classifier.bias
            loss = F.cross_entropy(F.conv2d(x, weight, bias).mean((2, 3)), data.train_labels[index])
            total += loss.item()
            network.zero_grad()
            loss.backward()
            with torch.no_grad():
                for name, p in network.named_parameters():
                    assert p.grad is not None
                    buffers[name] = rules.momentum * buffers[name] + p.grad + rules.weight_decay * p
                    p.copy_(p - rules.learning_rate * buffers[name])
    return network, total


def test_equals_the_textbook(small_run: RunConfig, small_data: Dataset) -> None:
    config = altered(small_run, max_epochs=4, weight_decay=0.01, batch_size=11)  # 10 full batches of 11
    _, final, result = train(config, small_data)
    expected, total = textbook(config, small_data, 40)
    assert result.steps == 40
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(final[name], tensor, atol=1e-9, rtol=1e-9)
    assert result.sum_of_training_losses == pytest.approx(total, rel=1e-9)
    losses = F.cross_entropy(expected.eval()(small_data.test_images), small_data.test_labels)
    assert result.test_loss == pytest.approx(losses.item(), rel=1e-8)


def test_stops_by_the_protocol(trained: TrainedRun) -> None:
    rules, result = trained.config.training, trained.result
    assert all(running is not None for running, _ in result.curve)
    *before, (_, last) = result.curve
    assert last is not None
    assert last <= rules.target_loss
    assert all(loss is None or loss > rules.target_loss for _, loss in before)
    assert any(loss is None for _, loss in before)  # most were proved from few examples
    assert result.epochs == len(result.curve)
    assert result.train_loss == pytest.approx(last, rel=1e-12)
    outputs = logits(trained.network, trained.data.train_images)
    assert F.cross_entropy(outputs, trained.data.train_labels).item() == pytest.approx(last)


def test_stops_within_an_epoch(small_run: RunConfig, small_data: Dataset) -> None:
    """At the same step as a training that is judged at every step would reach the same weights."""
    config = altered(small_run, target_loss=0.01)
    for seed in range(9):
        run = config.model_copy(update={"seed": seed})
        _, final, result = train(run, small_data)
        if result.steps % 12:
            break
    assert result.status == "converged"
    assert result.steps % 12 in (3, 6, 9)
    assert result.epochs == result.steps // 12 + 1
    expected, total = textbook(run, small_data, result.steps)
    assert result.sum_of_training_losses == pytest.approx(total, rel=1e-6)
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(final[name], tensor, atol=1e-4, rtol=1e-4)
    # What is known of the epoch that was not ended is the mean over its steps.
    whole = altered(run, max_epochs=result.epochs - 1, stop_at_target=False)
    before = train(whole, small_data)[2].sum_of_training_losses
    assert before is not None
    assert result.curve[-1][0] == pytest.approx((total - before) / (result.steps % 12), rel=1e-5)


def test_epoch_limit(small_run: RunConfig, small_data: Dataset) -> None:
    _, _, result = train(altered(small_run, max_epochs=2), small_data)
    assert (result.status, result.epochs) == ("not converged", 2)
    assert "2" in result.reason


def test_an_evaluation_that_is_not_finite_ends_a_training(small_run: RunConfig) -> None:
    course = Course(small_run)
    assert course.took(torch.arange(3)[:, None], torch.full((3, 1), 0.01), whole=True)
    course.evaluated(torch.full((120,), torch.nan, dtype=torch.float64))
    assert course.status == "diverged"
    ((running, loss),) = course.curve
    assert running == pytest.approx(0.01)
    assert loss is None


def test_judged_more_often_once_it_is_close(small_run: RunConfig) -> None:
    course, step = Course(small_run), torch.arange(2)[None]
    cost = torch.full((1, 2), 0.3)
    assert not course.took(step, cost, whole=False)
    assert course.took(step, 3 * cost, whole=True)
    assert course.steps == 2
    assert course.curve[0][0] == pytest.approx(0.6)
    course.evaluated(torch.full((120,), 1.02 * CLOSE, dtype=torch.float64))
    assert not course.took(step, cost, whole=False)
    assert course.took(step, cost, whole=True)
    course.evaluated(torch.full((120,), 0.98 * CLOSE, dtype=torch.float64))
    assert course.status == "converged"  # at the small run's target


def test_divergence_is_recorded(small_run: RunConfig, small_data: Dataset) -> None:
    _, _, result = train(altered(small_run, learning_rate=1e200), small_data)
    assert result.status == "diverged"
    assert result.train_loss is None
    assert result.epochs < small_run.training.max_epochs


def test_a_longer_training_begins_as_the_shorter(small_run: RunConfig, small_data: Dataset) -> None:
    short, long = (altered(small_run, max_epochs=epochs, stop_at_target=False) for epochs in (3, 5))
    assert short.hash != long.hash
    assert short.seed_key("data order") == long.seed_key("data order")
    results = [train(config, small_data)[2] for config in (short, long)]
    assert [running for running, _ in results[0].curve] == [running for running, _ in results[1].curve[:3]]
    other = altered(short, learning_rate=0.2)
    assert other.seed_key("data order") != short.seed_key("data order")


def test_a_budget_is_spent(small_run: RunConfig, small_data: Dataset, trained: TrainedRun) -> None:
    more = trained.result.epochs  # at a higher target, that is met before
    _, _, result = train(altered(small_run, max_epochs=more, stop_at_target=False, target_loss=0.3), small_data)
    assert (result.status, result.epochs) == ("converged", more)
    assert result.curve[-1][1] == pytest.approx(result.train_loss, rel=1e-12)
    assert all(loss is None for _, loss in result.curve[:-1])
    _, _, result = train(altered(small_run, max_epochs=2, stop_at_target=False), small_data)
    assert (result.status, result.epochs) == ("not converged", 2)


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_a_killed_training_goes_on_bit_for_bit(
    small_run: RunConfig, small_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimiser: str
) -> None:
    wide = small_run.model_copy(update={"network": NiNConfig(width=48, depth=2)})
    rate = 0.1 if optimiser == "sgd" else 0.01
    long = altered(wide, optimiser=optimiser, learning_rate=rate, max_epochs=40, target_loss=1e-9)
    losses = [loss for _, loss in train(long, small_data)[2].curve]
    # It is killed in the epoch after it came close to its target, where its parts are judged.
    epoch = 1 + next(number for number, loss in enumerate(losses, 1) if loss is not None and loss < CLOSE)
    config = altered(long, max_epochs=epoch + 2)
    expected = train(config, small_data)
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    whole, path = loop._parts, tmp_path / "runs" / "one.checkpoint"

    def killed(*arguments: Any) -> Iterator[Any]:
        if len(arguments[-1].curve) == epoch:
            assert arguments[-1].close
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(loop, "_parts", killed)
    with pytest.raises(KeyboardInterrupt):
        train(config, small_data, path)
    begun: list[int] = []

    def watched(*arguments: Any) -> Iterator[Any]:
        begun.append(len(arguments[-1].curve))
        return whole(*arguments)

    monkeypatch.setattr(loop, "_parts", watched)
    found = train(config, small_data, path)
    assert begun == [epoch, epoch + 1]
    assert asdict(found[2]) == asdict(expected[2])
    for states in zip(found[:2], expected[:2], strict=True):
        assert all(torch.equal(states[0][name], tensor) for name, tensor in states[1].items())
    begun.clear()
    again = train(config, small_data, path)  # none is written once a training has ended
    assert begun == [epoch + 1]
    assert asdict(again[2]) == asdict(expected[2])
    # Another run's checkpoint, or half of one, is not gone on from.
    begun.clear()
    train(altered(config, weight_decay=0.1), small_data, path)
    assert begun == [*range(epoch + 2)]
    for damaged in (path.read_bytes()[:1000], b"", b"hello world" * 50):
        path.write_bytes(damaged)
        begun.clear()
        train(config, small_data, path)
        assert begun == [*range(epoch + 2)]


def test_a_training_that_ran_out_of_time_goes_on(small_run: RunConfig, small_data: Dataset, tmp_path: Path) -> None:
    config = altered(small_run, max_epochs=3)
    expected, path = train(config, small_data), tmp_path / "one.checkpoint"
    for _ in range(2):  # an epoch each
        with pytest.raises(OutOfTimeError):
            train(config, small_data, path, until=0.0)
    found = train(config, small_data, path, until=0.0)  # the last epoch ends it, in time or not
    assert asdict(found[2]) == asdict(expected[2])
    assert all(torch.equal(found[1][name], tensor) for name, tensor in expected[1].items())


def test_adam_equals_the_textbook(small_run: RunConfig, small_data: Dataset) -> None:
    """One step by hand: m/(1 − β₁) over √(v/(1 − β₂)) + ε is the gradient's sign, but for ε."""
    config = altered(
        small_run, optimiser="adam", learning_rate=1e-3, max_epochs=1, batch_size=120, weight_decay=0.1
    )
    initial, final, _ = train(config, small_data)
    network = build(config, (1, 8, 8), 10)
    (order,) = batches(config, 0)
    rate = torch.tensor([config.dropout], dtype=torch.float64)
    assert isinstance(network, NiN)
    numbers = [places(shape, 120, False, CPU) for shape in network.dropout_shapes((1, 8, 8))]
    keys = dropout_keys(config, 0, 1, len(numbers))[0]
    masks = [dropout_mask(key[None], rate, number)[0] for key, number in zip(keys, numbers, strict=True)]
    F.cross_entropy(
        network.train()(small_data.train_images[order], masks), small_data.train_labels[order]
    ).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        gradient = parameter.grad + 0.1 * initial[name]
        expected = initial[name] - 1e-3 * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(final[name], expected, atol=1e-9, rtol=0)


def test_same_bits_whatever_ran_before(small_run: RunConfig, digits: ImageSet) -> None:
    config = altered(small_run, max_epochs=3, precision="float32")
    data = prepare(digits, config.data, torch.device("cpu"), torch.float32)
    with one_thread():
        _, first, result = train(config, data)
        torch.randn(1000)
        train(altered(config, learning_rate=0.01), data)
        _, again, same = train(config, data)
    assert asdict(result) == asdict(same)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_seed_and_purpose_split_the_draws(small_run: RunConfig) -> None:
    other = RunConfig.model_validate({**small_run.model_dump(), "seed": 1})
    weights = [build(config, (1, 8, 8), 10).state_dict() for config in (small_run, small_run, other)]
    name = "classifier.weight"
    assert torch.equal(weights[0][name], weights[1][name])
    assert not torch.equal(weights[0][name], weights[2][name])
    state = torch.get_rng_state()
    build(small_run, (1, 8, 8), 10)
    assert torch.equal(state, torch.get_rng_state())


def test_bfloat16_steps_and_float32_weights(small_run: RunConfig, digits: ImageSet) -> None:
    config = altered(small_run, max_epochs=2, precision="bfloat16")
    data = prepare(digits, config.data, torch.device("cpu"), torch.float32)
    seen = []
    hook = nn.modules.module.register_module_forward_hook(
        lambda module, _, out: seen.append((module.training, out.dtype)) if isinstance(module, nn.Conv2d) else None
    )
    try:
        _, final, _ = train(config, data)
    finally:
        hook.remove()
    assert {dtype for training, dtype in seen if training} == {torch.bfloat16}
    assert {dtype for training, dtype in seen if not training} == {torch.float32}
    assert final["classifier.weight"].dtype == torch.float32
