from typing import Any

import numpy as np
import pandas as pd
import pytest

from prunability.analysis import widths
from prunability.analysis.ranks import kendall_tau
from prunability.analysis.tables import sample_of
from prunability.analysis.widths import ALL, OVER, UNDER
from prunability.claims import CLAIMS, Case, Finding
from prunability.foundation.typography import minus
from prunability.measures import HEADLINE_MEASURE, all_measures

WIDTHS = [2, 4, 8, 16, 32, 64]
SEEDS = 6
RISING = [0.5, 0.7, 0.9, 1.1, 1.3, 1.5]
HILL = [1.2, 0.8, 1.1, 1.6, 1.2, 0.9]


def sweep(
    curve: list[float], noise: float = 0.05, measure: list[float] | None = None, seed: int = 0
) -> pd.DataFrame:
    """A table of runs whose test loss and prunability follow curves over widths, with noise."""
    rng = np.random.default_rng(seed)
    rows = []
    for place, width in enumerate(WIDTHS):
        for number in range(SEEDS):
            row: dict[str, Any] = dict.fromkeys(all_measures(), float("nan"))
            row |= {"width": width, "seed": number, "run": f"{width}-{number}", "parameter_count": 10.0 * width}
            row["setting"] = f"{width}"
            row |= {
                "test_loss": curve[place] + noise * rng.normal(),
                "test_error": curve[place] / 4,
                "loss_gap": curve[place],
            }
            row |= {"train_error": max(0.0, 0.5 - 0.17 * place), HEADLINE_MEASURE: (measure or curve)[place] / 2}
            row[HEADLINE_MEASURE] += 0.1 * noise * rng.normal()
            row["path_norm"] = row["test_loss"] + rng.normal()
            rows.append(row)
    return pd.DataFrame(rows)


def test_means_and_their_errors() -> None:
    table = sweep(HILL)
    found = widths.curves(table, "width", ["test_loss", "path_norm"])
    assert len(found) == 2 * len(WIDTHS)
    for row in found.to_dict("records"):
        values = table[table["width"] == row["width"]][row["name"]].tolist()
        assert row["mean"] == pytest.approx(sum(values) / SEEDS)
        spread = sum((value - row["mean"]) ** 2 for value in values) / (SEEDS - 1)
        assert row["error"] == pytest.approx((spread / SEEDS) ** 0.5)
        assert (row["n"], row["parameters"]) == (SEEDS, 10 * row["width"])
    assert widths.curves(table[table["seed"] == 0], "width", ["test_loss"])["error"].isna().all()


def test_the_threshold_is_the_first_width_that_interpolates() -> None:
    table = sweep(HILL)
    assert widths.interpolation_threshold(table) == 16
    again = table.assign(train_error=table["train_error"].where(table["width"] != 32, 0.2))
    assert widths.interpolation_threshold(again) == 64
    halves = widths.halves(table, 16)
    assert {half: sorted(part["width"].unique()) for half, part in halves.items()} == {
        ALL: WIDTHS,
        UNDER: [2, 4, 8],
        OVER: [16, 32, 64],
    }
    assert widths.beside(table, 16) == ["8-0", "64-0"]
    lucky = table.assign(train_error=table["train_error"].where(table["run"] != "8-0", 0.0))
    assert widths.beside(lucky, 16) == ["8-1", "64-0"]
    never = table.assign(train_error=0.3)
    assert widths.interpolation_threshold(never) is None
    assert list(widths.halves(never, None)) == [ALL]
    assert widths.beside(never, None) == ["32-0", "64-0"]
    assert widths.beside(table, 2) == ["2-0", "64-0"]


def test_a_peak_by_brute_force() -> None:
    table = sweep(HILL)
    means = table.groupby("width")["test_loss"].mean().to_numpy()
    errors = table.groupby("width")["test_loss"].std().to_numpy() / SEEDS**0.5
    found = widths.peak(table, "test_loss")
    assert found is not None
    assert (found.place, found.at, found.real) == (3, 16, True)
    assert found.prominence.value == pytest.approx(means[3] - max(min(means[:3]), min(means[4:])))
    rises = [means[3] - means[base] for base in (1, 5)]
    spreads = [3 * (errors[3] ** 2 + errors[base] ** 2) ** 0.5 for base in (1, 5)]
    ends = [rise - spread for rise, spread in zip(rises, spreads, strict=True)]
    assert found.prominence.low == pytest.approx(min(ends))
    assert found.before == 4


