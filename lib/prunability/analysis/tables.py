"""Runs as a table, and the tables that figures and claims are made of."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from prunability.analysis.ranks import granulated_taus, tau_estimate, tau_estimates
from prunability.analysis.resampling import Estimate, Sample
from prunability.foundation.errors import PrunabilityError
from prunability.measures import HEADLINE_MEASURE, REGISTRY, all_measures
from prunability.measures.pruning import name_of
from prunability.measures.search import HEADLINE, PRUNERS, SWEEP, Tolerance
from prunability.records.record import Record

TARGETS = {
    "test_loss": "test loss (nats)",
    "loss_gap": "generalization gap (nats)",
    "test_error": "test error (fraction)",
}

# The relative tolerance that stands beside the headline where only one can.
RELATIVE = Tolerance("relative", 0.5)


def runs_table(records: Sequence[Record]) -> pd.DataFrame:
    """One row a run: its hyperparameters, how it ended, its targets and its measures (NaN: undefined).

    Raises:
        PrunabilityError: there are no runs.
    """
    if not records:
        raise PrunabilityError("no run is finished, and so there is no table of runs")
    rows, known = [], all_measures()
    for record in records:
        network = record.config.network.model_dump(exclude={"kind"})
        rules = record.config.training
        training = {name: getattr(rules, name) for name in type(rules).model_fields}
        result = record.result
        values = {
            name: value
            for function, measured in record.measures.items()
            if function in REGISTRY and measured.version == REGISTRY[function].version
            for name, value in measured.values.items()
        }
        gap = None
        if result.test_loss is not None and result.train_loss is not None:
            gap = result.test_loss - result.train_loss
        rows.append(
            {"run": record.config.hash, "setting": record.config.setting_hash, "seed": record.config.seed}
            | {**network, **training}
            | {"label_noise": record.config.data.label_noise, "n_train": record.config.data.n_train}
            | {"status": result.status, "reason": result.reason, "epochs": result.epochs, "steps": result.steps}
            | {"train_loss": result.train_loss, "train_error": result.train_error}
            | {"test_loss": result.test_loss, "loss_gap": gap, "test_error": result.test_error}
            | {name: values.get(name) for name in known}
        )
    table = pd.DataFrame(rows)
    numeric = [*TARGETS, "train_loss", "train_error", *known]
    return table.astype(dict.fromkeys(numeric, float))


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """The runs that enter a headline: the converged ones, and all that spent a fixed budget."""
    return table[_enters(table)].reset_index(drop=True)


def _enters(table: pd.DataFrame) -> pd.Series:
    spent = ~table["stop_at_target"] & (table["status"] == "not converged")
    return (table["status"] == "converged") | spent


def sample_of(table: pd.DataFrame, seed: int) -> Sample:
    """How the runs of a table are resampled: those of one setting together."""
    return Sample(tuple(np.unique(table["setting"], return_inverse=True)[1].tolist()), seed)


def stacked(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of several tables, each run once."""
    return pd.concat(parts).drop_duplicates("run").reset_index(drop=True)


def labelled(parts: Mapping[Any, pd.DataFrame], key: str) -> pd.DataFrame:
    """The rows of several tables, with the key of each in a column of its own."""
    own = [part.assign(**{key: value}) for value, part in parts.items()]
    return pd.concat(own, ignore_index=True) if own else pd.DataFrame(columns=[key])


def left_out(table: pd.DataFrame) -> dict[str, int]:
    """How many runs do not enter a headline, by the reason."""
    rest = table[~_enters(table)]
    return {f"{status}: {reason}": len(part) for (status, reason), part in rest.groupby(["status", "reason"])}


