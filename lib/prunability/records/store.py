"""The run store: one JSON file a run, written atomically and named by the run's hash, weights beside it.

A record that exists is a finished training. Weights are named by run and content and written before the record,
so a kill at any moment leaves either a whole run or none, and no record finds the weights of another training.
Many processes may read and write one store: what is saved is united with what is there, and nobody waits to read.
"""

import errno
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from prunability.foundation.errors import PrunabilityError, explain
from prunability.foundation.files import canonical, digest, read, write
from prunability.records.locks import writing
from prunability.training.config import RunConfig, hash_of
from prunability.training.course import Result
from prunability.training.loop import State

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


def _fields(part: Result | Measured) -> dict[str, Any]:
    """A part of a record as it is written; what is in it is not copied."""
    return {name: getattr(part, name) for name in part.__slots__}


# The file of a record: its canonical JSON but for the last brace, then the checksum of it.
WRITTEN = re.compile(rb'(.*),"checksum":"([0-9a-f]{64})"}\n', re.DOTALL)
# What weights are that were damaged, edited, or are of another training.
TRAINED_AGAIN = "delete it: the record stays, and the run is trained again once it lacks a measure"
NOT_THE_RECORDS = "it does not match the checksum in the run's record"
# What a record must hold: it reads one, or says which field is wrong.
SCHEMA = TypeAdapter(Record)


class RunStore:
    """The records and weights below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, config: RunConfig) -> Path:
        """Where the record of a run is or will be."""
        return self.folder / f"{config.hash}.json"

    def load(self, config: RunConfig) -> Record | None:
        """The record of a run, None where it is not finished.

        Raises:
            UnusableError: the file is truncated, was edited, is not this run's record or no file.
            PrunabilityError: the folder cannot be read.
        """
        text = config.text
        try:  # without a ``Path``, of which a hundred thousand take seconds to make
            return read_record(f"{self.folder}/{hash_of(text)}.json", text)
        except FileNotFoundError:
            return None

    def load_known(self, config: RunConfig) -> Record:
        """The record of a run that was found finished.

        Raises:
            UnusableError: it is gone since; and what :meth:`load` raises.
        """
        if (record := self.load(config)) is None:
            raise UnusableError(f"{self.path(config)}: it was here and is gone; the same command makes it again")
        return replace(record, config=config)  # the two are equal, and one is enough

    def has_weights(self, record: Record) -> bool:
        """Whether the weights of a record are here; those that were imported come without."""
        return self._weights(record.config, record.weights).exists()

    def drop_weights(self, config: RunConfig) -> None:
        """Forget what broken-off trainings of a run left; for who has claimed it and will train it."""
        self.tidy(config, "*.safetensors")

    def tidy(self, config: RunConfig, *patterns: str) -> None:
        """Remove what writers of a run left that were killed; for who has claimed it."""
        with writing(self.folder, config):
            for pattern in ("*.partial", *patterns):
                for path in self.folder.glob(f"{config.hash}.{pattern}"):
                    path.unlink(missing_ok=True)

    def checkpoint(self, config: RunConfig) -> Path:
        """Where an unfinished training keeps what it has reached."""
        return self.folder / f"{config.hash}.checkpoint"

    def save(self, record: Record, over: Record | None = None) -> Record:
        """Unite a record with what the store has of its run by now and return what the store has then.

        The record of another training stays, and its weights, unless it is just the one to be written ``over``;
        then the new one takes its place. A finished training needs no checkpoint more.

        Raises:
            UnusableError: the store's record is damaged.
        """
        with writing(self.folder, record.config):
            known = self.load(record.config)
            kept, lost = record, known
            if known is not None and known.weights == record.weights:
                kept, lost = united(known, record), None
            elif known is not None and known != over:
                kept, lost = known, record
            if kept != known:
                write(self.path(record.config), text_of(kept))
            if lost is not None:
                self._weights(lost.config, lost.weights).unlink(missing_ok=True)
            self.checkpoint(record.config).unlink(missing_ok=True)
        return kept

    def save_weights(self, config: RunConfig, initial: State, final: State) -> str:
        """Write initial and final weights atomically and return their checksum."""
        tensors = {f"initial.{name}": tensor.contiguous() for name, tensor in initial.items()}
        tensors |= {f"final.{name}": tensor.contiguous() for name, tensor in final.items()}
        content = save(tensors)
        checksum = hashlib.sha256(content).hexdigest()
        with writing(self.folder, config):
            write(self._weights(config, checksum), content)
        return checksum

    def load_weights(self, record: Record) -> tuple[State, State]:
        """Initial and final weights of a run.

        Raises:
            UnusableError: the file is missing, cannot be read, or is not what the record says it is.
        """
        path = self._weights(record.config, record.weights)
        try:
            content = read(path)
            if hashlib.sha256(content).hexdigest() != record.weights:
                raise weightless(path, NOT_THE_RECORDS)
            tensors = load(content)
        except FileNotFoundError as error:
            raise UnusableError(f"{path}: the weights of this run are not here, only its record") from error
        except OSError as error:
            raise weightless(path, f"it cannot be read ({error.strerror})") from error
        except SafetensorError as error:
            raise weightless(path, str(error)) from error
        return _part(tensors, "initial."), _part(tensors, "final.")

    def _weights(self, config: RunConfig, checksum: str) -> Path:
        return self.folder / f"{config.hash}.{checksum[:16]}.safetensors"


def read_record(path: Path | str, config: bytes = b"") -> Record:
    """The record in a file: of whichever run, or of that whose configuration's text is given.

    Raises:
        FileNotFoundError: there is none.
        UnusableError: it is truncated, was edited, is of another run, or is no file.
        PrunabilityError: the folder cannot be read.
    """
    try:
        content, checksum = _signed(read(path))
        if checksum != hashlib.sha256(content).hexdigest():
            raise damaged(path, "its content does not match its checksum: it was edited or damaged")
        record = SCHEMA.validate_json(content)
        if not content.startswith(b'{"config":' + config):
            raise damaged(path, "it is the record of another run")
        return record
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
    return content[:-1] + b',"checksum":"%s"}\n' % hashlib.sha256(content).hexdigest().encode()


def _signed(text: bytes) -> tuple[bytes, str]:
    """A record's canonical JSON and what its checksum should be.

    Raises:
        ValueError, KeyError, AttributeError, TypeError, RecursionError: it is no record.
    """
    if written := WRITTEN.fullmatch(text):
        return written[1] + b"}", written[2].decode()
    # As it was written before: indented, in another order.
    raw = json.loads(text)
    checksum = raw.pop("checksum")
    return canonical(raw), checksum


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> State:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def weightless(path: Path, why: str) -> UnusableError:
    """What is wrong with a run's weights, and how to mend it: its record is whole."""
    return UnusableError(f"{path}: {why}. It is not used; {TRAINED_AGAIN}")


def damaged(path: Path | str, why: str) -> UnusableError:
    """What is wrong with a file of a run, and how to mend it."""
    run = Path(path).name.partition(".")[0]
    return UnusableError(
        f"{path}: {why}. It is not used and not overwritten; delete or move {run}.json and "
        f"{run}.*.safetensors, and the same command makes this run again"
    )
