"""Tables of runs: written, read, gathered from, carried between stores."""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from typer.testing import CliRunner

import prunability
from prunability import gathering, studies, style, transfer
from prunability.cli import app
from prunability.config import Execution, PrunabilityError
from prunability.curves import Curves
from prunability.data import CIFAR10, load_images
from prunability.gathering import choose, gather
from prunability.measures import HEADLINE_MEASURE, REGISTRY
from prunability.pruning import PRUNERS
from prunability.published import Published, place, read, row_of, write
from prunability.runner import complete, survey
from prunability.schema import document, meaning
from prunability.session import Session, open_session, project_root
from prunability.store import RunStore
from prunability.studies.base import Study
from prunability.tables import compared, runs_table


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Execution]:
    """The smoke profile of the correlation study, finished; one of its runs diverged."""
    root = tmp_path_factory.mktemp("made")
    execution = Execution(device="cpu", workers=1, runs=root / "runs", data=root, results=root / "results")
    study = studies.open_study("correlation", "smoke", "", 0, root)
    records = complete(study, execution)
    lost = replace(
        records[0].result, status="diverged", reason="a loss was not finite", train_loss=None, train_error=None,
        test_loss=None, test_error=None, sum_of_training_losses=None, curve=[(None, None)],
    )  # fmt: skip
    RunStore(execution.runs).save(replace(records[0], result=lost, measures={}))
    return study, execution


@pytest.fixture
def fresh(made: tuple[Study, Execution], tmp_path: Path) -> Execution:
    """Another machine: an empty store, and no published table."""
    return made[1].model_copy(update={"runs": tmp_path / "runs", "results": tmp_path / "results"})


@pytest.fixture
def table(made: tuple[Study, Execution]) -> Published:
    return transfer.finished(made[0], 0, made[1])


def test_a_table_loses_nothing_but_weights(table: Published, tmp_path: Path) -> None:
    drawn = replace(table.records[1], curves={"magnitude_25": [2.0, 1.5, 0.01]})
    whole = replace(table, records=(table.records[0], drawn, *table.records[2:]))
    write(tmp_path / "a" / "table.parquet", whole)
    found = read(tmp_path / "a" / "table.parquet")
    assert found == whole
    assert [r.checksum for r in found.records] == [r.checksum for r in whole.records]
    write(tmp_path / "again.parquet", found)
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "a" / "table.parquet").read_bytes()
    frame = pd.read_parquet(tmp_path / "again.parquet")
    assert frame["run"].tolist() == [record.config.hash for record in whole.records]
    assert set(frame["data"]) == {"digits"}
    assert frame["result.test_loss"].isna().tolist() == [True] + [False] * 5
    assert frame["measures.path_norm.values.path_norm"][1] == drawn.measures["path_norm"].values["path_norm"]


def test_every_column_has_a_meaning(table: Published) -> None:
    names = {name for record in table.records for name in row_of(record)}
    assert len(names) > 100
    for name in names:
        assert meaning(name).strip(), name
    with pytest.raises(KeyError):
        meaning("config.network.colour")


def _edited(path: Path, edit: Callable[[pd.DataFrame], Any]) -> None:
    frame = pd.read_parquet(path)
    edit(frame)
    metadata = parquet.read_schema(path).metadata
    changed = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(metadata)
    parquet.write_table(changed, path)


