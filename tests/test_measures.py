"""Each measure against a slow float64 reference that shares no code with it."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunability.measures import REGISTRY, TrainedRun, UndefinedMeasureError, all_measures
from prunability.measures.base import Measure, measure
from prunability.measures.flatness import HALVINGS, NOISE_DRAWS, SIGMAS, sigma
from prunability.measures.pruning import HEADLINE_MEASURE, name_of
from prunability.pruning import HEADLINE, RESOLUTION, TOLERANCES, Pruner, prunable
from prunability.seeding import generator
from test_pruning import slow_answer, slow_losses


def value(run: TrainedRun, function: str, name: str = "") -> float:
    values = REGISTRY[function].function(run)
    return values[name or function]


def test_names_are_what_functions_return(trained: TrainedRun) -> None:
    for group in REGISTRY.values():
        assert set(group.function(trained)) == {member.name for member in group.measures}
    assert HEADLINE_MEASURE in all_measures()


@pytest.mark.parametrize("pruner", ["magnitude", "layerwise", "random"])
def test_prunability(trained: TrainedRun, pruner: Pruner) -> None:
    orders: list[list[int]] = [[]]
    if pruner == "random":
        d = sum(weight.numel() for weight in prunable(trained.network).values())
        orders = [
            torch.randperm(d, generator=generator(trained.config.hash, "random pruning", k)).tolist()
            for k in range(5)
        ]
    found = REGISTRY[f"prunability_{pruner}"].function(trained)
    data = trained.data
    losses = slow_losses(
        trained.network,
        data.train_images,
        data.train_labels,
        pruner,
        RESOLUTION,
        orders,
    )
    for tolerance in TOLERANCES:
        expected = slow_answer(losses, tolerance.limit(losses[-1]))
        assert found[name_of(pruner, tolerance)] == expected


def test_counts(trained: TrainedRun) -> None:
    width, depth, classes = 12, 2, 10
    convolutions = (9 + 2 * width) * width + (depth - 1) * (9 + 2) * width**2 + width * classes
    assert value(trained, "prunable_weight_count") == convolutions
    assert value(trained, "parameter_count") == convolutions + depth * 3 * 2 * width + classes
    kept = value(trained, "prunability_magnitude", HEADLINE_MEASURE) * convolutions
    assert value(trained, "kept_parameter_count") == pytest.approx(kept)


def test_inverse_margin_by_hand(trained: TrainedRun) -> None:
    margins = []
    for output, label in zip(trained.train_logits.tolist(), trained.data.train_labels.tolist(), strict=True):
        margins.append(output[label] - max(v for k, v in enumerate(output) if k != label))
    margins.sort()
    expected = next(m for k, m in enumerate(margins, 1) if k >= len(margins) / 10)
    assert value(trained, "inverse_margin") == pytest.approx(expected**-2, rel=1e-10)


def test_inverse_margin_of_a_bad_network_is_undefined(trained: TrainedRun) -> None:
    wrong = replace(trained.data, train_labels=(trained.data.train_labels + 1) % 10)
    with pytest.raises(UndefinedMeasureError, match="not positive"):
        value(replace(trained, data=wrong), "inverse_margin")


def test_distance_from_initialisation(trained: TrainedRun) -> None:
    def slow_folded(state: dict[str, Tensor]) -> list[Tensor]:
        weights = []
        for block in range(2):
            for conv in (0, 3, 6):
                key = f"blocks.{block}.{conv + 1}."
                scale = state[key + "weight"] / (state[key + "running_var"] + 1e-5) ** 0.5
                weights.append(
                    torch.stack([w * s for w, s in zip(state[f"blocks.{block}.{conv}.weight"], scale, strict=True)])
                )
        return [*weights, state["classifier.weight"]]

    pairs = zip(slow_folded(trained.final), slow_folded(trained.initial), strict=True)
    expected = sum(((w - w0) ** 2).sum().item() for w, w0 in pairs)
    assert value(trained, "distance_from_initialisation") == pytest.approx(expected, rel=1e-9)


def test_sum_of_training_losses(trained: TrainedRun) -> None:
    steps = trained.result.steps // trained.result.epochs
    expected = sum(running * steps for running, _ in trained.result.curve if running is not None)
    assert value(trained, "sum_of_training_losses") == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("magnitude_aware", [False, True])
def test_sigma(trained: TrainedRun, magnitude_aware: bool) -> None:
    """The grid tried whole, from the largest σ down; then the halving, with plain forward passes."""
    state = {name: tensor.clone() for name, tensor in trained.folded.state_dict().items()}
    scales = {f"{n}.weight" for n, m in trained.folded.named_modules() if isinstance(m, nn.BatchNorm2d)}
    noise = []
    for draw in range(NOISE_DRAWS):
        draws = generator(trained.config.hash, "weight noise", draw)
        part = {}
        for name, tensor in trained.folded.named_parameters():
            if name not in scales:
                z = torch.randn(tensor.shape, generator=draws).double()
                part[name] = z * tensor.detach().abs() if magnitude_aware else z
        noise.append(part)

    def loss(s: float) -> float:
        total = 0.0
        for part in noise:
            moved = {name: t + s * part[name] if name in part else t for name, t in state.items()}
            trained.folded.load_state_dict(moved)
            with torch.no_grad():
                outputs = trained.folded(trained.data.train_images)
            total += F.cross_entropy(outputs, trained.data.train_labels).item()
        trained.folded.load_state_dict(state)
        return total / len(noise)

    limit = HEADLINE.limit(trained.train_loss)
    level = next(k for k, s in enumerate(SIGMAS) if loss(s) <= limit)
    low, high = math.log(SIGMAS[level]), math.log(SIGMAS[level - 1])
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if loss(math.exp(middle)) <= limit else (low, middle)
    assert sigma(trained, magnitude_aware) == pytest.approx(math.exp(low), rel=1e-9)
    name = "pacbayes_magnitude_flatness" if magnitude_aware else "pacbayes_flatness"
    assert value(trained, name) == pytest.approx(math.exp(-2 * low), rel=1e-9)


def test_noise_is_a_standard_deviation(trained: TrainedRun) -> None:
    """With loss L + s²·E|z|² for a quadratic bowl the answer is known; here: doubling σ doubles the shift."""
    from prunability.measures.base import weights_and_biases
    from prunability.measures.flatness import _noise

    centre = weights_and_biases(trained.folded)
    drawn = _noise(trained, centre, 0, magnitude_aware=False)
    flat = torch.cat([part.flatten() for part in drawn.values()])
    assert flat.std().item() == pytest.approx(1, abs=4 / (2 * len(flat)) ** 0.5)


def test_a_name_is_registered_once() -> None:
    taken = next(iter(all_measures().values()))
    with pytest.raises(ValueError, match="twice"):
        measure(Measure(taken.name, "", "", ""))(lambda run: {})
