"""What commands have in common: their options, and how they end."""

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
from prunability.data.sources import NAMES, at_hand
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import Execution
from prunability.foundation.interrupts import as_by_keyboard
from prunability.records import tables
from prunability.records.tables import Published
from prunability.report.session import validate
from prunability.studies import STUDIES, Study, find_profile, open_study

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


def echo(lines: Iterable[str]) -> None:
    """Print lines."""
    for line in lines:
        typer.echo(line)


def executed(study: str, profile: str, data: str, seed: int, device: str, runs: str, workers: int) -> Execution:
    """How and where a command's runs are computed, from its options, which are checked first."""
    values = {"profile": profile, "data": data, "seed": seed, "device": device, "runs": runs}
    return validate(study, values).execution(workers)


def opened_here(study: str, profile: str, data: str, seed: int, execution: Execution) -> Study | None:
    """The study, None where its images would have to be downloaded only to look."""
    here = at_hand(data or find_profile(study, profile).data, execution.data)
    return open_study(study, profile, data, seed, execution.data) if here else None


def published(study: str, profile: str, execution: Execution) -> tuple[Published | None, str]:
    """The published table of a study's profile, where there is one that can be read, and what is said of it."""
    try:
        table = tables.find(execution.results, study, profile)
    except PrunabilityError as error:
        return None, str(error)
    return table, table.words if table else ""


@contextmanager
def limited(seconds: float) -> Iterator[float]:
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
def explained() -> Iterator[None]:
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
