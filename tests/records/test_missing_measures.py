"""Measures that finished runs lack, or have of other code."""

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from prunability.analysis.tables import runs_table
from prunability.cli import app
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import Execution
from prunability.measures import REGISTRY, Measurable, Measure, measure
from prunability.records import workers
from prunability.records.runner import complete, survey
from prunability.records.store import Measured, RunStore
from prunability.records.workers import lacking
from prunability.studies.grid import Study


def test_a_new_measure_needs_no_training(
    study: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = complete(study, execution)
    monkeypatch.setattr(workers, "trained", lambda *_: pytest.fail("trained again"))

    @measure(Measure("largest_weight", "", "norms", ""))
    def largest_weight(run: Measurable) -> dict[str, float]:
        return {"largest_weight": max(t.abs().max().item() for t in run.network.parameters())}

    before = survey(study, execution)
    assert [lacking(record) for record in before.unmeasured] == [["largest_weight"]] * 3
    assert before.seconds_left is not None
    measured = complete(study, execution)
    store = RunStore(execution.runs)
    for record, known in zip(measured, records, strict=True):
        final = store.load_weights(record)[1]
        parameters = [t for name, t in final.items() if not name.endswith(("running_mean", "running_var"))]
        largest = max(t.abs().max().item() for t in parameters if t.is_floating_point())
        assert record.measures["largest_weight"].values == {"largest_weight": largest}
        assert record.measures == known.measures | {"largest_weight": record.measures["largest_weight"]}
    REGISTRY["largest_weight"] = replace(REGISTRY["largest_weight"], version=2)
    assert len(survey(study, execution).unmeasured) == 3
    assert {r.measures["largest_weight"].version for r in complete(study, execution)} == {2}


def test_what_is_no_longer_a_measure_goes_and_what_is_random_has_its_error(
    study: Study, execution: Execution
) -> None:
    record = complete(study, execution)[0]
    error = record.measures["prunability_random"].standard_errors
    assert set(error) == set(record.measures["prunability_random"].values)
    assert record.measures["hessian_trace"].standard_errors["hessian_trace"] > 0
    assert record.measures["path_norm"].standard_errors == {}
    store = RunStore(execution.runs)
    old = {**record.measures, "gone": Measured(1, {"path_norm": -1.0})}
    old["path_norm"] = replace(old["path_norm"], version=0)
    store.path(record.config).unlink()
    store.save(replace(record, measures=old))
    stale = survey(study, execution)
    assert [lacking(unmeasured) for unmeasured in stale.unmeasured] == [["path_norm"]]
    assert np.isnan(runs_table(stale.unmeasured)["path_norm"][0])
    result = CliRunner().invoke(app, ["status", "correlation", "-P", "smoke", "--runs", str(execution.runs)])
    assert "missing on 1 run: path_norm\n" in result.output
    assert complete(study, execution)[0].measures == record.measures


def test_what_is_not_finite_is_undefined(
    study: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = replace(REGISTRY["path_norm"], function=lambda _: {"path_norm": float("nan")})
    monkeypatch.setitem(REGISTRY, "path_norm", broken)
    measured = complete(replace(study, runs=study.runs[:1]), execution)[0].measures["path_norm"]
    assert (measured.values, measured.undefined) == ({}, "path_norm: not a finite number")


def test_what_newer_code_measured_is_refused_and_stays(
    short_runs: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete(short_runs, execution)
    before = [path.read_bytes() for path in sorted(execution.runs.glob("*.json"))]
    monkeypatch.setitem(REGISTRY, "path_norm", replace(REGISTRY["path_norm"], version=0))
    with pytest.raises(PrunabilityError, match="newer code measured path_norm"):
        complete(short_runs, execution)
    assert [path.read_bytes() for path in sorted(execution.runs.glob("*.json"))] == before


def test_a_measure_that_workers_do_not_know_is_missed_and_said(
    short_runs: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was defined in a notebook."""
    complete(short_runs, execution)
    monkeypatch.setitem(REGISTRY, "path_norm", replace(REGISTRY["path_norm"], version=99))
    monkeypatch.setattr(workers, "lacking", lambda _: [])
    with pytest.raises(PrunabilityError, match=r"3 of 3 runs failed.*lacks measures still"):
        complete(short_runs, execution)
