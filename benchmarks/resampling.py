"""How long the statistics of a large study take, against the plain double loop over pairs of runs.

Prints a table and writes ``benchmarks/results/resampling.json``. The plain loop is timed on fewer runs and
scaled by the number of pairs.

    python benchmarks/resampling.py
"""

import json
import math
import platform
import resource
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd

from prunability.analysis.information import conditional_information, pair_information
from prunability.analysis.ranks import tau_estimates, taus
from prunability.analysis.resampling import RESAMPLES, Sample
from prunability.foundation.execution import cores
from prunability.foundation.files import write
from rows import RESULTS, kept

RUNS, MEASURES, HYPERPARAMETERS = 2000, 40, 7
BOOTSTRAP_RUNS = 324
LOOP_RUNS = 60


def seconds(call: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def loop_information(x: list[float], y: list[float], cells: list[int]) -> float:
    """Conditional mutual information of one measure and one set, pair by pair."""
    seen: Counter[tuple[int, int, int, int]] = Counter()
    for i in range(len(x)):
        for j in range(len(x)):
            if i != j:
                seen[(x[i] > x[j]) - (x[i] < x[j]), (y[i] > y[j]) - (y[i] < y[j]), cells[i], cells[j]] += 1
    entropies = []
    for keep in ((0, 1, 2, 3), (0, 2, 3), (1, 2, 3), (2, 3)):
        counts: Counter[tuple[int, ...]] = Counter()
        for key, number in seen.items():
            counts[tuple(key[k] for k in keep)] += number
        entropies.append(sum(number * math.log(number) for number in counts.values()))
    joint, mine, goal, given = entropies
    return (joint - mine - goal + given) / (given - goal)


def loop_tau(x: list[float], y: list[float]) -> float:
    """Kendall's tau-b, pair by pair."""
    agree = first = second = 0
    for i in range(len(x)):
        for j in range(i):
            a, b = (x[i] > x[j]) - (x[i] < x[j]), (y[i] > y[j]) - (y[i] < y[j])
            agree, first, second = agree + a * b, first + a * a, second + b * b
    return agree / math.sqrt(first * second)


def main() -> None:
    """Print the table and write it with the environment."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(MEASURES, RUNS)), rng.normal(size=RUNS)
    settings = rng.integers(0, 3, (RUNS, HYPERPARAMETERS))
    names = [f"h{k}" for k in range(HYPERPARAMETERS)]
    sets = 1 + HYPERPARAMETERS + math.comb(HYPERPARAMETERS, 2)
    small = (x[0, :LOOP_RUNS].tolist(), y[:LOOP_RUNS].tolist())
    cells = settings[:LOOP_RUNS, 0].tolist()
    z, goals = rng.normal(size=(MEASURES, BOOTSTRAP_RUNS)), rng.normal(size=(3, BOOTSTRAP_RUNS))

    one_information = seconds(lambda: loop_information(*small, cells))
    one_tau = seconds(lambda: loop_tau(*small))
    bootstrap_scale = (BOOTSTRAP_RUNS / LOOP_RUNS) ** 2 * RESAMPLES
    sample = Sample(tuple(range(BOOTSTRAP_RUNS)), 0)
    work: list[tuple[str, Callable[[], object], float]] = [
        (
            f"conditional information, n = {RUNS}, {MEASURES} measures, {sets} sets",
            lambda: conditional_information(x, y, settings, names),
            one_information * (RUNS / LOOP_RUNS) ** 2 * MEASURES * sets,
        ),
        (
            f"taus with intervals, n = {BOOTSTRAP_RUNS}, {MEASURES} measures, 3 targets, {RESAMPLES} resamples",
            lambda: tau_estimates(z, goals, sample),
            one_tau * bootstrap_scale * MEASURES * 3,
        ),
        (
            f"information of one measure with {MEASURES}, n = {BOOTSTRAP_RUNS}, {RESAMPLES} resamples",
            lambda: pair_information(z, sample.by_settings, rows=1),
            one_information * bootstrap_scale * MEASURES,
        ),
        (
            f"taus between measures, n = {BOOTSTRAP_RUNS}, {MEASURES} measures",
            lambda: taus(z, z),
            one_tau * bootstrap_scale / RESAMPLES * MEASURES**2,
        ),
    ]
    rows = []
    with kept("resampling") as tell:
        for what, call, loop in work:
            spent = seconds(call)
            rows.append({"what": what, "seconds": spent, "plain loop (scaled)": loop, "ratio": loop / spent})
            tell(rows[-1])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        environment = {
            "numpy": np.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cores": cores(),
        }
        content = {"environment": environment, "peak_gb": peak, "rows": rows}
        write(RESULTS / "resampling.json", json.dumps(content, indent=1) + "\n")
    print(pd.DataFrame(rows).to_string(index=False, float_format=lambda value: f"{value:,.3g}"))
    print(f"peak memory {peak:.2f} GB")


if __name__ == "__main__":
    main()
