import numpy as np
import pandas as pd
import pytest

from helpers import NAMES, PROVENANCE
from prunability.analysis import tables
from prunability.analysis.information import conditional_information, pair_information
from prunability.analysis.partial import copula_partials
from prunability.analysis.ranks import adjusted_r2, kendall_tau
from prunability.analysis.tables import ranked_measures, sample_of
from prunability.claims import Case, rivals
from prunability.claims.explained import EXPLANATIONS
from prunability.measures import HEADLINE_MEASURE, all_measures
from prunability.report.figures import rivals as plots
from prunability.report.figures import style

RANKED = ranked_measures()


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({name: rng.choice([1, 2, 3], 40) for name in NAMES})
    frame["setting"] = np.arange(40)
    frame["test_loss"] = rng.uniform(0.1, 1, 40)
    frame["test_error"] = frame["test_loss"] / 3
    frame["loss_gap"] = frame["test_loss"] - 0.01
    for name in all_measures():
        frame[name] = frame["test_loss"] + rng.uniform(0.1, 1, 40)
    frame["compression_bound"] = np.nan  # reported and left out everywhere
    return frame


def usable() -> list[str]:
    return [name for name in RANKED if name != "compression_bound"]


def test_matrices_are_in_one_order(table: pd.DataFrame) -> None:
    shared, agreement = rivals.clustered(table, RANKED)
    assert list(shared.index) == list(shared.columns) == list(agreement.index)
    names = {all_measures()[name].label: name for name in usable()}
    assert set(shared.index) == set(names)
    a, b = shared.index[0], shared.index[-1]
    x, y = table[names[a]], table[names[b]]
    assert shared.loc[a, b] == pytest.approx(pair_information([x, y])[0, 0, 1])
    assert agreement.loc[a, b] == pytest.approx(kendall_tau(x, y))


def test_rows_are_the_statistics(table: pd.DataFrame) -> None:
    case = Case(table, sample_of(table, 0), tuple(NAMES), True)
    shared = rivals.shared_and_predictive(case, RANKED).set_index("measure")
    assert set(shared.index) == set(usable()) - {HEADLINE_MEASURE}
    row = shared.loc["pacbayes_flatness"]
    pair = [table[HEADLINE_MEASURE], table["pacbayes_flatness"]]
    assert row["information"] == pytest.approx(pair_information(pair)[0, 0, 1])
    assert row["tau"] == pytest.approx(kendall_tau(pair[1], table["test_loss"]))
    assert row["information_low"] < row["information"] < row["information_high"]
    partial = rivals.partial_table(case).query("target == 'test_loss'").set_index("given")
    own = [table[HEADLINE_MEASURE], table["test_loss"]]
    for words, name in EXPLANATIONS.items():
        assert partial.loc[words, "association"] == copula_partials([*own, table[name]], [[2]])[0, 0]
        assert partial.loc[words, "label"] == all_measures()[name].label
    three = copula_partials([*own, *(table[name] for name in EXPLANATIONS.values())], [[2, 3, 4]])[0, 0]
    assert partial.loc["all three", "association"] == pytest.approx(three)
    norms = [name for name in usable() if all_measures()[name].family == "norms"]
    best = max(norms, key=lambda name: kendall_tau(table[name], table["test_loss"]))
    assert partial.loc["norms", "association"] == copula_partials([*own, table[best]], [[2]])[0, 0]
    assert partial.loc["norms", "label"] == f"{all_measures()[best].label} (best here)"
    assert partial.loc["size", "label"] == all_measures()["parameter_count"].label  # the only one of its family
    assert partial.loc["nothing", "association"] == np.sin(np.pi / 2 * kendall_tau(*own))
    assert set(partial.index) == {"nothing", *EXPLANATIONS, "all three", "norms", "size", "pruning", "bounds"}
    least = rivals.least_information(table, RANKED, NAMES).set_index("measure")
    found = conditional_information(table["pacbayes_flatness"], table["test_loss"], table[NAMES], NAMES)
    assert least.loc["pacbayes_flatness", "least_information"] == pytest.approx(np.nanmin(found.values))
    gains = rivals.explained_variance(table, RANKED).set_index("measure")
    both = adjusted_r2(np.stack(pair), table["test_loss"])
    assert gains.loc["pacbayes_flatness", "adds_to_prunability"] == pytest.approx(
        both - adjusted_r2(pair[0], table["test_loss"])
    )
    assert gains.loc[HEADLINE_MEASURE, "adds_to_prunability"] == 0


def test_figures(table: pd.DataFrame, tmp_path: object) -> None:
    for size in (10, 100_000):  # no environment has weight, and most have
        errors, summary = rivals.environment_errors(table, RANKED, NAMES, size)
        with style.panels() as (figure, ax):
            plots.sign_error_shares([ax], {"weights": errors}, summary)
        style.save(figure, f"errors {size}", tmp_path, summary, PROVENANCE, "digits, n = 12")  # type: ignore[arg-type]
    assert errors.errors.shape[1] > 0
    assert tables.usable(table, RANKED)[1]["compression_bound"] == "no value on 40 of 40 runs"
