"""What there is: of runs, of images, and how it compares."""

from typing import Annotated

import typer

from prunability.claims import judged
from prunability.claims.reproduction import reproduction, words
from prunability.cli.app import (
    Data,
    Device,
    ProfileName,
    Runs,
    Seed,
    Workers,
    app,
    echo,
    executed,
    explained,
    opened_here,
    published,
)
from prunability.data.sources import NAMES, load_images
from prunability.foundation.errors import PrunabilityError
from prunability.records import tables
from prunability.records.runner import named, records_of, survey
from prunability.report.session import Parameters
from prunability.report.status import progress_lines, published_lines
from prunability.studies import STUDIES, having, profiles


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
    with explained():
        wrong: list[str] = []
        unusable: list[str] = []
        for name in [study] if study else having(profile):
            execution = executed(name, profile, data, seed, device, runs, workers)
            try:
                table, words = published(name, profile, execution)
                if words:
                    typer.echo(f"{name}, {profile}: published table: {words}")
                if opened := opened_here(name, profile, data, seed, execution):
                    snapshot = survey(opened, execution)
                    echo([*progress_lines(snapshot), *published_lines(snapshot, table)])
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
    with explained():
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
    study: Annotated[str, typer.Argument(help="A study; by default all that decide a claim.")] = "",
    profile: ProfileName = "quick",
    data: Data = "",
    seed: Seed = 0,
    runs: Runs = "",
) -> None:
    """Say how one's own finished runs differ from the published ones, and whether the verdicts are the same."""
    with explained():
        for name in [study] if study else having(profile, judged()):
            execution = executed(name, profile, data, seed, "auto", runs, 1)
            table = tables.find(execution.results, name, profile)
            if table is None:
                raise PrunabilityError(f"{name}, {profile}: nothing is published in {execution.results}")
            opened = opened_here(name, profile, data, seed, execution)
            if opened is None:
                raise PrunabilityError(
                    f"{name}, {profile}: name your images (--data): these are of {table.origin.data.title}"
                )
            snapshot = survey(opened, execution)
            typer.echo(words(reproduction(opened, records_of(snapshot), table, seed)))
