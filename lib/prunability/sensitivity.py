"""The verdicts that a study decides, and how they move with tolerance, pruner, target and threshold."""

import pandas as pd

from prunability.claims import FURTHER, Claim, further
from prunability.measures import HEADLINE_MEASURE
from prunability.measures.pruning import name_of
from prunability.pruning import HEADLINE, PRUNERS, SWEEP
from prunability.studies import Study
from prunability.tables import TARGETS, ranked_measures
from prunability.verdicts import (
    TARGET,
    better_than_flatness,
    follows_double_descent,
    little_shared,
    not_explained,
    predictive,
    size_free,
)

AS_IT_IS = "as it is"
THRESHOLDS = ("threshold", *(name for name, _ in FURTHER.values()))
GROUPS = (AS_IT_IS, *THRESHOLDS, "tolerance", "pruner", "target")
# These do not look at the target.
WITHOUT_TARGET = ("C2", "C6")


def judged(study: Study, table: pd.DataFrame, seed: int) -> list[Claim]:
    """The claims that a study decides, from the compared runs of its main grid."""
    if study.name == "double-descent":
        return [follows_double_descent(table, seed, study.claims)]
    ranked = ranked_measures()
    return [
        predictive(table, ranked, seed, study.claims),
        size_free(table, seed, study.claims),
        *(
            claim(table, ranked, seed, study.claims)
            for claim in (not_explained, better_than_flatness, little_shared)
        ),
    ]


def replaced(table: pd.DataFrame, measure: str = HEADLINE_MEASURE, target: str = TARGET) -> pd.DataFrame:
    """The table with another measure in prunability's place, and another target in the test loss's."""
    own = table[measure]
    kept = own * table["prunable_weight_count"]
    return table.assign(**{HEADLINE_MEASURE: own, "kept_parameter_count": kept, TARGET: table[target]})


def variations() -> list[tuple[str, str, dict[str, str]]]:
    """What is varied, to what, and how :func:`replaced` is told so."""
    tolerances = [
        ("tolerance", tolerance.label, {"measure": name_of("magnitude", tolerance)})
        for tolerance in SWEEP
        if tolerance != HEADLINE
    ]
    pruners = [
        ("pruner", pruner, {"measure": name_of(pruner, HEADLINE)}) for pruner in PRUNERS if pruner != "magnitude"
    ]
    targets = [
        ("target", words.split(" (")[0], {"target": name}) for name, words in TARGETS.items() if name != TARGET
    ]
    return [*tolerances, *pruners, *targets]


def sensitivity(study: Study, table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The verdict on each claim as it is and with one thing varied: claim, varied, setting, verdict.

    What a claim does not depend on is not among its variations.
    """
    rows = []
    for claim in judged(study, table, seed):
        rows.append((claim.id, AS_IT_IS, "", claim.verdict))
        others = {value: verdict for value, verdict in claim.sensitivity.items() if float(value) != claim.swept}
        rows += [(claim.id, "threshold", value, verdict) for value, verdict in others.items()]
        rows += [(claim.id, *row) for row in further(claim)]
    for varied, setting, change in variations():
        for claim in judged(study, replaced(table, **change), seed):
            if varied != "target" or claim.id not in WITHOUT_TARGET:
                rows.append((claim.id, varied, setting, claim.verdict))
    return pd.DataFrame(rows, columns=["claim", "varied", "setting", "verdict"])
