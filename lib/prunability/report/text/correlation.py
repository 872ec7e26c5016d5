"""Sentences of the notebooks, in Markdown, every number computed from the tables."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from scipy.optimize import brentq

from prunability.analysis.ranks import kendall_tau
from prunability.analysis.reliability import share_between_settings, tau_of_two_trainings
from prunability.analysis.resampling import Estimate
from prunability.analysis.sign_errors import SignErrors
from prunability.analysis.tables import TARGETS, left_out, usable
from prunability.claims import LEAST_RUNS
from prunability.claims.criteria import STRONG
from prunability.claims.shared import LITTLE
from prunability.measures import HEADLINE_MEASURE, REGISTRY, Measure, all_measures
from prunability.studies import Study


def study(opened: Study) -> str:
    """Which networks a study trains, on what."""
    first = opened.runs[0]
    grid = {name: sorted({run.setting(name) for run in opened.runs}) for name in opened.hyperparameters}
    seeds = len({run.seed for run in opened.runs})
    settings = " × ".join(f"{name.replace('_', ' ')} {{{_listed(values)}}}" for name, values in grid.items())
    return (
        f"Profile **{opened.profile}**: {len(opened.runs)} networks on {first.data.n_train} training images of "
        f"*{opened.data.title}* ({opened.data.classes} classes, {opened.data.test} test "
        f"images, label noise {first.data.label_noise:.0%}). The grid is {settings}, "
        f"{seeds} seed{'s' * (seeds != 1)} a setting. Each is trained by SGD with "
        f"momentum {first.training.momentum:g} until its training loss is at most "
        f"{first.training.target_loss:g} nats, for at most {first.training.max_epochs} epochs, in "
        f"{first.training.precision}."
    )


def runs(table: pd.DataFrame) -> str:
    """How many networks converged, which did not and why, and how much the target varies."""
    used = table[table["status"] == "converged"]
    reasons = [f"{number} {reason}" for reason, number in left_out(table).items()]
    rest = f" Left out: {'; '.join(reasons)}." if reasons else " None is left out."
    return (
        f"**{len(used)} of {len(table)} networks converged** and enter what follows.{rest} Their test loss goes "
        f"from {used['test_loss'].min():.3f} to {used['test_loss'].max():.3f} nats, their test error from "
        f"{used['test_error'].min():.1%} to {used['test_error'].max():.1%}, their size from "
        f"{used['parameter_count'].min():,.0f} to {used['parameter_count'].max():,.0f} parameters."
    )


def ranking(table: pd.DataFrame, runs_used: pd.DataFrame, measures: list[str]) -> str:
    """Where prunability stands for each target, and which measures could not be ranked."""
    lines = []
    for target, title in TARGETS.items():
        part = table[table["target"] == target].sort_values("tau", ascending=False).reset_index(drop=True)
        place = part.index[part["measure"] == HEADLINE_MEASURE]
        best = part.iloc[0]
        where = f"prunability is number {place[0] + 1} of {len(part)} with τ = {_tau(part.loc[place[0]])}" if len(
            place
        ) else "prunability has no rank"  # fmt: skip
        lines.append(f"- {title}: {where}; highest is {best['label']} with τ = {_tau(best)}.")
    wrong = list(table[(table["target"] == "test_loss") & (table["high"] < 0)]["measure"])
    if wrong:
        growing = sum(kendall_tau(runs_used[name], runs_used["parameter_count"]) > STRONG.value for name in wrong)
        lines.append(
            f"- {len(wrong)} measures order these networks the wrong way round by test loss (whole interval "
            f"below 0). {growing} of them grow with the parameter count (τ above {STRONG.value:g})."
        )
    return "\n".join([*lines, *_not_ranked(runs_used, measures)])


def reliability(used: pd.DataFrame) -> str:
    """How far another training of the same settings would agree: no measure can be asked for more."""
    if used["setting"].nunique() == len(used):
        return "There is one seed a setting, so nothing is known of how reliable the targets are."
    lines = []
    for target, title in TARGETS.items():
        share = share_between_settings(used[target], used["setting"])
        tau = tau_of_two_trainings(used[target], used["setting"], used["seed"])
        lines.append(
            f"- {title}: {share} of the variance lies between settings, the rest between seeds; two trainings of "
            f"all settings order them alike with τ = {tau:.2f}."
        )
    return "\n".join(lines)


def levels(table: pd.DataFrame, tau: float) -> str:
    """Where, at one level of one hyperparameter, prunability predicts least."""
    known = table.dropna(subset="tau").sort_values("tau")
    if known.empty:
        return "Prunability varies at no level of any hyperparameter."
    worst = known.iloc[0]
    return (
        f"Over all networks τ = {tau:.2f}; at one level of one hyperparameter it is smallest at "
        f"{worst['hyperparameter'].replace('_', ' ')} {worst['level']:g}, τ = {_tau(worst)} (n = {worst['n']:.0f})."
    )


def information_as_tau() -> str:
    """What C6's threshold means as a rank correlation: without ties the information is a function of |τ|."""

    def information(tau: float) -> float:
        shares = ((1 + tau) / 2, (1 - tau) / 2)
        return 1 + sum(share * math.log2(share) for share in shares if share)

    tau = brentq(lambda tau: information(tau) - LITTLE.value, 0, 1)
    return (
        f"Where neither of two measures has ties, their mutual information is a function of |τ| alone: "
        f"{LITTLE.value:g} is that of |τ| = {tau:.2f}."
    )


