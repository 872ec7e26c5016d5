"""What a long training has reached, so that a kill costs minutes of it and a limit of time nothing.

A file is the SHA-256 of its content and that content: what does not match is never gone on from.
"""

import hashlib
import io
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from prunability.foundation.files import read, write
from prunability.foundation.progress import say
from prunability.training.config import RunConfig
from prunability.training.course import Course

# Seconds between two checkpoints of a training.
EVERY = 120.0
# An epoch is begun if this many times the last one's duration is left.
EPOCHS_LEFT = 1.5
# What is kept of a course.
COURSE = ("curve", "total", "steps", "close", "known")
# Bytes of a checksum.
SIGNED = hashlib.sha256().digest_size
# Says where a run keeps what it has reached.
Place = Callable[[RunConfig], Path]


class OutOfTimeError(Exception):
    """The time allowed is over; what the training has reached is kept."""


def keep(path: Path, config: RunConfig, course: Course, state: Mapping[str, Any]) -> None:
    """Write what a training has reached at an epoch's end, atomically; its draws follow from the epoch.

    Where it cannot be written, as on a full disk, that is said, and the training goes on.
    """
    content = {"run": config.course_key, **{name: getattr(course, name) for name in COURSE}, **state}
    stream = io.BytesIO()
    torch.save(content, stream)
    try:
        write(path, hashlib.sha256(stream.getbuffer()).digest() + stream.getvalue())
    except OSError as error:
        say(f"{path}: cannot be written ({error.strerror}): what this training has reached is not kept")


def whole(path: Path) -> bytes:
    """What was saved in a checkpoint.

    Raises:
        OSError: it cannot be read, or is not there.
        ValueError: it is damaged, or of code that did not sign it.
    """
    content = read(path)
    if hashlib.sha256(memoryview(content)[SIGNED:]).digest() != content[:SIGNED]:
        raise ValueError("its content does not match its checksum")
    return content[SIGNED:]


def resume(path: Path, config: RunConfig, course: Course, names: tuple[str, ...]) -> dict[str, Any] | None:
    """Let a course go on from a checkpoint of this training and return the rest of its state.

    None, and the training begins anew, where there is none. It does so too, and that is said, where it is
    damaged, cannot be read, or was written by another training or by another way of it, which lacks ``names``.
    """
    try:
        content = torch.load(io.BytesIO(whole(path)), map_location="cpu", weights_only=True)
        if content["run"] != config.course_key:
            raise ValueError("it is of another training")
        if missing := [name for name in (*COURSE, *names) if name not in content]:
            raise ValueError(f"it was written by another way of training, without {', '.join(missing)}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        say(f"{path}: {getattr(error, 'strerror', None) or error}; the training begins anew")
        return None
    except (LookupError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError):
        say(f"{path}: it is no checkpoint that this code can read; the training begins anew")
        return None
    for name in COURSE:
        setattr(course, name, content[name])
    return {name: content[name] for name in names}
