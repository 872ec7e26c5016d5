"""σ and the PAC-Bayes bounds against fine grids and arithmetic by hand."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.func import functional_call
from torch.nn import functional as F

from helpers import value
from prunability.foundation.seeding import generator
from prunability.measures import Estimated, TrainedRun, UndefinedMeasureError
from prunability.measures.flatness import PARTS, SIGMAS, VISITS, examples_of_draws, noise, propagated, sigma
from prunability.measures.search import HEADLINE
from prunability.measures.variants import Variants, Weights


def losses_under_noise(run: TrainedRun, magnitude_aware: bool) -> Callable[[float], list[float]]:
    """For a standard deviation the losses of all pairs of a draw and an example, with plain forward passes."""
    state = {name: tensor.clone() for name, tensor in run.folded.state_dict().items()}
    drawn = []
    for draw, part in enumerate(examples_of_draws(run)):
        draws, parts = generator(*run.config.seed_key("weight noise"), draw), {}
        for name, tensor in run.folded.named_parameters():
            z = torch.randn(tensor.shape, generator=draws).double()
            parts[name] = z * tensor.detach().abs() if magnitude_aware else z
        drawn.append((parts, part.tolist()))

    def losses(s: float) -> list[float]:
        found = []
        for parts, members in drawn:
            moved = {name: t + s * parts[name] if name in parts else t for name, t in state.items()}
            with torch.no_grad():
                outputs = functional_call(run.folded, moved, (run.data.train_images,))
            every = F.cross_entropy(outputs, run.data.train_labels, reduction="none").tolist()
            found += [every[member] for member in members]
        return found

    return losses


def test_every_example_meets_the_noise_equally_often(trained: TrainedRun) -> None:
    seen = torch.cat(examples_of_draws(trained))
    assert seen.bincount().tolist() == [VISITS] * 120
    assert len(examples_of_draws(trained)) == VISITS * PARTS


@pytest.mark.parametrize("magnitude_aware", [False, True])
@pytest.mark.parametrize("architecture", ["trained", "mlp", "resnet"])
def test_sigma(architecture: str, magnitude_aware: bool, request: pytest.FixtureRequest) -> None:
    """The largest σ within the tolerance, on a grid of half a percent below the first coarse one that is."""
    run: TrainedRun = request.getfixturevalue(architecture)
    losses, limit = losses_under_noise(run, magnitude_aware), HEADLINE.limit(run.train_loss)

    def admissible(s: float) -> bool:
        found = losses(s)
        return math.fsum(found) / len(found) <= limit

    coarse = next(k for k, s in enumerate(SIGMAS) if admissible(s))
    fine = SIGMAS[coarse - 1] * 0.995 ** np.arange(60)
    expected = next(s for s in fine if admissible(s))
    found = sigma(run, magnitude_aware=magnitude_aware)
    assert found.value == pytest.approx(expected, rel=0.03)
    name = "pacbayes_magnitude_flatness" if magnitude_aware else "pacbayes_flatness"
    assert value(run, name) == pytest.approx(found.value**-2, rel=1e-12)


@pytest.mark.parametrize("magnitude_aware", [False, True])
def test_draws_and_levels_side_by_side(
    trained: TrainedRun, magnitude_aware: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: the same answer, and no pass for each level that a few examples refuse."""
    alone, passes, losses = sigma(replace(trained), magnitude_aware=magnitude_aware), list[int](), Variants.losses

    def counted(variants: Variants, weights: Sequence[Weights], index: torch.Tensor) -> torch.Tensor:
        passes.append(len(weights))
        return losses(variants, weights, index)

    monkeypatch.setattr(Variants, "side_by_side", lambda *_, **__: 64)
    monkeypatch.setattr(Variants, "losses", counted)
    many = replace(trained)
    many.variants.batched = True
    found = sigma(many, magnitude_aware=magnitude_aware)
    assert tuple(found) == pytest.approx(tuple(alone), rel=1e-9)
    assert passes[0] == len(SIGMAS)
    assert set(passes[1:]) == {VISITS * PARTS}
    assert len(passes) < len(SIGMAS) / 2


