"""What the examples of CONTRIBUTING.md do once they are added: run in a copy by ``test_contributing.py``."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest

from helpers import benchmark
from prunability.analysis.tables import compared, runs_table
from prunability.claims import CLAIMS, case_of, of_study
from prunability.foundation.execution import Execution, project_root
from prunability.measures import HEADLINE_MEASURE
from prunability.records.runner import complete
from prunability.records.sources import choose, gather
from prunability.studies import open_study

ROOT = project_root()


def test_the_study_is_trained_and_measured_and_the_notebook_draws_the_figure(tmp_path: Path) -> None:
    """The new networks, on the new images, with the new measure in their table."""
    execution = Execution(device="cpu", workers=1, runs=tmp_path / "runs", data=tmp_path, results=tmp_path)
    records = complete(open_study("stripes", "smoke", "", 0, tmp_path), execution)
    assert {record.config.network.kind for record in records} == {"two-layer"}
    assert {record.result.status for record in records} == {"converged"}
    notebook = nbformat.read(ROOT / "notebooks" / "04_stripes.ipynb", as_version=4)
    _, parameters, *cells = [cell.source for cell in notebook.cells]
    space: dict[str, Any] = {}
    exec(parameters, space)
    space |= {"profile": "smoke", "figures": str(tmp_path / "figures"), "runs": str(tmp_path / "runs")}
    for cell in cells:
        exec(cell, space)
    numbers = pd.read_csv(tmp_path / "figures" / "largest_by_width.csv")
    assert len(numbers) == len(records)
    assert np.isfinite(numbers["largest_weight"]).all()
    assert next((tmp_path / "figures").glob("largest_by_width.png")).stat().st_size > 0


def test_published_tables_outlive_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the new measure's column lacks is said once; all else is there, and the new claim is judged on it."""
    execution = Execution(device="cpu", workers=1, runs=tmp_path, data=tmp_path, results=ROOT / "results")
    chosen = choose("correlation", "quick", "", 0, "published", execution)
    found = gather(chosen, execution)
    assert found.words.count("largest weight") == 1
    assert found.missing == 0
    table = compared(runs_table(found.records))
    assert table["largest_weight"].isna().all()
    assert table[HEADLINE_MEASURE].notna().all()
    case = case_of(chosen.study, table, 0)
    assert "X1" in {claim.id for claim in of_study("correlation")}
    finding = CLAIMS["X1"].judge(replace(case, sample=replace(case.sample, resamples=200, seed_resamples=0)))
    assert finding.verdict in ("supported", "not supported", "inconclusive")
    calibration = benchmark("calibration")
    monkeypatch.setattr(calibration, "RESAMPLES", 200)
    for scenario in CLAIMS["X1"].scenarios:
        verdicts = calibration.simulated(case, CLAIMS["X1"], scenario, 3)
        assert verdicts["supported"] == (3 if scenario.true else 0)
