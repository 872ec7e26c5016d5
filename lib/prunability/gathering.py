"""Where the runs of a notebook come from: the run store, else the published table, else training."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from prunability import published
from prunability.config import Execution, PrunabilityError
from prunability.cost import in_words, seconds_an_epoch
from prunability.data import CIFAR10, at_hand, load_images
from prunability.jobs import lacking
from prunability.runner import complete, survey
from prunability.store import Record
from prunability.studies import Study, expand, find_profile


@dataclass(frozen=True)
class Gathered:
    """The finished runs of a study, on which images, where they come from, and how many the study lacks.

    ``named`` is the source that the profile names, where images of another, or none, are at hand.
    """

    records: list[Record]
    title: str
    origins: Mapping[str, int]
    missing: int
    named: str = ""

    @property
    def words(self) -> str:
        """In a line or two, for a notebook."""
        places = [f"{number} from the {origin}" for origin, number in self.origins.items() if number]
        lacking = f"; {self.missing} of the study's runs are missing" if self.missing else ""
        instead = f" The profile names {self.named}, which is not here: these runs are shown instead."
        return f"Runs on {self.title}: {', '.join(places) or 'none'}{lacking}.{instead if self.named else ''}"


def choose(study: str, profile: str, data: str, seed: int, execution: Execution) -> Study:
    """The study on the images asked for; where none are, on those of its published table if there is one.

    The profile's own images come before those of the table only where the store has all runs on them.

    Raises:
        PrunabilityError: a name is unknown, or the data cannot be had or do not fit.
    """
    found = find_profile(study, profile)
    source, folder = data or found.data, execution.data
    table = published.find(execution.results, study, profile)

    def own() -> Study:
        if found.gpu and not at_hand(source, folder):  # nothing is downloaded only to be refused
            check(expand(study, profile, found, source, CIFAR10, seed), execution)
        return expand(study, profile, found, source, load_images(source, folder).facts, seed)

    if table is None:
        return own()
    if data or at_hand(source, folder):
        opened = own()
        if data or opened.data.checksum == table.origin.data.checksum or not survey(opened, execution).untrained:
            return with_table(opened, table)
    shown = of_table(table, seed)
    return shown if shown.published else own()


def of_table(table: published.Published, seed: int) -> Study:
    """The study of a published table, on the table's images, which are not at hand."""
    origin = table.origin
    profile = find_profile(origin.study, origin.profile)
    return with_table(expand(origin.study, origin.profile, profile, None, origin.data, seed), table)


def with_table(study: Study, table: published.Published) -> Study:
    """With those finished runs of a table that are the study's own: a run's hash names its images too."""
    own = {run.hash for run in study.runs}
    found = {r.config.hash: r for r in table.records if r.config.hash in own and not lacking(r)}
    return replace(study, published=found)


def gather(study: Study, execution: Execution) -> Gathered:
    """The finished runs of a study, those that are missing made where that is sensible.

    Raises:
        PrunabilityError: runs are missing that ask for a GPU, there is none, and nothing was published.
    """
    check(study, execution)
    found = survey(study, execution)
    records, missing = found.done, len(found.untrained) + len(found.unmeasured)
    if missing and _makes(study, execution):
        records, missing = complete(study, execution), 0
    from_table = sum(study.published.get(record.config.hash) is record for record in records)
    return Gathered(
        records,
        study.data.title,
        {"run store": len(records) - from_table, "published table": from_table},
        missing,
        "" if study.source or study.data.title == CIFAR10.title else find_profile(study.name, study.profile).data,
    )


def _makes(study: Study, execution: Execution) -> bool:
    """Whether what is missing is made here: the images are, and a GPU where the study asks for one."""
    return study.source is not None and (execution.torch_device.type == "cuda" or not study.gpu)


def check(study: Study, execution: Execution) -> None:
    """Whether a study has something to show.

    Raises:
        PrunabilityError: runs are missing that ask for a GPU, there is none, and nothing was published.
    """
    found = survey(study, execution)
    configs, missing = found.untrained, len(found.untrained) + len(found.unmeasured)
    if not missing or study.published or _makes(study, execution):
        return
    cost = ""
    if configs:
        epoch, most = seconds_an_epoch(configs, study.data, execution), max(c.training.max_epochs for c in configs)
        cost = (
            f" Here, with {execution.processes} processes, an epoch of all of them would take about "
            f"{in_words(epoch)}, the {most} that each may take {in_words(epoch * most)}, measures not counted."
        )
    source = f" --data {study.source}" if study.source != find_profile(study.name, study.profile).data else ""
    raise PrunabilityError(
        f"{study.name}, {study.profile}: {missing} of {len(study.runs)} runs are missing, there is no published "
        f"table of them, and no GPU.{cost} To make them all the same, here or better on a machine with a GPU:\n"
        f"    .venv/bin/prunability run {study.name} --profile {study.profile}{source}"
    )
