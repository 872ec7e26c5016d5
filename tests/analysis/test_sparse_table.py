"""The table of sparse networks, against what their weights say."""

from pathlib import Path

import numpy as np
import pytest

from prunability.analysis.sparse import sparse_table
from prunability.foundation.execution import Execution
from prunability.records.runner import complete
from prunability.records.store import RunStore
from prunability.studies import open_study


def test_the_smoke_profile_as_a_table(tmp_path: Path) -> None:
    """Densities, distances and prunability of each run from its weights; a row a run and part."""
    execution = Execution(device="cpu", workers=1, runs=tmp_path / "runs", data=tmp_path, results=tmp_path)
    study = open_study("sparse", "smoke", "", 0, tmp_path)
    records = {record.config.hash: record for record in complete(study, execution)}
    table = sparse_table(list(records.values()), study.parts)
    assert len(table) == sum(map(len, study.parts.values()))
    assert set(zip(table["part"], table["run"], strict=True)) == {
        (p, run) for p, own in study.parts.items() for run in own
    }
    assert set(table["kind"]) == {"dense", "ticket", "child", "static"}
    store = RunStore(execution.runs)
    for row in table.to_dict("records"):
        record = records[row["run"]]
        initial, final = store.load_weights(record)
        names = [name for name, own in final.items() if name.endswith("weight") and own.dim() > 1]
        left = sum(int(((initial[name] != 0) | (final[name] != 0)).sum()) for name in names)
        total = sum(final[name].numel() for name in names)
        squares = sum((final[name].double() - initial[name].double()).square().sum().item() for name in names)
        assert (row["kept"], row["density"]) == (left, left / total)
        assert row["learning_distance"] == pytest.approx(squares**0.5)
        assert row["test_loss"] == record.result.test_loss
        # What a mask zeroed ranks last: more than what is left is never kept.
        assert row["prunability"] <= np.ceil(row["density"] * 200) / 200
        assert row["prunability_of_left"] == pytest.approx(min(1, row["prunability"] * total / left))
        assert row["density"] == 1 or row["kind"] in ("ticket", "static")
    chain = table[(table["part"] == "tickets") & (table["rewind"] == 0)]
    by_round = chain.groupby("round")["density"].first()
    assert by_round.is_monotonic_decreasing
    assert by_round.iloc[-1] <= 0.03
