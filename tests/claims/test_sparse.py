"""The claims of sparse networks brought to every verdict on made-up networks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from prunability.analysis.ranks import kendall_tau
from prunability.analysis.resampling import Estimate, Sample
from prunability.claims import CLAIMS, NEIGHBOURS, Case, Finding, of_study
from prunability.claims.sparse import MARGIN, case_of_sparse, descent, over_seeds, tickets, worth
from prunability.claims.words import sentence, table_of
from prunability.measures.connectivity import POINTS
from prunability.measures.probes import key

# What test error does from round to round; 0.8 of the weights are left by each.
DESCENT = (0.3, 0.2, 0.25, 0.4, 0.35, 0.2, 0.15, 0.1, 0.1, 0.1)
FALLING = tuple(np.linspace(0.4, 0.1, 10))


def network(run: int, seed: int, part: str, **more: Any) -> dict[str, Any]:
    usual = {"kind": "dense", "label_noise": 0.0, "width": 8, "kept": 100, "test_loss": 1.0, "test_error": 0.1}
    usual |= dict.fromkeys(["weights", "places", "rewind", "round", "epoch", "order"], np.nan)
    usual |= {"density": 1.0, "learning_distance": 1.0, "prunability_of_left": 0.5}
    return {"run": f"{part} {run}", "seed": seed, "part": part} | usual | more


def chains(
    noisy: Sequence[float] = DESCENT,
    clean: Sequence[float] = FALLING,
    costs: Sequence[float] = (0.1, 0.2, 0.15),
    noise: float = 0.002,
    follows: Sequence[float] = (1.0, 1.0, 1.0),
) -> pd.DataFrame:
    """Tickets of each seed; ``costs`` are those of redrawn weights, ``follows`` which way both measures go."""
    rng, rows = np.random.default_rng(0), list[dict[str, Any]]()
    for label_noise, curve in ((0.2, noisy), (0.0, clean)):
        for seed, (cost, way) in enumerate(zip(costs, follows, strict=True)):
            for place, mean in enumerate(curve):
                error = mean + noise * rng.normal()
                row: dict[str, Any] = {
                    "label_noise": label_noise,
                    "density": 0.8**place,
                    "test_error": error,
                    "test_loss": 3 * error,
                }
                row |= {"learning_distance": way * error, "prunability_of_left": way * error**2}
                if not place:
                    rows.append(network(len(rows), seed, "grid", **row))
                    continue
                row |= {"kind": "ticket", "round": place, "rewind": 0, "weights": "rewound", "places": "magnitude"}
                rows.append(network(len(rows), seed, "tickets", **row))
                rows.append(network(len(rows), seed, "tickets", **{**row, "rewind": 1, "test_loss": 9.0}))
                if place % 2 == 0:
                    for control in ({"weights": "redrawn", "test_loss": 3 * error + cost}, {"places": "random"}):
                        rows.append(network(len(rows), seed, "controls", **{**row, "test_loss": 0.0, **control}))
    return pd.DataFrame(rows)


def case(
    table: pd.DataFrame, curves: dict[str, dict[str, list[float]]] | None = None, may_claim: bool = True
) -> Case:
    return case_of_sparse(table, curves or {}, may_claim, 0)


def judged(name: str, *args: Any) -> Finding:
    return NEIGHBOURS[name].judge(case(*args))


def children(barriers: Sequence[Sequence[float]]) -> tuple[pd.DataFrame, dict[str, dict[str, list[float]]]]:
    """Two children of each seed's network at each epoch, the line between them a tent of that height."""
    rows, curves = list[dict[str, Any]](), {}
    for seed, heights in enumerate(barriers):
        for epoch, height in enumerate(heights):
            rows += [
                network(len(rows) + i, seed, "children", kind="child", epoch=2**epoch, order=i) for i in (0, 1)
            ]
            tent = [height * (1 - abs(2 * t - 1)) for t in POINTS]
            # Only the test loss, the third of four rows, is asked for, and not after matching.
            row = [[9 - 9 * v for v in tent], [0.0] * 11, tent, [0.5] * 11]
            flat = [v for part in row for v in part]
            curves[rows[-2]["run"]] = {
                key("barrier", rows[-1]["run"]): flat,
                key("matched_barrier", rows[-1]["run"]): flat[::-1],
            }
    return pd.DataFrame(rows), curves


