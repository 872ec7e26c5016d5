import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunability.foundation.errors import PrunabilityError
from prunability.measures import TrainedRun
from prunability.records.locks import claimed
from prunability.records.record import Measured, Record, checksum_of
from prunability.records.store import RunStore
from prunability.training.config import RunConfig
from prunability.training.course import Result


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
    assert store.glance(other) is None


def test_runs_that_come_are_counted(store: RunStore, trained: TrainedRun, small_run: RunConfig) -> None:
    others = [RunConfig.model_validate({**small_run.model_dump(), "seed": seed}) for seed in (8, 9)]
    come = store.coming([trained.config, *others])
    assert come() == 0
    store.path(others[1]).touch()
    assert come() == 1


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
    assert not store.has_weights(record)
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


RESULT = Result("converged", "", 1, 1, 0.1, 0.1, 0.0, 0.2, 0.1, [(0.1, 0.1)])
VERSIONS = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 3))
CURVES = st.sets(st.sampled_from(["magnitude_25", "random_25"]))


def part(config: RunConfig, versions: dict[str, int], curves: set[str] = frozenset()) -> Record:  # type: ignore[assignment]
    """What a measurer knows of a run: each value tells its version, and so do the seconds it took."""
    measures = {name: Measured(version, {name: float(version)}) for name, version in versions.items()}
    seconds = {"training": 1.0} | {name: float(version) for name, version in versions.items()}
    return Record(config, RESULT, measures, "0" * 64, seconds, curves={name: [0.5] for name in curves})


def test_a_folder_in_a_checkpoints_place_fails_no_run(store: RunStore, small_run: RunConfig) -> None:
    record = store.load(small_run)
    assert record is not None
    store.checkpoint(small_run).mkdir()
    more = replace(record, measures={"new": Measured(1, {"x": 1.0})})
    assert "new" in store.save(more).measures
    assert store.checkpoint(small_run).is_dir()


def test_what_is_in_a_locks_place_is_named(store: RunStore, small_run: RunConfig, tmp_path: Path) -> None:
    record = store.load(small_run)
    assert record is not None
    (lock,) = (store.folder / "locks").glob("*.writing")
    lock.unlink()
    lock.mkdir()
    with pytest.raises(PrunabilityError, match=rf"{lock.name}: no lock can be there; move it away"):
        store.save(record)
    (store.folder / "locks" / f"{small_run.hash}.working").symlink_to(f"{small_run.hash}.working")
    with (
        pytest.raises(PrunabilityError, match=r"working: no lock can be there; move it away"),
        claimed(store.folder, [small_run]),
    ):
        pytest.fail("it was claimed")
    shutil.rmtree(store.folder / "locks")
    (store.folder / "locks").touch()
    with pytest.raises(PrunabilityError, match=r"no lock can be there; move it away"):
        store.save(record)


@settings(max_examples=40, deadline=None)
@given(saves=st.lists(st.tuples(VERSIONS, CURVES), min_size=1, max_size=6))
def test_partial_measurers_leave_the_union(
    small_run: RunConfig, saves: list[tuple[dict[str, int], set[str]]]
) -> None:
    """Whoever saves, whatever he had read before: newest versions, all curves, and never fewer than before."""
    newest: dict[str, int] = {}
    drawn: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        store = RunStore(Path(folder))
        for versions, curves in saves:
            newest |= {name: max(version, newest.get(name, 0)) for name, version in versions.items()}
            drawn |= curves
            saved = store.save(part(small_run, versions, curves))
            assert saved == store.load(small_run)
            expected = part(small_run, newest, drawn)
            assert (saved.measures, saved.seconds, saved.curves) == (
                expected.measures,
                expected.seconds,
                expected.curves,
            )


def test_measurers_at_the_same_time_leave_the_union(store_folder: Path, small_run: RunConfig) -> None:
    names = [f"measure {number}" for number in range(24)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: RunStore(store_folder).save(part(small_run, {name: 1})), names))
    record = RunStore(store_folder).load(small_run)
    assert record is not None
    assert set(record.measures) == set(names)


def test_another_training_takes_no_ones_place_unasked(store: RunStore, small_run: RunConfig) -> None:
    record = store.load(small_run)
    assert record is not None
    other = store.save_weights(small_run, {}, {})
    theirs = replace(record, measures={"more": Measured(1, {})}, weights=other)
    assert store.save(theirs) == record == store.load(small_run)
    assert store.load_weights(record)
    assert len(list(store.folder.glob("*.safetensors"))) == 1
    # Nor of a record that has changed since it was found wanting.
    fuller = store.save(replace(record, measures={"new": Measured(1, {})}))
    assert store.save(theirs, over=record) == fuller
    store.save_weights(small_run, {}, {})
    assert store.save(theirs, over=fuller) == theirs == store.load(small_run)
    assert store.load_weights(theirs) == ({}, {})
    assert len(list(store.folder.glob("*.safetensors"))) == 1


def test_weights_without_a_record_belong_to_none(store: RunStore, small_run: RunConfig) -> None:
    """As a kill between weights and record leaves them."""
    record = store.load(small_run)
    assert record is not None
    store.path(small_run).unlink()
    theirs = store.save(replace(record, weights="0" * 64))
    assert not store.has_weights(theirs)
    store.drop_weights(small_run)
    assert not list(store.folder.glob("*.safetensors"))


def test_a_store_is_read_without_a_trace(store: RunStore, small_run: RunConfig, tmp_path: Path) -> None:
    copy = RunStore(tmp_path / "copy")
    copy.folder.mkdir()
    for path in store.folder.glob("*.*"):
        (copy.folder / path.name).write_bytes(path.read_bytes())
    before = {path.name for path in copy.folder.iterdir()}
    copy.folder.chmod(0o555)
    record = copy.load(small_run)
    assert record is not None
    assert copy.has_weights(record)
    assert copy.load_weights(record)
    assert {path.name for path in copy.folder.iterdir()} == before


def test_checksum_leaves_timings_out(store: RunStore, small_run: RunConfig) -> None:
    record = store.load(small_run)
    assert record is not None
    slower = Record(record.config, record.result, record.measures, record.weights, {"training": 99.0})
    other = Record(record.config, record.result, {}, record.weights, record.seconds)
    assert slower.checksum == record.checksum != other.checksum
    assert checksum_of([record, other]) == checksum_of([other, slower])
