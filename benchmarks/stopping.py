"""What the stopping rule costs, and how near to the target networks stop.

    python benchmarks/stopping.py                                # quick's grid on digits, in fleets and alone
    python benchmarks/stopping.py folder:/path/to/cifar10        # 32×32 images, one at a time in bfloat16

Trains networks by the rule, a few also with every loss evaluated in full, and by the old rule (all examples at
the end of an epoch whose minibatch losses have a mean below 0.1 nats), on one core. Prints a table and adds
it, with the environment, to ``benchmarks/results/stopping.json``.
"""

import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from unittest.mock import patch

import pandas as pd
import torch
from torch import Tensor

from prunability.data.dataset import Dataset, prepare
from prunability.data.sources import load_images
from prunability.foundation.execution import cores, project_root
from prunability.foundation.files import updated
from prunability.foundation.processes import keep_memory
from prunability.studies import Study, open_study
from prunability.training import fleet, loop
from prunability.training.config import NiNConfig, RunConfig, TrainingConfig, shape_of
from prunability.training.course import Course, Result
from prunability.training.loop import one_thread, train
from prunability.training.stopping import judge
from prunability.training.strategy import trained
from rows import RESULTS, Row, kept

# Seeds of the grid that are trained by a rule.
SEEDS = {"rule": 3, "old rule": 1}
BAND = (0.008, 0.01)
ALONE = [(24, 1, 32), (64, 2, 32)]
# Width, depth, dropout, learning rate and batch size of the networks for 32×32 images.
IMAGES = [(64, 2, 0.0, 0.02, 64), (96, 2, 0.3, 0.1, 256), (128, 2, 0.3, 0.1, 256)]
OLD_BELOW = 0.1
Losses = Callable[[Sequence[int], Tensor | None], Tensor]


def in_full(courses: Sequence[Course], losses: Losses) -> None:
    """Judge with all losses."""
    for course, found in zip(courses, losses(range(len(courses)), None), strict=True):
        course.evaluated(found)


def old(courses: Sequence[Course], losses: Losses) -> None:
    """Judge as the rule before did; it knew no quarters."""
    for row, course in enumerate(courses):
        running = course.curve[-1][0]
        if running is not None and running < OLD_BELOW:
            in_full([course], lambda _, index, row=row: losses([row], index))  # type: ignore[misc]
            course.close = False


RULES = {"rule": judge, "in full": in_full, "old rule": old}


def measured(name: str, rule: str, work: Callable[[], Iterable[Result]], count: int) -> Row:
    """A row: seconds, and what checks took of them, of trainings on ``count`` examples by a rule."""
    spent = {"checks": 0, "examples": 0, "seconds": 0.0}

    def watched(courses: Sequence[Course], losses: Losses) -> None:
        def counted(rows: Sequence[int], index: Tensor | None) -> Tensor:
            spent["examples"] += len(rows) * (count if index is None else index.shape[1])
            return losses(rows, index)

        start = time.perf_counter()
        RULES[rule](courses, counted)
        spent["seconds"] += time.perf_counter() - start
        spent["checks"] += len(courses)

    with patch.object(loop, "judge", watched), patch.object(fleet, "judge", watched), one_thread():
        start = time.perf_counter()
        results = list(work())
        seconds = time.perf_counter() - start
    ends = pd.Series([one.train_loss for one in results if one.status == "converged"], dtype=float)
    return {
        "networks": name, "by": rule, "trained": len(results), "converged": len(ends), "seconds": seconds,
        "epochs": sum(one.epochs for one in results), "checks": spent["checks"],
        "share of checks": spent["seconds"] / seconds, "of N a check": spent["examples"] / spent["checks"] / count,
        "lowest L": float(ends.min()), "median L": float(ends.median()), "highest L": float(ends.max()),
        "in the band": float(ends.between(*BAND).mean()),
    }  # fmt: skip


def grid(study: Study, data: Dataset, seeds: int) -> Iterator[Result]:
    """How the whole grid ends, as the library trains it."""
    runs = [run.model_copy(update={"seed": seed}) for seed in range(seeds) for run in study.runs]
    for _, group in groupby(sorted(runs, key=shape_of), key=shape_of):
        yield from (one.result for one in trained(list(group), data))


def on_digits() -> Iterator[Row]:
    """The grid of the correlation study's profile ``quick``."""
    study = open_study("correlation", "quick", "", 0, project_root() / "data")
    data = prepared(study, study.runs[0], torch.float32)
    count = len(data.train_labels)
    for rule, seeds in SEEDS.items():
        yield measured("grid in fleets", rule, partial(grid, study, data, seeds), count)
    for shape in ALONE:
        runs = [
            run
            for run in study.runs
            if tuple(run.setting(key) for key in ("width", "depth", "batch_size")) == shape
        ]
        for rule in RULES:
            name = f"width {shape[0]}, depth {shape[1]}, batch {shape[2]}, alone"
            yield measured(name, rule, lambda: [train(run, data)[2] for run in runs], count)  # noqa: B023


def on_images(source: str) -> Iterator[Row]:
    """Networks on 2,000 images, in bfloat16."""
    study = open_study("correlation", "small", source, 0, project_root() / "data")
    data = prepared(study, study.runs[0], torch.float32)
    for width, depth, dropout, learning_rate, batch in IMAGES:
        rules = TrainingConfig(learning_rate=learning_rate, batch_size=batch, max_epochs=100, precision="bfloat16")
        network = NiNConfig(width=width, depth=depth, dropout=dropout)
        run = study.runs[0].model_copy(update={"network": network, "training": rules})
        name = f"width {width}, depth {depth}, dropout {dropout}, batch {batch}"
        for rule in ("rule", "old rule"):
            yield measured(name, rule, lambda: [train(run, data)[2]], len(data.train_labels))  # noqa: B023


def prepared(study: Study, run: RunConfig, dtype: torch.dtype) -> Dataset:
    """The images of a study's run, on the CPU."""
    assert study.source is not None
    return prepare(load_images(study.source, project_root() / "data"), run.data, torch.device("cpu"), dtype)


def main() -> None:
    """Print the table and add it to the results."""
    keep_memory()
    source = sys.argv[1] if len(sys.argv) > 1 else ""
    rows: list[Row] = []
    with kept("stopping") as tell:
        for row in on_images(source) if source else on_digits():
            tell(row)
            rows.append(row)
        with updated(RESULTS / "stopping.json") as known:
            known["images" if source else "digits"] = {
                "rows": rows,
                "environment": {
                    "python": platform.python_version(),
                    "torch": torch.__version__,
                    "machine": platform.machine(),
                    "device": f"one of {cores()} CPU cores",
                },
            }
    print(pd.DataFrame(rows).to_string(index=False, float_format=lambda value: f"{value:.4g}"))


if __name__ == "__main__":
    main()
