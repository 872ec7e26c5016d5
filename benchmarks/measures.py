"""What each measure costs, in forward passes over the training set, beside its value.

Trains a width-32, depth-2 network on 1,000 digits, or the width-64, depth-2 network of the profile
``small`` on 2,000 images of another source, and measures it on one core, with bfloat16 looking first where it
pays and in float32 alone. Prints a table, adds it to
``benchmarks/results/measures.json``, and with digits also writes ``MEASURES.md``.

    python benchmarks/measures.py
    python benchmarks/measures.py folder:/path/to/cifar10
"""

import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from prunability.data.dataset import Dataset, prepare
from prunability.data.sources import load_images
from prunability.foundation.execution import Execution, cores, project_root
from prunability.foundation.files import updated, write
from prunability.measures import REGISTRY, Estimated, TrainedRun, UndefinedMeasureError
from prunability.measures.variants import Variants
from prunability.report.text.measures import measure_list
from prunability.studies import open_study
from prunability.training.config import RunConfig
from prunability.training.course import Result
from prunability.training.loop import DTYPES, State, logits, train
from rows import RESULTS, Row, kept

HEAD = """# Measures

Every measure in the records, by family, as `python benchmarks/measures.py` writes it from the code. Each is
oriented to *rise* with the test loss; what its source expects to fall is negated. *Passes* is its time over
that of one forward pass over the training set, for a network of width {width} and depth {depth} on
{examples:,} digits on one core; measures of one function share its cost, and what several functions need is
charged to the first. w are weights and biases with BatchNorm folded into them, W_i the i-th of D weight
tensors, d the number of weights, ω of all parameters, γ the margin, N the number of training examples, L the
training loss, φ(w, α) the network with the fraction α of its weights, G the number of fractions tried, δ =
0.05. Estimates from random draws have a standard error in the record.
"""

HEADS = ["function", "measure", "value", "standard error", "seconds", "passes"]


def configuration(source: str) -> tuple[RunConfig, str]:
    """The network that is measured, and the source of its images."""
    study = open_study("correlation", "quick" if source == "digits" else "small", source, 0, data_folder())
    settings = {"width": 32 if source == "digits" else 64, "depth": 2, "dropout": 0.0}
    run = next(run for run in study.runs if run.setting("depth") == 2 and run.setting("dropout") == 0)
    return run.model_copy(update={"network": run.network.model_copy(update=settings)}), source


def data_folder() -> Path:
    """Where downloaded images are kept."""
    return Execution(
        runs=project_root() / "runs", data=project_root() / "data", results=project_root() / "results"
    ).data


def measured(run: TrainedRun, screened: bool | None, tell: Callable[[Row], None]) -> tuple[float, pd.DataFrame]:
    """Core-seconds of a forward pass, and a row for each measure; each function timed once, nothing shared before.

    ``screened`` says whether bfloat16 looks first, by default where it pays. Each row is told as it is found.
    """
    run.variants = Variants(run.folded, run.data.train_images, run.data.train_labels, screened=screened)
    seconds = []
    for _ in range(6):
        start = time.process_time()
        logits(run.folded, run.data.train_images)
        seconds.append(time.process_time() - start)
    one_pass, rows = float(np.median(seconds)), []
    for function, group in REGISTRY.items():
        start = time.process_time()
        try:
            values = dict(group.function(run))
        except UndefinedMeasureError as error:
            raise RuntimeError(f"{function}: {error}") from error
        cost = time.process_time() - start
        for name, found in values.items():
            value, error_ = found if isinstance(found, Estimated) else (found, float("nan"))
            rows.append(dict(zip(HEADS, (function, name, value, error_, cost, cost / one_pass), strict=True)))
            tell({"screened": screened, **rows[-1]})
    return one_pass, pd.DataFrame(rows, columns=HEADS)


def main() -> None:
    """Train the network that is measured, and measure it."""
    source = sys.argv[1] if len(sys.argv) > 1 else "digits"
    config, source = configuration(source)
    torch.set_num_threads(1)
    data = prepare(
        load_images(source, data_folder()), config.data, torch.device("cpu"), DTYPES[config.training.precision]
    )
    trained = train(config, data)
    if trained[2].status != "converged":
        raise RuntimeError(f"the network did not converge: {trained[2].reason}")
    with kept("measures") as tell:
        compare(config, source, trained, data, tell)


def compare(
    config: RunConfig, source: str, trained: tuple[State, State, Result], data: Dataset, tell: Callable[[Row], None]
) -> None:
    """Measure one network in both ways and write the results."""
    tables = {}
    for way, screened in {"in float32 alone": False, "screened": None}.items():
        run = TrainedRun(config, data, *trained)
        one_pass, tables[way] = measured(run, screened, tell)
        total = float(tables[way].drop_duplicates("function")["seconds"].sum())
        print(f"{way}: {total:.1f} core-seconds in all, {total / one_pass:.0f} passes of {one_pass * 1e3:.1f} ms")
    before, table = tables.values()
    table.insert(4, "seconds in float32 alone", before["seconds"])
    print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    scans = table["function"].str.startswith("prunability_")
    if not before.loc[scans, "value"].equals(table.loc[scans, "value"]):
        raise RuntimeError("a screened scan of pruned networks has another answer than one in float32")
    results = {
        "seconds": total,
        "seconds of a pass": one_pass,
        "passes": total / one_pass,
        "screens": run.screens,
        "measures": json.loads(table.to_json(orient="records")),
    }
    which = "digits" if source == "digits" else "32×32 images"
    content = {
        "network": config.network.model_dump(),
        "examples": config.data.n_train,
        "threads": {"1": results},
        "environment": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "machine": platform.machine(),
            "cores": cores(),
        },
    }
    with updated(RESULTS / "measures.json") as known:
        known[which] = content
    if source == "digits":
        write(project_root() / "MEASURES.md", measures_page(content))


def measures_page(result: dict[str, Any]) -> str:
    """``MEASURES.md`` from the code and the costs measured on one core."""
    costs = {row["function"]: row["passes"] for row in result["threads"]["1"]["measures"]}
    head = HEAD.format(
        width=result["network"]["width"], depth=result["network"]["depth"], examples=result["examples"]
    )
    return head + "\n" + measure_list(costs) + "\n"


if __name__ == "__main__":
    main()