def static(sparse: Sequence[float]) -> tuple[pd.DataFrame, dict[str, dict[str, list[float]]]]:
    """A dense network of each seed, sparse ones of its capacity, one of another, and dense wide ones."""
    rows, curves = list[dict[str, Any]](), {}
    for seed, worse in enumerate(sparse):
        for kind, width, kept, error in (
            ("dense", 8, 100, 0.3),
            ("static", 16, 101, 0.3 + 2 * worse),
            ("static", 32, 99, 0.3),
            ("static", 32, 80, 0.9),
            ("dense", 16, 200, 0.9),
            ("dense", 32, 400, 0.9),
        ):
            rows.append(network(len(rows), seed, "static", kind=kind, width=width, kept=kept))
            # The clean error, the first of a row, is not asked for.
            curves[rows[-1]["run"]] = {key("weight_noise"): [0.0, error - 0.1, error + 0.1]}
    return pd.DataFrame(rows), curves


def test_they_stand_apart_from_the_six() -> None:
    assert [claim.id for claim in of_study("sparse", NEIGHBOURS)] == ["S1", "S2", "S3", "S4", "S5"]
    assert not set(CLAIMS) & set(NEIGHBOURS)
    assert not of_study("sparse")
    found = [judged(name, chains()) for name in ("S1", "S5")]
    assert table_of(found).columns.tolist() == ["claim", "condition", "estimate [by seeds]", "wanted", "holds"]


def test_whole_seeds_are_drawn() -> None:
    sample = Sample((0, 0, 1, 1), 0)
    found = over_seeds(pd.Series([1.0, 2.0, 6.0, np.nan]), sample)
    assert found == Estimate(3.0, 1.0, 6.0, (1.0, 6.0))  # of three seeds the interval is their range
    many = over_seeds(pd.Series(np.random.default_rng(0).normal(size=40)), sample)
    assert 0.5 < (many.high - many.low) / (4 / 40**0.5) < 1.5
    assert "12.5%" in worth(3)


@pytest.mark.parametrize(
    ("costs", "verdict"),
    [((0.1, 0.2, 0.1), "supported"), ((-0.1, -0.2, -0.1), "not supported"), ((-0.1, 0.2, 0.1), "inconclusive")],
)
def test_s1(costs: Sequence[float], verdict: str) -> None:
    found = judged("S1", chains(costs=costs))
    assert found.verdict == verdict
    assert found.criteria[0].estimate.value == pytest.approx(np.mean(costs))
    assert found.n == 6


def test_s1_is_asked_at_its_density_alone() -> None:
    table = chains()
    near = (table["round"] == 8).to_numpy() & (table["weights"] == "redrawn").to_numpy()
    moved = table.assign(test_loss=table["test_loss"].where(~near, 0.0))
    assert judged("S1", moved).verdict == "not supported"  # 0.8⁸ = 0.17 is nearer to 0.2 than 0.8⁶ = 0.26
    nearer = moved[near].assign(round=7, density=0.8**7, test_loss=9.0, run="another")
    assert judged("S1", pd.concat([moved, nearer])).verdict == "supported"
    gone = judged("S1", table[~(table["round"] >= 7)])
    assert gone.verdict == "cannot decide"
    assert "is known of 0 seeds, 3 are needed" in gone.undecided
    assert gone.undecided in sentence(gone, "networks")


@pytest.mark.parametrize(
    ("noisy", "clean", "noise", "verdict"),
    [
        (DESCENT, FALLING, 0.002, "supported"),
        (tuple(1 - e for e in DESCENT), FALLING, 0.002, "supported"),  # it rises, falls and rises
        (DESCENT, DESCENT, 0.002, "not supported"),
        (FALLING, FALLING, 0.0, "not supported"),
        (DESCENT, FALLING, 0.05, "inconclusive"),
    ],
)
def test_s2(noisy: Sequence[float], clean: Sequence[float], noise: float, verdict: str) -> None:
    found = judged("S2", chains(noisy, clean, noise=noise))
    assert found.verdict == verdict
    assert found.n == 60


def test_what_s2_may_have_missed_stands_beside_it() -> None:
    """Its condition without wrong labels is met where nothing is out of the noise, however large that is."""
    quiet, loud = (chains(DESCENT, FALLING, noise=noise) for noise in (0.002, 0.05))
    found = []
    for table in (quiet, loud):
        ((_, move),) = NEIGHBOURS["S2"].beside(case(table, {}))
        less = judged("S2", table).criteria[1].estimate.value
        assert move.low == less
        found.append(move)
    assert found[1].high > found[0].high
    assert NEIGHBOURS["S2"].beside(case(quiet[quiet["label_noise"] > 0], {})) == []


def test_s2_takes_the_least_of_three_moves() -> None:
    """Of a curve that falls by 0.1, rises by 0.2 and falls by 0.3 that is 0.1, whichever way round."""
    for sign in (1, -1):
        errors = [0.5 + sign * e for e in (0.1, 0.0, 0.2, -0.1)]
        found = descent(tickets(chains(errors, noise=0.0), 0.2))
        assert found is not None
        assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))


