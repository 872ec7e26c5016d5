"""S1 to S5: what others found of sparse networks, put to the networks of the study ``sparse``.

A row of the table is a network in a part of the study, ``curves`` hold what probes gave of it. Each statistic is
found once for every seed; the interval of their mean draws whole seeds anew. Labels, densities and margins were
fixed before any network was trained.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from prunability.analysis.probed import Curves, barrier_table
from prunability.analysis.ranks import kendall_tau
from prunability.analysis.resampling import Estimate, Sample, mean
from prunability.analysis.sparse import sparse_table
from prunability.analysis.widths import peak
from prunability.claims.criteria import POSITIVE, STRONG, Criterion, Finding, Side, Threshold
from prunability.claims.registry import Case, Claim
from prunability.measures.probes import key
from prunability.records.record import Record
from prunability.studies import Study

Beside = list[tuple[str, Estimate]]
STUDY, LEAST_SEEDS = "sparse", 3
# The density at which tickets are compared, the largest ratio of a round's to it, and the share of wrong labels.
DENSITY, RATIO, NOISE = 0.2, 1.25, 0.2
# By what share of the weights left two networks of one capacity may differ.
SAME = 0.05
MARGIN = Threshold("margin of test error", 0.01, (0.0, 0.005, 0.02, 0.05))


def case_of_sparse(table: pd.DataFrame, curves: Curves, may_claim: bool, seed: int) -> Case:
    """What the claims are put to: networks, by run what probes gave of them, and the seed of resamples."""
    return Case(table, Sample(tuple(table["seed"].tolist()), seed), (), may_claim, (), curves=curves)


def case_of_runs(study: Study, records: Sequence[Record], seed: int) -> Case:
    """The same from the finished runs of the study."""
    curves = {record.config.hash: record.curves for record in records}
    return case_of_sparse(sparse_table(records, study.parts), curves, study.claims, seed)


def worth(seeds: int) -> str:
    """What an interval over so many seeds is worth, in a sentence."""
    return (
        f"Intervals of S1 to S5 are by bootstrap over {seeds} seeds and lie within their range: where there is no "
        f"effect, one lies wholly above zero in up to {0.5**seeds:.1%} of studies, and below as often."
    )


def tickets(
    table: pd.DataFrame, noise: float, weights: str = "rewound", places: str = "magnitude", rewind: int = 0
) -> pd.DataFrame:
    """Dense networks and, round by round, what was pruned from them; as it is, by magnitude and from the start."""
    part, own = table["part"], np.isclose(table["label_noise"], noise)
    made = (table["weights"] == weights) & (table["places"] == places) & (table["rewind"] == rewind)
    chosen = table[own & ((part == "grid") | (part.isin(["tickets", "controls"]) & made))]
    return chosen.assign(round=chosen["round"].fillna(0.0).astype(int))


def over_seeds(values: pd.Series, sample: Sample) -> Estimate:
    """The mean of one value a seed, of those that have one; its interval draws whole seeds anew."""
    found = mean(values.dropna(), sample.seed)
    return replace(found, seeds=(found.low, found.high))


def taus(table: pd.DataFrame, x: str, y: str) -> pd.Series:
    """Of each seed tau-b of two columns, its mean over widths; NaN where a value lacks or a column is constant."""
    found: dict[object, list[float]] = {}
    for (seed, _), part in table.groupby(["seed", "width"]):
        whole = len(part) > 1 and np.isfinite(part[[x, y]].to_numpy(float)).all()
        found.setdefault(seed, []).append(kendall_tau(part[x], part[y]) if whole else np.nan)
    return pd.Series({seed: np.mean(own) for seed, own in found.items()}, dtype=float)


def _judged(
    claim: str, case: Case, n: int, values: Mapping[str, pd.Series], side: Side, threshold: Threshold
) -> Finding:
    """Each statistic, in words, with its value for every seed; too few seeds cannot decide."""
    counts = {words: int(own.notna().sum()) for words, own in values.items()}
    lacking = [f"{words} is known of {seeds} seeds" for words, seeds in counts.items() if seeds < LEAST_SEEDS]
    if lacking:
        return Finding(claim, n, (), case.may_claim, f"{'; '.join(lacking)}, {LEAST_SEEDS} are needed")
    criteria = [Criterion(words, over_seeds(own, case.sample), side, threshold) for words, own in values.items()]
    return Finding(claim, n, tuple(criteria), case.may_claim)


def _redrawn(table: pd.DataFrame) -> pd.DataFrame:
    """Tickets beside their masks with redrawn weights, and what these ``cost`` in test loss."""
    kept, drawn = (tickets(table, 0.0, weights) for weights in ("rewound", "redrawn"))
    both = kept[kept["round"] > 0].merge(drawn, on=["seed", "round"], suffixes=("", "_drawn"))
    return both.assign(cost=both["test_loss_drawn"] - both["test_loss"]).set_index("seed")


def judge_tickets(case: Case) -> Finding:
    """In the round nearest to ``DENSITY`` redrawn weights cost test loss: the lower end of how much is above 0."""
    both = _redrawn(case.table)
    ratio = np.exp(np.abs(np.log(both["density"] / DENSITY)))
    near = both[np.isclose(ratio, ratio.min()) & (ratio <= RATIO)]
    words = f"test loss with redrawn weights less that of tickets, at a density near {DENSITY:g}"
    return _judged("S1", case, 2 * len(near), {words: near["cost"]}, "above", POSITIVE)


def at_least_density(case: Case) -> Beside:
    """What redrawn weights cost where fewest are left."""
    last = (both := _redrawn(case.table))[both["round"] == both["round"].max()]
    words = f"the same at the least density, {last['density'].mean():.2g}"
    return [(words, over_seeds(last["cost"], case.sample))] if len(last) else []


def descent(chain: pd.DataFrame) -> Estimate | None:
    """By how much the mean test error over the rounds falls, rises and falls, or the reverse: the least move.

    Its interval is of three standard errors over seeds. None with fewer than three rounds.
    """
    least = []
    for sign in (1, -1):
        signed = chain.assign(parameter_count=0, test_error=sign * chain["test_error"])
        if found := peak(signed, "test_error", "round"):
            moves = (found.prominence, found.fall)
            least.append(Estimate(*(min(getattr(move, end) for move in moves) for end in ("value", "low", "high"))))
    return max(least, key=lambda e: (e.low, e.value), default=None)


def judge_descent(case: Case) -> Finding:
    """With wrong labels every move is out of its noise, that is above 0; without them, not every one is."""
    chains = [tickets(case.table, noise) for noise in (NOISE, 0.0)]
    n, (noisy, clean) = sum(map(len, chains)), map(descent, chains)
    if noisy is None or clean is None or any(part.groupby("round").size().min() < LEAST_SEEDS for part in chains):
        why = f"with wrong labels and without, at least three rounds of {LEAST_SEEDS} seeds each are needed"
        return Finding("S2", n, (), case.may_claim, why)
    words, nan = "least move of a double descent of the test error", float("nan")
    none = Estimate(clean.low, nan, nan)
    criteria = (
        Criterion(f"{words} with {NOISE:.0%} wrong labels", noisy, "above", POSITIVE),
        Criterion(
            f"{words} without wrong labels, less three standard errors", none, "at most", POSITIVE, place=True
        ),
    )
    return Finding("S2", n, criteria, case.may_claim)


def without_wrong_labels(case: Case) -> Beside:
    """S2's move without wrong labels: the upper end is the largest that these seeds may have missed."""
    clean = descent(tickets(case.table, 0.0))
    return [("the same without wrong labels, and three standard errors", clean)] if clean is not None else []


