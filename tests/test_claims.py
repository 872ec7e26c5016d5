import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prunability.claims import (
    LEAST_RUNS,
    LITTLE_INFORMATION,
    STRONG,
    TOP_SHARE,
    Count,
    Criterion,
    Verdict,
    combine,
    further,
    judge,
    save,
    sentence,
    table_of,
)
from prunability.measures import HEADLINE_MEASURE, all_measures
from prunability.statistics import Estimate, partial_tau_estimate, tau_estimate
from prunability.verdicts import better_than_flatness, little_shared, not_explained, predictive, size_free


def runs(n: int = 60, noise: float = 0.1, size_effect: float = 0.0, rivals: int = 7) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    test_loss = rng.normal(size=n)
    size = np.round(10 ** rng.uniform(3, 5, n))
    table = pd.DataFrame({"test_loss": test_loss, "parameter_count": size, "prunable_weight_count": size})
    score = test_loss + noise * rng.normal(size=n) + size_effect * np.log(size)
    table[HEADLINE_MEASURE] = 0.2 + 0.5 * (score.argsort().argsort() / n)
    for k in range(rivals):
        table[f"rival {k}"] = rng.normal(size=n)
    table["prunability_random_absolute_0.1"] = table["test_loss"]  # a variant, better than the headline
    return table


RIVALS = [HEADLINE_MEASURE, "prunability_random_absolute_0.1", *[f"rival {k}" for k in range(7)]]


@pytest.mark.parametrize(
    ("low", "high", "side", "expected"),
    [
        (0.31, 0.9, "above", "supported"),
        (0.3, 0.9, "above", "inconclusive"),
        (-0.5, 0.3, "above", "not supported"),
        (-0.5, 0.29, "below", "supported"),
        (0.1, 0.5, "below", "inconclusive"),
        (0.3, 0.5, "below", "not supported"),
        (float("nan"), float("nan"), "above", "inconclusive"),
    ],
)
def test_criterion(low: float, high: float, side: str, expected: Verdict) -> None:
    criterion = Criterion("s", Estimate(0.5, low, high), side, 0.3)  # type: ignore[arg-type]
    assert criterion.verdict == expected


def test_rank_is_decided_by_the_place() -> None:
    assert Count("r", Estimate(0.25, 0.1, 0.9), "below", 0.25).verdict == "supported"
    assert Count("r", Estimate(0.26, 0.1, 0.2), "below", 0.25).verdict == "not supported"


def test_a_rank_says_what_is_wanted_of_it() -> None:
    assert Count("r", Estimate(0.25, 0.1, 0.9), "below", 0.25).wanted.startswith("at most 0.25")
    assert Criterion("s", Estimate(0.25, 0.1, 0.9), "below", 0.25).wanted == "below 0.25"


def test_an_end_near_its_threshold_is_said() -> None:
    near = Criterion("s", Estimate(0.5, 0.304, 0.6), "above", 0.3)
    far = Criterion("s", Estimate(0.5, 0.4, 0.6), "above", 0.3)
    assert near.words == "0.500 [0.304, 0.600]"
    assert "Monte Carlo" in near.caution
    assert (far.words, far.caution) == ("0.50 [0.40, 0.60]", "")
    assert Count("r", Estimate(0.25, 0.25, 0.5), "below", 0.25).caution == ""


def test_many_conditions_are_counted_and_the_worst_told() -> None:
    criteria = [
        Criterion(f"share with {k}", Estimate(k / 10, k / 10 - 0.01, k / 10 + 0.01), "below", 0.25)
        for k in range(1, 9)
    ]
    words = sentence(judge("C6", 40, criteria, enough=True, swept=0.25), "networks")
    assert "of 8 conditions, 2 supported, 6 not supported; the 5 farthest from holding" in words
    assert "share with 8 is 0.80" in words
    assert "share with 3 is" not in words
    assert words.index("share with 8") < words.index("share with 4")


def test_combination() -> None:
    yes = Criterion("s", Estimate(0.5, 0.4, 0.6), "above", 0.3)
    maybe = Criterion("s", Estimate(0.5, 0.2, 0.6), "above", 0.3)
    no = Criterion("s", Estimate(0.1, 0.0, 0.2), "above", 0.3)
    assert combine([yes, yes], True) == "supported"
    assert combine([yes, maybe], True) == "inconclusive"
    assert combine([yes, maybe, no], True) == "not supported"
    assert combine([yes], False) == "insufficient n"


def test_c1_can_go_every_way() -> None:
    for noise, expected in ((0.1, "supported"), (100.0, "not supported"), (1.6, "inconclusive")):
        table = runs(noise=noise)
        claim = predictive(table, RIVALS, seed=0, may_claim=True)
        assert claim.verdict == expected, (noise, claim)
    tau = tau_estimate(table[HEADLINE_MEASURE], table["test_loss"], 0)
    assert claim.criteria[0].estimate == tau
    assert claim.sensitivity["0.3"] == claim.verdict
    assert claim.sensitivity["0.1"] == ("supported" if tau.low > 0.1 else "inconclusive")


def test_c1_needs_the_top_quarter() -> None:
    table = runs(noise=0.5)
    for k in range(3):
        table[f"rival {k}"] = table["test_loss"]
    claim = predictive(table, [HEADLINE_MEASURE, *RIVALS[2:]], seed=0, may_claim=True)
    rank = claim.criteria[1]
    assert rank.estimate.value == 4 / 8
    assert rank.verdict == claim.verdict == "not supported"
    assert claim.sensitivity["0.1"] == "not supported"


