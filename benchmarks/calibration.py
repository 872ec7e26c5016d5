"""How often each claim's rule says "supported" where the claim is false, and where it is true.

Columns are drawn on the grid of the profile ``quick``: a sum of random main effects of its hyperparameters, a part
of each setting's own, and a part of each seed's, in the shares that the published runs have. Few hyperparameters
stand behind all settings, so independent columns are often correlated by chance, which is what a rule has to
withstand. Prints a table, writes ``benchmarks/results/calibration.json`` and from it ``CALIBRATION.md``.

    python benchmarks/calibration.py [draws]
"""

import json
import platform
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from prunability.analysis.reliability import share_between_settings
from prunability.analysis.tables import compared, runs_table
from prunability.claims import CLAIMS, Case, case_of
from prunability.claims.explained import EXPLANATIONS
from prunability.claims.flatness import RIVAL
from prunability.foundation.execution import Execution, project_root
from prunability.measures import HEADLINE_MEASURE
from prunability.records.sources import gather, of_table
from prunability.records.tables import read

Array = NDArray[np.float64]
ROOT = project_root()
RESULTS = Path(__file__).parent / "results" / "calibration.json"
PAGE = ROOT / "CALIBRATION.md"
DRAWS, RESAMPLES = 1000, 1000
# The share of false claims that a rule may support.
LIMIT = 0.05
# Measures beside those that a claim names; C1 ranks among them, C6 compares with them.
OTHERS = (
    "path_norm",
    "log_product_of_frobenius_norms",
    "distance_from_initialisation",
    "parameter_norm",
    "negative_output_entropy",
)
VERDICTS = ("supported", "not supported", "inconclusive", "cannot decide")


class Shares(NamedTuple):
    """Of a column's variance, that of main effects, of each setting's own, and of seeds."""

    main: float
    setting: float
    seed: float


def shares(table: pd.DataFrame, name: str, hyperparameters: tuple[str, ...]) -> Shares:
    """As the ranks of a column of runs have them."""
    ranks = rankdata(table[name])
    between = share_between_settings(ranks, table["setting"]).value
    design = np.column_stack([pd.get_dummies(table[h]).to_numpy(float) for h in hyperparameters])
    centred, y = design - design.mean(axis=0), ranks - ranks.mean()
    left = y - centred @ np.linalg.lstsq(centred, y, rcond=None)[0]
    main = min(1 - (left**2).mean() / (y**2).mean(), between)
    return Shares(main, between - main, 1 - between)


class Grid:
    """The settings and seeds of a study, on which columns are drawn."""

    def __init__(self, case: Case, rng: np.random.Generator) -> None:
        self.case, self.rng = case, rng
        self.settings = np.array(case.sample.settings)
        self.levels = [np.unique(case.table[h], return_inverse=True)[1] for h in case.hyperparameters]

    def column(self, parts: Shares) -> Array:
        """A column [n] of unit variance, independent of all others; no direction of main effects is preferred."""
        main = sum(self.rng.normal(size=int(level.max()) + 1)[level] for level in self.levels)
        own = self.rng.normal(size=int(self.settings.max()) + 1)[self.settings]
        drawn = (_unit(np.asarray(main)), _unit(own), _unit(self.rng.normal(size=len(self.settings))))
        return _unit(np.sqrt(parts) @ np.stack(drawn))


def _unit(values: Array) -> Array:
    centred: Array = values - values.mean()
    found: Array = centred / (centred.std() or 1.0)
    return found


def mixed(weight: float, one: Array, other: Array) -> Array:
    """A column whose correlation with ``one`` is the weight, where the two are independent."""
    found: Array = weight * one + (1 - weight**2) ** 0.5 * other
    return found


# A draw of the columns that replace those of the runs: by name.
Drawn = Callable[[Grid, Shares, Shares], dict[str, Array]]


class Scenario(NamedTuple):
    """What is drawn, for which claim, whether the claim is true of it, and in words."""

    claim: str
    true: bool
    words: str
    draw: Drawn


def _independent(grid: Grid, goal: Shares, own: Shares) -> dict[str, Array]:
    drawn = {name: grid.column(own) for name in (HEADLINE_MEASURE, *EXPLANATIONS.values(), *OTHERS)}
    return drawn | {"test_loss": grid.column(goal)}