def test_standard_error_of_sigma(trained: TrainedRun) -> None:
    """Against the spread of the draws' losses at σ over the slope there, by finite differences."""
    losses, found = losses_under_noise(trained, False), sigma(trained, magnitude_aware=False)
    sizes = [len(part) for part in examples_of_draws(trained)]
    here = [part.mean() for part in np.split(np.array(losses(found.value)), np.cumsum(sizes)[:-1])]
    step = 0.05 * found.value
    slope = (np.mean(losses(found.value + step)) - np.mean(losses(found.value - step))) / (2 * step)
    expected = np.std(here, ddof=1) / math.sqrt(len(here)) / slope
    assert found.standard_error == pytest.approx(expected, rel=0.25)


def test_standard_error_covers_other_draws(mlp: TrainedRun) -> None:
    """Other seeds give other draws: their σ spread as the standard error says."""
    values, errors = [], []
    for seed in range(12):
        run = replace(mlp, config=mlp.config.model_copy(update={"seed": seed}))
        run.cache.clear()
        found = sigma(run, magnitude_aware=False)
        values.append(found.value)
        errors.append(found.standard_error)
    ratio = float(np.std(values, ddof=1)) / float(np.sqrt(np.mean(np.square(errors))))
    assert 0.4 < ratio < 2


def test_noise_is_a_standard_deviation(trained: TrainedRun) -> None:
    flat = torch.cat([part.flatten() for part in noise(trained, 0, magnitude_aware=False).values()])
    assert flat.std().item() == pytest.approx(1, abs=4 / (2 * len(flat)) ** 0.5)
    aware = noise(trained, 0, magnitude_aware=True)
    ratio = torch.cat([(aware[name] / t).flatten() for name, t in trained.parameters.items() if (t != 0).all()])
    assert ratio.std().item() == pytest.approx(1, abs=4 / (2 * len(ratio)) ** 0.5)


def test_standard_errors_propagate() -> None:
    cubic = propagated(lambda s: s**3, Estimated(2.0, 0.001))
    assert cubic.value == 8
    assert cubic.standard_error == pytest.approx(3 * 2.0**2 * 0.001, rel=1e-4)


@pytest.mark.parametrize("architecture", ["trained", "mlp", "resnet"])
def test_pacbayes_bounds_by_hand(architecture: str, request: pytest.FixtureRequest) -> None:
    run: TrainedRun = request.getfixturevalue(architecture)
    here = [x for t in run.folded.parameters() for x in t.flatten().tolist()]
    start = [x for t in run.folded_initial.parameters() for x in t.flatten().tolist()]
    n, moved = len(run.data.train_labels), math.fsum((x - y) ** 2 for x, y in zip(here, start, strict=True))
    norm = math.fsum(x * x for x in here)
    s = sigma(run, magnitude_aware=False).value
    for name, reference in (("init", moved), ("origin", norm)):
        expected = reference / (4 * s * s) + math.log(n / s) + 10
        assert value(run, f"pacbayes_bound_from_{name}") == pytest.approx(expected, rel=1e-9)
    s = sigma(run, magnitude_aware=True).value
    for name, reference in (("init", moved), ("origin", norm)):
        top = 1e-6 + (s * s + 1) * reference / len(here)
        terms = [math.log(top / (1e-6 + s * s * (x - y) ** 2)) for x, y in zip(here, start, strict=True)]
        expected = math.fsum(terms) / 4 + math.log(n / s) + 10
        assert value(run, f"pacbayes_magnitude_bound_from_{name}") == pytest.approx(expected, rel=1e-9)


def test_sigma_where_nothing_is_admissible_or_all_is(mlp: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = replace(mlp, result=replace(mlp.result, train_loss=1e9))
    with pytest.raises(UndefinedMeasureError, match="even a standard deviation of 1e"):
        sigma(patient, magnitude_aware=False)
    impatient = replace(mlp, result=replace(mlp.result, train_loss=-1.0))
    with pytest.raises(UndefinedMeasureError, match="not even"):
        sigma(impatient, magnitude_aware=False)
    # Beyond the largest admissible level the outputs overflow: nothing to interpolate to.
    monkeypatch.setattr("prunability.measures.flatness.SIGMAS", [1.2e154, 1e-6])
    assert sigma(replace(mlp), magnitude_aware=False).value == pytest.approx(1e-6)
