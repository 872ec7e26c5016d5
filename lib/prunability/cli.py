"""The command line: ``prunability run``, ``status``, ``compare``, ``images``, ``figures`` and others."""

import _thread
import itertools
import math
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

import typer

import prunability
from prunability.claims.reproduction import reproduction, words
from prunability.data.sources import NAMES, at_hand, load_images
from prunability.foundation.engines import open_engine
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import Execution, seconds_of
from prunability.foundation.files import expanded
from prunability.foundation.interrupts import as_by_keyboard
from prunability.records import tables, verify
from prunability.records.runner import completed, current, named, survey
from prunability.records.tables import Published
from prunability.report import transfer
from prunability.report.session import Parameters, validate
from prunability.report.status import progress_lines, published_lines
from prunability.studies import STUDIES, Study, find_profile, having, open_study, profiles

# Of a limit of time, what is kept for ending cleanly, and the most that is, in seconds.
MARGIN, LONGEST_MARGIN = 0.2, 30.0

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

StudyName = Annotated[str, typer.Argument(help=f"The study: {', '.join(STUDIES)}.")]
SIZES = ", ".join(dict.fromkeys(itertools.chain(*STUDIES.values())))
ProfileName = Annotated[str, typer.Option("--profile", "-P", help=f"Its size: {SIZES}; not every study has all.")]
Data = Annotated[str, typer.Option(help=f"{NAMES}; by default the profile's own.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the runs and of the bootstrap.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Runs = Annotated[str, typer.Option(help="Folder of the run store; by default runs/ of the project.")]
Workers = Annotated[
    int, typer.Option(min=0, help="Processes; 0: one a core, one on a GPU, on a cluster all there are.")
]


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
    engine: Annotated[str, typer.Option(help="local: processes of this machine; dask: a cluster.")] = "local",
    scheduler: Annotated[str, typer.Option(help="Address of the cluster's scheduler.")] = "",
) -> None:
    """Train and measure what a study lacks. Finished runs are kept whatever happens."""
    with _explained(), _limited(seconds_of(time_limit)) as until:
        # The workers of a cluster may have the GPU that this machine has not.
        elsewhere = engine != "local"
        here = "auto" if elsewhere and device == "cuda" else device
        execution = _execution(study, profile, data, seed, here, runs, workers)
        execution = execution.model_copy(update={"device": device, "elsewhere": elsewhere})
        with open_engine(engine, scheduler, execution.processes, workers) as chosen:
            source = _everywhere(data) if elsewhere else data
            snapshot = survey(open_study(study, profile, source, seed, execution.data), execution)
            if snapshot.untrained:
                table, _ = _published(study, profile, execution)
                _echo(published_lines(snapshot, table))
            _echo(progress_lines(completed(snapshot, until, chosen)))


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
        execution = _execution(study, profile, data, seed, "auto", runs, 1)
        path = transfer.target(study, profile, records, execution)
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
    with _explained():
        execution = Parameters(runs=runs).execution()
        new, known = transfer.add_to_store(expanded(file, "file"), execution)
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
        wrong: list[str] = []
        unusable: list[str] = []
        for name in [study] if study else having(profile):
            execution = _execution(name, profile, data, seed, device, runs, workers)
            try:
                table, words = _published(name, profile, execution)
                if words:
                    typer.echo(f"{name}, {profile}: published table: {words}")
                if opened := _opened_here(name, profile, data, seed, execution):
                    snapshot = survey(opened, execution)
                    _echo([*progress_lines(snapshot), *published_lines(snapshot, table)])
                    unusable += snapshot.unusable
                else:
                    typer.echo(f"{name}, {profile}: its images are not downloaded; name your own (--data)")
            except PrunabilityError as error:  # the other study may be told all the same
                wrong.append(str(error))
        named(list(dict.fromkeys(wrong)), unusable)


@app.command()
def images(
    source: Annotated[str, typer.Argument(help=f"{NAMES}; what is downloaded is so once.")],
) -> None:
    """Say what images a source holds, their identity, and which published tables are of them."""
    with _explained():
        execution = Parameters().execution()
        found = load_images(source, execution.data)
        facts = found.facts
        numbers = f"{facts.train:,} images for training, {facts.test:,} for testing, {facts.classes} classes"
        typer.echo(f"{facts.title}: {numbers}\nSHA-256 of their content: {facts.checksum}")
        if found.left_out:
            typer.echo(found.left_out)
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
            execution = _execution(name, profile, data, seed, "auto", runs, 1)
            table = tables.find(execution.results, name, profile)
            if table is None:
                raise PrunabilityError(f"{name}, {profile}: nothing is published in {execution.results}")
            opened = _opened_here(name, profile, data, seed, execution)
            if opened is None:
                raise PrunabilityError(
                    f"{name}, {profile}: name your images (--data): these are of {table.origin.data.title}"
                )
            snapshot = survey(opened, execution)
            named([], snapshot.unusable)
            typer.echo(words(reproduction(opened, [*map(current, snapshot.done)], table, seed)))


@app.command("verify")
def verify_(
    table: Annotated[list[str] | None, typer.Argument(help="Tables of runs that `export` wrote.")] = None,
    runs: Runs = "",
) -> None:
    """Check a whole run store, and tables; say what is wrong and how to mend it."""
    with _explained():
        store, paths = Parameters(runs=runs).execution().runs, [expanded(name, "table") for name in table or []]
        seen = verify.verify(store if runs or store.is_dir() or not paths else None, paths)
        _echo(seen.lines)
        raise typer.Exit(bool(seen.faults))


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
        except RuntimeError as error:  # Jupyter looks for the user's home when it is loaded
            raise PrunabilityError(f"figures: Jupyter cannot be loaded ({error}); set HOME to a folder") from error
        for path in notebooks.execute(notebooks.sources(notebook or [], values["profile"]), values, workers):
            typer.echo(f"wrote {path}")


@app.command()
def site(target: Annotated[str, typer.Argument(help="Its folder.")] = "site", workers: Workers = 0) -> None:
    """Make the static site of what is published, with each figure as PDF and SVG too."""
    with _explained():
        folder = expanded(target, "site")
        from prunability.report.site import build  # noqa: PLC0415  (needs Sphinx and Jupyter)

        build.draw(workers)
        typer.echo(f"wrote {build.build(folder)}")


def _echo(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)


def _pairs(parameters: list[str]) -> dict[str, str]:
    pairs = {}
    for text in parameters:
        name, equals, value = text.partition("=")
        if not equals:
            raise PrunabilityError(f"parameter {text!r}: it must be NAME=VALUE")
        if (name := name.strip()) in pairs:
            raise PrunabilityError(f"parameter {name}: it is given twice; give it once")
        pairs[name] = value
    return pairs


def _everywhere(data: str) -> str:
    """Data by a name that holds in every working folder."""
    folder = data.removeprefix("folder:")
    return (
        data if folder in ("", data) or folder.startswith("~") else f"folder:{expanded(folder, 'data').absolute()}"
    )


def _open(
    study: str, profile: str, data: str, seed: int, device: str, runs: str, workers: int
) -> tuple[Study, Execution]:
    execution = _execution(study, profile, data, seed, device, runs, workers)
    return open_study(study, profile, data, seed, execution.data), execution


def _execution(study: str, profile: str, data: str, seed: int, device: str, runs: str, workers: int) -> Execution:
    values = {"profile": profile, "data": data, "seed": seed, "device": device, "runs": runs}
    return validate(study, values).execution(workers)


def _opened_here(study: str, profile: str, data: str, seed: int, execution: Execution) -> Study | None:
    """The study, None where its images would have to be downloaded only to look."""
    here = at_hand(data or find_profile(study, profile).data, execution.data)
    return open_study(study, profile, data, seed, execution.data) if here else None


def _published(study: str, profile: str, execution: Execution) -> tuple[Published | None, str]:
    """The published table of a study's profile, where there is one that can be read, and what is said of it."""
    try:
        table = tables.find(execution.results, study, profile)
    except PrunabilityError as error:
        return None, str(error)
    return table, table.words if table else ""


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
    with as_by_keyboard():
        try:
            yield
        except BrokenPipeError:
            raise
        except (PrunabilityError, OSError) as error:  # the second such as of a full disk
            typer.echo(f"prunability: {error}", err=True)
            raise typer.Exit(2) from error
        except KeyboardInterrupt as error:
            with suppress(OSError):  # the terminal may be gone
                typer.echo("prunability: interrupted; finished runs are kept, the same command goes on", err=True)
                sys.stderr.flush()
            raise typer.Exit(130) from error