def highest_barrier(case: Case) -> Beside:
    """The highest barrier of each seed, whatever its place."""
    table = barrier_table(case.table[case.table["part"] == "children"], case.curves)
    highest = table.groupby("seed")["test_loss"].max()
    return (
        [("the highest barrier in the test loss, in nats", over_seeds(highest, case.sample))] if len(table) else []
    )


def judge_barriers(case: Case) -> Finding:
    """Within each seed, tau of the test loss barrier between children with their epoch has an upper end below 0."""
    table = barrier_table(case.table[case.table["part"] == "children"], case.curves)
    words = "τ of the test loss barrier with the epoch at which children part"
    return _judged("S3", case, 2 * len(table), {words: taus(table, "epoch", "test_loss")}, "below", POSITIVE)


def _of_one_capacity(case: Case) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sparse networks and, by seed, the dense ones of their capacity: test errors ``clean`` and ``noisy``."""
    own = case.table[case.table["part"] == "static"]
    rows = [case.curves.get(run, {}).get(key("weight_noise")) for run in own["run"]]
    own = own.assign(
        clean=[row[0] if row else np.nan for row in rows],
        noisy=[np.mean(row[1:]) if row else np.nan for row in rows],
    )
    dense = own[(own["kind"] == "dense") & (own["width"] == own["width"].min())].set_index("seed")
    near = np.abs(own["kept"] / own["seed"].map(dense["kept"]) - 1) <= SAME
    return own[(own["kind"] == "static") & near], dense


def judge_capacity(case: Case) -> Finding:
    """Sparse networks of one capacity with the dense one err less than ``MARGIN`` more under noise on weights."""
    sparse, dense = _of_one_capacity(case)
    values = sparse.groupby("seed")["noisy"].mean() - dense["noisy"]
    words = (
        "test error under weight noise, of sparse and wide networks less that of the dense one of their capacity"
    )
    return _judged("S4", case, len(sparse) + len(dense), {words: values}, "below", MARGIN)


def width_by_width(case: Case) -> Beside:
    """The same of each width alone, and before any noise: what a network errs anyway is no lack of robustness."""
    sparse, dense = _of_one_capacity(case)
    return [
        (f"the same of width {width} alone, {words}", over_seeds(own[column] - dense[column], case.sample))
        for width, own in sparse.set_index("seed").groupby("width")
        for column, words in (("noisy", "under noise"), ("clean", "without noise"))
    ]


def judge_following(case: Case) -> Finding:
    """Within each seed's chain with wrong labels, tau of both with the test loss has a lower end above STRONG."""
    chain = tickets(case.table, NOISE)
    columns = {"prunability_of_left": "prunability, of the weights left,", "learning_distance": "learning distance"}
    values = {
        f"τ of {label} with test loss over density": taus(chain, x, "test_loss") for x, label in columns.items()
    }
    return _judged("S5", case, len(chain), values, "above", STRONG)


