"""Measures of pruning, output, size and speed, and what holds for all measures.

Each number is compared with a slow float64 reference that shares no code with it.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from helpers import slow_answer, slow_losses, value
from prunability.foundation.seeding import generator
from prunability.measures import REGISTRY, Estimated, TrainedRun, UndefinedMeasureError, all_measures
from prunability.measures.base import Measure, measure
from prunability.measures.pruning import HEADLINE_MEASURE, name_of
from prunability.measures.search import HEADLINE, RESOLUTION, TOLERANCES, Pruner, prunable
from prunability.measures.variants import Variants
from prunability.report.figures.style import FAMILIES

ARCHITECTURES = ("trained", "mlp", "tiny_nin", "resnet")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_measure_has_a_value_or_says_why_not(architecture: str, request: pytest.FixtureRequest) -> None:
    run: TrainedRun = request.getfixturevalue(architecture)
    for name, group in REGISTRY.items():
        try:
            found = group.function(run)
        except UndefinedMeasureError as error:
            assert str(error)
            # Only what supposes convergence or a margin may be undefined on these networks.
            assert name == "steps_to_target" or "margin" in name or "margin" in str(error), name
            continue
        assert set(found) == {member.name for member in group.measures}
        for one in found.values():
            assert all(math.isfinite(part) for part in (one if isinstance(one, Estimated) else (one,))), name


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_batched_evaluation_is_the_same(architecture: str, request: pytest.FixtureRequest) -> None:
    """All variants as one computation, as on a GPU, or one by one."""
    run: TrainedRun = request.getfixturevalue(architecture)
    moved = [{name: (1 + k / 10) * t for name, t in run.parameters.items()} for k in range(3)]
    variants, index = Variants(run.folded, run.data.train_images, run.data.train_labels), torch.arange(7)
    one_by_one = variants.losses(moved, index)
    variants.batched = True
    torch.testing.assert_close(variants.losses(moved, index), one_by_one)


def test_there_are_many_measures_each_described() -> None:
    known = all_measures()
    assert HEADLINE_MEASURE in known
    assert len({name for name in known if not name.startswith("prunability_")}) >= 40
    assert len({measure.label for measure in known.values()}) == len(known)
    for measure_ in known.values():
        assert measure_.formula
        assert measure_.source
        assert measure_.unit
        assert measure_.family in FAMILIES
    for name, group in REGISTRY.items():
        assert "efined" in (group.function.__doc__ or ""), f"{name} does not say where it is defined"


def broken(run: TrainedRun, **changes: Callable[[Tensor], Tensor]) -> TrainedRun:
    """A copy of a run with some tensors of its final state changed."""
    final = {name: changes[name](t) if name in changes else t.clone() for name, t in run.final.items()}
    return replace(run, final=final)


DEGENERATE: dict[str, Callable[[TrainedRun], TrainedRun]] = {
    "all labels wrong": lambda run: replace(
        run, data=replace(run.data, train_labels=(run.data.train_labels + 1) % 10)
    ),
    "dead hidden layer": lambda run: broken(
        run, **{"hidden.weight": torch.zeros_like, "hidden.bias": lambda t: -torch.ones_like(t)}
    ),
    "constant outputs": lambda run: broken(
        run, **{"classifier.weight": torch.zeros_like, "classifier.bias": torch.zeros_like}
    ),
    "never trained": lambda run: replace(run, final={name: t.clone() for name, t in run.initial.items()}),
    "nothing but zeros": lambda run: broken(run, **dict.fromkeys(run.final, torch.zeros_like)),
}


@pytest.mark.parametrize("kind", DEGENERATE)
def test_degenerate_networks_have_defined_values_or_named_errors(mlp: TrainedRun, kind: str) -> None:
    run = DEGENERATE[kind](mlp)
    loss = F.cross_entropy(run.train_logits, run.data.train_labels).item()
    run = replace(run, result=replace(run.result, train_loss=loss))
    undefined = {}
    for name, group in REGISTRY.items():
        try:
            found = group.function(run)
        except UndefinedMeasureError as error:
            undefined[name] = str(error)
            continue
        for one in found.values():
            assert all(math.isfinite(part) for part in (one if isinstance(one, Estimated) else (one,))), name
    assert "not positive" in undefined["inverse_margin"]
    assert "path_norm" not in undefined
    assert "parameter_norm" not in undefined
    if kind == "dead hidden layer":
        assert undefined["products_of_frobenius_norms"] == "all weights of hidden.weight are zero"


@pytest.mark.parametrize("pruner", ["magnitude", "layerwise", "random"])
def test_prunability(trained: TrainedRun, pruner: Pruner) -> None:
    orders: list[list[int]] = [[]]
    if pruner == "random":
        d = sum(weight.numel() for weight in prunable(trained.network).values())
        orders = [
            torch.randperm(d, generator=generator(*trained.config.seed_key("random pruning"), k)).tolist()
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
        answer = found[name_of(pruner, tolerance)]
        assert (answer.value if isinstance(answer, Estimated) else answer) == expected


def test_counts(trained: TrainedRun) -> None:
    width, depth, classes = 12, 2, 10
    convolutions = (9 + 2 * width) * width + (depth - 1) * (9 + 2) * width**2 + width * classes
    assert value(trained, "prunable_weight_count") == convolutions
    assert value(trained, "parameter_count") == convolutions + depth * 3 * 2 * width + classes
    kept = value(trained, HEADLINE_MEASURE) * convolutions
    assert value(trained, "kept_parameter_count") == pytest.approx(kept)


def test_inverse_margin_by_hand(trained: TrainedRun) -> None:
    margins = []
    for output, label in zip(trained.train_logits.tolist(), trained.data.train_labels.tolist(), strict=True):
        margins.append(output[label] - max(v for k, v in enumerate(output) if k != label))
    margins.sort()
    expected = next(m for k, m in enumerate(margins, 1) if k >= len(margins) / 10)
    assert value(trained, "inverse_margin") == pytest.approx(expected**-2, rel=1e-9)


def test_inverse_margin_of_a_bad_network_is_undefined(trained: TrainedRun) -> None:
    wrong = replace(trained.data, train_labels=(trained.data.train_labels + 1) % 10)
    with pytest.raises(UndefinedMeasureError, match="not positive"):
        value(replace(trained, data=wrong), "inverse_margin")


def test_sum_of_training_losses(trained: TrainedRun) -> None:
    steps = trained.result.steps // trained.result.epochs
    expected = sum(running * steps for running, _ in trained.result.curve if running is not None)
    assert value(trained, "sum_of_training_losses") == pytest.approx(expected, rel=1e-9)


def test_negative_mean_margin_and_entropy_by_hand(trained: TrainedRun) -> None:
    margins, entropies = [], []
    for output, label in zip(trained.train_logits.tolist(), trained.data.train_labels.tolist(), strict=True):
        margins.append(output[label] - max(v for k, v in enumerate(output) if k != label))
        total = math.fsum(math.exp(v) for v in output)
        entropies.append(-math.fsum(math.exp(v) / total * math.log(math.exp(v) / total) for v in output))
    assert value(trained, "negative_mean_margin") == pytest.approx(-math.fsum(margins) / len(margins), rel=1e-10)
    assert value(trained, "negative_output_entropy") == pytest.approx(
        -math.fsum(entropies) / len(entropies), rel=1e-9
    )


def test_training_loss_by_hand(trained: TrainedRun) -> None:
    losses = []
    for output, label in zip(trained.train_logits.tolist(), trained.data.train_labels.tolist(), strict=True):
        losses.append(math.log(math.fsum(math.exp(v) for v in output)) - output[label])
    assert value(trained, "training_loss") == pytest.approx(math.fsum(losses) / len(losses), rel=1e-9)


def test_training_speed(trained: TrainedRun) -> None:
    means = [running for running, _ in trained.result.curve if running is not None]
    assert value(trained, "training_losses_of_last_epoch") == means[-1]
    expected = 0.0
    for mean in means:
        expected = 0.999 * expected + mean
    assert value(trained, "training_losses_moving_average") == pytest.approx(expected, rel=1e-12)
    assert value(trained, "steps_to_target") == len(means) * (120 // 10)


def test_speed_of_a_run_that_did_not_arrive(trained: TrainedRun) -> None:
    late = replace(trained, result=replace(trained.result, status="not converged"))
    with pytest.raises(UndefinedMeasureError, match="not reached"):
        value(late, "steps_to_target")
    curve: list[tuple[float | None, float | None]] = [*trained.result.curve[:2], (None, None)]
    with pytest.raises(UndefinedMeasureError, match="finite"):
        value(replace(trained, result=replace(trained.result, curve=curve)), "training_losses_of_last_epoch")


def test_standard_error_of_random_prunability(trained: TrainedRun) -> None:
    """By hand from the curves of the five orders; 0 where the whole network is the answer."""
    d = sum(weight.numel() for weight in prunable(trained.network).values())
    data, per_draw = trained.data, []
    for k in range(5):
        order = torch.randperm(d, generator=generator(*trained.config.seed_key("random pruning"), k)).tolist()
        per_draw.append(
            slow_losses(trained.network, data.train_images, data.train_labels, "random", RESOLUTION, [order])
        )
    mean = [sum(losses) / 5 for losses in zip(*per_draw, strict=True)]
    found: Any = REGISTRY["prunability_random"].function(trained)
    answers = {tolerance: found[name_of("random", tolerance)] for tolerance in TOLERANCES}
    places = sorted({round(answer.value * RESOLUTION) for answer in answers.values()} | {RESOLUTION})
    for answer in answers.values():
        place = round(answer.value * RESOLUTION)
        if place == RESOLUTION:
            assert answer.standard_error == 0
            continue
        above = next(p for p in places if p > place and mean[p - 1] < mean[place - 1])
        slope = (mean[place - 1] - mean[above - 1]) / ((above - place) / RESOLUTION)
        centre = mean[place - 1]
        spread = math.sqrt(sum((losses[place - 1] - centre) ** 2 for losses in per_draw) / 4 / 5)
        assert answer.standard_error == pytest.approx(min(spread / slope, 1 - answer.value), rel=1e-6)
    assert answers[HEADLINE].standard_error > 0


def test_a_name_is_registered_once() -> None:
    taken = next(iter(all_measures().values()))
    with pytest.raises(ValueError, match="twice"):
        measure(Measure(taken.name, "", "", ""))(lambda run: {})
