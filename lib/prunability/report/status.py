"""How far a study is, in lines for the command line."""

import os
from collections import Counter
from collections.abc import Iterator

import pandas as pd

from prunability.analysis.tables import left_out
from prunability.measures import REGISTRY
from prunability.measures.probes import name_in
from prunability.records.runner import Snapshot
from prunability.records.store import RunStore
from prunability.records.tables import Published, table_path


def progress_lines(snapshot: Snapshot) -> Iterator[str]:
    """What is done, missing and left out, and how long the rest will take."""
    study, execution, store = snapshot.study, snapshot.execution, RunStore(snapshot.execution.runs)
    trained, own = [*snapshot.whole, *snapshot.unmeasured], set(study.runs)
    missing = [config for config in snapshot.untrained if config in own]
    needed = len(snapshot.untrained) - len(missing)
    yield (
        f"{study.name}, {study.profile}, {study.data.title}: {len(trained)} of {len(study.runs)} runs "
        f"trained, {len(snapshot.unmeasured)} of them lack measures, {len(missing)} missing"
        + (f" (and {needed} that they need, of no part of the study)" if needed else "")
        + (f", {len(snapshot.unusable)} whose records cannot be used" if snapshot.unusable else "")
    )
    if begun := sum(store.checkpoint(config).exists() for config in snapshot.untrained):
        yield f"  {begun} of the missing {'is' if begun == 1 else 'are'} in training, kept as far as it went"
    if not execution.runs.is_dir():
        yield f"  there is no folder {execution.runs} yet"
    lacking = Counter(name_in(name) or name for run in snapshot.unmeasured for name in run.lacking)
    for name, number in lacking.items():
        members = ", ".join(member.name for member in REGISTRY[name].measures) if name in REGISTRY else name
        yield f"  missing on {number} run{'s' * (number > 1)}: {members}"
    ends = [(run.status, run.reason, run.config.training.stop_at_target) for run in trained]
    for reason, number in left_out(pd.DataFrame(ends, columns=["status", "reason", "stop_at_target"])).items():
        yield f"  left out of the headline: {number} ({reason})"
    seconds = snapshot.seconds_left
    if seconds is None:
        yield "  time left: not known before a first run is finished"
    elif seconds:
        minutes = "under a minute" if seconds < 60 else f"about {seconds / 60:.0f} min"
        yield f"  time left: {minutes} with {execution.processes} processes"


def published_lines(snapshot: Snapshot, table: Published | None) -> Iterator[str]:
    """How many missing runs need no training, for the published table has them."""
    theirs = {record.config.hash for record in table.records} if table else set()
    if spared := sum(run.hash in theirs for run in snapshot.untrained):
        study = snapshot.study
        path = os.path.relpath(table_path(snapshot.execution.results, study.name, study.profile))
        yield f"  {spared} of the missing are in the published table: `prunability import {path}` takes them"
