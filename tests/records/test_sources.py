"""Where runs come from: the store, a published table, training."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from prunability import studies
from prunability.analysis.tables import compared, runs_table
from prunability.data.sources import CIFAR10
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import Execution
from prunability.measures import HEADLINE_MEASURE, REGISTRY
from prunability.measures.search import PRUNERS
from prunability.records import tables
from prunability.records.runner import survey
from prunability.records.sources import Chosen, choose, gather, origin_of
from prunability.records.store import RunStore
from prunability.records.tables import Published, table_path, write
from prunability.report.curves import Curves
from prunability.report.figures import style
from prunability.report.session import Parameters, Session
from prunability.studies import order
from prunability.studies.grid import Study
from prunability.training.config import EARLIEST, VERSION, RunConfig


def own(execution: Execution, seed: int = 0) -> Chosen:
    return choose("correlation", "smoke", "", seed, "own", execution)


def shown(execution: Execution) -> Chosen:
    return choose("correlation", "smoke", "", 0, "published", execution)


def test_own_runs_are_made_and_published_ones_are_only_shown(
    made: tuple[Study, Execution], table: Published, fresh: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(table_path(fresh.results, "correlation", "smoke"), replace(table, records=table.records[:4]))
    found = gather(shown(fresh), fresh)
    assert found.words == "Runs on digits: 4 from the published table; 2 of the study's runs are missing."
    assert found.records == list(table.records[:4])
    monkeypatch.setattr(order, "BLOCK", 2)
    first, *others = order.blocks(shown(fresh).study)
    part = [record for record in table.records if record.config in [*first, others[0][0]]]
    write(table_path(fresh.results, "correlation", "smoke"), replace(table, records=tuple(part)))
    assert gather(shown(fresh), fresh).words == (
        "Runs on digits: 3 from the published table; 3 of the study's runs are missing. "
        "Whole are 1 of its 3 blocks, each a balanced choice of settings with one seed."
    )
    monkeypatch.undo()
    assert not fresh.runs.exists()
    RunStore(fresh.runs).save(table.records[0])  # finished, and without weights
    found = gather(own(fresh), fresh)
    assert found.words == "Runs on digits: 1 from the run store and 5 made just now."
    # The first one diverged there, so it says nothing of this training.
    assert [r.content() for r in found.records] == [r.content() for r in table.records]
    store = RunStore(fresh.runs)
    assert [store.has_weights(record) for record in found.records] == [False] + [True] * 5
    again = gather(own(fresh), fresh)
    assert again == replace(found, made=0)
    assert again.words == "Runs on digits: 6 from the run store."
    with pytest.raises(PrunabilityError, match="no run of the published table is of this study"):
        gather(replace(shown(fresh), study=own(fresh, seed=1).study), fresh)
    with pytest.raises(PrunabilityError, match="data=digits goes with one's own runs"):
        choose("correlation", "smoke", "digits", 0, "published", fresh)
    with pytest.raises(PrunabilityError, match="seed=3 goes with one's own runs: published ones are of seed 0"):
        choose("correlation", "smoke", "", 3, "published", fresh)
    with pytest.raises(PrunabilityError, match="correlation, smoke: nothing is published in"):
        choose("correlation", "smoke", "", 0, "published", fresh.model_copy(update={"results": fresh.data}))


def test_what_no_run_has_is_named_in_one_order(table: Published, fresh: Execution) -> None:
    """That of the registry: as a set, it would have another in each process, and the page too."""
    lost = [*REGISTRY][1::2]
    less = [
        replace(record, measures={name: made for name, made in record.measures.items() if name not in lost})
        for record in table.records
    ]
    write(table_path(fresh.results, "correlation", "smoke"), replace(table, records=tuple(less)))
    found = gather(shown(fresh), fresh)
    assert list(found.without) == [measure.label for name in lost for measure in REGISTRY[name].measures]


def test_which_runs_are_shown_where_nothing_is_said(table: Published, tmp_path: Path) -> None:
    assert origin_of("small", "", "", tmp_path) == "own"
    for profile in ("small", "smoke"):
        write(table_path(tmp_path, "correlation", profile), table)
    assert origin_of("small", "", "", tmp_path) == "published"
    assert origin_of("small", "", "folder:images", tmp_path) == "own"
    assert origin_of("small", "own", "", tmp_path) == "own"
    assert origin_of("smoke", "", "", tmp_path) == "own"  # it takes minutes
    assert origin_of("smoke", "published", "", tmp_path) == "published"
    with pytest.raises(PrunabilityError, match="runs_from: 'mine' must be own, published, or empty"):
        origin_of("smoke", "mine", "", tmp_path)


def test_a_table_of_other_images_or_an_earlier_version_is_shown_as_what_it_is(
    table: Published, fresh: Execution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the profile names CIFAR-10 and the table is of a copy of it, or of what CIFAR-10 is called here."""
    smoke = studies.STUDIES["correlation"]["smoke"]
    monkeypatch.setitem(studies.STUDIES["correlation"], "smoke", replace(smoke, data="cifar10"))
    old = replace(table, records=tuple(replace(r, config=earlier(r.config)) for r in table.records))
    write(table_path(fresh.results, "correlation", "smoke"), old)
    chosen = shown(fresh)
    assert {run.version for run in chosen.study.runs} == {EARLIEST}
    found = gather(chosen, fresh)
    assert (len(found.records), found.missing, found.version) == (6, 0, EARLIEST)
    assert found.words == (
        f"Runs on digits: 6 from the published table, made by version {EARLIEST} of the protocol. The profile "
        "names CIFAR-10: the runs shown are on other images."
    )
    session = Session(chosen, Parameters(profile="smoke", figures=str(tmp_path / "figures")), fresh)
    rows = session.complete()
    with style.panels() as (figure, ax):
        ax.plot(rows["train_loss"])
    note = session.save(figure, "losses", rows).note.replace("\N{NO-BREAK SPACE}", " ")
    assert note.startswith(f"digits, profile smoke (made by version {EARLIEST} of the protocol), n = ")
    named = replace(old, origin=replace(old.origin, data=old.origin.data._replace(title=CIFAR10.title)))
    write(table_path(fresh.results, "correlation", "smoke"), named)
    assert "other images" not in gather(shown(fresh), fresh).words
    # They are never mixed with runs of now.
    assert not {run.hash for run in chosen.study.runs} & {r.config.hash for r in table.records}
    mixed = replace(table, records=(*old.records[:3], *table.records[3:]))
    with monkeypatch.context() as careless:
        careless.setattr(tables, "_agree", lambda *_: None)
        write(table_path(fresh.results, "correlation", "smoke"), mixed)
    with pytest.raises(PrunabilityError, match=f"its runs are of several versions, {EARLIEST}, {VERSION}"):
        shown(fresh)


