"""Each claim brought to every verdict on made-up runs."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from prunability.analysis.partial import copula_partials
from prunability.analysis.ranks import kendall_tau, tau_between, tau_estimate, tau_within
from prunability.analysis.tables import sample_of
from prunability.claims import CLAIMS, LEAST_RUNS, Case, Finding
from prunability.claims import flatness as c5
from prunability.claims.criteria import POSITIVE
from prunability.claims.explained import EXPLANATIONS
from prunability.claims.predictive import within
from prunability.claims.shared import baselines
from prunability.claims.words import beside, markdown, sentence
from prunability.measures import HEADLINE_MEASURE, all_measures

NAMES = (
    HEADLINE_MEASURE,
    "prunability_random_absolute_0.1",
    *EXPLANATIONS.values(),
    "path_norm",
    "kept_parameter_count",
)
OF_CORRELATION = [key for key, claim in CLAIMS.items() if claim.study == "correlation"]


def runs(n: int = 80, seed: int = 1, seeds: int = 1, **noise: float) -> pd.DataFrame:
    """Runs whose measures are the test loss with as much noise as asked for, of one size or another."""
    rng = np.random.default_rng(seed)
    loss = np.repeat(rng.normal(size=n // seeds), seeds) + 0.05 * rng.normal(size=n)
    table = pd.DataFrame(
        {"test_loss": loss, "loss_gap": loss, "test_error": loss, "setting": np.arange(n) // seeds}
    )
    table["depth"] = rng.choice([1, 2], n // seeds).repeat(seeds)
    table["parameter_count"] = table["prunable_weight_count"] = np.round(10 ** rng.uniform(3, 5, n))
    for name in NAMES[:-1]:
        table[name] = loss + noise.get(name, 2.0) * rng.normal(size=n)
    own = loss + noise.get("own", 0.2) * rng.normal(size=n)
    own += noise.get("size_effect", 0.0) * np.log(table["parameter_count"])
    table[HEADLINE_MEASURE] = 0.2 + 0.5 * own.argsort().argsort() / n
    table["prunability_random_absolute_0.1"] = loss  # a variant, better than the headline
    return table.assign(kept_parameter_count=table[HEADLINE_MEASURE] * table["prunable_weight_count"])


def case(table: pd.DataFrame, may_claim: bool = True, seed: int = 0) -> Case:
    return Case(table, sample_of(table, seed), ("depth",), may_claim, NAMES)


def judged(key: str, **options: float) -> Finding:
    return CLAIMS[key].judge(case(runs(**options)))  # type: ignore[arg-type]


def test_c1_can_go_every_way() -> None:
    for noise, expected in ((0.1, "supported"), (100.0, "not supported"), (1.2, "inconclusive")):
        table = runs(own=noise)
        found = CLAIMS["C1"].judge(case(table))
        assert found.verdict == expected, (noise, found)
        assert found.criteria[0].estimate == tau_estimate(
            table[HEADLINE_MEASURE], table["test_loss"], sample_of(table, 0)
        )


def test_where_prunability_orders_best_and_worst() -> None:
    rows = [("width", 0.2), ("batch_size", -0.3), ("depth", 0.9), ("dropout", np.nan), ("mean", 0.3)]
    said = within(pd.DataFrame(rows, columns=["hyperparameter", "psi"]))
    assert "best where only the depth differs (ψ = 0.90), worst where only the batch size does (ψ = −0.30)" in said
    assert "not vary" in within(pd.DataFrame(rows[3:], columns=["hyperparameter", "psi"]))


def test_c1_needs_the_top_quarter_among_rivals_that_are_no_variants() -> None:
    better = dict.fromkeys(EXPLANATIONS.values(), 0.001)
    found = judged("C1", own=0.5, **better)
    assert found.criteria[1].estimate.value == 4 / 6
    assert [c.verdict for c in found.criteria] == ["supported", "not supported"]
    assert found.verdict == "not supported"


def test_c1_tells_settings_from_seeds() -> None:
    table = runs(n=90, seeds=3)
    made = case(table)
    said = dict(CLAIMS["C1"].beside(made))
    own, goal = table[HEADLINE_MEASURE], table["test_loss"]
    assert said["τ between settings (means over seeds)"] == tau_between(own, goal, made.sample)
    assert said["τ within settings (seeds only)"] == tau_within(own, goal, made.sample)
    taus = {level: kendall_tau(part[HEADLINE_MEASURE], part["test_loss"]) for level, part in table.groupby("depth")}
    worst = min(taus, key=lambda level: taus[level])
    assert said[f"smallest τ at one level of one hyperparameter (depth {worst!s})"].value == taus[worst]
    rank = said["rank as a share"]
    assert rank.low <= CLAIMS["C1"].judge(made).criteria[1].estimate.value <= rank.high
    assert rank.seeds is not None


@pytest.mark.parametrize("key", OF_CORRELATION)
def test_what_cannot_be_judged_says_why(key: str) -> None:
    claim = CLAIMS[key]
    assert claim.judge(case(runs(LEAST_RUNS - 1))).verdict == "insufficient n"
    assert claim.judge(case(runs(LEAST_RUNS))).verdict != "insufficient n"
    assert claim.judge(case(runs(), may_claim=False)).verdict == "insufficient n"
    constant = claim.judge(case(runs().assign(**{HEADLINE_MEASURE: 0.5})))
    assert constant.verdict == "cannot decide"
    assert "has the same value on all 80 runs" in constant.undecided
    assert constant.undecided in sentence(constant, "networks")


def test_c2_has_one_condition() -> None:
    assert judged("C2", size_effect=-1).verdict == "supported"
    grown = judged("C2", size_effect=10)
    assert [c.verdict for c in grown.criteria] == [grown.verdict] == ["not supported"]
    kept, given_size = (estimate for _, estimate in CLAIMS["C2"].beside(case(runs())))
    assert kept.value > 0.5  # though prunability is independent of the size
    assert given_size.low > 0


def test_c4_with_measures_fixed_beforehand() -> None:
    table = runs(own=0.1, path_norm=0.001)  # a better explanation that is not among the three
    found = CLAIMS["C4"].judge(case(table))
    assert found.verdict == "supported"
    assert len(found.criteria) == 4
    columns = table[[HEADLINE_MEASURE, "test_loss", *EXPLANATIONS.values()]].to_numpy().T
    expected = copula_partials(columns, [[2], [3], [4], [2, 3, 4]])[0]
    assert [c.estimate.value for c in found.criteria] == pytest.approx(list(expected))
    explained = judged("C4", own=1.0, pacbayes_magnitude_flatness=0.001)
    assert explained.criteria[1].verdict != "supported"
    assert explained.verdict not in ("supported", "cannot decide")


def test_c4_asks_nothing_where_there_is_no_success() -> None:
    found = judged("C4", own=100.0)
    assert found.verdict == "cannot decide"
    assert found.undecided.startswith("nothing to explain")
    missing = CLAIMS["C4"].judge(case(runs().assign(inverse_margin=np.nan)))
    assert missing.undecided == "inverse squared margin no value on 80 of 80 runs"


def test_c5_goes_every_way() -> None:
    assert judged("C5", pacbayes_magnitude_flatness=0.5).verdict == "supported"
    worse = judged("C5", pacbayes_magnitude_flatness=0.05, own=1.0)
    assert worse.criteria[0].verdict == worse.verdict == "not supported"
    twin = runs()
    twin[c5.RIVAL] = twin[HEADLINE_MEASURE]
    assert CLAIMS["C5"].judge(case(twin)).criteria[0].estimate.high == 0
    nothing = judged("C5", pacbayes_magnitude_flatness=1000.0)
    assert nothing.verdict == "cannot decide"
    assert "does not predict the test loss itself" in nothing.undecided


def test_c6_compares_with_baselines_of_their_own() -> None:
    """Neither flatness, nor what is made from prunability, nor copies of another baseline."""
    table = runs(pacbayes_magnitude_flatness=0.01, inverse_margin=9, sum_of_training_losses=9)
    assert baselines(case(table)) == ["inverse_margin", "sum_of_training_losses", "path_norm"]
    copied = table.assign(path_norm=-np.exp(table["inverse_margin"]))
    assert baselines(case(copied)) == ["inverse_margin", "sum_of_training_losses"]
    far = CLAIMS["C6"].judge(case(table.assign(path_norm=np.random.default_rng(0).normal(size=80))))
    assert far.verdict == "supported"
    assert judged("C6", inverse_margin=0.01).verdict == "not supported"


def test_another_target_and_another_prunability() -> None:
    table = runs(own=100.0)
    table["loss_gap"] = table[HEADLINE_MEASURE]
    assert CLAIMS["C1"].judge(case(table)).verdict == "not supported"
    moved = CLAIMS["C1"].judge(replace(case(table), target="loss_gap"))
    assert moved.verdict == "supported"
    assert "generalization gap" in moved.criteria[0].statistic
    other = replace(case(table), headline="prunability_random_absolute_0.1")
    assert CLAIMS["C1"].judge(other).verdict == "supported"
    np.testing.assert_allclose(
        other.column("kept_parameter_count"),
        table["prunability_random_absolute_0.1"] * table["prunable_weight_count"],
    )


@pytest.mark.parametrize("key", OF_CORRELATION)
def test_reasons_of_every_claim(key: str) -> None:
    """Each says something, every number in it finite, whichever way the claim went."""
    for options in ({"own": 0.1, "inverse_margin": 0.01}, {"own": 1.0}, {"own": 100.0, "path_norm": -5.0}):
        made = case(runs(**options))  # type: ignore[arg-type]
        found = CLAIMS[key].judge(made)
        said = [*CLAIMS[key].reasons(made, found), markdown(beside(made, [found])), sentence(found, "networks")]
        assert not [line for line in said if "nan" in line and "inverse" not in line]
        assert found.verdict in said[-1]


def test_what_stands_beside_has_its_intervals() -> None:
    made = case(runs(n=90, seeds=3))
    findings = [CLAIMS[key].judge(made) for key in ("C1", "C2")]
    found = beside(made, findings)
    expected = [(f.claim, words, e) for f in findings for words, e in CLAIMS[f.claim].beside(made)]
    assert found["claim"].tolist() == [claim for claim, _, _ in expected]
    assert found["beside it"].tolist() == [words for _, words, _ in expected]
    assert found["by seeds"].tolist() == [e.by_seeds if e.seeds else "–" for _, _, e in expected]
    assert found["estimate [by settings]"].tolist() == [str(e) for _, _, e in expected]
    one = case(runs())
    values = beside(one, [CLAIMS["C4"].judge(one)])["estimate [by settings]"]
    assert values.tolist() == [f"{e.value:.2f}" for _, e in CLAIMS["C4"].beside(one)]  # which have no interval
    assert beside(case(runs().assign(**{HEADLINE_MEASURE: 0.5})), findings).empty


def test_every_claim_names_a_threshold_that_is_varied() -> None:
    for claim in CLAIMS.values():
        if claim.study == "correlation":
            found = claim.judge(case(runs()))
            fixed = {c.threshold for c in found.criteria} - {POSITIVE}
            assert bool(found.varied()) == bool(fixed)
    assert all_measures()[c5.RIVAL].family == "flatness"