def _not_ranked(runs_used: pd.DataFrame, measures: list[str]) -> list[str]:
    why = usable(runs_used, measures)[1]
    return [f"- Left out: {all_measures()[name].label} ({reason})." for name, reason in why.items()]


def table(frame: pd.DataFrame) -> str:
    """A table in Markdown, for a notebook: whole texts, three digits."""
    rows = [[f"{v:.3f}" if isinstance(v, float) else str(v).replace("_", " ") for v in row] for row in frame.values]
    lines = [[str(name).replace("_", " ") for name in frame.columns], ["---"] * frame.shape[1], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def limitations(opened: Study, used: pd.DataFrame) -> str:
    """What a study cannot speak for."""
    first = opened.runs[0]
    few = len(used) < LEAST_RUNS or not opened.claims
    seeds = len({run.seed for run in opened.runs})
    return "\n".join(
        [
            f"- **n**: {len(used)} networks. "
            + (
                "That is too few, or the profile too small, for any verdict."
                if few
                else "An interval's width is the resolution: smaller differences between measures are not seen."
            ),
            f"- **Data**: {first.data.n_train} training images of {opened.data.title}; other data may rank "
            f"measures otherwise. Test losses rest on {opened.data.test} test images, whose "
            "sampling noise lowers every tau.",
            "- **Networks**: one family (network in network, depths and widths of the grid above), "
            f"{seeds} seed{'s' * (seeds != 1)} a setting; other architectures are not covered.",
            f"- **Budget**: training stops at {first.training.target_loss:g} nats, so nothing is said of networks "
            "stopped elsewhere; networks that did not get there are not in the statistics.",
            "- **Intervals** resample the settings of this grid, each with all its runs: they do not speak for "
            f"another grid. {'' if seeds > 1 else 'With one seed a setting nothing is known of another training. '}"
            f"{used['setting'].nunique()} settings of {len(opened.hyperparameters)} hyperparameters vary together, "
            "so they are fewer observations than they look.",
        ]
    )


def _tau(row: pd.Series) -> str:
    return str(Estimate(row["tau"], row["low"], row["high"]))


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def comparison(
    runs_used: pd.DataFrame,
    measures: list[str],
    shared: pd.DataFrame,
    partial: pd.DataFrame,
    least: pd.DataFrame,
    gains: pd.DataFrame,
) -> str:
    """What the comparison with other measures shows, and which measures could not enter it."""
    ordered = shared.sort_values("information")
    closest, farthest = ordered.iloc[-1], ordered.iloc[0]
    rows = {str(row.given): row for row in partial[partial["target"] == "test_loss"].itertuples()}
    plain, explained = rows["nothing"], rows["all three"]
    places = least.sort_values("least_information", ascending=False)["measure"].tolist()
    place = places.index(HEADLINE_MEASURE) + 1 if HEADLINE_MEASURE in places else None
    others = gains[gains["measure"] != HEADLINE_MEASURE]
    most = others.sort_values("adds_to_prunability").iloc[-1]
    return "\n".join(
        [
            f"- Of all measures, {closest['label']} shares most with prunability "
            f"({closest['information']:.2f} of the smaller entropy), {farthest['label']} least "
            f"({farthest['information']:.2f}).",
            f"- The association of prunability with test loss is {_interval(plain)}, as the correlation of a "
            f"Gaussian copula; given margin, flatness and optimization speed it is {_interval(explained)}.",
            "- By K(μ), the least conditional information, prunability "
            f"{f'is number {place} of {len(places)}' if place else 'has no rank'}.",
            f"- {most['label']} adds most to prunability in a linear regression of the test loss: adjusted R² "
            f"changes by {most['adds_to_prunability']:+.2f}.",
            *_not_ranked(runs_used, measures),
        ]
    )


def measure_list(costs: Mapping[str, float]) -> str:
    """All measures by family: what each is, where from, its unit, direction and cost, and how each function works.

    ``costs`` maps functions to seconds over those of one forward pass over the training set.
    """
    parts = []
    for family in dict.fromkeys(measure.family for measure in all_measures().values()):
        lines = ["| measure | name | formula | unit | source | sign | passes |", "| --- " * 7 + "|"]
        notes = []
        for function, group in REGISTRY.items():
            members = [measure for measure in group.measures if measure.family == family]
            cost = f"{costs[function]:.1f}" if function in costs else "–"
            lines += [
                " ".join(["|", " | ".join(part.replace("|", "\\|") for part in (*_described(m), cost)), "|"])
                for m in members
            ]
            if members:
                notes.append(f"- `{function}`: {' '.join((group.function.__doc__ or '').split())}")
        parts += [f"## {family.capitalize()}", "\n".join(lines), "\n".join(notes)]
    return "\n\n".join(parts)


def _described(measure: Measure) -> tuple[str, ...]:
    sign = "negated" if measure.negated else "as it is"
    return measure.label, f"`{measure.name}`", measure.formula, measure.unit, measure.source, sign


def bounds(used: pd.DataFrame) -> str:
    """What the generalization bounds come to, and how far they are from the error that they bound."""
    lines = []
    for name in (name for name, measure in all_measures().items() if measure.family == "bounds"):
        values = used[name].dropna()
        if len(values):
            vacuous = int((values >= 1).sum())
            lines.append(
                f"- The {all_measures()[name].label} says that the test error is at most {values.min():,.1f} to "
                f"{values.max():,.1f}; {vacuous} of {len(values)} say nothing, for no error exceeds 1."
            )
    lines.append(
        f"- The test errors themselves are {used['test_error'].min():.3f} to {used['test_error'].max():.3f}."
    )
    return "\n".join(lines)


def environments(weighted: SignErrors, summary: pd.DataFrame, test_size: int) -> str:
    """How many environments can be told from sampling noise, and prunability's sign errors there."""
    total = weighted.errors.shape[1] + weighted.left_out
    lines = [
        f"Environments with a weight: {weighted.errors.shape[1]} of {total}. With {test_size} test images, the "
        f"test errors of the other {weighted.left_out} may differ by chance alone. The effective sample size is "
        f"{weighted.effective:.1f}."
    ]
    own = summary[summary["measure"] == HEADLINE_MEASURE]
    if len(own) and weighted.errors.shape[1]:
        row = own.iloc[0]
        ends = ""
        if weighted.pairs.max() > 1:  # with one pair an environment both are 1 for every measure
            ends = f", the 90th percentile {row['percentile_90']:.2f} and the maximum {row['maximum']:.2f}"
        lines.append(f"There, prunability's sign error has the mean {row['mean']:.2f}{ends}.")
    return " ".join(lines)


def _interval(row: Any) -> str:
    return str(Estimate(row.association, row.low, row.high))