S1 = Claim(
    "S1",
    f"With {DENSITY:.0%} of the weights a winning ticket generalizes better than its mask with weights drawn anew "
    "(Frankle & Carbin 2019).",
    "tickets beat redrawn weights",
    STUDY,
    judge_tickets,
    beside=at_least_density,
    of_abstract=False,
    case=case_of_runs,
)
S2 = Claim(
    "S2",
    "Pruned ever further, networks show double descent where labels are wrong, else none (He et al. 2022).",
    "sparse double descent",
    STUDY,
    judge_descent,
    beside=without_wrong_labels,
    of_abstract=False,
    case=case_of_runs,
)
S3 = Claim(
    "S3",
    "The later two children of a network part, the lower the barrier between them (Frankle et al. 2020).",
    "barrier falls",
    STUDY,
    judge_barriers,
    beside=highest_barrier,
    of_abstract=False,
    case=case_of_runs,
)
S4 = Claim(
    "S4",
    "Sparse and wide, networks bear noise on their weights as well as a dense one of their capacity.",
    "sparse is as robust",
    STUDY,
    judge_capacity,
    beside=width_by_width,
    of_abstract=False,
    case=case_of_runs,
)
S5 = Claim(
    "S5",
    "Prunability and the learning distance follow the test loss over density, where labels are wrong.",
    "follow sparse descent",
    STUDY,
    judge_following,
    of_abstract=False,
    case=case_of_runs,
)