def test_an_edited_or_damaged_table_is_an_error(table: Published, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write(path, table)
    _edited(path, lambda frame: frame.__setitem__("result.test_loss", frame["result.test_loss"] * 0.9))
    with pytest.raises(PrunabilityError, match=r"table\.parquet.*does not match its checksum"):
        read(path)
    pd.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(PrunabilityError, match=r"not a whole table of runs"):
        read(path)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(PrunabilityError, match=r"table\.parquet"):
        read(path)
    with pytest.raises(PrunabilityError, match="cannot be read as a table"):
        read(tmp_path / "none.parquet")


def test_store_before_table_before_training(
    made: tuple[Study, Execution], table: Published, fresh: Execution
) -> None:
    write(place(fresh.results, "correlation", "smoke"), replace(table, records=table.records[:4]))
    chosen = choose("correlation", "smoke", "", 0, fresh)
    store = RunStore(fresh.runs)
    store.save(table.records[0])  # finished, and without weights
    found = gather(chosen, fresh)
    assert found.words == "Runs on digits: 3 from the run store, 3 from the published table."
    assert [r.content() for r in found.records] == [r.content() for r in table.records]
    assert {path.stem for path in fresh.runs.glob("*.safetensors")} == {r.hash for r in made[0].runs[4:]}
    again = gather(choose("correlation", "smoke", "", 0, fresh), fresh)
    assert again == found
    other = gather(replace(choose("correlation", "smoke", "", 1, fresh), runs=()), fresh)
    assert other.words == "Runs on digits: none."


def test_a_table_of_other_images_is_shown_and_never_mixed(
    made: tuple[Study, Execution], table: Published, fresh: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the profile names CIFAR-10, which is not here, and the table is of a copy of it."""
    monkeypatch.setattr(gathering, "at_hand", lambda *_: False)
    part = replace(table, records=table.records[:4])
    write(place(fresh.results, "correlation", "smoke"), part)
    chosen = choose("correlation", "smoke", "", 0, fresh)
    assert (chosen.source, chosen.data) == (None, made[0].data)
    found = gather(chosen, fresh)
    assert (len(found.records), found.missing) == (4, 2)
    assert found.words == (
        "Runs on digits: 4 from the published table; 2 of the study's runs are missing. The profile names digits, "
        "which is not here: these runs are shown instead."
    )
    assert not fresh.runs.exists()
    # Other images by name, and another seed: nothing of the table fits.
    assert choose("correlation", "smoke", "digits", 0, fresh).source == "digits"
    assert choose("correlation", "smoke", "", 5, fresh).published == {}
    # The profile's own images come first once the store has all runs on them.
    write(
        place(fresh.results, "correlation", "smoke"),
        replace(part, origin=replace(table.origin, data=table.origin.data._replace(checksum="1" * 64))),
    )
    monkeypatch.setattr(gathering, "at_hand", lambda *_: True)
    here = fresh.model_copy(update={"runs": made[1].runs})
    assert choose("correlation", "smoke", "", 0, here).data == made[0].data
    with pytest.raises(PrunabilityError, match=r"is of digits, these runs are of digits: the two are never"):
        transfer.finished(made[0], 0, here)


def test_what_asks_for_a_gpu_ends_at_once(fresh: Execution, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PrunabilityError) as refused:
        choose("correlation", "paper", "", 0, fresh)
    text = str(refused.value)
    assert "324 of 324 runs are missing" in text
    assert re.search(r"an epoch of all of them would take about [\d,]+ \w+, the 300 that each", text)
    assert text.endswith("prunability run correlation --profile paper")
    assert not (fresh.data / "cifar-10-batches-py").exists()
    # The same where the images are here.
    smoke = studies.correlation.PROFILES["smoke"]
    monkeypatch.setitem(studies.correlation.PROFILES, "smoke", replace(smoke, gpu=True))
    with pytest.raises(PrunabilityError, match=r"6 of 6 runs are missing(.|\n)*run correlation --profile smoke$"):
        gather(choose("correlation", "smoke", "", 0, fresh), fresh)


def test_a_part_of_a_large_study_is_shown_as_what_it_is(
    table: Published, fresh: Execution, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    smoke = studies.correlation.PROFILES["smoke"]
    monkeypatch.setitem(studies.correlation.PROFILES, "smoke", replace(smoke, gpu=True))
    write(place(fresh.results, "correlation", "smoke"), replace(table, records=table.records[:4]))
    opened = open_session("correlation", profile="smoke", figures=str(tmp_path / "figures"))
    shown = Session(choose("correlation", "smoke", "", 0, fresh), opened.parameters, fresh)
    rows = shown.complete()
    assert len(rows) == 4
    assert shown.provenance()["runs_missing"] == 2
    with style.panels() as (figure, ax):
        ax.plot(rows["train_loss"])
    shown.save(figure, "losses", rows)
    used = int((rows["status"] == "converged").sum())
    words = f"digits, profile smoke, n = {used} networks, left out: 1 diverged: a loss was not finite; "
    drawn = (tmp_path / "figures" / "losses.svg").read_text()
    assert words in drawn
    assert "2 not run" in drawn


def test_records_are_carried_from_store_to_store(
    made: tuple[Study, Execution], fresh: Execution, tmp_path: Path
) -> None:
    study, execution = made
    file = tmp_path / "carried" / "records.parquet"
    command = ["export", "correlation", "-P", "smoke", "--runs", str(execution.runs), "--records", str(file)]
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, "6 of 6 runs" in done.output) == (0, True)
    assert file.stat().st_size / 6 < 40_000
    before = survey(study, fresh)
    assert len(before.untrained) == 6
    # One is finished there already, by another training; one has been trained and lacks measures.
    store, theirs = RunStore(fresh.runs), survey(study, execution).done
    own = replace(theirs[5], weights="0" * 64)
    begun = replace(theirs[4], weights=store.save_weights(study.runs[4], {}, {}), measures={})
    store.save(own)
    store.save(begun)
    assert survey(study, fresh).unmeasured == [begun]
    for expected in ("5 runs are new in", "0 runs are new in"):
        brought = CliRunner().invoke(app, ["import", str(file), "--runs", str(fresh.runs)])
        assert (brought.exit_code, expected in brought.output) == (0, True)
    after = survey(study, fresh)
    assert after.done == [*theirs[:5], own]
    assert not store.has_weights(study.runs[4])
    missing = CliRunner().invoke(app, ["import", str(tmp_path / "none"), "--runs", str(fresh.runs)])
    assert (missing.exit_code, "cannot be read" in missing.stderr) == (2, True)


def test_a_record_without_weights_is_made_again_for_a_new_measure(
    made: tuple[Study, Execution], fresh: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, execution = made
    store = RunStore(fresh.runs)
    for record in survey(study, execution).done:
        store.save(record)
    assert not survey(study, fresh).untrained
    monkeypatch.setitem(REGISTRY, "path_norm", replace(REGISTRY["path_norm"], version=99))
    found = survey(study, fresh)
    assert (len(found.untrained), found.unmeasured) == (5, [])
    assert [record.result.status for record in found.done] == ["diverged"]


def test_publishing(made: tuple[Study, Execution], table: Published, fresh: Execution) -> None:
    assert any(record.curves for record in table.records)
    path = transfer.publish(table, fresh)
    assert read(path) == table
    page = path.with_suffix(".md").read_text()
    assert f"6 finished runs of the study's {len(made[0].runs)}" in page
    assert table.origin.data.checksum in page
    assert "| `curves.random_25` | list<double> | training loss in nats at the kept fractions 1/25, …, 1" in page
    # A store that has fewer runs does not shrink it, and another seed does not replace it.
    assert transfer.finished(made[0], 0, fresh) == table
    with pytest.raises(PrunabilityError, match="is of seed 0, these runs are of seed 1"):
        transfer.finished(made[0], 1, fresh)


def test_curves_come_from_the_record_else_from_the_weights(
    made: tuple[Study, Execution], table: Published, fresh: Execution
) -> None:
    study, execution = made
    records = survey(study, execution).done
    rows = compared(runs_table(records))
    example = Curves(study, records, execution).example(rows)
    ordered = rows.sort_values([HEADLINE_MEASURE, "run"])
    assert example.loss == ordered["train_loss"].iloc[len(ordered) // 2]
    store = RunStore(fresh.runs)
    for record in survey(study, execution).done:
        store.save(record)
    elsewhere = survey(study, fresh).done
    pd.testing.assert_frame_equal(Curves(study, elsewhere, fresh).example(rows).curves, example.curves)
    # Where the median's curves are not to be had, the nearest that are stand in for it.
    bare = [replace(record, curves={}) for record in elsewhere]
    with pytest.raises(PrunabilityError, match="no network can be drawn"):
        Curves(study, bare, fresh).example(rows)
    last = next(place for place, r in enumerate(bare) if r.config.hash == ordered["run"].iloc[-1])
    bare[last] = replace(bare[last], curves={f"{pruner}_25": [0.5] * 25 for pruner in PRUNERS})
    assert Curves(study, bare, fresh).example(rows).loss == ordered["train_loss"].iloc[-1]
    published_too = replace(study, published={r.config.hash: r for r in table.records})
    pd.testing.assert_frame_equal(Curves(published_too, bare, fresh).example(rows).curves, example.curves)


def test_facts_of_images(made: tuple[Study, Execution]) -> None:
    facts = load_images("digits", made[1].data).facts
    assert (facts.train, facts.test, facts.classes, facts.shape) == (1000, 797, 10, (1, 8, 8))
    assert CIFAR10.shape == (3, 32, 32)
    assert torch.equal(torch.tensor(facts.shape), torch.tensor(made[0].data.shape))


def test_a_time_limit_ends_cleanly_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prunability, "STARTED", time.monotonic())
    command = ["run", "correlation", "-P", "smoke", "--runs", str(tmp_path), "--workers", "1", "--time-limit"]
    for wrong in ("9", "m", "-3s", "0s", "9 minutes"):
        refused = CliRunner().invoke(app, [*command, wrong])
        assert (refused.exit_code, "such as 90s, 9m or 2h" in refused.stderr) == (2, True)
    hurried = CliRunner().invoke(app, [*command, "0.02s"])
    assert hurried.exit_code == 0, hurried.output
    assert "the time is over" in hurried.output
    done = CliRunner().invoke(app, [*command, "10m"])
    assert (done.exit_code, "6 of 6 runs trained, 0 of them lack" in done.output) == (0, True)
    assert "the time is over" not in done.output


PUBLISHED = sorted((project_root() / "results").glob("*/*.parquet"))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_is_published_is_of_this_code(path: Path) -> None:
    """Every run belongs to its study and has all measures, and the page beside the table describes it."""
    found = read(path)
    assert (path.parent.name, path.stem) == (found.origin.profile, found.origin.study)
    profile = studies.find_profile(found.origin.study, found.origin.profile)
    origin = found.origin
    study = studies.expand(origin.study, origin.profile, profile, None, origin.data, origin.seed)
    assert len(study.runs) == origin.runs
    assert len(gathering.with_table(study, found).published) == len(found.records)
    assert path.with_suffix(".md").read_text() == document(found)
    assert any(record.curves for record in found.records)
