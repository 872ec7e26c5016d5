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
    torch.save(content, partial)
    partial.replace(path)


def resume(
    path: Path, config: RunConfig, network: Network, optimiser: torch.optim.Optimizer, course: Course
) -> None:
    """Go on from a checkpoint of this training, if there is a whole one."""
    if not path.exists():
        return
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError):
        return  # nothing finished is in it: begin anew
    if (
        content.get("run") != config.seed_key("checkpoint")[0]
        or len(content["curve"]) >= config.training.max_epochs
    ):
        return
    network.load_state_dict(content["network"])
    optimiser.load_state_dict(content["optimiser"])
    course.curve = [(running, loss) for running, loss in content["curve"]]
    course.total, course.steps = content["total"], content["steps"]
