"""B1 to B3: what others found of networks that could use a simple or a complex part, put to ours.

A row of the table is a network in a part of the study ``simplicity``, ``curves`` hold its margins. Each statistic
is found once for every seed, over widths, and the interval of the mean draws whole seeds anew. Margins, and what an
ensemble is and an attack, were fixed before any network was trained.
"""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from prunability.analysis.resampling import Estimate, Sample, mean
from prunability.analysis.simplicity import ENSEMBLE, KINDS, OTHER_TOLERANCES, ensembles, networks_table, pairs
from prunability.claims.criteria import LEAST_RUNS, POSITIVE, Criterion, Finding, Side, Threshold
from prunability.claims.registry import Case, Claim
from prunability.measures.simplicity import SHUFFLED
from prunability.records.record import Record
from prunability.studies import Study

Beside = list[tuple[str, Estimate]]
STUDY, LEAST_SEEDS = "simplicity", 3
# Chance is 0.5: an error above is at it, and a rise below is none. Who errs more than ``LEARNT`` learnt too little.
CHANCE = Threshold("least error at chance", 0.45, (0.3, 0.35, 0.4, 0.48))
SAME = Threshold("largest rise that is none", 0.02, (0.01, 0.05, 0.1))
LEARNT = 0.1


def case_of_networks(table: pd.DataFrame, curves: dict[str, dict[str, list[float]]], may: bool, seed: int) -> Case:
    """What the claims are put to: networks, by run what probes gave of them, and the seed of resamples."""
    return Case(table, Sample(tuple(table["seed"].tolist()), seed), (), may, (), curves=curves)


def case_of_runs(study: Study, records: Sequence[Record], seed: int) -> Case:
    """The same from the finished runs of the study, or of one that has the same parts."""
    curves = {record.config.hash: record.curves for record in records}
    return case_of_networks(networks_table(records, study.parts), curves, study.claims, seed)


def over_seeds(table: pd.DataFrame, values: pd.Series, case: Case) -> Estimate | None:
    """The mean of values, first of each seed over widths, with its interval over seeds; None of too few seeds."""
    of_seeds = values.groupby(table["seed"]).mean().dropna()
    if len(of_seeds) < LEAST_SEEDS:
        return None
    found = mean(of_seeds, case.sample.seed)
    return replace(found, seeds=(found.low, found.high))


def _of(case: Case, part: str) -> pd.DataFrame:
    return case.table[case.table["kind"] == KINDS[part]].reset_index(drop=True)


def _found(claim: str, case: Case, n: int, criteria: Sequence[Criterion | None], undecided: str = "") -> Finding:
    known = tuple(criterion for criterion in criteria if criterion is not None)
    if len(known) < len(criteria):
        undecided = f"fewer than {LEAST_SEEDS} seeds, or ensembles, have what is compared"
    return Finding(claim, n, known, case.may_claim and n >= LEAST_RUNS, undecided)


def _criterion(
    words: str, table: pd.DataFrame, values: pd.Series, case: Case, side: Side, threshold: Threshold
) -> Criterion | None:
    e = over_seeds(table, values, case)
    return None if e is None else Criterion(words, e, side, threshold)


def _at_chance(words: str, table: pd.DataFrame, case: Case) -> Criterion | None:
    whole = f"test error of {words} with the simple part shuffled"
    return _criterion(whole, table, table["simple"], case, "above", CHANCE)


def judge_reliance(case: Case) -> Finding:
    """Plain networks err at chance with the simple part shuffled, and no more than clean with the other."""
    own = _of(case, "grid")
    words, rise = "rise of their test error with the complex part shuffled", own["complex"] - own["clean"]
    same = _criterion(words, own, rise, case, "below", SAME)
    return _found("B1", case, len(own), [_at_chance("plain networks", own, case), same])


def share_of_complex(case: Case) -> Beside:
    """What errors do not show: how much of a margin goes with the part that does not decide it."""
    own = _of(case, "grid")
    e = over_seeds(own, own["complex_share"], case)
    return [("share of their mean margin that goes with the complex part", e)] if e else []