def usable(table: pd.DataFrame, names: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Measures that can be ranked, and why each of the others cannot."""
    names, kept, why = list(names), [], {}
    values = table[names].to_numpy(dtype=np.float64)
    missing, constant = (~np.isfinite(values)).sum(axis=0), (values == values[:1]).all(axis=0)
    for name, absent, same in zip(names, missing, constant, strict=True):
        if absent:
            why[name] = f"no value on {absent} of {len(table)} runs"
        elif same:
            why[name] = f"has the same value on all {len(table)} runs"
        else:
            kept.append(name)
    return kept, why


ENDS = ["tau", "low", "high", "seeds_low", "seeds_high", "n"]


def _ends(e: Estimate, n: int) -> tuple[float, ...]:
    return (e.value, e.low, e.high, *(e.seeds or (float("nan"), float("nan"))), n)


def correlations(table: pd.DataFrame, names: Iterable[str], seed: int) -> pd.DataFrame:
    """Tau-b of each usable measure with each target: measure, label, family, target, tau and its intervals, n."""
    known, heads = all_measures(), ["measure", "label", "family", "target", *ENDS]
    kept, _ = usable(table, names)
    if not kept or len(table) < 2:
        return pd.DataFrame(columns=heads)
    columns, goals = table[kept].to_numpy().T, table[list(TARGETS)].to_numpy().T
    rows = [
        (name, known[name].label, known[name].family, target, *_ends(e, len(table)))
        for name, row in zip(kept, tau_estimates(columns, goals, sample_of(table, seed)), strict=True)
        for target, e in zip(TARGETS, row, strict=True)
    ]
    return pd.DataFrame(rows, columns=heads)


def by_level(
    table: pd.DataFrame, measure: str, target: str, hyperparameters: Sequence[str], sample: Sample
) -> pd.DataFrame:
    """Tau of a measure with a target among the runs of each level of each hyperparameter alone."""
    rows = []
    for name in hyperparameters:
        for level in sorted(table[name].unique()):
            chosen = (table[name] == level).to_numpy()
            part = table[chosen]
            e = tau_estimate(part[measure], part[target], sample.part(chosen))
            rows.append((name, level, *_ends(e, len(part))))
    return pd.DataFrame(rows, columns=["hyperparameter", "level", *ENDS])


def least_level(
    table: pd.DataFrame, measure: str, target: str, hyperparameters: Sequence[str], sample: Sample
) -> tuple[str, Estimate]:
    """The level at which tau is smallest, such as ``depth 2``, and tau there; undefined ones do not count."""
    rows = by_level(table, measure, target, hyperparameters, sample).dropna(subset="tau").sort_values("tau")
    if rows.empty:
        return "none", Estimate(float("nan"), float("nan"), float("nan"))
    row = rows.iloc[0]
    seeds = (row["seeds_low"], row["seeds_high"]) if np.isfinite(row["seeds_low"]) else None
    words = f"{row['hyperparameter'].replace('_', ' ')} {row['level']:g}"
    return words, Estimate(row["tau"], row["low"], row["high"], seeds)


def sweep(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Tau of prunability (magnitude) with each target at every tolerance of the sweep."""
    names = {name_of("magnitude", tolerance): tolerance for tolerance in SWEEP}
    found = correlations(table, names, seed)
    found["kind"] = [names[name].kind for name in found["measure"]]
    found["amount"] = [names[name].amount for name in found["measure"]]
    order = found["target"].map({target: place for place, target in enumerate(TARGETS)})
    found = found.assign(place=order, target=found["target"].map(TARGETS))
    return found.sort_values(["kind", "place", "amount"], ignore_index=True).drop(columns="place")


def size_sweep(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Tau of prunability and of the kept-parameter count with the parameter count, at every tolerance."""
    rows, sample = [], sample_of(table, seed)
    for tolerance in SWEEP:
        name = name_of("magnitude", tolerance)
        kept = table[name] * table["prunable_weight_count"]
        for label, column in (("prunability", table[name]), ("kept parameters", kept)):
            e = tau_estimate(column, table["parameter_count"], sample)
            rows.append((tolerance.kind, tolerance.amount, label, *_ends(e, len(table))))
    return pd.DataFrame(rows, columns=["kind", "amount", "measure", *ENDS])


def granulated(
    table: pd.DataFrame, names: Iterable[str], hyperparameters: Sequence[str], target: str = "test_loss"
) -> pd.DataFrame:
    """ψ of each usable measure for each hyperparameter, Ψ as ``mean``, with the cells used and left out."""
    known, rows = all_measures(), []
    kept = usable(table, names)[0]
    taus = granulated_taus(table[kept].to_numpy().T, table[target], table[list(hyperparameters)], hyperparameters)
    for name, found in zip(kept, taus, strict=True):
        rows += [
            (name, known[name].label, known[name].family, key, found.psi[key], found.used[key], found.left_out[key])
            for key in hyperparameters
        ]
        rows.append(
            (
                name,
                known[name].label,
                known[name].family,
                "mean",
                found.mean,
                sum(found.used.values()),
                sum(found.left_out.values()),
            )
        )
    return pd.DataFrame(rows, columns=["measure", "label", "family", "hyperparameter", "psi", "cells", "left_out"])


def drawn(table: pd.DataFrame, hyperparameters: Sequence[str]) -> pd.DataFrame:
    """The columns behind the scatter plots: run, hyperparameters, targets, prunability and sizes."""
    return table[["run", *hyperparameters, *TARGETS, HEADLINE_MEASURE, "kept_parameter_count", "parameter_count"]]


def ranked_measures() -> list[str]:
    """The measures of the main ranking: each kind once, each pruner at one absolute and one relative tolerance.

    The sweep over tolerances has a figure of its own; the number of prunable weights is the size again.
    """
    sweep = {name for name, measure in all_measures().items() if measure.of_prunability == "variant"}
    keep = {name_of(pruner, tolerance) for pruner in PRUNERS for tolerance in (HEADLINE, RELATIVE)}
    return [name for name in all_measures() if name not in sweep - keep and name != "prunable_weight_count"]
