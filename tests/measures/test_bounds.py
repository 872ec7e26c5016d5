"""The generalization bounds, their arithmetic by hand."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from helpers import value
from prunability.foundation.seeding import generator
from prunability.measures import Estimated, TrainedRun
from prunability.measures.bounds import dropout_bound
from prunability.measures.flatness import SIGMAS, sigma


def slow_error(run: TrainedRun, moved: dict[str, Tensor]) -> float:
    with torch.no_grad():
        outputs = functional_call(run.folded, moved, (run.data.train_images,))
    wrong = sum(int(row.argmax()) != int(label) for row, label in zip(outputs, run.data.train_labels, strict=True))
    return wrong / len(outputs)


def test_compression_bound_by_hand(trained: TrainedRun) -> None:
    alpha = value(trained, "prunability_magnitude_absolute_0.1")
    weights = {name: t for name, t in trained.network.named_parameters() if t.ndim > 1}
    flat = sorted((x for t in weights.values() for x in t.abs().flatten().tolist()), reverse=True)
    d = len(flat)
    k = math.ceil(round(alpha * 200) * d / 200)
    moved = {
        name: t.detach() * (weights[name].abs() >= flat[k - 1]) if name in weights else t.detach()
        for name, t in trained.folded.named_parameters()
    }
    others = sum(t.numel() for t in moved.values()) - d
    n = len(trained.data.train_labels)
    bits = math.log2(math.comb(d, k)) + 32 * (k + others)
    nats = bits * math.log(2) + math.log(200) + math.log(2 * math.sqrt(n) / 0.05)
    expected = slow_error(trained, moved) + math.sqrt(nats / (2 * n))
    assert value(trained, "compression_bound") == pytest.approx(expected, rel=1e-9)


def test_dropout_bound_by_hand(trained: TrainedRun) -> None:
    alpha = value(trained, "prunability_random_absolute_0.1")
    scale = next(s for s in SIGMAS if s <= sigma(trained, magnitude_aware=False).value)
    weights = {name for name, t in trained.network.named_parameters() if t.ndim > 1}
    errors = []
    for draw in range(5):
        draws, moved = generator(*trained.config.seed_key("dropout bound"), draw), {}
        for name, tensor in trained.folded.named_parameters():
            drawn = tensor.detach() + scale * torch.randn(tensor.shape, generator=draws)
            if name in weights:
                drawn[torch.rand(tensor.shape, generator=draws) >= alpha] = 0
            moved[name] = drawn
        errors.append(slow_error(trained, moved))
    divergence = math.fsum(
        (alpha if name in weights else 1) * x * x / (2 * scale * scale)
        for name, t in trained.folded.named_parameters()
        for x in t.flatten().tolist()
    )
    n = len(trained.data.train_labels)
    expected = 2 * (sum(errors) / 5 + (divergence + math.log(61 * 200 / 0.05)) / n)
    found = dropout_bound(trained)["dropout_bound"]
    assert isinstance(found, Estimated)
    assert found.value == pytest.approx(expected, rel=1e-9)
    assert found.standard_error == pytest.approx(2 * np.std(errors, ddof=1) / math.sqrt(5), rel=1e-9)
