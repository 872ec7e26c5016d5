"""What a long training has reached, so that a kill costs minutes of it and a limit of time nothing."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from prunability.foundation.files import replacing
from prunability.training.config import RunConfig
from prunability.training.course import Course

# Seconds between two checkpoints of a training.
EVERY = 120.0
# An epoch is begun if this many times the last one's duration is left.
EPOCHS_LEFT = 1.5


class OutOfTimeError(Exception):
    """The time allowed is over; what the training has reached is kept."""


def keep(path: Path, config: RunConfig, course: Course, state: Mapping[str, Any]) -> None:
    """Write what a training has reached at an epoch's end, atomically; its draws follow from the epoch."""
    content = {
        "run": config.seed_key("checkpoint")[0], "curve": course.curve, "total": course.total,
        "steps": course.steps, "close": course.close, "known": course.known, **state,
    }  # fmt: skip
    with replacing(path) as partial:
        torch.save(content, partial)


def resume(path: Path, config: RunConfig, course: Course, names: tuple[str, ...]) -> dict[str, Any] | None:
    """Let a course go on from a checkpoint of this training and return the rest of its state.

    None, and the training begins anew, where there is no whole one or it was written by another way of
    training, which has not the ``names``.
    """
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["run"] != config.seed_key("checkpoint")[0]:
            return None
        state = {name: content[name] for name in names}
        curve = [(running, loss) for running, loss in content["curve"]]
        total, steps = float(content["total"]), int(content["steps"])
        close, known = bool(content["close"]), torch.as_tensor(content["known"])
    except (RuntimeError, EOFError, pickle.UnpicklingError, LookupError, TypeError, ValueError, AttributeError):
        return None
    course.curve, course.total, course.steps = curve, total, steps
    course.close, course.known = close, known
    return state