def test_a_peak_must_stand_out_on_both_sides() -> None:
    """The lower side is the noisy one: the peak is high above it, but not surely."""
    table = sweep([0.5, 1.0, 2.0, 0.2, 0.2, 0.2], noise=0.001)
    sure = widths.peak(table, "test_loss")
    last = table["width"] > 8
    table.loc[last, "test_loss"] += np.tile([-3.0, 3.0], last.sum() // 2)
    unsure = widths.peak(table, "test_loss")
    assert sure is not None
    assert unsure is not None
    assert (sure.real, unsure.real) == (True, False)
    assert unsure.prominence.value == pytest.approx(sure.prominence.value)


@pytest.mark.parametrize("curve", [RISING, RISING[::-1], [2, 1, 0.5, 0.6, 0.8, 1.2]])
def test_a_curve_without_an_interior_peak_has_none(curve: list[float]) -> None:
    found = widths.peak(sweep(curve, noise=0.001), "test_loss")
    assert found is not None
    assert not found.real
    assert found.prominence.value < 0


def test_noise_is_seldom_taken_for_a_peak() -> None:
    """Flat curves: the place is chosen from the same noise, and still three standard errors keep most out."""
    found = [widths.peak(sweep([1.0] * 6, seed=seed), "test_loss") for seed in range(200)]
    assert sum(bool(one and one.real) for one in found) < 0.1 * len(found)
    table = sweep(HILL)
    alone = widths.peak(table[table["seed"] == 0], "test_loss")
    assert alone is not None
    assert not alone.real


def test_the_distance_between_peaks() -> None:
    shifted = [0.1, 0.9, 0.5, 0.4, 0.3, 0.2]
    near = widths.peak_distance(sweep(HILL), HEADLINE_MEASURE, 0)
    far = widths.peak_distance(sweep(HILL, measure=shifted), HEADLINE_MEASURE, 0)
    assert (near.value, near.low, near.high) == (0, 0, 0)
    assert (far.value, far.low, far.high) == (2, 2, 2)
    unsure = widths.peak_distance(sweep(HILL, noise=1.0, measure=shifted), HEADLINE_MEASURE, 0)
    assert unsure.low < unsure.high
    assert unsure == widths.peak_distance(sweep(HILL, noise=1.0, measure=shifted), HEADLINE_MEASURE, 0)


def test_tables_of_peaks_and_of_taus() -> None:
    table = sweep(HILL)
    loss, size = widths.peaks(table, {"test_loss": "loss", "parameter_count": "size"}).to_dict("records")
    assert loss["largest at width"] == loss["interior peak at width"] == "16"
    assert loss["real"] == "yes"
    assert (size["largest at width"], size["interior peak at width"], size["real"]) == ("64", "none", "no")
    taus = widths.correlations(table, [HEADLINE_MEASURE, "path_norm"], 0)
    assert len(taus) == 2 * 3 * 3
    row = taus[
        (taus["measure"] == "path_norm") & (taus["half"] == OVER) & taus["target"].str.contains("loss")
    ].iloc[0]
    wide = table[table["width"] >= 16]
    assert row["tau"] == pytest.approx(kendall_tau(wide["path_norm"], wide["test_loss"]))
    assert row["n"] == len(wide)
    assert widths.best_baselines(table, ["path_norm", "kept_parameter_count", HEADLINE_MEASURE], 3) == ["path_norm"]


SHIFTED = [0.1, 0.9, 0.5, 0.4, 0.3, 0.2]
FLAT = [0.8, 0.8, 1.1, 1.6, 1.2, 0.9]


def c3(table: pd.DataFrame, may_claim: bool = True) -> Finding:
    return CLAIMS["C3"].judge(Case(table, sample_of(table, 0), ("width",), may_claim))


def test_c3_can_go_every_way() -> None:
    right = c3(sweep(HILL))
    assert [criterion.verdict for criterion in right.criteria] == ["supported"] * 2
    assert right.verdict == "supported"
    assert c3(sweep(HILL, measure=SHIFTED)).verdict == "not supported"
    assert c3(sweep(HILL), may_claim=False).verdict == "insufficient n"
    assert c3(sweep(HILL)[:4]).verdict == "insufficient n"
    # A distance that another draw of seeds may change decides nothing.
    unsure = c3(sweep(HILL, measure=[0.1, 1.0, 0.5, 1.0, 0.3, 0.2]))
    assert unsure.criteria[1].verdict == "inconclusive"
    # Two widths are two observations, however many seeds each has.
    few = c3(sweep(HILL, noise=0.001))
    assert few.criteria[0].estimate.seeds is not None
    low, high = few.criteria[0].estimate.seeds
    assert few.criteria[0].estimate.low < low < high


@pytest.mark.parametrize(
    ("curve", "measure", "why"),
    [
        (RISING, None, "no interior peak"),
        (FLAT, None, "does not fall out of its noise before it rises from width"),
        (HILL, RISING, "prunability is largest at an end of the widths"),
        (HILL, RISING[::-1], "prunability is largest at an end of the widths"),
    ],
)
def test_c3_needs_two_curves_that_fall_rise_and_fall(
    curve: list[float], measure: list[float] | None, why: str
) -> None:
    found = c3(sweep(curve, measure=measure))
    assert found.verdict == "cannot decide"
    assert why in found.undecided
    assert len(found.criteria) == 1
    assert {verdict for _, _, verdict in found.varied()} == {"cannot decide"}


def test_the_reasons_of_c3() -> None:
    table = sweep(HILL, measure=SHIFTED)
    case = Case(table, sample_of(table, 0), ("width",), True)
    taus, places = CLAIMS["C3"].reasons(case, c3(table))
    for half, part in list(widths.halves(table, 16).items())[1:]:  # of all widths the claim itself tells
        assert f"{half} {minus(format(kendall_tau(part[HEADLINE_MEASURE], part['test_loss']), '.2f'))}" in taus
    assert places == "Prunability is largest at width 4; the test loss peaks at width 16."


def test_the_first_descent() -> None:
    table = sweep(HILL)
    means = table.groupby("width")["test_loss"].mean().to_numpy()
    found = widths.peak(table, "test_loss")
    assert found is not None
    assert found.fall.value == pytest.approx(means[0] - means[1])
    assert widths.no_double_descent(table, "test_loss") == ""
    assert not widths.at_an_end(table, "test_loss")
    assert widths.at_an_end(sweep(RISING), "test_loss")


def test_the_most_prominent_peak_of_many_curves_at_once() -> None:
    curves = np.random.default_rng(0).integers(0, 6, (200, 7)).astype(float)
    place, left, right = widths._most_prominent(curves)
    for row, curve in enumerate(curves):
        heights = {p: curve[p] - max(curve[:p].min(), curve[p + 1 :].min()) for p in range(1, 6)}
        assert heights[int(place[row])] == max(heights.values())
        assert left[row] == curve[: place[row]].argmin()
        assert right[row] == place[row] + 1 + curve[place[row] + 1 :].argmin()
