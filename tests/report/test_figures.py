import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers import NAMES, PROVENANCE
from prunability.analysis import tables
from prunability.analysis.ranks import kendall_tau
from prunability.measures import HEADLINE_MEASURE, all_measures
from prunability.report.figures import correlation as figures
from prunability.report.figures import style


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.choice([1, 2, 3], 40) for name in NAMES})
    frame["setting"] = np.arange(40) // 2
    frame["run"] = [f"{k:016x}" for k in range(40)]
    for name in [*tables.TARGETS, *all_measures()]:
        frame[name] = rng.uniform(0.1, 1, 40)
    return frame


def draw(table: pd.DataFrame, folder: Path) -> None:
    ranked = tables.ranked_measures()
    correlations = tables.correlations(table, ranked, 0)
    with style.panels() as (figure, ax):
        figures.prunability_scatter(ax, table, correlations[correlations["measure"] == ranked[0]], *NAMES[:2])
    style.save(figure, "scatter", folder, table, PROVENANCE, "digits, n = 12")
    with style.panels(1, 3, width=style.PAGE, height=4, sharey=True) as (figure, axes):
        figures.ranking(axes, correlations, HEADLINE_MEASURE)
    style.save(figure, "ranking", folder, correlations, PROVENANCE, "digits, n = 12")
    with style.panels(2, 3, width=style.PAGE) as (figure, axes):
        figures.scatter_by_hyperparameter(list(axes.flat), table, NAMES)
    style.save(figure, "by_hyperparameter", folder, table, PROVENANCE, "digits, n = 12")
    with style.panels() as (figure, ax):
        figures.tau_grid(ax, tables.granulated(table, ranked, NAMES), HEADLINE_MEASURE)
    style.save(figure, "grid", folder, table, PROVENANCE, "digits, n = 12")
    levels = tables.by_level(table, HEADLINE_MEASURE, "test_loss", NAMES, tables.sample_of(table, 0))
    with style.panels() as (figure, ax):
        figures.tau_by_level(ax, levels, 0.5)
    style.save(figure, "levels", folder, levels, PROVENANCE, "digits, n = 12")
    sizes = tables.size_sweep(table, 0)
    with style.panels(1, 2) as (figure, axes):
        figures.size_panels(axes, table, sizes, *NAMES[:2])
    style.save(figure, "size", folder, table, PROVENANCE, "digits, n = 12")
    with style.panels(1, 2) as (figure, axes):
        figures.tolerance_sweep(axes, sizes, "measure", "Kendall τ")
    style.save(figure, "sweep", folder, sizes, PROVENANCE, "digits, n = 12")


def test_same_records_same_bytes(table: pd.DataFrame, tmp_path: Path) -> None:
    draw(table, tmp_path / "one")
    draw(table.copy(), tmp_path / "two")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(names) == 7 * 5
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_files_hold_numbers_and_provenance(table: pd.DataFrame, tmp_path: Path) -> None:
    draw(table, tmp_path)
    assert json.loads((tmp_path / "sweep.json").read_text()) == PROVENANCE
    numbers = pd.read_csv(tmp_path / "sweep.csv")
    np.testing.assert_allclose(numbers["tau"], tables.size_sweep(table, 0)["tau"])
    assert "digits, n = 12" in (tmp_path / "sweep.svg").read_text()


def test_measures_that_cannot_be_ranked_are_named(table: pd.DataFrame) -> None:
    broken = table.copy()
    broken.loc[3, "inverse_margin"] = np.nan
    broken["pacbayes_flatness"] = 1.0
    kept, why = tables.usable(broken, tables.ranked_measures())
    assert why == {
        "inverse_margin": "undefined on 1 of 40 runs",
        "pacbayes_flatness": "has the same value on all 40 runs",
    }
    assert set(kept) | set(why) == set(tables.ranked_measures())


def test_taus_by_level(table: pd.DataFrame) -> None:
    sample = tables.sample_of(table, 0)
    found = tables.by_level(table, HEADLINE_MEASURE, "test_loss", NAMES, sample)
    assert found["n"].sum() == len(NAMES) * len(table)
    for row in found.to_dict("records"):
        part = table[table[row["hyperparameter"]] == row["level"]]
        assert row["n"] == len(part)
        assert row["tau"] == kendall_tau(part[HEADLINE_MEASURE], part["test_loss"])
        assert row["low"] <= row["tau"] <= row["high"]
    words, least = tables.least_level(table, HEADLINE_MEASURE, "test_loss", NAMES, sample)
    worst = found.iloc[int(found["tau"].argmin())]
    assert (words, least.value) == (f"{worst['hyperparameter'].replace('_', ' ')} {worst['level']:g}", worst["tau"])
    constant = table.assign(**{HEADLINE_MEASURE: 1.0})
    assert tables.least_level(constant, HEADLINE_MEASURE, "test_loss", NAMES, sample)[0] == "none"
