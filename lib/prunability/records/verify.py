"""Whether what is on disk is whole: a store's records, weights and checkpoints, and tables; read, never changed."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from prunability.foundation.errors import PrunabilityError
from prunability.foundation.files import not_regular
from prunability.measures import REGISTRY
from prunability.records import tables
from prunability.records.locks import in_work
from prunability.records.record import Record, read_record
from prunability.records.store import NOT_THE_RECORDS, TRAINED_AGAIN, RunStore
from prunability.records.workers import beyond
from prunability.training import checkpoints

RUN = r"(?P<run>[0-9a-f]{16})"
KINDS = {
    "records": re.compile(rf"{RUN}\.json"),
    "weights": re.compile(rf"{RUN}\.(?P<weights>[0-9a-f]{{16}})\.safetensors"),
    "checkpoints": re.compile(rf"{RUN}\.checkpoint"),
    "partial": re.compile(rf"{RUN}\..*\.partial"),
}
DELETE = "delete it"
MADE_AGAIN = "delete or move it and {run}.*.safetensors, and `prunability run` makes the run again"
BEGUN_ANEW = f"{DELETE}, or leave it: the training begins anew"


class Fault(NamedTuple):
    """What is wrong with a file, and how to mend it."""

    path: Path
    what: str
    mend: str

    @property
    def words(self) -> str:
        """In a line."""
        return f"{self.path}: {self.what}; {self.mend}"


class Seen(NamedTuple):
    """What was looked at, by kind, and what is wrong."""

    files: Counter[str]
    faults: list[Fault]

    @property
    def lines(self) -> list[str]:
        """A line for each fault, and how much was looked at."""
        counted = ", ".join(f"{number} {kind}" for kind, number in self.files.items())
        at_fault = f"{len(self.faults)} at fault" if self.faults else "all whole"
        return [*(fault.words for fault in self.faults), f"{counted}: {at_fault}"]


def verify(runs: Path | None, named: list[Path]) -> Seen:
    """Look at a whole store, where one is given, and at tables.

    Raises:
        PrunabilityError: there is no such folder, or it cannot be read.
    """
    files: Counter[str] = Counter()
    faults = [*(_of_store(runs, files) if runs is not None else ()), *_of_tables(named, files)]
    return Seen(files, faults)


def _of_store(runs: Path, files: Counter[str]) -> Iterator[Fault]:
    """What is wrong in a store. Records come first: what weights and checkpoints are to be follows from them."""
    try:
        found = sorted(path for path in runs.iterdir() if path.name != "locks")
    except OSError as error:
        raise PrunabilityError(f"runs: cannot read {runs} ({error.strerror}); name another folder") from error
    of_kind: dict[str, list[tuple[Path, re.Match[str]]]] = {kind: [] for kind in KINDS}
    for path in found:
        kind, match = next(((k, m) for k, p in KINDS.items() if (m := p.fullmatch(path.name))), (None, None))
        if kind is None or match is None:
            yield Fault(path, "it is no part of a store", "move it away")
        elif kind != "records" and not_regular(path):
            yield Fault(path, "it is not a regular file", "move it away")
        else:
            of_kind[kind].append((path, match))
    locks = runs / "locks"
    if not locks.is_dir() and (locks.exists() or locks.is_symlink()):
        yield Fault(locks, "it is not the folder of the locks", "move it away")
    for path in sorted(locks.iterdir()) if locks.is_dir() else ():
        if not_regular(path) or path.is_symlink():
            yield Fault(path, "no lock can be there", "move it away")
    files.update({kind: len(paths) for kind, paths in of_kind.items() if kind != "partial"})
    # The checksum of the weights of each run, None where its record cannot be used; and which need no training.
    weights: dict[str, str | None] = {}
    finished = set()
    for path, match in of_kind["records"]:
        weights[match["run"]] = None
        try:
            record = read_record(path)
        except FileNotFoundError:
            continue
        except PrunabilityError as error:
            why = str(error).removeprefix(f"{path}: ").partition(". It is not used")[0]
            yield Fault(path, why, MADE_AGAIN.format(run=path.stem))
            continue
        weights[match["run"]] = record.weights
        if RunStore(runs).has_weights(record):
            finished.add(match["run"])
        yield from _of_record(path, record)
    for path, match in of_kind["weights"]:
        yield from _of_weights(path, runs, match, weights)
    for path, match in of_kind["checkpoints"]:
        if match["run"] in finished:
            yield Fault(path, "it is a checkpoint of a finished training", DELETE)
        else:
            yield from _of_checkpoint(path)
    for path, match in of_kind["partial"]:
        if not in_work(runs, match["run"]):
            yield Fault(path, "it is half a file, of a writer that was killed", DELETE)


def _of_record(path: Path, record: Record) -> Iterator[Fault]:
    if record.config.hash != path.stem:
        yield Fault(
            path, f"its configuration is that of run {record.config.hash}", MADE_AGAIN.format(run=path.stem)
        )
    ended = record.result
    found = (ended.train_loss, ended.train_error, ended.test_loss, ended.test_error)
    if ended.status != "diverged" and None in found:
        yield Fault(path, f"it is {ended.status}, and has no loss or no error", MADE_AGAIN.format(run=path.stem))
    if empty := [name for name, made in record.measures.items() if not made.values and made.undefined is None]:
        yield Fault(path, f"neither value nor reason for {', '.join(empty)}", MADE_AGAIN.format(run=path.stem))
    if newer := [name for name in beyond(record) if name in REGISTRY]:
        yield Fault(path, f"newer code than this measured {', '.join(newer)}", "work on this store with that code")


def _of_weights(path: Path, runs: Path, match: re.Match[str], weights: dict[str, str | None]) -> Iterator[Fault]:
    run = match["run"]
    if run not in weights:
        if not in_work(runs, run):
            yield Fault(path, "no record is of these weights: a training was broken off", DELETE)
        return
    expected = weights[run]
    if expected is None:
        return  # the record's own fault says what to do with both
    if not expected.startswith(match["weights"]):
        yield Fault(path, "they are of another training than the run's record", DELETE)
        return
    try:
        with path.open("rb") as stream:
            whole = hashlib.file_digest(stream, "sha256").hexdigest() == expected
    except OSError as error:
        yield Fault(path, f"it cannot be read ({error.strerror})", TRAINED_AGAIN)
        return
    if not whole:
        yield Fault(path, NOT_THE_RECORDS, TRAINED_AGAIN)


def _of_checkpoint(path: Path) -> Iterator[Fault]:
    try:
        checkpoints.whole(path)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        yield Fault(path, getattr(error, "strerror", None) or str(error), BEGUN_ANEW)


def _of_tables(named: list[Path], files: Counter[str]) -> Iterator[Fault]:
    files["tables"] = len(named)
    for path in named:
        try:
            tables.read(path)
        except PrunabilityError as error:
            yield Fault(path, str(error).removeprefix(f"{path}: "), tables.MEND[0].lower() + tables.MEND[1:])