@pytest.mark.parametrize("lacking", ["a seed", "wrong labels", "rounds"])
def test_s2_needs_both_chains(lacking: str) -> None:
    table = chains()
    without = {
        "a seed": table["seed"] < 2,
        "wrong labels": table["label_noise"] == 0,
        "rounds": ~(table["round"] >= 2),
    }
    found = judged("S2", table[without[lacking]])
    assert found.verdict == "cannot decide"
    assert "at least three rounds of 3 seeds each" in found.undecided


@pytest.mark.parametrize(
    ("barriers", "verdict"),
    [
        ([[4, 3, 2, 1], [4, 3, 1, 2], [3, 2, 1, 0]], "supported"),
        ([[1, 2, 3, 4], [2, 1, 3, 4], [1, 2, 3, 4]], "not supported"),
        ([[4, 3, 2, 1], [1, 2, 3, 4], [4, 3, 1, 2]], "inconclusive"),
        ([[4, 3, 2, 1], [1, 1, 1, 1], [4, 3, 1, 2]], "cannot decide"),
    ],
)
def test_s3(barriers: list[list[float]], verdict: str) -> None:
    found = judged("S3", *children(barriers))
    assert found.verdict == verdict
    assert found.n == 24
    if verdict != "cannot decide":
        slow = np.mean([kendall_tau(range(4), heights) for heights in barriers])
        assert found.criteria[0].estimate.value == pytest.approx(slow)


@pytest.mark.parametrize(
    ("sparse", "verdict"),
    [
        ((-0.1, 0.0, 0.009), "supported"),
        ((0.02, 0.03, 0.04), "not supported"),
        ((-0.02, 0.0, 0.02), "inconclusive"),
        ((-0.1, 0.0), "cannot decide"),
    ],
)
def test_s4(sparse: Sequence[float], verdict: str) -> None:
    table, curves = static(sparse)
    found = judged("S4", table, curves)
    assert found.verdict == verdict
    if verdict != "cannot decide":
        assert found.n == 9
        assert found.criteria[0].estimate.value == pytest.approx(np.mean(sparse))
        moved = {value: other for _, value, other in found.varied()}
        assert set(moved) == set(MARGIN.alternatives)
    assert judged("S4", table, {}).verdict == "cannot decide"  # nothing was probed


@pytest.mark.parametrize(
    ("follows", "verdict"),
    [((1, 1, 1), "supported"), ((-1, -1, -1), "not supported"), ((1, -1, 1), "inconclusive")],
)
def test_s5(follows: Sequence[float], verdict: str) -> None:
    found = judged("S5", chains(follows=follows))
    assert found.verdict == verdict
    assert [c.estimate.value for c in found.criteria] == pytest.approx([np.mean(follows)] * 2)
    assert found.n == 30


def test_s5_needs_both_measures_everywhere() -> None:
    table = chains()
    found = judged("S5", table.assign(learning_distance=table["learning_distance"].where(table["round"] != 3)))
    assert found.verdict == "cannot decide"
    assert "τ of learning distance with test loss over density is known of 0 seeds" in found.undecided
    assert "prunability" not in found.undecided


def test_a_profile_that_may_claim_nothing_claims_nothing() -> None:
    parts = [(chains(), {}), children([[2, 1]] * 3), static((0.0,) * 3)]
    whole = pd.concat([table for table, _ in parts], ignore_index=True)
    curves = {run: row for _, part in parts for run, row in part.items()}
    for claim in of_study("sparse", NEIGHBOURS):
        assert claim.judge(case(whole, curves, may_claim=False)).verdict == "insufficient n"
        assert claim.judge(case(whole, curves)).claim == claim.id
        assert claim.judge(case(whole, curves)).verdict == "supported"


def test_what_stands_beside() -> None:
    """Of S1 where fewest weights are left, of S3 how high, of S4 width by width, with noise and without."""
    table, curves = static((0.05,) * 3)
    found = dict(NEIGHBOURS["S4"].beside(case(table, curves)))
    wide = sorted(table.loc[table["kind"] == "static", "width"].unique())
    assert len(found) == 2 * len(wide)
    decides = judged("S4", table, curves).criteria[0].estimate.value
    noisy = [e.value for words, e in found.items() if words.endswith("under noise")]
    assert np.mean(noisy) == pytest.approx(decides)
    assert NEIGHBOURS["S1"].beside(case(table, curves)) == []
    part, given = children([[2, 1]] * 3)
    (words, highest) = NEIGHBOURS["S3"].beside(case(part, given))[0]
    assert "highest barrier" in words
    assert highest.value == pytest.approx(2)
    tickets_table = chains(costs=(0.1, 0.2, 0.3))
    ((words, cost),) = NEIGHBOURS["S1"].beside(case(tickets_table, {}))
    assert cost.value == pytest.approx(0.2)
