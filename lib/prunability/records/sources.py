"""Where the runs of a notebook come from: one's own run store, completed where it lacks, or a published table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prunability.data.sources import at_hand, facts_before
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import Execution
from prunability.measures import REGISTRY
from prunability.records import tables
from prunability.records.cost import in_words, seconds_an_epoch
from prunability.records.record import Record
from prunability.records.runner import Snapshot, completed, records_of, survey
from prunability.records.tables import Published
from prunability.records.workers import lacking
from prunability.studies import Study, expand, find_profile, having, open_study
from prunability.studies.order import blocks
from prunability.training.config import VERSION

From = Literal["own", "published"]


@dataclass(frozen=True)
class Chosen:
    """A study, and the published table whose runs are shown; without one, the runs are one's own."""

    study: Study
    table: Published | None = None


@dataclass(frozen=True)
class Gathered:
    """The finished runs of a study, on which images, where from, how many it lacks, and made by which version.

    ``instead_of`` is the source that the profile names where the images are others. ``without`` names the
    measures that no run has. ``blocks`` says how many of the study's blocks, in which runs are made where time is
    short, are whole, and how many there are. ``made`` of the runs were not there before.
    """

    records: list[Record]
    title: str
    origin: str
    missing: int
    version: int = VERSION
    instead_of: str = ""
    without: tuple[str, ...] = ()
    blocks: tuple[int, int] = (1, 1)
    made: int = 0

    @property
    def words(self) -> str:
        """In a line or two, for a notebook."""
        lacking = f"; {self.missing} of the study's runs are missing" if self.missing else ""
        kept = len(self.records) - self.made
        parts = [f"{kept} from the {self.origin}"] * (kept > 0) + [f"{self.made} made just now"] * (self.made > 0)
        runs = " and ".join(parts) or "none"
        made = f", made by version {self.version} of the protocol" if self.version != VERSION else ""
        said = f"Runs on {self.title}: {runs}{made}{lacking}."
        whole, blocks = self.blocks
        if self.missing and blocks > 1:
            said += f" Whole are {whole} of its {blocks} blocks, each a balanced choice of settings with one seed."
        if self.instead_of:
            said += f" The profile names {self.instead_of}: the runs shown are on other images."
        if self.without:
            said += f" No value is there of {', '.join(self.without)}: measured anew, or defined anew, since."
        return said


def origin_of(profile: str, wanted: str, data: str, results: Path) -> From:
    """Whether a profile shows one's own runs or the published ones, where that is not said.

    One's own where other data are named, where the profile takes minutes, and where nothing is published.

    Raises:
        PrunabilityError: ``wanted`` is neither.
    """
    if wanted in ("own", "published"):
        return wanted  # type: ignore[return-value]
    if wanted:
        raise PrunabilityError(f"runs_from: {wanted!r} must be own, published, or empty for the usual")
    studies = having(profile)
    known = any(tables.table_path(results, study, profile).exists() for study in studies)
    made_here = any(find_profile(study, profile).made_here for study in studies)
    return "own" if data or made_here or not known else "published"


def choose(study: str, profile: str, data: str, seed: int, origin: From, execution: Execution) -> Chosen:
    """The study on the images asked for, or as its published table has it.

    Raises:
        PrunabilityError: a name is unknown, the data cannot be had or do not fit, or nothing is published.
    """
    size = find_profile(study, profile)
    if origin == "published":
        table = tables.find(execution.results, study, profile)
        if table is None:
            raise PrunabilityError(
                f"{study}, {profile}: nothing is published in {execution.results}; take runs_from=own"
            )
        if data:
            raise PrunabilityError(
                f"data={data} goes with one's own runs: published ones are of {table.origin.data.title}"
            )
        if seed not in (0, table.origin.seed):
            raise PrunabilityError(
                f"seed={seed} goes with one's own runs: published ones are of seed {table.origin.seed}"
            )
        return of_table(table)
    source, folder = data or size.data, execution.data
    if size.gpu and not at_hand(source, folder) and (facts := facts_before(source)):
        # Nothing is downloaded only to be refused.
        check(expand(study, profile, size, source, facts, seed), execution)
    return Chosen(open_study(study, profile, data, seed, folder))


