"""Finished runs out of a store, as a published table or to be carried to another machine, and into one."""

from pathlib import Path

from prunability.analysis.tables import compared, runs_table
from prunability.data.images import identity
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import Execution
from prunability.foundation.files import expanded, replaceable, writable, write
from prunability.records import tables
from prunability.records.record import Record, united
from prunability.records.runner import Snapshot, named, survey
from prunability.records.schema import document
from prunability.records.sources import of_study
from prunability.records.store import RunStore
from prunability.records.tables import Origin, Published, find, is_table, read, source_checksum, table_path
from prunability.records.workers import beyond, lacking
from prunability.report.curves import Curves
from prunability.studies import Study
from prunability.training.config import VERSION


def target(study: str, profile: str, records: str, execution: Execution) -> Path:
    """Where a table is to be written: the file to be carried, where one is named, else the study's place.

    Raises:
        PrunabilityError: no table can be written there.
    """
    path = expanded(records, "records") if records else table_path(execution.results, study, profile)
    if records and path.is_dir():
        raise PrunabilityError(f"records: {path} is a folder; name a file, such as {path / 'stay1.parquet'}")
    replaceable(path)
    if records and path.exists() and not is_table(path):
        raise PrunabilityError(f"records: {path} is no table of runs, and is left as it is: name a new file")
    writable(path.parent, "records" if records else "results")
    return path


def finished(study: Study, seed: int, execution: Execution, snapshot: Snapshot | None = None) -> Published:
    """The finished runs of a study, those of the store and those that only its published table has.

    ``snapshot`` is what the store has of it, where that was read before.

    What the notebooks draw of them is drawn, for it cannot be had without weights.

    Raises:
        PrunabilityError: there are none, none can be drawn, or the published table is of other images, another
            seed or another version.
    """
    known = find(execution.results, study.name, study.profile)
    if known is not None:
        path = table_path(execution.results, study.name, study.profile)
        images = [identity(data.title, data.checksum) for data in (known.origin.data, study.data)]
        for same, theirs, own in (
            (known.origin.data.checksum == study.data.checksum, *images),
            (known.origin.seed == seed, f"seed {known.origin.seed}", f"seed {seed}"),
            (known.version == VERSION, f"version {known.version}", f"version {VERSION}"),
        ):
            if not same:
                raise PrunabilityError(
                    f"{path} is of {theirs}, these runs are of {own}: the two are never mixed. Move that table "
                    "away first"
                )
    state = snapshot or survey(study, execution)
    theirs = {record.config.hash: record for record in (known.records if known else ())}
    own = [_with(theirs.get(record.config.hash), record) for record in state.done]
    records = of_study(study, [*theirs.values(), *own])
    if not records:
        named([], state.unusable)
        raise PrunabilityError(
            f"{study.name}, {study.profile}, {study.data.title}: no run is finished in {execution.runs}"
        )
    table = compared(runs_table(records))
    Curves(study, records, execution).draw(table[table["run"].isin(study.parts["grid"])])
    origin = Origin(study.name, study.profile, seed, len(study.runs), source_checksum(), study.data)
    return Published(origin, tuple(records))


def _with(published: Record | None, own: Record) -> Record:
    """The store's record of a run, and of the same training what the published table has more.

    Raises:
        PrunabilityError: the table's is of another training and has measures that this code cannot make.
    """
    if published is None:
        return own
    if published.weights == own.weights:
        return united(own, published)
    if theirs := beyond(published):
        raise PrunabilityError(
            f"run {own.config.hash}: the published table has measures of it that this code does not know "
            f"({', '.join(theirs)}): export it with the code that does, or move that table away first"
        )
    return own


def publish(table: Published, execution: Execution) -> Path:
    """Write the published table of a study and the page that documents it; returns the table's path."""
    path = table_path(execution.results, table.origin.study, table.origin.profile)
    writable(path.parent, "results")
    tables.write(path, table)
    write(path.with_suffix(".md"), document(table))
    return path


def add_to_store(path: Path, execution: Execution) -> tuple[int, int]:
    """Add the finished runs of a table to the store; returns how many were new and how many it had.

    A run that the store has finished stays as it is, and one with measures that this code cannot make: two
    trainings on different devices differ by rounding, and their measures are never mixed. Of the same training,
    what the table has more is added.

    Raises:
        PrunabilityError: the file is no such table, or a record of the store is damaged.
    """
    table, store = read(path), RunStore(execution.runs)
    if table.version != VERSION:
        raise PrunabilityError(
            f"{path}: its runs are of version {table.version}, and a store is worked on by version {VERSION}: "
            "such a table is shown from results/, as published runs"
        )
    writable(execution.runs, "runs")
    new = 0
    for record in table.records:
        known = store.load(record.config)
        complete = known is not None and set(lacking(known)) <= set(lacking(record))
        if known is not None and known.weights != record.weights and (complete or lacking(record) or beyond(known)):
            continue
        new += store.save(record, over=known).weights == record.weights and not complete
    return new, len(table.records) - new