def _predictive(weight: float) -> Drawn:
    def draw(grid: Grid, goal: Shares, own: Shares) -> dict[str, Array]:
        drawn = _independent(grid, goal, own)
        return drawn | {HEADLINE_MEASURE: mixed(weight, drawn["test_loss"], drawn[HEADLINE_MEASURE])}

    return draw


def _with_size(weight: float) -> Drawn:
    def draw(grid: Grid, goal: Shares, own: Shares) -> dict[str, Array]:
        drawn = _independent(grid, goal, own)
        size = _unit(rankdata(grid.case.column("parameter_count")))
        return drawn | {HEADLINE_MEASURE: mixed(weight, size, drawn[HEADLINE_MEASURE])}

    return draw


def _explained(more: float) -> Drawn:
    """Prunability and the target follow flatness; ``more`` is what prunability knows of the target's rest."""

    def draw(grid: Grid, goal: Shares, own: Shares) -> dict[str, Array]:
        drawn = _independent(grid, goal, own)
        flat, rest = drawn[RIVAL], drawn["test_loss"]
        known = mixed(more, rest, drawn[HEADLINE_MEASURE])
        return drawn | {HEADLINE_MEASURE: mixed(0.8, flat, known), "test_loss": mixed(0.8, flat, rest)}

    return draw


def _rival(weight: float) -> Drawn:
    """Prunability and flatness follow the target, flatness with the weight 0.7."""

    def draw(grid: Grid, goal: Shares, own: Shares) -> dict[str, Array]:
        drawn = _independent(grid, goal, own)
        target = drawn["test_loss"]
        own_, theirs = mixed(weight, target, drawn[HEADLINE_MEASURE]), mixed(0.7, target, drawn[RIVAL])
        return drawn | {HEADLINE_MEASURE: own_, RIVAL: theirs}

    return draw


def _sharing(weight: float) -> Drawn:
    def draw(grid: Grid, goal: Shares, own: Shares) -> dict[str, Array]:
        drawn = _independent(grid, goal, own)
        return drawn | {OTHERS[0]: mixed(weight, drawn[HEADLINE_MEASURE], drawn[OTHERS[0]])}

    return draw


def _descent(same: bool) -> Drawn:
    """The test loss as it was measured; prunability follows it, or a bump anywhere within the widths."""

    def draw(grid: Grid, goal: Shares, own: Shares) -> dict[str, Array]:
        del goal, own
        rng, widths = grid.rng, grid.settings
        loss = grid.case.goal
        means = (np.bincount(widths, loss) / np.bincount(widths))[widths]
        noise = float((loss - means).std()) * rng.normal(size=(2, len(loss)))
        place = rng.integers(1, int(widths.max()))
        bump = np.exp(-(((widths - place) / 3.0) ** 2)) * float(means.std()) * 3
        return {"test_loss": means + noise[0], HEADLINE_MEASURE: (means if same else bump) + noise[1]}

    return draw


SCENARIOS = {
    "correlation": [
        Scenario("C1", False, "prunability independent of the target", _independent),
        Scenario("C1", True, "correlation 0.8 with the target", _predictive(0.8)),
        Scenario("C1", True, "correlation 0.9 with the target", _predictive(0.9)),
        Scenario("C2", False, "correlation 0.3 with the size", _with_size(0.3)),
        Scenario("C2", True, "independent of the size", _with_size(0.0)),
        Scenario("C2", True, "correlation −0.5 with the size", _with_size(-0.5)),
        Scenario("C4", False, "nothing but flatness at work", _explained(0.0)),
        Scenario("C4", True, "correlation 0.7 with what flatness leaves", _explained(0.7)),
        Scenario("C4", True, "correlation 0.9 with what flatness leaves", _explained(0.9)),
        Scenario("C5", False, "as predictive as flatness", _rival(0.7)),
        Scenario("C5", True, "correlation 0.9 with the target, flatness 0.7", _rival(0.9)),
        Scenario("C6", False, "correlation 0.85 with a baseline", _sharing(0.85)),
        Scenario("C6", True, "independent of all baselines", _independent),
    ],
    "double-descent": [
        Scenario("C3", False, "a bump anywhere within the widths", _descent(False)),
        Scenario("C3", True, "the curve of the test loss, with its noise", _descent(True)),
    ],
}


