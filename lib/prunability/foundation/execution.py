"""How and where runs are computed: nothing here can change what a run is."""

import math
import os
import re
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

import prunability
from prunability.foundation.errors import PrunabilityError

# The folder of the library.
PACKAGE = Path(prunability.__file__).parent


def project_root() -> Path:
    """The folder that holds `runs`, `data` and `figures`: the project's, or the current one outside it."""
    root = PACKAGE.parents[1]
    return root if (root / "pyproject.toml").exists() else Path.cwd()


class Execution(BaseModel):
    """How and where runs are computed; nothing in it can change what a run is.

    ``device`` is "auto" (a GPU where there is one), "cpu" or "cuda"; ``workers`` is a number of
    processes, 0 for one a core on the CPU and one in all on a GPU. ``runs`` is the folder of the run store,
    ``data`` of downloaded images, ``results`` of the published tables. ``elsewhere`` says that other machines
    compute: a GPU need not be here then.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: Annotated[int, Field(ge=0)] = 0
    runs: Path
    data: Path
    results: Path
    elsewhere: bool = False

    @property
    def torch_device(self) -> torch.device:
        """The device asked for.

        Raises:
            PrunabilityError: "cuda" was asked for and no GPU is there.
        """
        available = torch.cuda.is_available()
        if self.device == "auto":
            return torch.device("cuda" if available else "cpu")
        if self.device == "cuda" and not (available or self.elsewhere):
            raise PrunabilityError('device "cuda": no GPU is available here; use "cpu" or "auto"')
        return torch.device(self.device)

    @property
    def processes(self) -> int:
        """How many runs are computed side by side."""
        if self.workers:
            return self.workers
        return 1 if self.torch_device.type == "cuda" else cores()


def cores() -> int:
    """The processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def seconds_of(text: str | None) -> float:
    """A duration such as 9m, in seconds; infinite for None.

    Raises:
        PrunabilityError: it is no such thing.
    """
    if text is None:
        return math.inf
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(s|m|h)", text.strip())
    if found is None or not float(found[1]):
        raise PrunabilityError(f"time limit {text!r}: it must be a number and a unit, such as 90s, 9m or 2h")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]
