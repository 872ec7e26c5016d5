from dataclasses import asdict

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from prunability.config import RunConfig
from prunability.data import Dataset, ImageSet, prepare
from prunability.measures import TrainedRun
from prunability.networks import NiN
from prunability.seeding import generator
from prunability.training import CHECK_BELOW, build, mean_loss, one_thread, train


def altered(config: RunConfig, **training: object) -> RunConfig:
    content = config.model_dump()
    content["training"].update(training)
    return RunConfig.model_validate(content)


def textbook(config: RunConfig, data: Dataset, epochs: int) -> tuple[NiN, float]:
    """Plain SGD with momentum, written out: buf = m·buf + g + λ·w, w −= η·buf."""
    network = build(config, (1, 8, 8), 10)
    assert isinstance(network, NiN)
    buffers = {name: torch.zeros_like(p) for name, p in network.named_parameters()}
    rules, total = config.training, 0.0
    for epoch in range(epochs):
        order = torch.randperm(len(data.train_labels), generator=generator(config.hash, "data order", epoch))
        noise = generator(config.hash, "dropout", epoch)
        for start in range(0, len(order) - rules.batch_size + 1, rules.batch_size):
            index = order[start : start + rules.batch_size]
            network.train()
            x = data.train_images[index]
            for block, mask in zip(network.blocks, network.dropout_masks(x.shape, noise), strict=True):
                x = block(x) * mask
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
    expected, total = textbook(config, small_data, epochs=4)
    assert result.steps == 40
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(final[name], tensor, atol=1e-9, rtol=1e-9)
    assert result.sum_of_training_losses == pytest.approx(total, rel=1e-9)
    losses = F.cross_entropy(expected.eval()(small_data.test_images), small_data.test_labels)
    assert result.test_loss == pytest.approx(losses.item(), rel=1e-8)


def test_stops_by_the_protocol(trained: TrainedRun) -> None:
    rules, result = trained.config.training, trained.result
    for running, loss in result.curve:
        assert running is not None
        assert (loss is not None) == (running < CHECK_BELOW)
    *before, (_, last) = result.curve
    assert last is not None
    assert last <= rules.target_loss
    assert all(loss is None or loss > rules.target_loss for _, loss in before)
    assert result.epochs == len(result.curve)
    assert result.train_loss == pytest.approx(last, rel=1e-12)
    network = trained.network
    assert mean_loss(network, trained.data.train_images, trained.data.train_labels) == pytest.approx(last)


def test_epoch_limit(small_run: RunConfig, small_data: Dataset) -> None:
    _, _, result = train(altered(small_run, max_epochs=2), small_data)
    assert (result.status, result.epochs) == ("not converged", 2)
    assert "2" in result.reason


def test_divergence_is_recorded(small_run: RunConfig, small_data: Dataset) -> None:
    _, _, result = train(altered(small_run, learning_rate=1e200), small_data)
    assert result.status == "diverged"
    assert result.train_loss is None
    assert result.epochs < small_run.training.max_epochs


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
