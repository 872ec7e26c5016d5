import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from prunability.config import PrunabilityError, RunConfig
from prunability.measures import TrainedRun
from prunability.store import Measured, Record, RunStore, checksum_of


@pytest.fixture
def store(store_folder: Path, trained: TrainedRun) -> RunStore:
    made = RunStore(store_folder)
    weights = made.save_weights(trained.config, trained.initial, trained.final)
    measures = {"size": Measured(1, {"count": 3.0}), "margin": Measured(2, {}, "not positive")}
    made.save(Record(trained.config, trained.result, measures, weights, {"training": 1.5}, {"device": "cpu"}))
    return made


def test_what_is_saved_loads_back(store: RunStore, trained: TrainedRun) -> None:
    record = store.load(trained.config)
    assert record is not None
    assert record.result == trained.result
    assert record.measures["margin"].undefined == "not positive"
    initial, final = store.load_weights(record)
    assert initial.keys() == trained.initial.keys()
    assert all(torch.equal(final[name], tensor) for name, tensor in trained.final.items())
    assert store.path(trained.config).name == f"{trained.config.hash}.json"


def test_missing_is_none(store: RunStore, small_run: RunConfig) -> None:
    other = RunConfig.model_validate({**small_run.model_dump(), "seed": 9})
    assert store.load(other) is None
    assert not store.has(other)


@pytest.mark.parametrize("keep", [0, 1, 100, -2])
def test_truncated_is_an_error_and_stays(store: RunStore, small_run: RunConfig, keep: int) -> None:
    path = store.path(small_run)
    path.write_bytes(path.read_bytes()[:keep])
    before = path.read_bytes()
    with pytest.raises(PrunabilityError, match=rf"{path.name}.*delete or move"):
        store.load(small_run)
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
def test_edited_is_an_error(store: RunStore, small_run: RunConfig, edit: object) -> None:
    path = store.path(small_run)
    raw = json.loads(path.read_text())
    edit(raw)  # type: ignore[operator]
    path.write_text(json.dumps(raw))
    with pytest.raises(PrunabilityError, match=path.name):
        store.load(small_run)


def test_a_renamed_record_is_an_error(store: RunStore, small_run: RunConfig) -> None:
    other = RunConfig.model_validate({**small_run.model_dump(), "seed": 9})
    store.path(small_run).rename(store.path(other))
    with pytest.raises(PrunabilityError, match="another run"):
        store.load(other)


def test_damaged_weights_are_an_error(store: RunStore, small_run: RunConfig) -> None:
    record = store.load(small_run)
    assert record is not None
    (path,) = store.folder.glob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(PrunabilityError, match="does not match"):
        store.load_weights(record)
    path.unlink()
    assert store.load(small_run) == record
    assert not store.has_weights(small_run)
    with pytest.raises(PrunabilityError, match="not here, only its record"):
        store.load_weights(record)


def test_a_kill_while_writing_leaves_the_old_record(
    store: RunStore, small_run: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = store.load(small_run)
    assert record is not None

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        store.save(replace(record, measures={"more": Measured(1, {})}))
    assert store.load(small_run) == record


def test_checksum_leaves_timings_out(store: RunStore, small_run: RunConfig) -> None:
    record = store.load(small_run)
    assert record is not None
    slower = Record(record.config, record.result, record.measures, record.weights, {"training": 99.0})
    other = Record(record.config, record.result, {}, record.weights, record.seconds)
    assert slower.checksum == record.checksum != other.checksum
    assert checksum_of([record, other]) == checksum_of([other, slower])
