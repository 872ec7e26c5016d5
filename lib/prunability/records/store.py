"""The run store: one JSON file a run, written atomically and named by the run's hash, weights beside it.

A record that exists is a finished training. Weights are named by run and content and written before the record,
so a kill at any moment leaves either a whole run or none, and no record finds the weights of another training.
Many processes may read and write one store: what is saved is united with what is there, and nobody waits to read.
"""

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from prunability.foundation.files import read, write
from prunability.records.locks import writing
from prunability.records.record import Glance, Record, UnusableError, glance, read_record, text_of, united
from prunability.training.config import RunConfig, hash_of
from prunability.training.loop import State

# What weights are that were damaged, edited, or are of another training.
TRAINED_AGAIN = "delete it: the record stays, and the run is trained again once it lacks a measure"
NOT_THE_RECORDS = "it does not match the checksum in the run's record"


class RunStore:
    """The records and weights below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, config: RunConfig) -> Path:
        """Where the record of a run is or will be."""
        return self.folder / f"{config.hash}.json"

    def coming(self, configs: Iterable[RunConfig]) -> Callable[[], int]:
        """What says how many of some runs are here that are not here now.

        Runs that are trained side by side are told together, perhaps hours after the first was stored.
        """
        paths = [path for config in configs if not (path := self.path(config)).exists()]
        return lambda: sum(path.exists() for path in paths)

    def load(self, config: RunConfig) -> Record | None:
        """The record of a run, None where it is not finished.

        Raises:
            UnusableError: the file is truncated, was edited, is not this run's record or no file.
            PrunabilityError: the folder cannot be read.
        """
        text = config.text
        try:
            return read_record(self._file(text), text)
        except FileNotFoundError:
            return None

    def glance(self, config: RunConfig) -> Glance | None:
        """As :meth:`load`, without the values of measures."""
        text = config.text
        try:
            return glance(self._file(text), config, text)
        except FileNotFoundError:
            return None

    def _file(self, text: bytes) -> str:
        """The path of a run by its configuration's text: of ``Path`` a hundred thousand take seconds to make."""
        return f"{self.folder}/{hash_of(text)}.json"

    def load_known(self, config: RunConfig) -> Record:
        """The record of a run that was found finished.

        Raises:
            UnusableError: it is gone since; and what :meth:`load` raises.
        """
        if (record := self.load(config)) is None:
            raise UnusableError(f"{self.path(config)}: it was here and is gone; `prunability run` makes it again")
        return replace(record, config=config)  # the two are equal, and one is enough

    def has_weights(self, record: Record | Glance) -> bool:
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
            with suppress(IsADirectoryError, PermissionError):  # a folder in its place is nobody's checkpoint
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


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> State:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def weightless(path: Path, why: str) -> UnusableError:
    """What is wrong with a run's weights, and how to mend it: its record is whole."""
    return UnusableError(f"{path}: {why}. It is not used; {TRAINED_AGAIN}")
