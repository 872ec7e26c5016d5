"""Which settings the correlation study ``medium`` varies: a pilot that sees losses and errors alone.

Trains, side by side, the runs of its grid that have the values in ``CORNERS``, prints a row for each network,
and then what the rule asks for. The rule was written before any network was trained: of an axis those values stay
with which at least nine in ten networks reach the target loss. The grid will do if at least 80 % of the variance of
the test loss lies between settings, not seeds, and the test errors are, from the 5th to the 95th percentile,
at least 0.10 apart. No measure is computed.

    python benchmarks/pilot.py folder:IMAGES SECONDS PROCESSES
"""

import json
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import torch

from prunability.analysis.reliability import share_between_settings
from prunability.data.dataset import prepare
from prunability.data.sources import load_images
from prunability.foundation.execution import project_root
from prunability.foundation.files import updated
from prunability.records.workers import environment
from prunability.studies import open_study
from prunability.training.checkpoints import OutOfTimeError
from prunability.training.config import RunConfig, shape_of
from prunability.training.strategy import trained
from rows import RESULTS, Row, written

CORNERS: dict[str, list[Any]] = {"weight_decay": [1e-4]}
CACHE = project_root() / "data"
# What the processes found, network by network, until all is written.
PARTIAL = RESULTS / "pilot.partial.jsonl"
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def ended(source: str, runs: list[RunConfig], axes: list[str], until: float) -> list[Row]:
    """A row for each run of one shape, trained to its end or as far as it came."""
    torch.set_num_threads(1)
    data = prepare(load_images(source, CACHE), runs[0].data, DEVICE, torch.float32)
    rows: dict[RunConfig, Row] = {
        run: {**{name: run.setting(name) for name in axes}, "seed": run.seed} for run in runs
    }
    with tempfile.TemporaryDirectory() as folder, written(PARTIAL) as tell:

        def place(run: RunConfig) -> Path:
            return Path(folder) / run.hash

        with suppress(OutOfTimeError):
            for run, _, _, result, seconds in trained(runs, data, place, until):
                rows[run] |= {
                    "status": result.status,
                    "epochs": result.epochs,
                    "train_loss": result.train_loss,
                    "test_loss": result.test_loss,
                    "test_error": result.test_error,
                    "seconds": seconds,
                }
                tell(rows[run])
        for run in runs:
            if "status" not in rows[run] and place(run).exists():
                kept = torch.load(place(run), weights_only=True)
                rows[run] |= {"status": "no time", "epochs": len(kept["curve"]), "train_loss": kept["curve"][-1][0]}
    return list(rows.values())


def main() -> None:
    """Train, print and write the pilot."""
    source, limit, processes = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    study = open_study("correlation", "medium", source, 0, CACHE)
    axes, until = list(study.hyperparameters), time.monotonic() + limit
    shapes: dict[str, list[RunConfig]] = {}
    for run in study.runs:
        if all(run.setting(name) in values for name, values in CORNERS.items()):
            shapes.setdefault(shape_of(run), []).append(run)
    jobs = [joblib.delayed(ended)(source, runs, axes, until) for runs in shapes.values()]
    found = pd.DataFrame([row for rows in joblib.Parallel(processes)(jobs) for row in rows])
    print(found.to_string(index=False, float_format="{:.3g}".format))
    done = found[found["status"] == "converged"]
    for name in axes:
        print((found["status"] == "converged").groupby(found[name]).mean().to_string(float_format="{:.2f}".format))
    settings = done[axes].astype(str).agg(" ".join, axis=1)
    summary: dict[str, Any] = {"converged": len(done) / len(found)}
    if len(done):
        summary |= {
            "test loss between settings": share_between_settings(done["test_loss"], settings).value,
            "test error, 5th to 95th percentile": [float(done["test_error"].quantile(q)) for q in (0.05, 0.95)],
        }
    print(json.dumps(summary))
    content = {"rows": found.to_dict("records"), "summary": summary, "environment": environment(DEVICE, source)}
    with updated(RESULTS / "pilot.json") as known:
        known[f"{study.runs[0].data.n_train:,} images, stopped after {limit:g} s"] = content
    PARTIAL.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
