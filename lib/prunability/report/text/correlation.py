"""Sentences of the correlation study's notebook, in Markdown, every number computed from the tables."""

import pandas as pd

from prunability.analysis.ranks import kendall_tau
from prunability.analysis.reliability import share_between_settings, tau_of_two_trainings
from prunability.analysis.resampling import Estimate
from prunability.analysis.tables import TARGETS, left_out, usable
from prunability.claims.criteria import STRONG
from prunability.claims.words import markdown, plain
from prunability.foundation.typography import minus
from prunability.measures import HEADLINE_MEASURE, all_measures
from prunability.studies import Study


def networks_of_grid(opened: Study) -> str:
    """Which networks a study trains, on what."""
    first = opened.runs[0]
    grid = {name: sorted({run.setting(name) for run in opened.runs}) for name in opened.hyperparameters}
    seeds = len({run.seed for run in opened.runs})
    settings = " × ".join(f"{name.replace('_', ' ')} {{{_listed(values)}}}" for name, values in grid.items())
    return (
        f"Profile **{opened.profile}**: {len(opened.runs)} networks on {first.data.n_train} training images of "
        f"*{plain(opened.data.title)}* ({opened.data.classes} classes, {opened.data.test} test "
        f"images, label noise {first.data.label_noise:.0%}). The grid is {settings}, "
        f"{seeds} seed{'s' * (seeds != 1)} a setting. Each is trained by SGD with "
        f"momentum {first.training.momentum:g} until its training loss is at most "
        f"{first.training.target_loss:g} nats, for at most {first.training.max_epochs} epochs, in "
        f"{first.training.precision}."
    )


def convergence(table: pd.DataFrame) -> str:
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


def reliability(used: pd.DataFrame) -> str:
    """How far another training of the same settings would agree, a row a target."""
    if used["setting"].nunique() == len(used):
        return "There is one seed a setting, so nothing is known of another training."
    rows = [
        {
            "target": title,
            "share of variance between settings": str(share_between_settings(used[target], used["setting"])),
            "τ of two trainings": tau_of_two_trainings(used[target], used["setting"], used["seed"]),
        }
        for target, title in TARGETS.items()
    ]
    return markdown(pd.DataFrame(rows))


def ranking(table: pd.DataFrame, runs_used: pd.DataFrame, measures: list[str]) -> str:
    """Where prunability stands for each target, and which measures could not be ranked."""
    lines = []
    for target, title in TARGETS.items():
        part = table[table["target"] == target].dropna(subset="tau")
        if part.empty:
            lines.append(f"- {title}: it is the same for all networks, and nothing can be ranked.")
            continue
        own, best = part[part["measure"] == HEADLINE_MEASURE], part.iloc[int(part["tau"].argmax())]
        where = "prunability has no rank"
        if len(own):
            known = all_measures()
            rivals = part[[known[name].of_prunability != "variant" for name in part["measure"]]]
            place = int((rivals["tau"] > own["tau"].iloc[0]).sum()) + 1
            number = f"number {place} of {len(rivals) + 1}, its own variants not counted"
            where = f"prunability is {number}, τ = {_tau(own.iloc[0])}"
        lines.append(f"- {title}: {where}; highest is {best['label']}, τ = {_tau(best)}.")
    wrong = list(table[(table["target"] == "test_loss") & (table["high"] < 0)]["measure"])
    if wrong:
        growing = sum(kendall_tau(runs_used[name], runs_used["parameter_count"]) > STRONG.value for name in wrong)
        lines.append(
            f"- {len(wrong)} measures order these networks the wrong way round by test loss (whole interval "
            f"below 0); {growing} of them grow with the parameter count (τ above {STRONG.value:g})."
        )
    return "\n".join([*lines, *not_ranked(runs_used, measures)])


def not_ranked(runs_used: pd.DataFrame, measures: list[str]) -> list[str]:
    """Why each measure that is left out of a ranking is, a line each."""
    why = usable(runs_used, measures)[1]
    return [f"- Left out: {all_measures()[name].label} ({reason})." for name, reason in why.items()]


def lowest_level(table: pd.DataFrame, tau: float) -> str:
    """Where, at one level of one hyperparameter, prunability predicts least."""
    known = table.dropna(subset="tau").sort_values("tau")
    if known.empty:
        return "Prunability varies at no level of any hyperparameter."
    worst = known.iloc[0]
    return minus(
        f"Over all networks τ = {tau:z.2f}; at one level of one hyperparameter it is smallest at "
        f"{worst['hyperparameter'].replace('_', ' ')} {worst['level']:g}, τ = {_tau(worst)} (n = {worst['n']:.0f})."
    )


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


def _tau(row: pd.Series) -> str:
    return str(Estimate(row["tau"], row["low"], row["high"]))


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
