"""B1 to B3 brought to every verdict on made-up networks."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from prunability.analysis.simplicity import OTHER_TOLERANCES
from prunability.claims import CLAIMS, NEIGHBOURS, Finding
from prunability.claims.simplicity import case_of_networks
from prunability.measures.probes import key
from prunability.measures.simplicity import SHUFFLED

SEEDS, IMAGES = 15, 40


def judged(name: str, may: bool = True, seeds: int = SEEDS, **change: Any) -> Finding:
    return NEIGHBOURS[name].judge(case(may, seeds, **change))


def case(
    may: bool = True,
    seeds: int = SEEDS,
    simple: float = 0.5,
    hard: float = 0.0,
    attacked: float = 0.5,
    clean: float = 0.0,
    gain: float = 0.1,
    spread: float = 0.0,
    right: float = 0.5,
) -> Any:
    """Networks of two widths: errors and gain, with a spread over seeds, and the share ensembles take right."""
    rng, rows, curves, names = np.random.default_rng(0), [], {}, OTHER_TOLERANCES.values()
    for kind in ("plain", "forced", "adversarial"):
        for width in (8, 16):
            for seed in range(seeds):
                run, noise = f"{kind} {width} {seed}", spread * rng.normal()
                error = {"plain": simple, "forced": 0.0, "adversarial": attacked}[kind] + noise
                row = {"kind": kind, "width": width, "seed": seed, "run": run, "layers": 0, "train_loss": 0.01}
                row["epochs"] = 4 if kind == "forced" else 1
                row |= {"clean": clean if kind == "adversarial" else 0.0, "simple": error, "complex": hard + noise}
                row |= dict.fromkeys(["prunability", *names], 0.2 + (gain + noise) * (kind == "forced"))
                rows.append(row | {"simple_share": 0.9, "complex_share": 0.1, "effective_rank": 2.0})
                taken = np.where(np.arange(IMAGES) < right * IMAGES, 1.0, -1.0)
                curves[run] = {key("reliance"): [1.0] * IMAGES + taken.tolist() + [1.0] * IMAGES}
    return case_of_networks(pd.DataFrame(rows), curves, may, 0)


def test_they_stand_apart_and_need_runs_and_a_profile_that_may_claim() -> None:
    assert not {"B1", "B2", "B3"} & set(CLAIMS)
    for name in ("B1", "B2", "B3"):
        assert judged(name).verdict == "supported"
        assert judged(name, may=False).verdict == "insufficient n"
        assert judged(name, seeds=2).verdict == "insufficient n"
    assert (judged("B1").n, judged("B2").n, judged("B3").n) == (30, 60, 60)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"simple": 0.4}, "not supported"),
        ({"hard": 0.1}, "not supported"),
        ({"simple": 0.45, "spread": 0.1}, "inconclusive"),
    ],
)
def test_b1(change: dict[str, Any], expected: str) -> None:
    assert judged("B1", **change).verdict == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"attacked": 0.3}, "not supported"),
        ({"right": 0.9}, "not supported"),
        ({"attacked": 0.45, "spread": 0.1}, "inconclusive"),
        ({"clean": 0.2}, "cannot decide"),
    ],
)
def test_b2(change: dict[str, Any], expected: str) -> None:
    assert judged("B2", **change).verdict == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [({"gain": -0.1}, "not supported"), ({"gain": 0.0, "spread": 0.1}, "inconclusive")],
)
def test_b3(change: dict[str, Any], expected: str) -> None:
    assert judged("B3", **change).verdict == expected


def test_too_few_ensembles_cannot_decide() -> None:
    """Eight seeds are two ensembles of three at each width."""
    found = judged("B2", seeds=8, attacked=0.5)
    assert found.enough == (found.n >= 30)
    more = judged("B2", seeds=8)
    assert more.undecided.startswith("fewer than 3 seeds, or ensembles")


def test_each_width_stands_beside_and_a_value_a_seed_is_drawn() -> None:
    found = case(simple=0.4, spread=0.05)
    beside = dict(NEIGHBOURS["B1"].beside(found))
    plain = found.table[found.table["kind"] == "plain"]
    for width, own in plain.groupby("width"):
        for name in SHUFFLED:
            words = f"test error, {name}{' part shuffled' if name != 'clean' else ''}, at width {width}"
            assert beside[words].value == pytest.approx(own[name].mean())
    share = beside["share of their mean margin that goes with the complex part"]
    assert share.value == pytest.approx(0.1)
    assert dict(NEIGHBOURS["B1"].told(found)) == {
        "share of their mean margin that goes with the complex part": share
    }
    # The mean over widths of each seed, of which the interval lies within.
    of_seeds = plain.groupby("seed")["simple"].mean()
    (criterion, _) = NEIGHBOURS["B1"].judge(found).criteria
    assert criterion.estimate.value == pytest.approx(of_seeds.mean())
    assert of_seeds.min() < criterion.estimate.low < criterion.estimate.high < of_seeds.max()
    assert len(NEIGHBOURS["B2"].beside(found)) == 3
    rows = dict(NEIGHBOURS["B3"].beside(found))
    assert [rows[f"the same at {label}"].value for label in OTHER_TOLERANCES] == [
        rows["the same at width 8"].value / 2 + rows["the same at width 16"].value / 2
    ] * len(OTHER_TOLERANCES)
    assert (rows["epochs of plain networks"].value, rows["epochs of forced networks"].value) == (1, 4)
    assert len(rows) == 7 + len(OTHER_TOLERANCES)
