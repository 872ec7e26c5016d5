"""Finished runs carried away and home, and whether all of them are whole."""

from typing import Annotated

import typer

from prunability.cli.app import Data, ProfileName, Runs, Seed, StudyName, app, echo, executed, explained
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.files import expanded
from prunability.records import tables, verify
from prunability.records.runner import named, survey
from prunability.report import pruned, transfer
from prunability.report.session import Parameters
from prunability.studies import open_study


@app.command()
def export(
    study: StudyName,
    profile: ProfileName = "quick",
    data: Data = "",
    seed: Seed = 0,
    runs: Runs = "",
    records: Annotated[
        str | None, typer.Option(help="A file to carry the finished runs to another machine in.")
    ] = None,
    curves: Annotated[
        bool, typer.Option("--curves", help="Instead, of the published networks, their pruning curves.")
    ] = False,
) -> None:
    """Write the finished runs of a study, without weights: into results/PROFILE/, or to be carried elsewhere."""
    with explained():
        if records == "":
            raise PrunabilityError("--records is empty: name a file, such as stay1.parquet")
        if curves and records:
            raise PrunabilityError("--curves are written beside the published table: leave out --records")
        execution = executed(study, profile, data, seed, "auto", runs, 1)
        if curves:
            path, n, of = pruned.publish(open_study(study, profile, data, seed, execution.data), execution)
            typer.echo(f"wrote {path}: {n} of {of} published networks")
            return
        path = transfer.target(study, profile, records or "", execution)
        opened = open_study(study, profile, data, seed, execution.data)
        snapshot = survey(opened, execution)
        table = transfer.finished(opened, seed, execution, snapshot)
        tables.write(path, table) if records else transfer.publish(table, execution)
        typer.echo(f"wrote {path}: {len(table.records)} of {len(opened.runs)} runs")
        named([], snapshot.unusable)


@app.command("import")
def import_(
    file: Annotated[str, typer.Argument(help="A table of runs that `export` wrote.")],
    runs: Runs = "",
) -> None:
    """Add the finished runs of a table to the run store, without weights."""
    with explained():
        execution = Parameters(runs=runs).execution()
        new, known = transfer.add_to_store(expanded(file, "file"), execution)
        typer.echo(f"{new} runs are new in {execution.runs}, {known} were finished there already")


@app.command("verify")
def verify_(
    table: Annotated[list[str] | None, typer.Argument(help="Tables of runs that `export` wrote.")] = None,
    runs: Runs = "",
) -> None:
    """Check a whole run store, and tables; say what is wrong and how to mend it."""
    with explained():
        store, paths = Parameters(runs=runs).execution().runs, [expanded(name, "table") for name in table or []]
        seen = verify.verify(store if runs or store.is_dir() or not paths else None, paths)
        echo(seen.lines)
        raise typer.Exit(bool(seen.faults))
