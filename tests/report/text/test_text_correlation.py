"""What the correlation study's notebook says."""

import numpy as np
import pandas as pd
import pytest
from synthetic import HYPERPARAMETERS, correlation_runs

from prunability import studies
from prunability.analysis import tables
from prunability.analysis.ranks import kendall_tau
from prunability.analysis.reliability import share_between_settings, tau_of_two_trainings
from prunability.analysis.resampling import Estimate
from prunability.claims.criteria import STRONG
from prunability.measures import HEADLINE_MEASURE, all_measures
from prunability.report.text import correlation as text


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return correlation_runs()


def test_the_networks_are_those_of_the_grid(tmp_path: object) -> None:
    study = studies.open_study("correlation", "quick", "", 0, tmp_path)  # type: ignore[arg-type]
    said = text.networks_of_grid(study)
    grid = studies.find_profile("correlation", "quick").grid
    assert f"{len(study.runs)} networks on {study.runs[0].data.n_train} training images" in said
    assert f"learning rate {{{', '.join(f'{v:g}' for v in sorted(grid['learning_rate']))}}}" in said
    assert f"{len(grid['seed'])} seeds a setting" in said
    assert f"at most {study.runs[0].training.target_loss:g} nats" in said
    alone = studies.open_study("correlation", "narrow", "", 0, tmp_path)  # type: ignore[arg-type]
    assert "1 seed a setting" in text.networks_of_grid(alone)


def test_convergence(table: pd.DataFrame) -> None:
    said = text.convergence(table)
    assert f"{len(table)} of {len(table)} networks converged" in said
    assert f"{table['test_loss'].min():.3f} to {table['test_loss'].max():.3f} nats" in said
    assert "None is left out" in said
    lost = table.assign(status=["diverged", "not converged", *["converged"] * (len(table) - 2)])
    lost["reason"] = ["a loss", "epochs", *[""] * (len(table) - 2)]
    said = text.convergence(lost)
    assert f"{len(table) - 2} of {len(table)} networks" in said
    assert "1 diverged: a loss; 1 not converged: epochs" in said


def test_reliability(table: pd.DataFrame) -> None:
    lines = text.reliability(table).splitlines()
    for line, (target, title) in zip(lines[2:], tables.TARGETS.items(), strict=True):
        assert title in line
        assert str(share_between_settings(table[target], table["setting"])) in line
        assert f"{tau_of_two_trainings(table[target], table['setting'], table['seed']):.3f}" in line
    assert "one seed a setting" in text.reliability(correlation_runs(seeds=1))


def test_ranking(table: pd.DataFrame) -> None:
    ranked = tables.ranked_measures()
    wrong = table.assign(path_norm=-table["test_loss"], parameter_norm=-table["test_loss"])
    wrong["parameter_count"] = -table["test_loss"]
    found = tables.correlations(wrong, ranked, 0)
    said = text.ranking(found, wrong, ranked)
    for target, title in tables.TARGETS.items():
        taus = {name: kendall_tau(wrong[name], wrong[target]) for name in ranked}
        rivals = [name for name in ranked if all_measures()[name].of_prunability != "variant"]
        place = sum(taus[name] > taus[HEADLINE_MEASURE] for name in rivals) + 1
        words = (
            f"number {place} of {len(rivals) + 1}, its own variants not counted, τ = {taus[HEADLINE_MEASURE]:.2f}"
        )
        assert f"{title}: prunability is {words}" in said
        assert f"highest is {all_measures()[max(taus, key=lambda name: taus[name])].label}" in said
    below = found[(found["target"] == "test_loss") & (found["high"] < 0)]["measure"]
    growing = [name for name in below if kendall_tau(wrong[name], wrong["parameter_count"]) > STRONG.value]
    assert {"path_norm", "parameter_norm", "parameter_count"} <= set(growing)
    assert f"{len(below)} measures order these networks the wrong way" in said
    assert f"{len(growing)} of them grow" in said
    assert "Left out" not in said


def test_a_target_that_is_the_same_everywhere_ranks_nothing(table: pd.DataFrame) -> None:
    """As the test error is on images that every network tells apart."""
    easy, ranked = table.assign(test_error=0.0), tables.ranked_measures()
    lines = text.ranking(tables.correlations(easy, ranked, 0), easy, ranked).splitlines()
    told = {title: line for title in tables.TARGETS.values() for line in lines if line.startswith(f"- {title}: ")}
    assert set(told) == set(tables.TARGETS.values())
    same = {title for title, line in told.items() if "nothing can be ranked" in line}
    assert same == {tables.TARGETS["test_error"]}


def test_what_cannot_be_ranked_is_said(table: pd.DataFrame) -> None:
    ranked = ["inverse_margin", HEADLINE_MEASURE, "path_norm"]
    broken = table.assign(inverse_margin=np.nan, path_norm=table["test_loss"], **{HEADLINE_MEASURE: 0.5})
    said = text.ranking(tables.correlations(broken, ranked, 0), broken, ranked)
    assert said.count("prunability has no rank") == len(tables.TARGETS)
    assert "wrong way round" not in said
    for name in ranked[:2]:
        (line,) = [
            line for line in said.splitlines() if line.startswith(f"- Left out: {all_measures()[name].label}")
        ]
        assert f"{len(table)} " in line


def test_lowest_level(table: pd.DataFrame) -> None:
    sample = tables.sample_of(table, 0)
    levels = tables.by_level(table, HEADLINE_MEASURE, "test_loss", HYPERPARAMETERS, sample)
    worst = levels.iloc[int(levels["tau"].argmin())]
    said = text.lowest_level(levels, 0.5)
    assert "τ = 0.50" in said
    assert f"{worst['hyperparameter']} {worst['level']:g}" in said
    assert str(Estimate(worst["tau"], worst["low"], worst["high"])) in said
    assert "no level" in text.lowest_level(levels.assign(tau=np.nan), 0.5)


def test_bounds(table: pd.DataFrame) -> None:
    names = [name for name, measure in all_measures().items() if measure.family == "bounds"]
    first, rest = names[0], names[1:]
    values = np.linspace(0.5, 2.0, len(table))
    said = text.bounds(table.assign(**{first: values}, **dict.fromkeys(rest, np.nan)))
    assert f"at most 0.5 to 2.0; {(values >= 1).sum()} of {len(table)} say nothing" in said
    assert not [name for name in rest if all_measures()[name].label in said]
    assert f"{table['test_error'].min():.3f} to {table['test_error'].max():.3f}" in said