def published_case(study: str) -> Case:
    """The published runs of ``quick``."""
    chosen = of_table(read(ROOT / "results" / "quick" / f"{study}.parquet"))
    execution = Execution(device="cpu", runs=ROOT / "runs", data=ROOT / "data", results=ROOT / "results")
    table = compared(runs_table(gather(chosen, execution).records))
    main = table[table["run"].isin(chosen.study.parts["grid"])].reset_index(drop=True)
    return case_of(chosen.study, main, 0)


def simulated(case: Case, scenario: Scenario, draws: int) -> Counter[str]:
    """Verdicts of so many draws."""
    grid = Grid(case, np.random.default_rng(0))
    goal, own = (shares(case.table, name, case.hyperparameters) for name in ("test_loss", HEADLINE_MEASURE))
    found: Counter[str] = Counter()
    names = (HEADLINE_MEASURE, *EXPLANATIONS.values(), *OTHERS)
    sample = replace(case.sample, resamples=RESAMPLES, seed_resamples=0)
    for _ in range(draws):
        table = case.table.assign(**scenario.draw(grid, goal, own))
        found[CLAIMS[scenario.claim].judge(replace(case, table=table, sample=sample, measures=names)).verdict] += 1
    return found


def page(content: dict[str, object]) -> str:
    """The table as a page."""
    rows: list[dict[str, object]] = content["rows"]  # type: ignore[assignment]
    lines = [
        f"| {row['claim']} | {'true' if row['true'] else 'false'} | {row['words']} | "
        + " | ".join(f"{row['shares'][verdict]:.1%}" for verdict in VERDICTS)  # type: ignore[index]
        + " |"
        for row in rows
    ]
    over = [
        f"{row['claim']} ({row['shares']['supported']:.0%}, {row['words']})"  # type: ignore[index]
        for row in rows
        if not row["true"] and row["shares"]["supported"] > LIMIT  # type: ignore[index]
    ]
    return "\n".join(
        [
            "# Calibration: how often a rule says *supported*",
            "",
            f"{content['draws']:,} draws a row, written by `benchmarks/calibration.py`. Measures and targets are "
            "drawn on the grid of the profile `quick`, with its seeds: random main effects of the hyperparameters, "
            "a part of each setting's own and a part of each seed's, in the shares that the published runs have "
            f"({content['shares']}). A rule that says *supported* of a false claim in more than one of twenty "
            "draws is too easily satisfied by chance: few hyperparameters stand behind all settings, so columns "
            "drawn independently are correlated more often than an interval over settings allows for. "
            + (
                f"Above that are {', '.join(over)}: read a *supported* of theirs with that in mind." if over else ""
            ),
            "",
            f"| claim | is | what is drawn | {' | '.join(VERDICTS)} |",
            "| --- " * (3 + len(VERDICTS)) + "|",
            *lines,
            "",
        ]
    )


def main() -> None:
    """Simulate, print the table and write it."""
    draws, rows, words = int(sys.argv[1]) if len(sys.argv) > 1 else DRAWS, [], ""
    for study, scenarios in SCENARIOS.items():
        case = published_case(study)
        if study == "correlation":
            parts = {n: shares(case.table, n, case.hyperparameters) for n in ("test_loss", HEADLINE_MEASURE)}
            words = "; ".join(
                f"{what} {s.main:.0%}, {s.setting:.0%} and {s.seed:.0%}"
                for what, s in zip(("test loss", "prunability"), parts.values(), strict=True)
            )
        for scenario in scenarios:
            found = simulated(case, scenario, draws)
            share = {verdict: found[verdict] / draws for verdict in VERDICTS}
            rows.append({"claim": scenario.claim, "true": scenario.true, "words": scenario.words, "shares": share})
            print(
                f"{scenario.claim} {'true ' if scenario.true else 'false'} {scenario.words:50s} {share}", flush=True
            )
    rows.sort(key=lambda row: (row["claim"], row["true"]))
    content = {
        "environment": {"numpy": np.__version__, "python": platform.python_version()},
        "draws": draws, "resamples": RESAMPLES, "shares": words, "rows": rows,
    }  # fmt: skip
    RESULTS.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(content), encoding="utf-8")


if __name__ == "__main__":
    main()