def test_too_few_runs_or_a_profile_without_claims() -> None:
    assert predictive(runs(LEAST_RUNS - 1), RIVALS, 0, True).verdict == "insufficient n"
    assert predictive(runs(LEAST_RUNS), RIVALS, 0, True).verdict != "insufficient n"
    assert predictive(runs(), RIVALS, 0, False).verdict == "insufficient n"
    assert set(size_free(runs(LEAST_RUNS - 1), 0, True).sensitivity.values()) == {"insufficient n"}


def test_c2() -> None:
    assert size_free(runs(size_effect=-1), 0, True).verdict == "supported"
    grown = size_free(runs(size_effect=10), 0, True)
    assert [c.verdict for c in grown.criteria] == ["not supported", "supported"]
    assert grown.verdict == "not supported"


def test_words_and_files(tmp_path: Path) -> None:
    claims = [predictive(runs(), RIVALS, 0, True), size_free(runs(), 0, True)]
    text = sentence(claims[0], "networks")
    assert str(claims[0].criteria[0].estimate) in text
    assert text.startswith(f"**C1: {claims[0].verdict}.**")
    assert len(table_of(claims)) == 4
    save(claims[:1], tmp_path, {"records": "x"})
    save(claims[1:], tmp_path, {"records": "y"})
    found = json.loads((tmp_path / "claims.json").read_text())
    assert list(found) == ["C1", "C2"]
    assert found["C2"]["verdict"] == claims[1].verdict
    assert found["C1"]["criteria"][0]["holds"] == claims[0].criteria[0].verdict
    assert found["C1"]["provenance"] == {"records": "x"}


def compared(seed: int = 1, **noise: float) -> pd.DataFrame:
    """Runs whose measures are the test loss with as much noise as asked for."""
    rng = np.random.default_rng(seed)
    table = runs(80, noise=noise.pop("own", 0.2))
    defaults = {"inverse_margin": 2.0, "pacbayes_flatness": 2.0, "sum_of_training_losses": 2.0}
    defaults["pacbayes_magnitude_flatness"] = 2.0
    for name, size in {**defaults, **noise}.items():
        table[name] = table["test_loss"] + size * rng.normal(size=len(table))
    return table


NAMES = ["inverse_margin", "pacbayes_flatness", "pacbayes_magnitude_flatness", "sum_of_training_losses"]


def test_c4_against_the_strongest_of_each_family() -> None:
    table = compared(pacbayes_magnitude_flatness=1.0, own=0.1)
    claim = not_explained(table, NAMES, 0, True)
    assert claim.verdict == "supported"
    assert len(claim.criteria) == 4
    assert "magnitude" in claim.criteria[1].statistic
    expected = partial_tau_estimate(
        table[HEADLINE_MEASURE],
        table["test_loss"],
        table[["inverse_margin", "pacbayes_magnitude_flatness", "sum_of_training_losses"]].to_numpy().T,
        0,
    )
    assert claim.criteria[3].estimate == expected
    assert claim.sensitivity == {}
    explained = compared(pacbayes_magnitude_flatness=0.001, own=1.0)
    assert not_explained(explained, NAMES, 0, True).verdict != "supported"
    assert not_explained(
        table.drop(columns="inverse_margin").assign(inverse_margin=1.0), NAMES, 0, True
    ).verdict == ("insufficient n")


def test_c5_goes_every_way() -> None:
    better = better_than_flatness(compared(pacbayes_magnitude_flatness=1.0), NAMES, 0, True)
    assert better.verdict == "supported"
    worse = better_than_flatness(compared(pacbayes_magnitude_flatness=0.05, own=1.0), NAMES, 0, True)
    assert worse.criteria[0].verdict == worse.verdict == "not supported"
    twin = compared()
    twin["pacbayes_magnitude_flatness"] = twin[HEADLINE_MEASURE]
    assert better_than_flatness(twin, NAMES, 0, True).criteria[0].estimate.high == 0


def test_c6_leaves_flatness_out() -> None:
    far = little_shared(
        compared(pacbayes_magnitude_flatness=0.01, inverse_margin=9, sum_of_training_losses=9), NAMES, 0, True
    )
    assert {c.statistic.split("with ")[1] for c in far.criteria} == {
        all_measures()[name].label for name in ("inverse_margin", "sum_of_training_losses")
    }
    assert far.verdict == "supported"
    assert set(far.sensitivity) == {"0.1", "0.2", "0.25", "0.3", "0.4"}
    assert far.sensitivity["0.25"] == far.verdict
    assert little_shared(compared(inverse_margin=0.01, pacbayes_magnitude_flatness=1), NAMES, 0, True).verdict == (
        "not supported"
    )


def test_thresholds_of_second_conditions() -> None:
    """Each is varied alone; the threshold that a claim is swept over is none of them, whatever its value."""
    tau = Criterion("τ", Estimate(0.7, 0.6, 0.8), "above", STRONG)
    rank = Count("rank", Estimate(0.4, 0.1, 0.8), "below", TOP_SHARE)
    claim = judge("C1", 40, [tau, rank], True)
    assert claim.verdict == "not supported"
    assert further(claim) == [("rank share", "0.1", "not supported"), ("rank share", "0.5", "supported")]
    assert {verdict for _, _, verdict in further(judge("C1", 4, [tau, rank], False))} == {"insufficient n"}
    assert {verdict for _, _, verdict in further(judge("C1", 40, [tau, rank], True, undecided="no"))} == {
        "inconclusive"
    }
    shared = Criterion("information", Estimate(0.2, 0.1, 0.3), "below", LITTLE_INFORMATION)
    assert further(judge("C6", 40, [shared], True, swept=LITTLE_INFORMATION)) == []