def by_width(case: Case) -> Beside:
    """Their error clean and with either part shuffled, width by width, and what the complex one makes of them."""
    own = _of(case, "grid")
    return share_of_complex(case) + [
        (f"test error, {name}{' part shuffled' * (name != 'clean')}, at width {width}", e)
        for width, part in own.groupby("width")
        for name in SHUFFLED
        if (e := over_seeds(part, part[name], case))
    ]


def judge_remedies(case: Case) -> Finding:
    """Ensembles, and networks trained under attack, err at chance with the simple part shuffled all the same."""
    together, attacked = ensembles(case.table, case.curves), _of(case, "adversarial")
    criteria = [
        _at_chance(f"ensembles of {ENSEMBLE}", together, case),
        _at_chance("networks trained under attack", attacked, case),
    ]
    error = attacked["clean"].mean()
    nothing = f"networks trained under attack err on {error:.2f} of clean images" if error > LEARNT else ""
    return _found("B2", case, len(together) * ENSEMBLE + len(attacked), criteria, nothing)


def of_remedies(case: Case) -> Beside:
    """What either takes from the error of plain networks with the simple part shuffled, and the error clean."""
    together, attacked, plain = ensembles(case.table, case.curves), _of(case, "adversarial"), _of(case, "grid")
    own = plain.set_index(["width", "seed"])["simple"]
    less = attacked["simple"] - own.reindex(pd.MultiIndex.from_frame(attacked[["width", "seed"]])).to_numpy()
    rows = [
        ("error with the simple part shuffled, trained under attack less plain", over_seeds(attacked, less, case)),
        ("clean test error, trained under attack", over_seeds(attacked, attacked["clean"], case)),
        (f"clean test error, ensembles of {ENSEMBLE}", over_seeds(together, together["clean"], case)),
    ]
    return [(words, e) for words, e in rows if e]


def judge_forced(case: Case) -> Finding:
    """Networks forced to use the complex part have a larger prunability, paired by width and seed."""
    both = pairs(case.table)
    words = "prunability of forced networks less that of plain ones"
    return _found("B3", case, 2 * len(both), [_criterion(words, both, both["gain"], case, "above", POSITIVE)])


def of_forced(case: Case) -> Beside:
    """The same width by width and at other tolerances, what differs in training, and what forced networks use."""
    both, forced = pairs(case.table), _of(case, "forced")
    rows = [
        (f"the same at width {width}", over_seeds(own, own["gain"], case)) for width, own in both.groupby("width")
    ]
    rows += [(f"the same at {label}", over_seeds(both, both[label], case)) for label in OTHER_TOLERANCES]
    rows += [
        (f"epochs of {kind} networks", over_seeds(both, both[name], case))
        for kind, name in (("plain", "epochs"), ("forced", "epochs_forced"))
    ]
    rows += [
        (
            "training loss of forced networks less that of plain ones, in nats",
            over_seeds(both, both["loss_gain"], case),
        ),
        ("test error of forced networks, simple part shuffled", over_seeds(forced, forced["simple"], case)),
        ("test error of forced networks, complex part shuffled", over_seeds(forced, forced["complex"], case)),
    ]
    return [(words, e) for words, e in rows if e]


B1 = Claim(
    "B1",
    "Of a simple and a complex part that both say the class, networks use the simple one alone (Shah et al. 2020).",
    "simple part alone",
    STUDY,
    judge_reliance,
    beside=by_width,
    told=share_of_complex,
    of_abstract=False,
    case=case_of_runs,
)
B2 = Claim(
    "B2",
    "Neither ensembles nor adversarial training mend it (Shah et al. 2020).",
    "nothing mends it",
    STUDY,
    judge_remedies,
    beside=of_remedies,
    of_abstract=False,
    case=case_of_runs,
)
B3 = Claim(
    "B3",
    "Networks forced to use the complex part need more of their weights, at the same training loss.",
    "complex needs weights",
    STUDY,
    judge_forced,
    beside=of_forced,
    of_abstract=False,
    case=case_of_runs,
)
