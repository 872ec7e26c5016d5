"""Where runs come from: the store, a published table, training."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from prunability import gathering, studies, style, transfer
from prunability.config import Execution, PrunabilityError
from prunability.curves import Curves
from prunability.data import CIFAR10
from prunability.gathering import choose, gather
from prunability.measures import HEADLINE_MEASURE, REGISTRY
from prunability.pruning import PRUNERS
from prunability.published import Published, place, write
from prunability.runner import survey
from prunability.session import Session, open_session
from prunability.store import RunStore
from prunability.studies.base import Study
from prunability.tables import compared, runs_table


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
    assert [run for run in made[0].runs if store.has_weights(run)] == list(made[0].runs[4:])
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
    # A table of the images that the profile names needs no excuse where they are not downloaded.
    named = replace(part, origin=replace(part.origin, data=part.origin.data._replace(title=CIFAR10.title)))
    write(place(fresh.results, "correlation", "smoke"), named)
    words = gather(choose("correlation", "smoke", "", 0, fresh), fresh).words
    assert words == "Runs on CIFAR-10: 4 from the published table; 2 of the study's runs are missing."
    write(place(fresh.results, "correlation", "smoke"), part)
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


def test_what_asks_for_a_gpu_ends_at_once(
    made: tuple[Study, Execution], fresh: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    # Of runs that lack a measure no cost of training is given; the diverged one lacks none.
    monkeypatch.setitem(REGISTRY, "path_norm", replace(REGISTRY["path_norm"], version=99))
    with pytest.raises(PrunabilityError, match=r"5 of 6 runs are missing.*, and no GPU\. To make them"):
        gather(choose("correlation", "smoke", "", 0, made[1]), made[1])


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
    note = shown.save(figure, "losses", rows).get_supxlabel().replace("\n", " ")
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
        Curves(study, bare, fresh).example(rows)
    last = next(place for place, r in enumerate(bare) if r.config.hash == ordered["run"].iloc[-1])
    bare[last] = replace(bare[last], curves={f"{pruner}_25": [0.5] * 25 for pruner in PRUNERS})
    assert Curves(study, bare, fresh).example(rows).loss == ordered["train_loss"].iloc[-1]
    published_too = replace(study, published={r.config.hash: r for r in table.records})
    pd.testing.assert_frame_equal(Curves(published_too, bare, fresh).example(rows).curves, example.curves)


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
    theirs = replace(record, curves={"magnitude_25": [1.0] * 25})
    for published, curves in ((theirs, theirs.curves), (replace(theirs, weights="0" * 64), {})):
        beside = replace(study, published={record.config.hash: published})
        assert Curves(beside, [record], fresh).known(record.config.hash) == curves
