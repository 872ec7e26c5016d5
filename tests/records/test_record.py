"""What is read of a record's file, and what is said of one that cannot be."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import project_root
from prunability.foundation.files import digest
from prunability.records.record import Glance, Measured, Record
from prunability.records.store import RunStore
from prunability.records.tables import find
from prunability.training.config import RunConfig

Reading = Callable[[RunStore, RunConfig], Record | Glance | None]


@pytest.fixture(params=[RunStore.load, RunStore.glance])
def reading(request: pytest.FixtureRequest) -> Reading:
    """Either way in which the store reads a record."""
    way: Reading = request.param
    return way


def test_a_glance_is_of_the_record(store: RunStore, small_run: RunConfig) -> None:
    record, seen = store.load(small_run), store.glance(small_run)
    assert record is not None
    assert seen is not None
    assert (seen.result.status, seen.result.reason) == (record.result.status, record.result.reason)
    for name in ("config", "weights", "seconds", "environment", "curves"):
        assert getattr(seen, name) == getattr(record, name)
    versions = {name: measured.version for name, measured in record.measures.items()}
    assert versions == {name: measured.version for name, measured in seen.measures.items()}


@pytest.mark.parametrize("keep", [0, 1, 100, -2])
def test_truncated_is_an_error_and_stays(
    store: RunStore, small_run: RunConfig, reading: Reading, keep: int
) -> None:
    path = store.path(small_run)
    path.write_bytes(path.read_bytes()[:keep])
    before = path.read_bytes()
    with pytest.raises(PrunabilityError, match=rf"{path.name}.*delete or move"):
        reading(store, small_run)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "edit",
    [
        lambda raw: raw["result"].update(test_loss=0.0),
        lambda raw: raw["measures"]["size"]["values"].update(count=4.0),
        lambda raw: raw["config"].update(seed=5),
        lambda raw: raw.update(checksum="0" * 64),
        lambda raw: raw.pop("checksum"),
        lambda raw: raw.pop("result"),
        lambda raw: raw.update(seconds={}),
    ],
)
def test_edited_is_an_error(
    store: RunStore, small_run: RunConfig, reading: Reading, edit: Callable[[Any], object]
) -> None:
    path = store.path(small_run)
    raw = json.loads(path.read_text())
    edit(raw)
    path.write_text(json.dumps(raw))
    with pytest.raises(PrunabilityError, match=path.name):
        reading(store, small_run)


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda raw: raw.pop("weights"), r"weights: Field required \(by newer code, perhaps\)\. It is not used"),
        (lambda raw: raw.update(colour="red"), "colour: Unexpected keyword argument .got 'red'"),
        (lambda raw: raw["result"].update(steps=1.5), "result.steps: Input should be a valid integer.* .got 1.5"),
        (lambda raw: raw["result"].update(status="lost"), "result.status: Input should be 'converged'"),
        (lambda raw: raw["result"].pop("curve"), "result.curve: Field required"),
        (lambda raw: raw["result"].update(curve=[[0.1]]), "result.curve.0.1: Field required"),
        (lambda raw: raw["config"]["network"].update(width=0), "config.network.nin.width: Input should be greater"),
        (lambda raw: raw["measures"]["size"].update(unit="one"), "measures.size.unit: Unexpected keyword argument"),
        (lambda raw: raw["measures"]["size"]["values"].update(count="many"), "measures.size.values.count: Input"),
    ],
)
def test_what_is_wrong_in_a_record_is_said(
    store: RunStore, small_run: RunConfig, edit: Callable[[Any], object], why: str
) -> None:
    """Of a record that is whole, but written by other code."""
    path = store.path(small_run)
    raw = json.loads(path.read_text())
    del raw["checksum"]
    edit(raw)
    path.write_text(json.dumps(raw | {"checksum": digest(raw)}))
    with pytest.raises(PrunabilityError, match=rf"{path.name}: {why}"):
        store.load(small_run)
    if "measures.size." in why or (
        "result." in why and "status" not in why
    ):  # a glance takes the checksum's word for these
        assert store.glance(small_run)
        return
    with pytest.raises(PrunabilityError, match=rf"{path.name}: ({why}|it is the record of another run)"):
        store.glance(small_run)


@pytest.mark.parametrize("content", ["[]", "3", "null", '{"checksum": NaN}', '{"checksum": "", "x": NaN}', "\xff"])
def test_what_is_no_record_is_an_error(
    store: RunStore, small_run: RunConfig, reading: Reading, content: str
) -> None:
    store.path(small_run).write_text(content, encoding="latin-1")
    with pytest.raises(PrunabilityError, match=rf"{store.path(small_run).name}: (it is not|its content)"):
        reading(store, small_run)


def test_reading_changes_no_byte(store: RunStore, small_run: RunConfig, tmp_path: Path) -> None:
    """Neither of a fresh record nor of published ones, saved anew from what was read."""
    table = find(project_root() / "results", "correlation", "quick")
    assert table is not None
    first, second = RunStore(tmp_path / "first"), RunStore(tmp_path / "second")
    fresh = store.load(small_run)
    assert fresh is not None
    for record in (fresh, *table.records[::20]):
        first.save(record)
        read = first.load(record.config)
        assert read == record
        second.save(read)
        assert first.path(record.config).read_bytes() == second.path(record.config).read_bytes()
    assert first.path(small_run).read_bytes() == store.path(small_run).read_bytes()


def test_a_record_written_with_indents_is_read(store: RunStore, small_run: RunConfig) -> None:
    """As every one was before; it is written as now when something is added."""
    path, record = store.path(small_run), store.load(small_run)
    assert record is not None
    path.write_text(json.dumps(dict(sorted(json.loads(path.read_text()).items(), reverse=True)), indent=1) + "\n")
    before = path.read_bytes()
    assert store.load(small_run) == record == store.save(record)
    assert path.read_bytes() == before
    assert store.save(replace(record, measures={"new": Measured(1, {})})) == store.load(small_run)
    assert path.read_bytes().count(b"\n") == 1


def test_a_renamed_record_is_an_error(store: RunStore, small_run: RunConfig, reading: Reading) -> None:
    other = RunConfig.model_validate({**small_run.model_dump(), "seed": 9})
    store.path(small_run).rename(store.path(other))
    with pytest.raises(PrunabilityError, match="another run"):
        reading(store, other)
