"""What a large study costs beside its training: seconds and memory of a store and a table of many runs.

The runs are copies of published ones under other seeds, each number of theirs a little altered. Prints a table and
writes ``benchmarks/results/scale.json`` and, with what trainings and measures cost on a GPU by
``benchmarks/results/gpu_smoke.jsonl``, the page ``SCALE.md``. 100,000 runs take some ten minutes, 5 GB of memory,
and 2 GB of disk, which are given back.

    python benchmarks/scale.py [--runs 1000,10000,100000]
"""

import argparse
import json
import multiprocessing
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from prunability.analysis.tables import runs_table
from prunability.foundation.execution import Execution, project_root
from prunability.records import sources, tables
from prunability.records.record import Record, text_of
from prunability.records.runner import survey
from prunability.records.store import RunStore
from prunability.records.tables import Published
from prunability.report.status import progress_lines
from prunability.studies import Study

ROOT = project_root()
RESULTS = ROOT / "benchmarks" / "results"
NUMBERS = (1_000, 10_000, 100_000)
MANY = 100_000
# By how much longer than its processor seconds work takes where the machine is at other work too.
BUSY = 1.2
# Gigabytes of memory that many machines have.
FULL = 16


def published(profile: str) -> Published:
    """The published correlation study of a profile."""
    table = tables.find(ROOT / "results", "correlation", profile)
    assert table is not None
    return table


def copies(count: int) -> Iterator[Record]:
    """So many runs of the published correlation study, no two of them the same."""
    records = published("quick").records
    return (_copy(records[number % len(records)], number) for number in range(count))


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


def study_of(count: int) -> Study:
    """The study of which these are the runs."""
    return replace(sources.of_table(published("quick")).study, runs=tuple(run.config for run in copies(count)))


def execution(folder: Path) -> Execution:
    """Everything below one folder."""
    return Execution(device="cpu", workers=1, runs=folder / "runs", data=folder, results=folder)


def make(folder: Path, count: int) -> None:
    """A store of so many runs."""
    store = RunStore(folder / "runs")
    store.folder.mkdir()
    for record in copies(count):
        store.path(record.config).write_bytes(text_of(record))


def cost(work: Callable[..., object], *arguments: object) -> dict[str, float]:
    """Seconds of one piece of work, those of the processor, and the most memory it took more, in megabytes."""
    memory, start, busy = _memory(), time.perf_counter(), time.process_time()
    made = work(*arguments)
    taken = {
        "seconds": round(time.perf_counter() - start, 2),
        "processor_seconds": round(time.process_time() - busy, 2),
        "megabytes": round(_memory() - memory),
    }
    del made  # whoever asked for it keeps it
    return taken


def measured(what: str, folder: Path, count: int) -> dict[str, float]:
    """What one piece of work costs in a store of so many runs; what it works on is at hand before."""
    here, path = execution(folder), folder / "table.parquet"
    if what == "write":
        return cost(tables.write, path, replace(published("quick"), records=tuple(copies(count))))
    if what == "read":
        return cost(tables.read, path)
    return cost({"survey": survey, "status": status, "analysis": analysed}[what], study_of(count), here)


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


WORK = {
    "survey": "looking through the store, which `run` does after each round of work",
    "status": "`prunability status`",
    "analysis": "all records into the table of the statistics",
    "write": "writing a table, as `export`",
    "read": "reading it, as `import` and the notebooks",
}


def on_gpu() -> dict[str, list[float]]:
    """Seconds a network on the GPU, the least and the most: trained in the fullest fleets, and measured.

    Steps are those of the published study of 32×32 images, on average; milliseconds a step of a network of its
    smallest size and of one that is larger than its largest, of the same batches, without dropout.
    """
    rows = [json.loads(line) for line in (RESULTS / "gpu_smoke.jsonl").read_text().splitlines()]
    records = published("small").records
    batch, steps = records[0].config.training.batch_size, sum(r.result.steps for r in records) / len(records)
    of_steps = [row for row in rows if "ms a step and network" in row and not row["dropout"]]
    fullest = max(row["networks"] for row in of_steps)
    of_steps = [r for r in of_steps if r["networks"] == fullest and r["width, depth, batch"][2] == batch]
    training = [steps * row["ms a step and network"] / 1000 for row in of_steps]
    measuring = [row["seconds of measures"] for row in rows if "seconds of measures" in row]
    return {name: [min(took), max(took)] for name, took in (("training", training), ("measures", measuring))}


