"""How often each claim's rule says "supported" where the claim is false, and where it is true.

The scenarios stand with each claim; they are drawn on the grid of the profile ``quick``, in the shares of variance
that the published runs have. Few hyperparameters stand behind all settings, so independent columns are often
correlated by chance, which is what a rule has to withstand. Prints a table, writes
``benchmarks/results/calibration.json`` and from it ``CALIBRATION.md``.

    python benchmarks/calibration.py [draws]
"""

import json
import platform
import sys
from collections import Counter
from dataclasses import replace

import numpy as np

from prunability.analysis.tables import compared, runs_table
from prunability.claims import NEIGHBOURS, Case, Claim, case_of, of_study
from prunability.claims.explained import EXPLANATIONS
from prunability.claims.scenarios import Grid, Scenario, shares
from prunability.foundation.execution import Execution, project_root
from prunability.foundation.files import write
from prunability.measures import HEADLINE_MEASURE
from prunability.records.sources import gather, of_table
from prunability.records.tables import read
from prunability.studies import STUDIES
from rows import RESULTS, Row, kept

ROOT = project_root()
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


def published_case(study: str) -> Case:
    """The published runs of ``quick``."""
    chosen = of_table(read(ROOT / "results" / "quick" / f"{study}.parquet"))
    execution = Execution(device="cpu", runs=ROOT / "runs", data=ROOT / "data", results=ROOT / "results")
    table = compared(runs_table(gather(chosen, execution).records))
    main = table[table["run"].isin(chosen.study.parts["grid"])].reset_index(drop=True)
    return case_of(chosen.study, main, 0)


def simulated(case: Case, claim: Claim, scenario: Scenario, draws: int) -> Counter[str]:
    """Verdicts of so many draws."""
    sample = replace(case.sample, resamples=RESAMPLES, seed_resamples=0)
    case = replace(case, sample=sample, measures=(HEADLINE_MEASURE, *EXPLANATIONS.values(), *OTHERS))
    grid = Grid(case, np.random.default_rng(0))
    goal, own = (shares(case.table, name, case.hyperparameters) for name in ("test_loss", HEADLINE_MEASURE))
    tables = (case.table.assign(**scenario.draw(grid, goal, own)) for _ in range(draws))
    return Counter(claim.judge(replace(case, table=table)).verdict for table in tables)


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
            f"The claims of others ({', '.join(NEIGHBOURS)}) are not calibrated here: their intervals are over few "
            "seeds, trainings or settings, and the overview says what these are worth.",
            "",
        ]
    )


def main() -> None:
    """Simulate, print the table and write it."""
    draws, rows, words = int(sys.argv[1]) if len(sys.argv) > 1 else DRAWS, list[Row](), ""
    with kept("calibration") as tell:
        for study in STUDIES:
            if not of_study(study):
                continue
            case = published_case(study)
            if study == "correlation":
                parts = {n: shares(case.table, n, case.hyperparameters) for n in ("test_loss", HEADLINE_MEASURE)}
                words = "; ".join(
                    f"{what} {s.main:.0%}, {s.setting:.0%} and {s.seed:.0%}"
                    for what, s in zip(("test loss", "prunability"), parts.values(), strict=True)
                )
            for claim, scenario in ((c, scenario) for c in of_study(study) for scenario in c.scenarios):
                found = simulated(case, claim, scenario, draws)
                share = {verdict: found[verdict] / draws for verdict in VERDICTS}
                rows.append({"claim": claim.id, "true": scenario.true, "words": scenario.words, "shares": share})
                tell(rows[-1])
        rows.sort(key=lambda row: (row["claim"], row["true"]))
        content = {
            "environment": {"numpy": np.__version__, "python": platform.python_version()},
            "draws": draws,
            "resamples": RESAMPLES,
            "shares": words,
            "rows": rows,
        }
        write(RESULTS / "calibration.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        write(PAGE, page(content))


if __name__ == "__main__":
    main()
