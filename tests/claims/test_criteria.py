"""Criteria and thresholds, and what they come to together."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunability.analysis.resampling import Estimate
from prunability.claims import Criterion, Finding, Threshold, Verdict, decisive
from prunability.claims.criteria import STRONG, networks_needed

NEAR = Threshold("distance", 1.0, (0.0, 2.0))


@pytest.mark.parametrize(
    ("low", "high", "side", "expected"),
    [
        (0.31, 0.9, "above", "supported"),
        (0.3, 0.9, "above", "inconclusive"),
        (-0.5, 0.3, "above", "not supported"),
        (-0.5, 0.29, "below", "supported"),
        (0.1, 0.5, "below", "inconclusive"),
        (0.3, 0.5, "below", "not supported"),
        (0.0, 0.3, "at most", "supported"),
        (0.3, 0.5, "at most", "inconclusive"),
        (0.4, 0.5, "at most", "not supported"),
        (float("nan"), float("nan"), "above", "inconclusive"),
    ],
)
def test_criterion(low: float, high: float, side: str, expected: Verdict) -> None:
    criterion = Criterion("s", Estimate(0.5, low, high), side, STRONG)  # type: ignore[arg-type]
    assert criterion.verdict == expected


def test_a_place_is_taken_as_it_is() -> None:
    share = Threshold("share", 0.25)
    within = Criterion("r", Estimate(0.25, 0.1, 0.9), "at most", share, place=True)
    assert (within.verdict, within.caution) == ("supported", "")
    assert Criterion("r", Estimate(0.26, 0.1, 0.2), "at most", share, place=True).verdict == "not supported"
    assert within.wanted.startswith("at most 0.25")


def test_an_end_near_its_threshold_is_said() -> None:
    near = Criterion("s", Estimate(0.5, 0.302, 0.6), "above", STRONG)
    far = Criterion("s", Estimate(0.5, 0.4, 0.6), "above", STRONG)
    assert near.words == "0.500 [0.302, 0.600]"
    assert "Monte Carlo" in near.caution
    assert (far.words, far.caution) == ("0.50 [0.40, 0.60]", "")


YES = Criterion("s", Estimate(0.5, 0.4, 0.6), "above", STRONG)
MAYBE = Criterion("s", Estimate(0.5, 0.2, 0.6), "above", STRONG)
NO = Criterion("s", Estimate(0.1, 0.0, 0.2), "above", STRONG)


def test_combination() -> None:
    def verdict(*criteria: Criterion, enough: bool = True, undecided: str = "") -> Verdict:
        return Finding("C1", 40, criteria, enough, undecided).verdict

    assert verdict(YES, YES) == "supported"
    assert verdict(YES, MAYBE) == "inconclusive"
    assert verdict(YES, MAYBE, NO) == "not supported"
    assert verdict(YES, enough=False) == "insufficient n"
    assert verdict(NO, undecided="why") == "cannot decide"
    assert verdict(enough=False, undecided="why") == "insufficient n"


def test_each_threshold_is_varied_alone() -> None:
    distance = Criterion("d", Estimate(1.5, 1.5, 1.5), "at most", NEAR)
    tau = Criterion("τ", Estimate(0.7, 0.45, 0.8), "above", STRONG)
    found = Finding("C3", 40, (tau, distance), enough=True)
    moved = {(name, value): verdict for name, value, verdict in found.varied()}
    assert moved == {
        **{("τ", value): "not supported" for value in STRONG.alternatives},
        ("distance", 0.0): "not supported",
        ("distance", 2.0): "supported",
    }
    alone = {value: verdict for _, value, verdict in Finding("C1", 40, (tau,), enough=True).varied()}
    assert alone == {0.1: "supported", 0.2: "supported", 0.4: "supported", 0.5: "inconclusive"}
    assert {verdict for _, _, verdict in replace(found, enough=False).varied()} == {"insufficient n"}


def test_a_verdict_hangs_on_what_holds_least() -> None:
    assert decisive([YES, MAYBE, NO]) == NO
    assert decisive([YES, MAYBE]) == MAYBE
    assert decisive([]) is None
    many = [Criterion(f"s{k}", Estimate(k / 10, 0, k / 10), "at most", Threshold("t", 0.2)) for k in range(8)]
    assert decisive(many) == many[7]


@given(
    value=st.floats(-0.9, 0.9), reach=st.floats(0.01, 0.5), threshold=st.floats(-0.5, 0.5), n=st.integers(30, 500)
)
def test_networks_needed(value: float, reach: float, threshold: float, n: int) -> None:
    """With so many networks the interval just touches its threshold, if its width falls with the root of n."""
    for side, sign in (("above", 1), ("below", -1)):
        e = Estimate(value, value - reach, value + reach)
        found = networks_needed(Criterion("s", e, side, Threshold("t", threshold)), n)  # type: ignore[arg-type]
        gap = sign * (value - threshold)
        if gap <= reach / 100:
            assert found is None
        else:
            assert found == pytest.approx(n * (reach / gap) ** 2, abs=0.5)
