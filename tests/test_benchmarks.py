"""What the benchmarks wrote is what the code says."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers import benchmark
from prunability.claims import CLAIMS, scenarios
from prunability.foundation.execution import project_root
from prunability.measures import REGISTRY

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
    assert [row["graph against eager"] for row in by_part["graphs"][:-1]] == [0.0, 0.0]
    assert by_part["fleets"][0]["epochs"] == by_part["fleets"][0]["due"]
    measured = by_part["measures"][0]
    assert measured["same to 1e-4"] == measured["measures"] > 0
    published = (ROOT / "benchmarks" / "results" / "gpu_smoke.jsonl").read_text().splitlines()
    assert set(by_part) <= {json.loads(line)["part"] for line in published}
