"""Making what a study lacks."""

from typing import Annotated

import typer

from prunability.cli.app import (
    Data,
    Device,
    ProfileName,
    Runs,
    Seed,
    StudyName,
    Workers,
    app,
    echo,
    executed,
    explained,
    limited,
    published,
)
from prunability.foundation.engines import open_engine
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import seconds_of
from prunability.foundation.files import expanded
from prunability.records.runner import completed, survey
from prunability.report.status import progress_lines, published_lines
from prunability.studies import open_study


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
    with explained(), limited(seconds_of(time_limit)) as until:
        # The workers of a cluster may have the GPU that this machine has not.
        elsewhere = engine != "local"
        here = "auto" if elsewhere and device == "cuda" else device
        execution = executed(study, profile, data, seed, here, runs, workers)
        execution = execution.model_copy(update={"device": device, "elsewhere": elsewhere})
        with open_engine(engine, scheduler, execution.processes, workers) as chosen:
            source = _everywhere(data) if elsewhere else data
            snapshot = survey(open_study(study, profile, source, seed, execution.data), execution)
            if snapshot.untrained:
                table, _ = published(study, profile, execution)
                echo(published_lines(snapshot, table))
            try:
                done = completed(snapshot, until, chosen)
            except PrunabilityError:
                echo(progress_lines(survey(snapshot.study, execution)))
                raise
            echo(progress_lines(done))


def _everywhere(data: str) -> str:
    """Data by a name that holds in every working folder."""
    folder = data.removeprefix("folder:")
    return (
        data if folder in ("", data) or folder.startswith("~") else f"folder:{expanded(folder, 'data').absolute()}"
    )
