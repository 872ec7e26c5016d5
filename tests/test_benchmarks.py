"""What the benchmarks wrote is what the code says."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import altered, benchmark
from prunability.claims import CLAIMS, scenarios
from prunability.foundation.execution import project_root
from prunability.measures import REGISTRY
from prunability.records.tables import read
from prunability.records.verify import verify
from prunability.studies import open_study
from prunability.training.config import RunConfig

ROOT = project_root()


def test_the_list_of_measures_is_that_of_the_code() -> None:
    results = json.loads((ROOT / "benchmarks" / "results" / "measures.json").read_text())
    assert (ROOT / "MEASURES.md").read_text() == benchmark("measures").measures_page(results["digits"])
    assert {row["function"] for row in results["digits"]["threads"]["1"]["measures"]} == set(REGISTRY)


def test_every_rule_is_calibrated() -> None:
    """Each claim where it is false and where it is true, and the page says what was found."""
    results = json.loads((ROOT / "benchmarks" / "results" / "calibration.json").read_text())
    assert (ROOT / "CALIBRATION.md").read_text() == benchmark("calibration").page(results)
    assert {(row["claim"], row["true"]) for row in results["rows"]} == {
        (k, t) for k in CLAIMS for t in (False, True)
    }
    for row in results["rows"]:
        assert sum(row["shares"].values()) == pytest.approx(1)


def test_what_many_networks_cost_is_said_as_it_was_found() -> None:
    results = json.loads((ROOT / "benchmarks" / "results" / "scale.json").read_text())
    assert (ROOT / "SCALE.md").read_text() == benchmark("scale").page(results)


def test_many_runs_are_stored_carried_and_surveyed(tmp_path: Path) -> None:
    """As the benchmark does, a few of them: no two the same, and all there is whole."""
    module = benchmark("scale")
    module.make(tmp_path, 3)
    costs = {what: module.measured(what, tmp_path, 3) for what in module.WORK}
    assert all(cost.keys() == {"seconds", "processor_seconds", "megabytes"} for cost in costs.values())
    assert read(tmp_path / "table.parquet").records == tuple(module.copies(3))
    assert len({record.checksum for record in module.copies(3)}) == 3
    assert verify(tmp_path / "runs", [tmp_path / "table.parquet"]).faults == []


def test_columns_are_drawn_in_the_shares_asked_for() -> None:
    module = benchmark("calibration")
    case = module.published_case("correlation")
    grid = scenarios.Grid(case, np.random.default_rng(0))
    wanted = scenarios.Shares(0.6, 0.3, 0.1)
    found = []
    for _ in range(40):
        table = case.table.assign(column=grid.column(wanted))
        found.append(scenarios.shares(table, "column", case.hyperparameters))
    np.testing.assert_allclose(np.mean(found, axis=0), wanted, atol=0.06)


def test_the_smoke_test_of_gpus_runs_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every part of it that needs no other images, and what an H100 answered has all of them too."""
    found = tmp_path / "found.jsonl"
    monkeypatch.setattr(sys, "argv", ["gpu_smoke.py", "--out", str(found)])
    benchmark("gpu_smoke").main()
    rows = [json.loads(line) for line in found.read_text().splitlines()]
    assert not [row for row in rows if "failed" in row]
    by_part = {part: [row for row in rows if row["part"] == part] for part in {row["part"] for row in rows}}
    assert all(row[key] for row in by_part["noise"] for key in row if "equal" in key)
    assert [row["graph against eager"] for row in by_part["graphs"][:-1]] == [0.0] * 4
    assert by_part["fleets"][0]["epochs"] == by_part["fleets"][0]["due"]
    measured = by_part["measures"][0]
    assert measured["same to 1e-4"] == measured["measures"] > 0
    published = (ROOT / "benchmarks" / "results" / "gpu_smoke.jsonl").read_text().splitlines()
    assert set(by_part) <= {json.loads(line)["part"] for line in published}


def test_the_halves_of_agreement_are_made_on_two_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_run: RunConfig
) -> None:
    """Here a CPU stands for the GPU, so that the same weights give the same values."""
    module, results = benchmark("agreement"), tmp_path / "results"
    run = altered(small_run, max_epochs=2, precision="float32")
    monkeypatch.setattr(module, "GPU", torch.device("cpu"))
    monkeypatch.setattr(module, "RESULTS", results)
    monkeypatch.setattr(module, "sample", lambda _: [run, run.model_copy(update={"seed": 1})])
    monkeypatch.setattr(module, "SAMPLE", ["one study"])
    monkeypatch.setattr(module, "REGISTRY", {"parameter_norm": REGISTRY["parameter_norm"]})
    for half in ("cpu", "gpu", "gpu"):
        monkeypatch.setattr(sys, "argv", ["agreement.py", str(tmp_path / "carried"), half])
        module.main()
    found = json.loads((results / "agreement.json").read_text())
    assert {tuple(row["pairs"] for row in one["rows"]) for one in found.values()} == {(2, 2, 2, 2)}
    for what, one in found.items():
        worst = max(row["largest difference"] for row in one["rows"])
        assert (worst == 0) == ("GPU" in what)
    # All of it is in the folder as soon as it was found.
    assert len((tmp_path / "carried" / "pairs.jsonl").read_text().splitlines()) == 2 * 6


def test_what_was_found_before_a_kill_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = importlib.import_module("rows")
    monkeypatch.setattr(rows, "RESULTS", tmp_path)

    def killed() -> None:
        with rows.kept("slow") as tell:
            tell({"first": 1})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    (kept,) = tmp_path.iterdir()
    assert json.loads(kept.read_text()) == {"first": 1}
    with rows.kept("slow") as tell:
        tell({"first": 2})
    assert not [*tmp_path.iterdir()]


def test_fleets_are_timed_for_a_number_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    module = benchmark("fleets")
    monkeypatch.setattr(module, "STEPS", 40)
    monkeypatch.setattr(module, "SIZES", (1, 2))
    for ceiling in ("flops", "matrix_rate"):
        monkeypatch.setattr(module, ceiling, lambda *_: 1)
    study = open_study("correlation", "quick", "", 0, ROOT / "data")
    before = torch.get_num_threads()
    try:
        rows = list(module.modes(study, module.SHAPES["quick"][0]))
    finally:
        torch.set_num_threads(before)
    assert [row["mode"] for row in rows] == ["textbook", "one at a time", "fleet of 1", "fleet of 2"]
    # Whole epochs of 31 steps, whatever their loss.
    assert {row["steps"] for row in rows} == {62}
    assert all(row["networks/h"] == pytest.approx(3600 * row["networks"] / row["seconds"]) for row in rows)
