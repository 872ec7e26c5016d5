"""What a claim is: words, the study that decides it, how it is judged, and what else the runs say of it."""

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from prunability.analysis.ranks import tau_between, tau_estimate, tau_within, taus
from prunability.analysis.resampling import Array, Estimate, Sample
from prunability.analysis.tables import TARGETS, compared, ranked_measures, runs_table, sample_of, usable
from prunability.claims.criteria import LEAST_RUNS, Criterion, Finding
from prunability.measures import HEADLINE_MEASURE, all_measures
from prunability.records.record import Record
from prunability.studies import STUDIES, Study

if TYPE_CHECKING:
    from prunability.claims.scenarios import Scenario


@dataclass(frozen=True)
class Case:
    """What a claim is put to: the compared runs of a main grid, a measure in prunability's place, a target.

    A claim that is none of the abstract's has a table of its own kind, and ``curves``: what probes gave, by run and
    key.
    """

    table: pd.DataFrame
    sample: Sample
    hyperparameters: tuple[str, ...]
    may_claim: bool
    measures: tuple[str, ...] = field(default_factory=lambda: tuple(ranked_measures()))
    headline: str = HEADLINE_MEASURE
    target: str = "test_loss"
    curves: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)

    def column(self, name: str) -> Array:
        """A column of the table [n]; the kept parameters are those of the headline."""
        if name == "kept_parameter_count":
            return self.own * self.column("prunable_weight_count")
        found: Array = self.table[name].to_numpy(dtype=np.float64)
        return found

    @property
    def own(self) -> Array:
        """Prunability [n]."""
        return self.column(self.headline)

    @property
    def goal(self) -> Array:
        """The target [n]."""
        return self.column(self.target)

    @property
    def goal_words(self) -> str:
        """The target in words, without its unit."""
        return TARGETS[self.target].split(" (")[0]

    @cached_property
    def rivals(self) -> list[str]:
        """Usable measures that are no variant of prunability: those are no competitors of it."""
        known = all_measures()
        return usable(self.table, [name for name in self.measures if known[name].of_prunability != "variant"])[0]

    @cached_property
    def tau(self) -> Estimate:
        """Tau of prunability with the target."""
        return tau_estimate(self.own, self.goal, self.sample)

    def apart(self, settings: str) -> list[tuple[str, Estimate]]:
        """Tau with the target between settings and within them, where settings have several runs."""
        if not self.sample.repeated:
            return []
        return [
            (f"τ between {settings} (means over seeds)", tau_between(self.own, self.goal, self.sample)),
            (f"τ within {settings} (seeds only)", tau_within(self.own, self.goal, self.sample)),
        ]

    def taus_of(self, names: Sequence[str]) -> Array:
        """Tau with the target of each of some measures."""
        return taus([self.column(name) for name in names], self.goal)[0, :, 0]

    def best(self, names: Sequence[str]) -> str:
        """Of some rivals the one with the highest tau with the target: chosen on these runs, it decides nothing."""
        return names[int(self.taus_of(names).argmax())]

    def finding(self, claim: str, criteria: Sequence[Criterion], undecided: str = "") -> Finding:
        """What it comes to."""
        enough = self.may_claim and len(self.table) >= LEAST_RUNS
        return Finding(claim, len(self.table), tuple(criteria), enough, undecided or self.missing([self.headline]))

    def missing(self, names: Sequence[str]) -> str:
        """Why some of the measures that a claim needs cannot be used; empty where all can."""
        why = usable(self.table, names)[1]
        return "; ".join(f"{all_measures()[name].label} {reason}" for name, reason in why.items())


def no_words(case: Case, finding: Finding) -> list[str]:
    """Nothing more is said."""
    del case, finding
    return []


def case_of(study: Study, table: pd.DataFrame, seed: int) -> Case:
    """The compared runs of a study's main grid, as its claims are put to them."""
    return Case(table, sample_of(table, seed), study.hyperparameters, study.claims)


def case_of_grid(study: Study, records: Sequence[Record], seed: int) -> Case:
    """The same from the finished runs of the study."""
    table = compared(runs_table(records))
    return case_of(study, table[table["run"].isin(study.parts["grid"])].reset_index(drop=True), seed)


@dataclass(frozen=True)
class Claim:
    """A claim of the abstract, or of a neighbour of the paper.

    ``judge`` gives what the runs of ``study`` say of it; ``reasons`` what else they say where it is not
    supported, a sentence each; ``beside`` numbers shown with it that decide nothing, of which ``told`` are those
    without which its verdict would mislead: they stand wherever it does. ``follows_target`` is whether it speaks of
    the target. ``scenarios`` are worlds in which it is false, and in which it is true. ``case`` makes of finished
    runs, with the seed of resamples, what it is put to.
    """

    id: str
    words: str
    short: str
    study: str
    judge: Callable[[Case], Finding]
    reasons: Callable[[Case, Finding], list[str]] = no_words
    beside: Callable[[Case], list[tuple[str, Estimate]]] = lambda _: []
    told: Callable[[Case], list[tuple[str, Estimate]]] = lambda _: []
    follows_target: bool = True
    scenarios: Sequence["Scenario"] = ()
    of_abstract: bool = True
    case: Callable[[Study, Sequence[Record], int], Case] = case_of_grid


# The abstract's, and apart from them the neighbours'; both by id.
CLAIMS: dict[str, Claim] = {}
NEIGHBOURS: dict[str, Claim] = {}
STATED = ChainMap(CLAIMS, NEIGHBOURS)


def of_study(study: str, claims: Mapping[str, Claim] = CLAIMS) -> list[Claim]:
    """The claims, by default those of the abstract, that a study decides."""
    return [claim for claim in claims.values() if claim.study == study]


def judged(claims: Mapping[str, Claim] = CLAIMS) -> list[str]:
    """The studies that decide a claim, by default one of the abstract; of others no overview speaks."""
    return [study for study in STUDIES if of_study(study, claims)]
