"""I1 to I5 brought to every verdict on made-up runs."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest

from prunability.analysis.instability import OPTIONS
from prunability.analysis.tables import sample_of
from prunability.claims import NEIGHBOURS, Case, Finding
from prunability.claims.instability import TRAINING
from prunability.measures import HEADLINE_MEASURE
from prunability.measures.probes import key

POINTS, TESTED = 60, key("test_predictions")
RNG = np.random.default_rng


def judged(name: str, rows: list[dict[str, Any]], curves: Any = None, may_claim: bool = True) -> Finding:
    table = pd.DataFrame(rows)
    missing: dict[str, Any] = {"setting": "one", "train_error": 0.0} | dict.fromkeys(TRAINING, 0)
    table = table.assign(**{column: value for column, value in missing.items() if column not in table})
    return NEIGHBOURS[name].judge(Case(table, sample_of(table, 0), (), may_claim, (), curves=curves or {}))


def noisy(rises: float, fits: float = 1.0) -> list[dict[str, Any]]:
    rng = RNG(0)
    return [
        {"part": "grid", "label_noise": noise, "setting": str(noise), "seed": seed}
        | {"status": "converged" if noise < 1 or seed < 6 * fits else "not converged"}
        | {HEADLINE_MEASURE: 0.5 + rises * noise + 0.01 * rng.normal()}
        for noise in np.linspace(0, 1, 6)
        for seed in range(6)
    ]


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        (noisy(0.4), "supported"),
        (noisy(-0.4), "not supported"),
        (noisy(0.4, fits=0.5), "not supported"),
        (noisy(0.4)[:12], "insufficient n"),
        ([row | {"label_noise": 0.0} for row in noisy(0.4)], "cannot decide"),
    ],
)
def test_i1(rows: list[dict[str, Any]], verdict: str) -> None:
    assert judged("I1", rows).verdict == verdict


def trainings(
    calmer: float = 0.0, worse: float = 0.0, one_run: bool = True, still: bool = False
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Networks that predict another class where a point is unstable, as early as late or not."""
    rng, rows, curves = RNG(0), list[dict[str, Any]](), {}
    unstable = np.linspace(0, 0.0 if still else 0.9, POINTS)
    for option, seed, epochs in itertools.product(["none", *OPTIONS.values()], range(4), (8, 10, 12, 14)):
        run = f"{option} {seed} {epochs}"
        moved = option == "temporal smoothing"
        chance = np.full(POINTS, 0.4) if epochs < 14 and not one_run else unstable * (1 - calmer * moved)
        rows.append(
            {"part": "options", "run": run, "option": option, "seed": seed, "max_epochs": epochs}
            | {"test_error": 0.1 + worse * moved + 0.001 * seed, "test_loss": 0.3, HEADLINE_MEASURE: 0.5}
        )
        other = rng.random(POINTS) < chance
        curves[run] = {TESTED: np.where(other, rng.integers(1, 9, POINTS), 0).tolist()}
    return rows, curves


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        (trainings(), "supported"),
        (trainings(one_run=False), "not supported"),
        (trainings(still=True), "cannot decide"),
    ],
)
def test_i2(made: tuple[list[dict[str, Any]], dict[str, Any]], verdict: str) -> None:
    assert judged("I2", *made).verdict == verdict
    assert judged("I2", *made, may_claim=False).verdict == "insufficient n"


@pytest.mark.parametrize(("sign", "verdict"), [(1, "supported"), (-1, "not supported"), (0, "inconclusive")])
def test_i3(sign: int, verdict: str) -> None:
    rng, rows, curves = RNG(1), list[dict[str, Any]](), {}
    for setting, seed in itertools.product(range(12), range(3)):
        run = f"{setting} {seed}"
        kept = 0.5 + 0.03 * (sign * setting if sign else (setting * 7) % 12)
        rows.append(
            {"part": "settings", "run": run, "setting": str(setting), "seed": seed, "test_error": 0.1}
            | {HEADLINE_MEASURE: kept + 0.001 * rng.normal()}
        )
        curves[run] = {TESTED: [seed if point < 3 * setting else 0 for point in range(POINTS)]}
    assert judged("I3", rows, curves).verdict == verdict


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        (trainings(calmer=0.9), "supported"),
        (trainings(calmer=0.9, worse=0.05), "not supported"),
        (trainings(calmer=-0.3), "not supported"),
    ],
)
def test_i4(made: tuple[list[dict[str, Any]], dict[str, Any]], verdict: str) -> None:
    assert judged("I4", *made).verdict == verdict
    table = pd.DataFrame(made[0]).assign(setting="one", train_error=0.25)
    case = Case(table, sample_of(table, 0), (), True, (), curves=made[1])
    beside = NEIGHBOURS["I4"].beside(case)
    assert len(beside) == 6
    assert [round(e.value, 4) for _, e in beside[:2]] == [0.25, 0.1015]


def curved(end: float, top: float, warm: float) -> list[dict[str, Any]]:
    """A limit of 10: where curvature ends, and how high it gets without and with a warm-up."""
    return [
        {"part": "curvature", "learning_rate": rate, "seed": seed, "warmup_epochs": warmup, "steps": steps}
        | {"hessian_top_eigenvalue": value + 0.01 * seed, "of_limit": (value + 0.01 * seed) / 10}
        for rate, seed, warmup in itertools.product((0.1, 0.2), range(3), (0, 16))
        for steps, value in ((1, 1.0), (4, warm if warmup else top), (16, end))
    ]


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        (curved(9, 20, 15), "supported"),
        (curved(13, 20, 15), "not supported"),
        (curved(9, 15, 20), "not supported"),
        (curved(1, 4, 3), "cannot decide"),
        (curved(9, 20, 15)[:6], "insufficient n"),
    ],
)
def test_i5(rows: list[dict[str, Any]], verdict: str) -> None:
    assert judged("I5", rows).verdict == verdict
