"""Measures that finished runs lack, or have of other code."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from prunability.analysis.tables import runs_table
from prunability.cli import app
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import Execution
from prunability.measures import REGISTRY, Estimated, Measurable, Measure, measure
from prunability.records import tables, workers
from prunability.records.record import Measured, UnusableError
from prunability.records.runner import complete, survey
from prunability.records.schema import document
from prunability.records.store import RunStore
from prunability.records.tables import Origin, Published
from prunability.records.workers import Workplace, current, measure_runs, train_runs
from prunability.report import transfer
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
    assert [run.lacking for run in before.unmeasured] == [("largest_weight",)] * 3
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
    assert [run.lacking for run in stale.unmeasured] == [("path_norm",)]
    assert np.isnan(runs_table([store.load_known(record.config)])["path_norm"][0])
    result = CliRunner().invoke(app, ["status", "correlation", "-P", "smoke", "--runs", str(execution.runs)])
    assert "missing on 1 run: path_norm\n" in result.output
    assert complete(study, execution)[0].measures == record.measures


def test_what_is_not_finite_is_undefined(
    study: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    def infinite(_: Measurable) -> dict[str, Estimated]:
        return {"parameter_count": Estimated(1.0, math.inf)}

    broken = replace(REGISTRY["path_norm"], function=lambda _: {"path_norm": math.nan})
    monkeypatch.setitem(REGISTRY, "path_norm", broken)
    monkeypatch.setitem(REGISTRY, "parameter_count", replace(REGISTRY["parameter_count"], function=infinite))
    (record,) = complete(replace(study, runs=study.runs[:1]), execution)
    for name in ("path_norm", "parameter_count"):
        measured = record.measures[name]
        assert (measured.values, measured.undefined) == ({}, f"{name}: not a finite number")


def test_what_newer_code_measured_is_refused_and_stays(
    short_runs: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete(short_runs, execution)
    before = [path.read_bytes() for path in sorted(execution.runs.glob("*.json"))]
    monkeypatch.setitem(REGISTRY, "path_norm", replace(REGISTRY["path_norm"], version=0))
    with pytest.raises(
        PrunabilityError, match=r"3 records cannot be used:\n(run .*newer code measured path_norm.*\n?){3}$"
    ):
        complete(short_runs, execution)
    # Nor where it comes between survey and work.
    place = Workplace("digits", "cpu", execution.runs, execution.data)
    for work in (train_runs, measure_runs):
        with pytest.raises(UnusableError, match="newer code measured path_norm"):
            work(place, list(short_runs.runs))
    assert [path.read_bytes() for path in sorted(execution.runs.glob("*.json"))] == before


def test_measures_that_this_code_does_not_know_survive_it(
    short_runs: Study, execution: Execution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saved, carried, published and measured on by code that is older than what made them."""
    records = complete(short_runs, execution)
    store, of_newer = RunStore(execution.runs), {"path_entropy": Measured(1, {"path_entropy": 2.5}, None, {})}
    for record in records:
        store.save(replace(record, measures=of_newer))
    monkeypatch.setitem(REGISTRY, "path_norm", replace(REGISTRY["path_norm"], version=99))
    assert complete(short_runs, execution)[0].measures.keys() == REGISTRY.keys()
    both = [found for run in short_runs.runs if (found := store.load(run))]
    assert all(record.measures.keys() == REGISTRY.keys() | of_newer.keys() for record in both)
    origin = Origin("correlation", "smoke", 0, 3, "0" * 64, short_runs.data)
    file, there = tmp_path / "carried.parquet", execution.model_copy(update={"runs": tmp_path / "there"})
    tables.write(file, Published(origin, tuple(survey(short_runs, execution).done)))
    assert tables.read(file).records == tuple(both)
    assert "does not know" in document(tables.read(file))
    # Onto nothing, onto the same training with fewer measures, and onto whole ones.
    first = RunStore(there.runs)
    first.save(replace(both[1], measures={}))
    first.save(replace(both[2], measures={name: both[2].measures[name] for name in REGISTRY}))
    assert transfer.add_to_store(file, there) == (2, 1)
    assert [first.load(run) for run in short_runs.runs] == both
    # Another training takes no place that it cannot fill; nor is one begun.
    other = [replace(record, weights="0" * 64, measures=current(record).measures) for record in both]
    wanting = replace(both[0], measures=of_newer)
    first.path(wanting.config).unlink()
    first.save(wanting)
    tables.write(file, Published(origin, tuple(other)))
    assert transfer.add_to_store(file, there) == (0, 3)
    assert first.load(wanting.config) == wanting
    with pytest.raises(PrunabilityError, match=r"1 record cannot be used: run .*would lose .*\(path_entropy\)"):
        complete(short_runs, there)
    assert first.load(wanting.config) == wanting


def test_a_published_table_loses_no_measure_that_this_code_does_not_know(
    made: tuple[Study, Execution], table: Published, fresh: Execution
) -> None:
    study, execution = made
    here = execution.model_copy(update={"results": fresh.results})
    known = replace(
        table.records[1], measures=table.records[1].measures | {"path_entropy": Measured(1, {"path_entropy": 2.5})}
    )
    transfer.publish(replace(table, records=(known,)), here)
    assert transfer.finished(study, 0, here).records[1] == known
    transfer.publish(replace(table, records=(replace(known, weights="0" * 64),)), here)
    with pytest.raises(PrunabilityError, match=r"the published table has measures of it .*\(path_entropy\)"):
        transfer.finished(study, 0, here)


def test_a_measure_that_workers_do_not_know_is_missed_and_said(
    short_runs: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was defined in a notebook."""
    complete(short_runs, execution)
    monkeypatch.setitem(REGISTRY, "path_norm", replace(REGISTRY["path_norm"], version=99))
    monkeypatch.setattr(workers, "lacking", lambda *_: [])
    with pytest.raises(PrunabilityError, match=r"(?s)3 of 3 runs failed.*lacks measures still"):
        complete(short_runs, execution)
