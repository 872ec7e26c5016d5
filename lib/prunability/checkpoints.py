"""What a long training has reached, so that a kill costs minutes of it."""

import os
import pickle
from pathlib import Path

import torch

from prunability.config import RunConfig
from prunability.course import Course
from prunability.networks import Network

# Seconds between two checkpoints of a training.
EVERY = 120.0


def keep(path: Path, config: RunConfig, network: Network, optimiser: torch.optim.Optimizer, course: Course) -> None:
    """Write what a training has reached, atomically; its draws follow from the epoch and need no keeping."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    content = {
        "run": config.seed_key("checkpoint")[0], "network": network.state_dict(),
        "optimiser": optimiser.state_dict(), "curve": course.curve, "total": course.total, "steps": course.steps,
    }  # fmt: skip
    with partial.open("wb") as stream:
        torch.save(content, stream)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def resume(
    path: Path, config: RunConfig, network: Network, optimiser: torch.optim.Optimizer, course: Course
) -> None:
    """Go on from a checkpoint of this training, if there is a whole one; else the training begins anew."""
    if not path.exists():
        return
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["run"] != config.seed_key("checkpoint")[0]:
            return
        curve = [(running, loss) for running, loss in content["curve"]]
        total, steps = float(content["total"]), int(content["steps"])
    except (RuntimeError, EOFError, pickle.UnpicklingError, LookupError, TypeError, ValueError, AttributeError):
        return
    network.load_state_dict(content["network"])
    optimiser.load_state_dict(content["optimiser"])
    course.curve, course.total, course.steps = curve, total, steps