def page(found: dict[str, Any]) -> str:
    """What was found, and what follows for a study of 100,000 networks, as a page."""
    numbers, gpu = list(found["runs"]), on_gpu()
    most = found["runs"][str(MANY)]
    lines = "\n".join(
        f"| {words} | " + " | ".join(_costs(found["runs"][number][what]) for number in numbers) + " |"
        for what, words in WORK.items()
    )
    hours = {name: [MANY * seconds / 3600 for seconds in took] for name, took in gpu.items()}
    low, high = (sum(took[end] for took in hours.values()) for end in (0, 1))
    small = published("small").records
    # Initial and final weights, in float32.
    weights = [8 * record.measures["parameter_count"].values["parameter_count"] for record in small]
    disk = MANY * sum(weights) / len(weights) / 1e9
    driver = sum(most[what]["processor_seconds"] for what in ("survey", "analysis", "write", "read")) / 60
    kept = most["read"]["megabytes"] / 1000
    clock, processor = (
        sum(took[kind] for works in found["runs"].values() for took in works.values())
        for kind in ("seconds", "processor_seconds")
    )
    busy = (
        f"\nThe machine was at other work too: by the clock all took {clock / processor:.1f} times as long, and "
        "what shares\na processor and its caches takes more processor seconds than it would alone.\n"
        if clock > BUSY * processor
        else ""
    )
    record, row = (found[name] / 1000 for name in ("record_bytes", "table_bytes"))
    return f"""# A hundred thousand networks

Written by `benchmarks/scale.py`: processor seconds of one process, and the megabytes of memory that it takes more,
on stores of copies of the published runs of `quick` ({record:.1f} kB a record, {row:.1f} kB a row of a table).
{busy}
| work | {" | ".join(f"{int(number):,} runs" for number in numbers)} |
{"| --- " * (1 + len(numbers))}|
{lines}

A study of {MANY:,} networks such as those of `small` would cost:

- **GPU**: {low:,.0f} to {high:,.0f} hours of one H100. {_span(hours["training"], ",.0f")} are for training in
  full fleets, {_span(gpu["training"], ".2f")} s a network, and {_span(hours["measures"], ",.0f")} for measures,
  taken of one network after another in {_span(gpu["measures"], ".1f")} s. This follows from
  `benchmarks/results/gpu_smoke.jsonl` and the steps that `small` took; no such study has been made.
- **Disk**: {disk:,.0f} GB of weights, initial and final, {MANY * record / 1e6:.1f} GB of records,
  {MANY * row / 1e6:.1f} GB for its table; {2 * MANY:,} files in one folder.
- **Driver**: {driver:.1f} minutes of one core to look through the store once, make the table of the statistics,
  export and read. Statistics and notebooks come on top and have not been tried at this size.

What breaks first is memory, where all records are held at once, as by `export`, `import`, `compare` and the
notebooks: {kept:.1f} GB for {MANY:,}, so that {FULL / kept * MANY:,.0f} would fill {FULL} GB. `run` and `status`
hold none of them, and take {most["survey"]["megabytes"]:,} MB for {MANY:,}. Next is a file system that machines
share, where looking through the store takes its latency for every file. Of the GPU's time measures take
{sum(gpu["measures"]) / sum(gpu["training"]):.0f} times as much as training.
"""


def _span(ends: list[float], form: str) -> str:
    return f"{ends[0]:{form}} to {ends[1]:{form}}"


def _costs(took: dict[str, float]) -> str:
    return f"{took['processor_seconds']:.1f} s, {took['megabytes']:,} MB"


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
            costs = {}
            for what in WORK:
                with context.Pool(1) as pool:
                    costs[what] = pool.apply(measured, (what, folder, count))
                print(count, what, costs[what], flush=True)
            found["runs"][str(count)] = costs
            sizes = [path.stat().st_size for path in (folder / "runs").iterdir()]
            found["record_bytes"] = round(sum(sizes) / len(sizes))
            found["table_bytes"] = round((folder / "table.parquet").stat().st_size / count)
    (RESULTS / "scale.json").write_text(json.dumps(found, indent=1) + "\n")
    if MANY in numbers:
        (ROOT / "SCALE.md").write_text(page(found))


if __name__ == "__main__":
    main()