def earlier(config: RunConfig) -> RunConfig:
    return config.model_copy(update={"version": EARLIEST})


def test_a_measure_that_a_table_lacks_is_named_once(
    table: Published, fresh: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(REGISTRY, "path_norm", replace(REGISTRY["path_norm"], version=99))
    write(table_path(fresh.results, "correlation", "smoke"), table)
    found = gather(shown(fresh), fresh)
    assert found.missing == 0
    assert found.words.endswith("No value is there of path norm: measured anew, or defined anew, since.")
    rows = compared(runs_table(found.records))
    assert rows["path_norm"].isna().all()
    assert rows[HEADLINE_MEASURE].notna().all()


def test_what_asks_for_a_gpu_ends_at_once(
    made: tuple[Study, Execution], fresh: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PrunabilityError) as refused:
        choose("correlation", "paper", "", 0, "own", fresh)
    text = str(refused.value)
    assert "324 of 324 runs are missing" in text
    assert re.search(r"an epoch of all of them would take about [\d,]+ \w+, the 300 that each", text)
    assert text.endswith("prunability run correlation --profile paper")
    assert not (fresh.data / "cifar-10-batches-py").exists()
    # The same where the images are here.
    smoke = studies.STUDIES["correlation"]["smoke"]
    monkeypatch.setitem(studies.STUDIES["correlation"], "smoke", replace(smoke, gpu=True))
    with pytest.raises(PrunabilityError, match=r"6 of 6 runs are missing(.|\n)*run correlation --profile smoke$"):
        gather(own(fresh), fresh)
    # Of runs that lack a measure no cost of training is given; the diverged one lacks none.
    monkeypatch.setitem(REGISTRY, "path_norm", replace(REGISTRY["path_norm"], version=99))
    with pytest.raises(PrunabilityError, match=r"5 of 6 runs are missing, and there is no GPU\. To make them"):
        gather(own(made[1]), made[1])


def test_a_part_of_a_large_study_is_shown_as_what_it_is(
    table: Published, fresh: Execution, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    smoke = studies.STUDIES["correlation"]["smoke"]
    monkeypatch.setitem(studies.STUDIES["correlation"], "smoke", replace(smoke, gpu=True))
    write(table_path(fresh.results, "correlation", "smoke"), replace(table, records=table.records[:4]))
    session = Session(shown(fresh), Parameters(profile="smoke", figures=str(tmp_path / "figures")), fresh)
    rows = session.complete()
    assert len(rows) == 4
    assert session.provenance()["runs_missing"] == 2
    with style.panels() as (figure, ax):
        ax.plot(rows["train_loss"])
    note = session.save(figure, "losses", rows).note.replace("\N{NO-BREAK SPACE}", " ")
    used = int((rows["status"] == "converged").sum())
    words = f"digits, profile smoke, n = {used} networks, left out: 1 diverged: a loss was not finite; "
    assert words in note
    assert "2 not run" in note


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
        Curves(study, bare, fresh).draw(rows)
    Curves(study, bare, fresh).draw(rows.iloc[:0])  # none is compared: a table of such runs can be exported
    last = next(place for place, r in enumerate(bare) if r.config.hash == ordered["run"].iloc[-1])
    bare[last] = replace(bare[last], curves={f"{pruner}_25": [0.5] * 25 for pruner in PRUNERS})
    assert Curves(study, bare, fresh).example(rows).loss == ordered["train_loss"].iloc[-1]


def test_curves_are_drawn_from_a_store_that_can_only_be_read(
    made: tuple[Study, Execution], fresh: Execution
) -> None:
    study, execution = made
    record = replace(survey(study, execution).done[-1], curves={})
    shutil.copytree(execution.runs, fresh.runs, ignore=shutil.ignore_patterns("locks"))
    store = RunStore(fresh.runs)
    before = store.path(record.config).read_bytes()
    (fresh.runs / "locks").touch()  # who may write anywhere cannot make a folder of it
    with pytest.raises(PrunabilityError, match="locks: no lock can be there"):
        store.save(record)
    curves = Curves(study, [record], fresh)
    drawn = curves.of(record.config.hash, "magnitude", 4)
    assert len(drawn) == 4
    assert curves.records[0].curves == {"magnitude_4": drawn}
    assert store.path(record.config).read_bytes() == before


def test_weights_of_another_training_draw_no_curve(
    made: tuple[Study, Execution], fresh: Execution, tmp_path: Path
) -> None:
    """Curves beside a published record must be of the network it is the record of."""
    study, execution = made
    record = replace(survey(study, execution).done[-1], curves={})
    store = RunStore(fresh.runs)
    (file,) = execution.runs.glob(f"{record.config.hash}*.safetensors")
    fresh.runs.mkdir()
    shutil.copy(file, fresh.runs)
    for own, expected in ((record, True), (replace(record, weights="0" * 64), False)):
        store.save(own, over=record)
        drawn = Curves(study, [record], fresh)
        assert drawn.drawable(record.config.hash, list(PRUNERS), 25) is expected
