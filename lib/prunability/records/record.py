"""The record of a run: what it found and how it was made, as signed canonical JSON."""

import errno
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from prunability.foundation.errors import PrunabilityError, explain
from prunability.foundation.files import canonical, digest, read
from prunability.training.config import RunConfig
from prunability.training.course import Result, Status

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
# What says that not a record but the folder that is to hold it cannot be read.
NO_FOLDER = {errno.ENOTDIR, errno.ENAMETOOLONG}


class UnusableError(PrunabilityError):
    """What the store has of one run cannot be used; it stays as it is, and other runs are not concerned."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one function of measures gave: a value for each name, or why there is none.

    Values estimated from random draws have a standard error, in the same unit.
    """

    __pydantic_config__ = STRICT

    version: int
    values: dict[str, float] = field(default_factory=dict)
    undefined: str | None = None
    standard_errors: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """A finished run.

    ``seconds`` and ``environment`` say how it was made and are not part of the result. ``curves`` holds loss
    curves that were drawn of it, by pruner and number of points: they follow from the weights.
    """

    __pydantic_config__ = STRICT

    config: RunConfig
    result: Result
    measures: dict[str, Measured]
    weights: str
    seconds: dict[str, float] = field(default_factory=dict)
    environment: dict[str, str | int | float] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)

    def content(self) -> dict[str, Any]:
        """What the run found, without timings, environment and curves."""
        return {
            "config": self.config.model_dump(),
            "result": _fields(self.result),
            "measures": {name: _fields(made) for name, made in sorted(self.measures.items())},
            "weights": self.weights,
        }

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of :meth:`content`."""
        return digest(self.content())


@dataclass(frozen=True, slots=True)
class Version:
    """Of :class:`Measured`, which version of the function gave it; for the rest the checksum vouches."""

    __pydantic_config__ = ConfigDict(extra="ignore", strict=True)

    version: int


@dataclass(frozen=True, slots=True)
class Ended:
    """Of :class:`Result`, how the training ended."""

    __pydantic_config__ = ConfigDict(extra="ignore", strict=True)

    status: Status
    reason: str


@dataclass
class Glance:
    """Of :class:`Record`, what says whether a run is done, read in half the time."""

    __pydantic_config__ = STRICT

    config: RunConfig = field(init=False)
    result: Ended
    measures: dict[str, Version]
    weights: str
    seconds: dict[str, float] = field(default_factory=dict)
    environment: dict[str, str | int | float] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)


def _fields(part: Result | Measured) -> dict[str, Any]:
    """A part of a record as it is written; what is in it is not copied."""
    return {name: getattr(part, name) for name in part.__slots__}


ANOTHERS = "it is the record of another run"
# How the file of a record ends: its canonical JSON but for the last brace, then the checksum of it.
SIGNED = b',"checksum":"%s"}\n'
SIGNATURE = re.compile(SIGNED % b"([0-9a-f]{64})")
# What a record must hold: each reads one, or says which field is wrong.
SCHEMA, GLANCE = TypeAdapter(Record), TypeAdapter(Glance)


def read_record(path: Path | str, config: bytes = b"") -> Record:
    """The record in a file: of whichever run, or of that whose configuration's text is given.

    Raises:
        FileNotFoundError: there is none.
        UnusableError: it is truncated, was edited, is of another run, or is no file.
        PrunabilityError: the folder cannot be read.
    """
    with _explained(path):
        content = _whole(path)
        record = SCHEMA.validate_json(content)
        if not content.startswith(b'{"config":' + config):
            raise damaged(path, ANOTHERS)
        return record


def glance(path: Path | str, config: RunConfig, text: bytes) -> Glance:
    """The record in a file of the run that is configured so, in this text, as far as to see whether it is done.

    Raises:
        FileNotFoundError, UnusableError, PrunabilityError: as :func:`read_record`.
    """
    with _explained(path):
        content, own = _whole(path), b'{"config":' + text + b","
        if not content.startswith(own):
            raise damaged(path, ANOTHERS)
        seen = GLANCE.validate_json(b"{" + content[len(own) :])
        seen.config = config
        return seen


def _whole(path: Path | str) -> bytes:
    """The canonical JSON in the file of a record, which matches its checksum."""
    content, checksum = _signed(read(path))
    if checksum != hashlib.sha256(content).hexdigest():
        raise damaged(path, "its content does not match its checksum: it was edited or damaged")
    return content


@contextmanager
def _explained(path: Path | str) -> Iterator[None]:
    """Say of whatever goes wrong in reading a record what it is, and how to mend it; a missing file is none."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in NO_FOLDER:
            raise PrunabilityError(f"runs: cannot read {path} ({error.strerror}); name another folder") from error
        raise damaged(path, f"it cannot be read ({error.strerror})") from error
    except ValidationError as error:  # a kind of ValueError
        raise damaged(path, f"{explain(error)} (by newer code, perhaps)") from error
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise damaged(path, "it is not a whole record") from error


def united(known: Record, new: Record) -> Record:
    """A record with what another of the same training has more: measures, newer versions of them, curves,
    seconds, and what is said of how they were made.

    What both have stays as it is known.
    """
    newer = {
        name: measured
        for name, measured in new.measures.items()
        if name not in known.measures or known.measures[name].version < measured.version
    }
    seconds = {name: taken for name, taken in new.seconds.items() if name in newer or name not in known.seconds}
    return replace(
        known,
        measures=known.measures | newer,
        seconds=known.seconds | seconds,
        environment=new.environment | known.environment,
        curves=new.curves | known.curves,
    )


def checksum_of(records: Iterable[Record]) -> str:
    """One checksum over the results of several runs, in whichever order they come."""
    return digest(sorted(record.checksum for record in records))


def text_of(record: Record) -> bytes:
    """What the file of a record holds: its canonical JSON, and the checksum of that as the last field."""
    made = {"seconds": record.seconds, "environment": record.environment, "curves": record.curves}
    content = canonical(record.content() | made)
    return content[:-1] + SIGNED % hashlib.sha256(content).hexdigest().encode()


def _signed(text: bytes) -> tuple[bytes, str]:
    """A record's canonical JSON and what its checksum should be.

    Raises:
        ValueError, KeyError, AttributeError, TypeError, RecursionError: it is no record.
    """
    end = max(len(text) - len(SIGNED % (b"0" * 64)), 0)
    if signature := SIGNATURE.fullmatch(text, end):
        return text[:end] + b"}", signature[1].decode()
    # As it was written before: indented, in another order.
    raw = json.loads(text)
    checksum = raw.pop("checksum")
    return canonical(raw), checksum


def damaged(path: Path | str, why: str) -> UnusableError:
    """What is wrong with a file of a run, and how to mend it."""
    run = Path(path).name.partition(".")[0]
    return UnusableError(
        f"{path}: {why}. It is not used and not overwritten; delete or move {run}.json and "
        f"{run}.*.safetensors, and `prunability run` makes this run again"
    )