def of_table(table: Published) -> Chosen:
    """The study of a published table, on its images and of its version and seed."""
    origin = table.origin
    profile = find_profile(origin.study, origin.profile)
    study = expand(origin.study, origin.profile, profile, None, origin.data, origin.seed, table.version)
    return Chosen(study, table)


def of_study(study: Study, records: Sequence[Record]) -> list[Record]:
    """Those records that are of a study's runs, in its order: a run's hash names its images too."""
    known: Mapping[str, Record] = {record.config.hash: record for record in records}
    return [known[run.hash] for run in study.runs if run.hash in known]


def gather(chosen: Chosen, execution: Execution, snapshot: Snapshot | None = None) -> Gathered:
    """The finished runs of a study, those that are missing made where they are one's own.

    ``snapshot`` is what :func:`check` has read, where it was asked before.

    Raises:
        PrunabilityError: runs are missing that ask for a GPU and there is none, or a table has none of the study's.
    """
    study, table = chosen.study, chosen.table
    if table is None:
        before = snapshot or check(study, execution)
        lacked = {run.hash for run in before.missing}
        done = records_of(completed(before))
        missing, made = len(study.runs) - len(done), sum(record.config.hash in lacked for record in done)
        return Gathered(done, study.data.title, "run store", missing, blocks=_whole(study, done), made=made)
    records = of_study(study, table.records)
    if not records:
        raise PrunabilityError(
            f"{study.name}, {study.profile}: no run of the published table is of this study, whose profile has "
            "changed since. Export it anew, or take runs_from=own"
        )
    source = find_profile(study.name, study.profile).data
    facts = facts_before(source)
    named = facts.title if facts else source
    absent = [set(lacking(record, study.wanted)) for record in records if record.result.status != "diverged"]
    nowhere = set.intersection(*absent) if absent else set[str]()
    # In the registry's order: a set has another in each process.
    without = [m.label for name, function in REGISTRY.items() if name in nowhere for m in function.measures]
    return Gathered(
        records,
        study.data.title,
        "published table",
        len(study.runs) - len(records),
        table.version,
        "" if study.data.title == named else named,
        tuple(without),
        _whole(study, records),
    )


def _whole(study: Study, records: Sequence[Record]) -> tuple[int, int]:
    """How many blocks of a study have all their runs, and how many there are."""
    done, all_blocks = {record.config for record in records}, blocks(study)
    return sum(done.issuperset(block) for block in all_blocks), len(all_blocks)


def check(study: Study, execution: Execution) -> Snapshot:
    """See that one's own runs of a study can be had, and return what the store has of them.

    Raises:
        PrunabilityError: runs are missing that ask for a GPU, and there is none.
    """
    snapshot = survey(study, execution)
    if not snapshot.missing or not study.gpu or execution.torch_device.type == "cuda":
        return snapshot
    configs, missing = snapshot.untrained, len(snapshot.missing)
    cost = ""
    if configs:
        epoch, most = seconds_an_epoch(configs, study.data, execution), max(c.training.max_epochs for c in configs)
        cost = (
            f" Here, with {execution.processes} processes, an epoch of all of them would take about "
            f"{in_words(epoch)}, the {most} that each may take {in_words(epoch * most)}, measures not counted."
        )
    source = f" --data {study.source}" if study.source != find_profile(study.name, study.profile).data else ""
    raise PrunabilityError(
        f"{study.name}, {study.profile}: {missing} of {len(study.runs)} runs are missing, and there is no "
        f"GPU.{cost} To make them all the same, here or better on a machine with a GPU:\n"
        f"    .venv/bin/prunability run {study.name} --profile {study.profile}{source}"
    )
