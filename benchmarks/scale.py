"""What a large study costs beside its training: seconds and memory of a store and a table of many runs.

The runs are copies of published ones under other seeds, each number of theirs a little altered. Prints a table and
writes ``benchmarks/results/scale.json``. 100,000 runs take a few minutes and 1 GB of disk, which is given back.

    python benchmarks/scale.py [--runs 1000,10000,100000]
"""

import argparse
import json
import multiprocessing
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from prunability.analysis.tables import runs_table
from prunability.foundation.execution import Execution, project_root
from prunability.records import sources, tables
from prunability.records.runner import survey
from prunability.records.store import Record, RunStore, text_of
from prunability.records.tables import Published
from prunability.report.status import progress_lines
from prunability.studies import Study

ROOT = project_root()
NUMBERS = (1_000, 10_000)


def copies(count: int) -> Published:
    """A table of so many runs of the published correlation study, no two of them the same."""
    table = tables.find(ROOT / "results", "correlation", "quick")
    assert table is not None
    return replace(table, records=tuple(_copy(table.records[n % len(table.records)], n) for n in range(count)))


def _copy(record: Record, number: int) -> Record:
    factor = 1 + number * 1e-7
    measures = {
        name: replace(made, values={key: value * factor for key, value in made.values.items()})
        for name, made in record.measures.items()
    }
    result = replace(record.result, curve=[(a and a * factor, b and b * factor) for a, b in record.result.curve])
    seconds = {name: taken * factor for name, taken in record.seconds.items()}
    config = record.config.model_copy(update={"seed": 1_000 + number})
    return replace(record, config=config, result=result, measures=measures, seconds=seconds)


def study_of(table: Published) -> Study:
    """The study of which these are the runs."""
    runs = tuple(record.config for record in table.records)
    return replace(sources.of_table(table).study, runs=runs)


def execution(folder: Path) -> Execution:
    """Everything below one folder."""
    return Execution(device="cpu", workers=1, runs=folder / "runs", data=folder, results=folder)


def make(folder: Path, count: int) -> None:
    """A store of so many runs."""
    store = RunStore(folder / "runs")
    store.folder.mkdir()
    for record in copies(count).records:
        store.path(record.config).write_bytes(text_of(record))


def cost(work: Callable[..., object], *arguments: object) -> dict[str, float]:
    """Seconds of one piece of work, those of the processor, and the most memory it took more, in megabytes."""
    memory, start, busy = _memory(), time.perf_counter(), time.process_time()
    work(*arguments)
    return {
        "seconds": round(time.perf_counter() - start, 2),
        "processor_seconds": round(time.process_time() - busy, 2),
        "megabytes": round(_memory() - memory),
    }


def status(study: Study, here: Execution) -> list[str]:
    """What the command prints."""
    return [*progress_lines(survey(study, here))]


def analysed(study: Study, here: Execution) -> pd.DataFrame:
    """The table that statistics are made of."""
    return runs_table(survey(study, here).done)


def _memory() -> float:
    """The most memory this process has had so far, in megabytes, not the one that it came from."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def main() -> None:
    """Measure all, print, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", default=",".join(map(str, NUMBERS)))
    numbers = [int(number) for number in parser.parse_args().runs.split(",")]
    found: dict[str, Any] = {"processor": platform.processor(), "python": platform.python_version(), "runs": {}}
    context = multiprocessing.get_context("spawn")
    for count in numbers:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make(folder, count)
            study, here, path = study_of(copies(count)), execution(folder), folder / "table.parquet"
            work: dict[str, tuple[Any, ...]] = {
                "survey": (survey, study, here),
                "status": (status, study, here),
                "analysis": (analysed, study, here),
                "write": (tables.write, path, copies(count)),
                "read": (tables.read, path),
            }
            costs = {}
            for what, job in work.items():
                with context.Pool(1) as pool:
                    costs[what] = pool.apply(cost, job)
                print(count, what, costs[what], flush=True)
            found["runs"][str(count)] = costs
    (ROOT / "benchmarks" / "results" / "scale.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
