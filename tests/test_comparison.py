import numpy as np
import pandas as pd
import pytest

from prunability import comparison, figures_comparison, style, tables, text
from prunability.information import conditional_information, pair_information
from prunability.measures import HEADLINE_MEASURE, all_measures
from prunability.statistics import adjusted_r2, kendall_tau, partial_taus
from prunability.tables import ranked_measures
from test_figures import NAMES, PROVENANCE

RANKED = ranked_measures()


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({name: rng.choice([1, 2, 3], 40) for name in NAMES})
    frame["test_loss"] = rng.uniform(0.1, 1, 40)
    frame["test_error"] = frame["test_loss"] / 3
    frame["loss_gap"] = frame["test_loss"] - 0.01
    for name in all_measures():
        frame[name] = frame["test_loss"] + rng.uniform(0.1, 1, 40)
    frame["inverse_margin"] = np.nan  # reported and left out everywhere
    return frame


def usable() -> list[str]:
    return [name for name in RANKED if name != "inverse_margin"]


def test_matrices_are_in_one_order(table: pd.DataFrame) -> None:
    shared, agreement = comparison.clustered(table, RANKED)
    assert list(shared.index) == list(shared.columns) == list(agreement.index)
    names = {all_measures()[name].label: name for name in usable()}
    assert set(shared.index) == set(names)
    a, b = shared.index[0], shared.index[-1]
    x, y = table[names[a]], table[names[b]]
    assert shared.loc[a, b] == pytest.approx(pair_information([x, y])[0, 0, 1])
    assert agreement.loc[a, b] == pytest.approx(kendall_tau(x, y))


def test_rows_are_the_statistics(table: pd.DataFrame) -> None:
    shared = comparison.shared_and_predictive(table, RANKED, 0).set_index("measure")
    assert set(shared.index) == set(usable()) - {HEADLINE_MEASURE}
    row = shared.loc["pacbayes_flatness"]
    pair = [table[HEADLINE_MEASURE], table["pacbayes_flatness"]]
    assert row["information"] == pytest.approx(pair_information(pair)[0, 0, 1])
    assert row["tau"] == pytest.approx(kendall_tau(pair[1], table["test_loss"]))
    assert row["information_low"] <= row["information"] * 1.5
    partial = comparison.partial_taus_table(table, RANKED, 0).query("target == 'test_loss'").set_index("given")
    families: dict[str, list[str]] = {}
    for name in usable():
        if not name.startswith("prunability_"):
            families.setdefault(all_measures()[name].family, []).append(name)
    best = {
        family: max(names, key=lambda name: kendall_tau(table[name], table["test_loss"]))
        for family, names in families.items()
    }
    for family, name in best.items():
        expected = partial_taus(table[HEADLINE_MEASURE], table["test_loss"], table[name])[0]
        assert partial.loc[family, "tau"] == pytest.approx(expected)
        assert partial.loc[family, "label"] == all_measures()[name].label
    expected = partial_taus(table[HEADLINE_MEASURE], table["test_loss"], table[list(best.values())].to_numpy().T)[0]
    assert partial.loc[comparison.TOGETHER, "tau"] == pytest.approx(expected)
    least = comparison.least_information(table, RANKED, NAMES).set_index("measure")
    found = conditional_information(table["pacbayes_flatness"], table["test_loss"], table[NAMES], NAMES)
    assert least.loc["pacbayes_flatness", "least_information"] == pytest.approx(np.nanmin(found.values))
    gains = comparison.explained_variance(table, RANKED).set_index("measure")
    both = adjusted_r2(np.stack(pair), table["test_loss"])
    assert gains.loc["pacbayes_flatness", "adds_to_prunability"] == pytest.approx(
        both - adjusted_r2(pair[0], table["test_loss"])
    )
    assert gains.loc[HEADLINE_MEASURE, "adds_to_prunability"] == 0


def test_figures_and_words(table: pd.DataFrame, tmp_path: object) -> None:
    shared = comparison.shared_and_predictive(table, RANKED, 0)
    partial = comparison.partial_taus_table(table, RANKED, 0)
    least = comparison.least_information(table, RANKED, NAMES)
    gains = comparison.explained_variance(table, RANKED)
    words = text.comparison(table, RANKED, shared, partial, least, gains)
    assert "Left out: inverse squared margin (undefined on 40 of 40 runs)" in words
    assert f"of {len(usable())}" in words
    for size in (10, 100_000):  # no environment has weight, and most have
        errors, summary = comparison.environment_errors(table, RANKED, NAMES, size)
        assert "nan" not in text.environments(errors, summary, size)
        with style.panels() as (figure, ax):
            figures_comparison.sign_error_curves(ax, errors, summary, "weights")
        style.save(figure, f"errors {size}", tmp_path, summary, PROVENANCE, "digits, n = 12")  # type: ignore[arg-type]
    assert errors.errors.shape[1] > 0
    assert "0.500" in text.table(pd.DataFrame({"a_b": [0.5], "c": ["d"]}))
    assert tables.usable(table, RANKED)[1]["inverse_margin"] == "undefined on 40 of 40 runs"
