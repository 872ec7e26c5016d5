"""The command line: ``prunability run``, ``status``, ``compare``, ``images``, ``figures`` and others."""

import _thread
import math
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

import prunability
from prunability.analysis.tables import left_out, runs_table
from prunability.claims.reproduction import reproduction, words
from prunability.data.sources import NAMES, at_hand, load_images
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import Execution, seconds_of
from prunability.foundation.files import writable
from prunability.measures import REGISTRY
from prunability.records import tables
from prunability.records.runner import complete, survey
from prunability.records.sources import of_study
from prunability.records.store import RunStore
from prunability.records.workers import lacking
from prunability.report import transfer
from prunability.report.session import Parameters, validate
from prunability.studies import STUDIES, Study, find_profile, having, open_study, profiles

# Of a limit of time, what is kept for ending cleanly, and the most that is, in seconds.
MARGIN, LONGEST_MARGIN = 0.2, 30.0

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

StudyName = Annotated[str, typer.Argument(help=f"The study: {', '.join(STUDIES)}.")]
ProfileName = Annotated[
    str, typer.Option("--profile", "-P", help="Its size: smoke, quick, small or paper; correlation has narrow too.")
]
Data = Annotated[str, typer.Option(help=f"{NAMES}; by default the profile's own.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the runs and of the bootstrap.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Runs = Annotated[str, typer.Option(help="Folder of the run store; by default runs/ of the project.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes; 0: one a core, one on a GPU.")]


@app.callback()
def main() -> None:
    """Train networks, measure their prunability, and test what it says about generalization."""


@app.command()
def run(
    study: StudyName,
    profile: ProfileName = "quick",
    data: Data = "",
    seed: Seed = 0,
    device: Device = "auto",
    runs: Runs = "",
    workers: Workers = 0,
    time_limit: Annotated[str | None, typer.Option(help="End within this time, such as 90s, 9m or 2h.")] = None,
) -> None:
    """Train and measure what a study lacks. Finished runs are kept whatever happens."""
    with _explained(), _limited(seconds_of(time_limit)) as until:
        opened, execution = _open(study, profile, data, seed, device, runs, workers)
        _spared(opened, execution)
        complete(opened, execution, until)
        _report(opened, execution)


@app.command()
def export(
    study: StudyName,
    profile: ProfileName = "quick",
    data: Data = "",
    seed: Seed = 0,
    runs: Runs = "",
    records: Annotated[str, typer.Option(help="A file to carry the finished runs to another machine in.")] = "",
) -> None:
    """Write the finished runs of a study, without weights: into results/PROFILE/, or to be carried elsewhere."""
    with _explained():
        opened, execution = _open(study, profile, data, seed, "auto", runs, 1)
        table = transfer.finished(opened, seed, execution)
        if records:
            path = Path(records).expanduser()
            if path.is_dir():
                raise PrunabilityError(
                    f"records: {path} is a folder; name a file, such as {path / 'stay1.parquet'}"
                )
            writable(path.parent, "records")
            tables.write(path, table)
        else:
            path = transfer.publish(table, execution)
        typer.echo(f"wrote {path}: {len(table.records)} of {len(opened.runs)} runs")


@app.command("import")
def import_(
    file: Annotated[str, typer.Argument(help="A table of runs that `export` wrote.")],
    runs: Runs = "",
) -> None:
    """Add the finished runs of a table to the run store, without weights."""
    with _explained():
        execution = Parameters(runs=runs).execution()
        new, known = transfer.bring(Path(file).expanduser(), execution)
        typer.echo(f"{new} runs are new in {execution.runs}, {known} were finished there already")


@app.command()
def status(
    study: Annotated[str, typer.Argument(help="A study; by default all.")] = "",
    profile: ProfileName = "quick",
    data: Data = "",
    seed: Seed = 0,
    device: Device = "auto",
    runs: Runs = "",
    workers: Workers = 0,
) -> None:
    """Say what is done, missing and left out, and how long the rest will take."""
    with _explained():
        for name in [study] if study else having(profile):
            source, execution = data or find_profile(name, profile).data, Parameters(runs=runs).execution(workers)
            if tables.place(execution.results, name, profile).exists():
                typer.echo(
                    f"{name}, {profile}: published table: {tables.in_words(execution.results, name, profile)}"
                )
            if at_hand(source, execution.data):
                opened = _open(name, profile, data, seed, device, runs, workers)
                _report(*opened)
                _spared(*opened)
            else:
                typer.echo(f"{name}, {profile}: {source} is not downloaded, so there are no runs of it here")


@app.command()
def images(
    source: Annotated[str, typer.Argument(help=f"{NAMES}; what is downloaded is so once.")],
) -> None:
    """Say what images a source holds, their identity, and which published tables are of them."""
    with _explained():
        execution = Parameters().execution()
        facts = load_images(source, execution.data).facts
        numbers = f"{facts.train:,} images for training, {facts.test:,} for testing, {facts.classes} classes"
        typer.echo(f"{facts.title}: {numbers}\nSHA-256 of their content: {facts.checksum}")
        for name in STUDIES:
            for known in profiles(name):
                table = tables.find(execution.results, name, known)
                if table and table.origin.data.checksum == facts.checksum:
                    typer.echo(f"the published table of {name}, {known}, is of these images")


@app.command()
def compare(
    study: Annotated[str, typer.Argument(help="A study; by default all.")] = "",
    profile: ProfileName = "quick",
    data: Data = "",
    seed: Seed = 0,
    runs: Runs = "",
) -> None:
    """Say how one's own finished runs differ from the published ones, and whether the verdicts are the same."""
    with _explained():
        for name in [study] if study else having(profile):
            execution = Parameters(runs=runs).execution()
            table = tables.find(execution.results, name, profile)
            if table is None:
                raise PrunabilityError(f"{name}, {profile}: nothing is published in {execution.results}")
            if not at_hand(data or find_profile(name, profile).data, execution.data):
                raise PrunabilityError(
                    f"{name}, {profile}: name your images (--data): these are of {table.origin.data.title}"
                )
            opened, execution = _open(name, profile, data, seed, "auto", runs, 1)
            typer.echo(words(reproduction(opened, survey(opened, execution).done, table, seed)))


@app.command()
def figures(
    profile: ProfileName = "quick",
    notebook: Annotated[list[str] | None, typer.Option(help="A notebook by name; by default all.")] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", help=f"NAME=VALUE; names: {', '.join(Parameters.model_fields)}."),
    ] = None,
    workers: Workers = 0,
) -> None:
    """Execute the notebooks and write figures/PROFILE/."""
    with _explained():
        values = {"profile": profile, **_pairs(parameter or [])}
        try:
            from prunability.report import notebooks  # noqa: PLC0415  (the only command that needs Jupyter)
        except ImportError as error:
            raise PrunabilityError(
                f"figures needs Jupyter and papermill ({error}): in its folder, pip install '.[notebooks]'"
            ) from error
        for path in notebooks.execute(notebooks.sources(notebook or [], values["profile"]), values, workers):
            typer.echo(f"wrote {path}")


def _pairs(parameters: list[str]) -> dict[str, str]:
    pairs = {}
    for text in parameters:
        name, equals, value = text.partition("=")
        if not equals:
            raise PrunabilityError(f"parameter {text!r}: it must be NAME=VALUE")
        pairs[name.strip()] = value
    return pairs


def _open(
    study: str, profile: str, data: str, seed: int, device: str, runs: str, workers: int
) -> tuple[Study, Execution]:
    values = {"profile": profile, "data": data, "seed": seed, "device": device, "runs": runs}
    parameters = validate(study, values)
    execution = parameters.execution(workers)
    return open_study(study, profile, data, seed, execution.data), execution


def _report(study: Study, execution: Execution) -> None:
    found = survey(study, execution)
    records = [*found.done, *found.unmeasured]
    typer.echo(
        f"{study.name}, {study.profile}, {study.data.title}: {len(records)} of {len(study.runs)} runs "
        f"trained, {len(found.unmeasured)} of them lack measures, {len(found.untrained)} missing"
    )
    if begun := sum(RunStore(execution.runs).checkpoint(config).exists() for config in found.untrained):
        typer.echo(f"  {begun} of the missing {'is' if begun == 1 else 'are'} in training, kept as far as it went")
    if not execution.runs.is_dir():
        typer.echo(f"  there is no folder {execution.runs} yet")
    missing = Counter(name for record in found.unmeasured for name in lacking(record))
    for name, number in missing.items():
        members = ", ".join(member.name for member in REGISTRY[name].measures)
        typer.echo(f"  missing on {number} run{'s' * (number > 1)}: {members}")
    if records:
        for reason, number in left_out(runs_table(records)).items():
            typer.echo(f"  left out of the headline: {number} ({reason})")
    if found.seconds_left is None:
        typer.echo("  time left: not known before a first run is finished")
    elif found.seconds_left:
        minutes = "under a minute" if found.seconds_left < 60 else f"about {found.seconds_left / 60:.0f} min"
        typer.echo(f"  time left: {minutes} with {execution.processes} processes")


def _spared(study: Study, execution: Execution) -> None:
    """Say which missing runs need no training, for the published table has them."""
    try:
        table = tables.find(execution.results, study.name, study.profile)
    except PrunabilityError:  # said where it is asked for
        return
    missing = {config.hash for config in survey(study, execution).untrained}
    if table and (spared := missing & {record.config.hash for record in of_study(study, list(table.records))}):
        path = os.path.relpath(tables.place(execution.results, study.name, study.profile))
        typer.echo(
            f"  {len(spared)} of the missing are in the published table: `prunability import {path}` takes them"
        )


@contextmanager
def _limited(seconds: float) -> Iterator[float]:
    """Yields until when work may be begun; shortly before the limit, what still goes on is interrupted."""
    start = prunability.STARTED
    if math.isinf(seconds):
        yield math.inf
        return
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a script
        signal.signal(signal.SIGINT, signal.default_int_handler)
    margin = min(seconds * MARGIN, LONGEST_MARGIN)
    left = start + seconds - margin / 3 - time.monotonic()
    # Not before what follows is there to catch it.
    watch = threading.Timer(max(left, 0.5), _thread.interrupt_main)
    watch.daemon = True
    watch.start()
    try:
        yield start + seconds - margin
    except KeyboardInterrupt:
        if time.monotonic() < start + seconds - margin / 3:
            raise
    finally:
        watch.cancel()
    if time.monotonic() > start + seconds - margin:
        typer.echo(
            "the time is over; what is finished is kept, and trainings as far as their last checkpoint; "
            "`prunability status` says how many, the same command goes on"
        )


@contextmanager
def _explained() -> Iterator[None]:
    """Mistakes a user can mend end in one line and status 2, an interruption in status 130."""
    try:
        yield
    except PrunabilityError as error:
        typer.echo(f"prunability: {error}", err=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as error:
        typer.echo("prunability: interrupted; finished runs are kept, the same command goes on", err=True)
        sys.stderr.flush()
        raise typer.Exit(130) from error
