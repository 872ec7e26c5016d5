"""Disturbed weights and images against slow loops; attacks stay where they may and are no weaker than one step."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from helpers import value
from prunability.data.images import ImageSet
from prunability.measures import HEADLINE_MEASURE, TrainedRun, robustness
from prunability.measures.flatness import noise
from prunability.measures.robustness import CORRUPTIONS, DRAWS, RADII, SIGMAS, STEPS
from prunability.training.attack import attacked


def errors(run: TrainedRun, weights: dict[str, Tensor]) -> float:
    with torch.no_grad():
        outputs = functional_call(run.folded, weights, (run.data.test_images,))
    wrong = [a != b for a, b in zip(outputs.argmax(1).tolist(), run.data.test_labels.tolist(), strict=True)]
    return float(sum(wrong) / len(wrong))


def slow_rows(run: TrainedRun, kept: int) -> list[float]:
    """Clean and noisy errors of a copy whose smallest weights, sorted as Python numbers, are zero."""
    state = {name: tensor.clone() for name, tensor in run.folded.state_dict().items()}
    for name, i in smallest(run, kept):
        state[name].view(-1)[i] = 0
    row = [errors(run, state)]
    for sigma in SIGMAS:
        total = 0.0
        for draw in range(DRAWS):
            z = noise(run, draw, magnitude_aware=True)  # times |w|
            moved = {name: state[name] * (1 + sigma * z[name] / run.parameters[name]) for name in run.weights}
            total += errors(run, state | moved)
        row.append(total / DRAWS)
    return row


def smallest(run: TrainedRun, kept: int) -> list[tuple[str, int]]:
    """Where all weights are but so many of the largest."""
    size = {name: w.flatten().tolist() for name, w in run.weights.items()}
    flat = [(name, i) for name in size for i in range(len(size[name]))]
    return sorted(flat, key=lambda item: -abs(size[item[0]][item[1]]))[kept:]


def test_noise_on_the_weights(mlp: TrainedRun) -> None:
    assert robustness.weight_noise(mlp) == pytest.approx(slow_rows(mlp, mlp.weight_count))
    assert robustness.weight_noise(mlp)[0] == mlp.result.test_error


@pytest.mark.parametrize("left", [1, 57])
def test_a_dense_network_is_pruned_to_as_few_weights(mlp: TrainedRun, left: int) -> None:
    """As a sparse one has, wherever those are; and is then harmed as it would be itself."""
    order = torch.randperm(mlp.weight_count, generator=torch.Generator().manual_seed(left))
    masks = (order < left).split([weight.numel() for weight in mlp.weights.values()])
    masked = {name: mask.view_as(w) * 1.0 for (name, w), mask in zip(mlp.weights.items(), masks, strict=True)}
    by_hand = {name: weight.clone() for name, weight in mlp.final.items()}
    for name, i in smallest(mlp, left):
        by_hand[name].view(-1)[i] = 0
    sparse, copy = replace(mlp, final=mlp.final | masked), replace(mlp, final=by_hand)
    assert robustness.pruned_weight_noise(sparse, mlp) == pytest.approx(slow_rows(mlp, left))
    assert robustness.pruned_corruptions(sparse, mlp) == robustness.corruptions(copy)
    assert robustness.pruned_pgd(sparse, mlp) == robustness.pgd(copy)
    assert robustness.pgd(copy) != robustness.pgd(mlp)


def test_noise_before_folding_is_noise_after(tiny_nin: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robustness, "SIGMAS", (1e-9, 0.5))
    clean, none, much = robustness.weight_noise(tiny_nin)
    assert clean == tiny_nin.result.test_error
    assert none == pytest.approx(clean)
    total = 0.0
    for draw in range(DRAWS):
        z = noise(tiny_nin, draw, magnitude_aware=True)
        moved = {name: w * (1 + 0.5 * z[name] / tiny_nin.parameters[name]) for name, w in tiny_nin.weights.items()}
        with torch.no_grad():
            outputs = functional_call(tiny_nin.network, moved, (tiny_nin.data.test_images,))
        total += (outputs.argmax(1) != tiny_nin.data.test_labels).double().mean().item()
    assert much == pytest.approx(total / DRAWS)
    assert much > clean


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("shape", [(5, 1, 8, 8), (3, 3, 32, 32), (2, 3, 9, 14)])
def test_corruptions(name: str, shape: tuple[int, ...]) -> None:
    corrupted, amounts = CORRUPTIONS[name]
    rough = torch.rand((*shape[:2], 4, 4), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    images = F.interpolate(rough, shape[2:], mode="bilinear")  # as smooth as pictures are
    kept = images.clone()

    def made(amount: float) -> Tensor:
        return corrupted(images, amount, torch.Generator().manual_seed(2))

    torch.testing.assert_close(made(0.0), images)
    changes = [(made(amount) - images).square().mean().item() for amount in amounts]
    assert changes == sorted(changes)  # each severity is worse than the one before
    assert changes[0] > 0
    assert all(torch.equal(made(amount), made(amount)) for amount in amounts)
    assert torch.equal(images, kept)


def test_corruptions_are_of_pixels_from_0_to_1(tiny_nin: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def look(pixels: Tensor, amount: float, draws: torch.Generator) -> Tensor:
        seen.append(pixels)
        return pixels if amount == 0 else pixels + 10

    monkeypatch.setattr(robustness, "CORRUPTIONS", {"none": (look, (0.0, 1.0))})
    clean, same, white = robustness.corruptions(tiny_nin)
    assert clean == same == tiny_nin.result.test_error
    assert float(seen[0].min()) == pytest.approx(0, abs=1e-12)
    assert float(seen[0].max()) == pytest.approx(1)
    assert white > 0.8  # all images are one
    monkeypatch.undo()
    assert robustness.corruptions(tiny_nin) == robustness.corruptions(tiny_nin)
    assert len(robustness.corruptions(tiny_nin)) == 1 + 5 * len(CORRUPTIONS)


def test_the_ends_of_a_pixel(digits: ImageSet, tiny_nin: TrainedRun) -> None:
    assert tiny_nin.data.ends is not None
    black, bright = tiny_nin.data.ends
    found = (tiny_nin.data.test_images - black) / (bright - black) * 16  # the brightest digit is of 16
    torch.testing.assert_close(found, digits.images["test"].double())


@settings(max_examples=20, deadline=None)
@given(radius=st.integers(1, 255), seed=st.integers(0, 100))
def test_an_attack_stays_in_its_box_and_among_images(mlp: TrainedRun, radius: int, seed: int) -> None:
    data, draws = mlp.data, torch.Generator().manual_seed(seed)
    assert data.ends is not None
    black, bright = data.ends
    images, labels = data.test_images[:20], data.test_labels[:20]
    start = 2 * torch.rand(images.shape, generator=draws, dtype=torch.float32).to(images) - 1
    found = attacked(mlp.folded, images, labels, radius / 255, data.ends, start, STEPS)
    assert not found.requires_grad
    assert bool((found >= black).all() and (found <= bright).all())
    assert float((found - images).abs().max()) <= radius / 255 * float(bright - black) * (1 + 1e-12)


def test_attacks_are_of_a_few_images(trained: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robustness, "ATTACKED", 50)
    row = robustness.pgd(trained)
    assert row == robustness.pgd(trained) == sorted(row)
    assert [error * 50 for error in row] == pytest.approx([round(error * 50) for error in row])


def test_an_attack_beats_one_step(mlp: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = mlp
    monkeypatch.setattr(robustness, "ATTACKED", 1000)
    row = robustness.pgd(run)
    assert row[0] == run.result.test_error
    assert row == sorted(row)
    assert run.data.ends is not None
    black, bright = run.data.ends
    for radius, error in zip(RADII, row[1:], strict=True):
        images = run.data.test_images.clone().requires_grad_()
        F.cross_entropy(run.network(images), run.data.test_labels).backward()
        assert images.grad is not None
        step = radius / 255 * (bright - black) * images.grad.sign()
        with torch.no_grad():
            outputs = run.network((images + step).clamp(black, bright))
        assert error >= (outputs.argmax(1) != run.data.test_labels).double().mean().item() > row[0]


def test_whom_pruning_hurts(mlp: TrainedRun) -> None:
    row, alpha = robustness.pruned_errors(mlp), value(mlp, HEADLINE_MEASURE)
    blocks = [row[start : start + 101] for start in range(0, len(row), 101)]
    assert [block[0] for block in blocks] == pytest.approx([1, alpha, alpha / 2, alpha / 4])
    flat = torch.cat([w.flatten() for w in mlp.weights.values()]).abs()
    for fraction, *counts in blocks:
        least = flat.sort(descending=True).values[-int(-fraction * len(flat) // 1) - 1]
        kept = {name: w * (w.abs() >= least) for name, w in mlp.weights.items()}
        with torch.no_grad():
            taken = functional_call(mlp.network, kept, (mlp.data.test_images,)).argmax(1)
        expected = confusion_matrix(mlp.data.test_labels, taken, labels=range(10))
        assert counts == expected.flatten().tolist()
