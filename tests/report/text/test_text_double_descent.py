"""What the notebook on double descent says."""

from pathlib import Path

import pandas as pd
import pytest
from synthetic import DESCENT, width_runs

from prunability import studies
from prunability.analysis import tables, widths
from prunability.claims import CLAIMS, Case
from prunability.measures import HEADLINE_MEASURE
from prunability.measures.pruning import name_of
from prunability.measures.search import HEADLINE, TOLERANCES
from prunability.report.text import double_descent as text
from prunability.studies import Study

RELATIVE = name_of("magnitude", tables.RELATIVE)


def cells(said: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.splitlines() if line.startswith("|")]


def finished(study: Study) -> pd.DataFrame:
    rows = [(run.hash, run.setting("width"), run.seed) for run in study.runs]
    table = pd.DataFrame(rows, columns=["run", "width", "seed"])
    return table.assign(status="not converged", reason="", stop_at_target=False, steps=3000)


def test_the_networks_are_those_of_the_widths(tmp_path: Path) -> None:
    study = studies.open_study("double-descent", "quick", "", 0, tmp_path)
    table, first = finished(study), study.runs[0]
    grid = table["run"].isin(study.parts["grid"])
    table.loc[table[grid].index[:3], "status"] = "converged"
    said = text.networks_of_widths(study, table)
    assert f"MLP(width) of width {', '.join(map(str, sorted(table[grid]['width'].unique())))}, " in said
    assert f"with probability {first.data.label_noise:g}" in said
    assert f"{first.training.optimiser}* with learning rate {first.training.learning_rate:g}" in said
    assert f"3 of these {grid.sum()} networks end with" in said
    assert f"there are {len(table)} networks" in said
    assert "None diverged" in said
    assert "crops" not in said
    table.loc[0, ["status", "reason"]] = ["diverged", "a loss"]
    assert "Left out: 1 diverged: a loss." in text.networks_of_widths(study, table)


def test_augmented_residual_networks_are_called_so(tmp_path: Path) -> None:
    profile = studies.find_profile("double-descent", "paper")
    facts = studies.open_study("double-descent", "quick", "", 0, tmp_path).data._replace(train=50_000)
    study = studies.expand("double-descent", "paper", profile, None, facts, 0)
    said = text.networks_of_widths(study, finished(study))
    assert "ResNet18(k) of width" in said
    assert "random crops and flips" in said


def test_a_double_descent() -> None:
    table = width_runs()
    found = widths.peak(table, "test_loss")
    assert found is not None
    said = text.descent(table)
    assert f"interpolate from width {widths.interpolation_threshold(table)} on" in said
    assert f"width {found.before}, the test loss rises to an interior peak at width {found.at}" in said
    assert f"by {found.prominence.words(3)} nats (plus and minus {widths.STANDARD_ERRORS} standard" in said
    assert f"The test error peaks at width {found.at}" in said
    assert "cannot decide" not in said
    assert "no such peak" in text.descent(table.assign(test_error=0.3))
    assert "do not interpolate" in text.descent(table.assign(train_error=0.3))


@pytest.mark.parametrize(
    ("losses", "noise", "expected"),
    [
        (DESCENT[:2], 0.01, "too few widths for a peak"),
        ([1.5, 1.2, 1.0, 0.8], 0.0, "no interior maximum"),
        (DESCENT, 3.0, "no interior peak** that stands out from its noise: the most prominent, at width"),
        ([1.0, 1.2, 2.0, 1.0, 0.7], 0.01, "does not fall out of its noise before it rises from width 1"),
    ],
)
def test_what_is_no_double_descent(losses: list[float], noise: float, expected: str) -> None:
    """What the notebook says is what the claim is judged by."""
    table = width_runs(losses, noise=noise)
    said = text.descent(table)
    assert expected in said
    case = Case(table, tables.sample_of(table, 0), ("width",), True)
    finding = CLAIMS["C3"].judge(case)
    assert finding.verdict in ("cannot decide", "insufficient n")
    assert finding.undecided
    assert ("cannot decide C3" in said) == (len(losses) > 2)


def test_halves() -> None:
    table = width_runs()
    table[RELATIVE] = -table["test_loss"]
    taus = widths.correlations(table, [HEADLINE_MEASURE, RELATIVE, "path_norm"], 0)
    head, _, *rows = cells(text.halves(taus))
    assert head[2:4] == [f"τ, {HEADLINE.label}", f"τ, {tables.RELATIVE.label}"]
    parts = widths.halves(table, widths.interpolation_threshold(table))
    assert [(row[0], int(row[1])) for row in rows] == [(half, len(part)) for half, part in parts.items()]
    shown = taus[(taus["measure"] == HEADLINE_MEASURE) & (taus["target"] == taus["target"].iloc[0])]
    found = dict(zip(shown["half"], shown["tau"], strict=True))
    for row in rows:
        assert row[2].split()[0] == f"{found[row[0]]:.2f}"
        assert row[3].split()[0] == "−1.00"
        assert row[4] == HEADLINE.label
    better = text.halves(taus.assign(tau=-taus["tau"]))
    assert {row[4] for row in cells(better)[2:]} == {tables.RELATIVE.label}
    alone = text.halves(taus[taus["measure"] != RELATIVE])
    assert {(row[3], row[4]) for row in cells(alone)[2:]} == {("undefined", "–")}


def test_what_tolerances_admit() -> None:
    losses = {"narrow": 0.5, "wide": 0.002}
    rows = [(n, t.label, loss, t.limit(loss), 0.25) for n, loss in losses.items() for t in TOLERANCES]
    said = text.tolerances_admitted(pd.DataFrame(rows, columns=["network", "tolerance", "loss", "limit", "answer"]))
    head, _, *lines = cells(said)
    assert head[1:] == ["narrow, loss 0.5 nats", "wide, loss 0.002 nats"]
    for tolerance, line in zip(TOLERANCES, lines, strict=True):
        assert line[0] == tolerance.label
        for loss, cell in zip(losses.values(), line[1:], strict=True):
            assert cell == f"{tolerance.limit(loss) - loss:.2g} nats more: 0.25"


@pytest.mark.parametrize(("seeds", "words"), [(1, "1 seed each"), (4, "4 seeds each")])
def test_along_training(seeds: int, words: str) -> None:
    runs = width_runs(seeds=seeds).rename(columns={"width": "max_epochs", "max_epochs": "width"})
    curves = widths.curves(runs, "max_epochs", ["test_loss", HEADLINE_MEASURE])
    said = text.along_training(runs, curves, {"test_loss": "the loss", HEADLINE_MEASURE: "prunability"})
    assert f"{len(DESCENT)} lengths of training, {words}" in said
    found = widths.peak(runs, "test_loss", "max_epochs")
    assert found is not None
    # Of one seed nothing is known of the noise.
    assert found.real == (seeds > 1)
    assert (f"peak after {found.at} epochs, by {found.prominence.words(3)} nats" in said) == found.real
    assert ("**no** interior peak" in said) != found.real
    means = runs.groupby("max_epochs")["test_loss"].mean()
    (row,) = [row for row in cells(said) if row[0] == "the loss"]
    for cell, place in zip(row[1:], (means.idxmin(), means.idxmax(), means.index[-1]), strict=True):
        assert cell == f"{means[place]:.3g} after {place} epochs"


def test_without_runs_of_other_lengths_that_is_said() -> None:
    none = width_runs().iloc[:0]
    assert "No run of another length" in text.along_training(
        none, widths.curves(none, "max_epochs", ["test_loss"]), {}
    )
