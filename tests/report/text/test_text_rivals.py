"""What the notebook on prunability's rivals says."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from synthetic import HYPERPARAMETERS, correlation_runs

from prunability.analysis.information import pair_information
from prunability.analysis.resampling import Estimate
from prunability.analysis.tables import sample_of
from prunability.claims import Case, rivals
from prunability.claims.shared import LITTLE
from prunability.measures import HEADLINE_MEASURE, all_measures
from prunability.report.text import rivals as text

RANKED = [HEADLINE_MEASURE, "inverse_margin", "pacbayes_magnitude_flatness", "sum_of_training_losses", "path_norm"]
RANKED += ["parameter_norm", "mean_margin" if "mean_margin" in all_measures() else "negative_mean_margin"]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return correlation_runs(compression_bound=np.nan)


def test_of_a_long_table_the_best_are_shown_and_prunability() -> None:
    names = ["a", "b", "c", "d", "e", "f", "g", HEADLINE_MEASURE, "i"]
    least = pd.DataFrame({"measure": names, "label": [f"label {name}" for name in names], "family": "norms"})
    least = least.assign(least_information=np.linspace(0.9, 0.1, 9), given="depth and batch_size")
    lines = text.most_information(least.iloc[::-1]).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["1", "2", "3", "4", "5", "8"]
    assert [line.split("|")[2].strip() for line in lines[2:]][-1] == f"label {HEADLINE_MEASURE}"
    assert f"{0.9 - 7 / 8 * 0.8:.3f}" in lines[-1]
    assert "batch size" in lines[-1]
    # Among the best, or without a rank, it takes no line of its own.
    assert len(text.most_information(least.iloc[5:]).splitlines()) == 2 + 4
    assert len(text.most_information(least.iloc[:7]).splitlines()) == 2 + text.SHOWN


def test_comparison(table: pd.DataFrame) -> None:
    case = Case(table, sample_of(table, 0), HYPERPARAMETERS, True, tuple(RANKED))
    shared, partial = rivals.shared_and_predictive(case, RANKED), rivals.partial_table(case)
    gains = rivals.explained_variance(table, RANKED)
    said = text.comparison(table, [*RANKED, "compression_bound"], shared, partial, gains)
    information = dict(zip(RANKED[1:], pair_information(table[RANKED].to_numpy().T)[0][0, 1:], strict=True))
    for chosen in (max, min):
        name = chosen(information, key=lambda name: information[name])
        assert all_measures()[name].label in said
        assert f"({information[name]:.2f}" in said
    rows = partial[partial["target"] == "test_loss"].set_index("given")
    for given in ("nothing", "all three"):
        assert str(Estimate(*rows.loc[given, ["association", "low", "high"]])) in said
    most = gains[gains["measure"] != HEADLINE_MEASURE].sort_values("adds_to_prunability").iloc[-1]
    assert f"{most['label']} adds most" in said
    assert f"{most['adds_to_prunability']:+.2f}" in said
    assert (
        f"Left out: {all_measures()['compression_bound'].label} (no value on {len(table)} of {len(table)}" in said
    )


def test_environments(table: pd.DataFrame) -> None:
    for size, weighted in ((10, False), (100_000, True)):
        errors, summary = rivals.environment_errors(table, RANKED, HYPERPARAMETERS, size)
        assert bool(errors.errors.shape[1]) == weighted
        said = text.environments(errors, summary, size)
        assert f"{errors.errors.shape[1]} of {errors.errors.shape[1] + errors.left_out}" in said
        assert f"{errors.effective:.1f}" in said
        own = summary[summary["measure"] == HEADLINE_MEASURE].iloc[0]
        assert (f"mean {own['mean']:.2f}" in said) == weighted
        assert (f"maximum {own['maximum']:.2f}" in said) == weighted
    # With one pair an environment the two ends say nothing; without prunability there is nothing to say.
    single = replace(errors, pairs=np.ones_like(errors.pairs))
    assert "maximum" not in text.environments(single, summary, size)
    assert "mean" not in text.environments(errors, summary[summary["measure"] != HEADLINE_MEASURE], size)


def test_the_threshold_of_c6_as_a_tau() -> None:
    tau = float(text.information_as_tau().split("|τ| = ")[1].rstrip("."))
    p = (1 + tau) / 2
    assert 1 + p * np.log2(p) + (1 - p) * np.log2(1 - p) == pytest.approx(LITTLE.value, abs=0.01)
