"""What is drawn for a choice: one published network among the others, or any two measures."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from prunability.analysis.ranks import tau_estimate
from prunability.analysis.tables import TARGETS, compared, ranked_measures, runs_table, sample_of, usable
from prunability.claims.words import plain
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import project_root
from prunability.measures import HEADLINE_MEASURE, all_measures
from prunability.measures.pruning import name_of
from prunability.measures.search import HEADLINE, RESOLUTION, SWEEP, Tolerance
from prunability.records.sources import of_study, of_table
from prunability.records.tables import find
from prunability.report import pruned
from prunability.report.figures import explore as plots
from prunability.report.figures import parts, style
from prunability.studies import Study, profiles

STUDY = "correlation"


@dataclass(frozen=True)
class Shown:
    """The compared networks of a published study, and those whose curves are published too, by the run's hash."""

    study: Study
    table: pd.DataFrame
    curves: Mapping[str, pruned.Pruned]

    @property
    def networks(self) -> list[tuple[str, str]]:
        """Every network in words and its run, the most prunable first; those without a curve last."""
        names = self.study.hyperparameters
        ordered = self.table.assign(bare=~self.table["run"].isin(self.curves))
        rows = ordered.sort_values(["bare", HEADLINE_MEASURE, "run"]).to_dict("records")
        return [
            (
                f"{row[HEADLINE_MEASURE]:g}: {', '.join(f'{name} {row[name]:g}' for name in names)}, "
                f"seed {row['seed']}{' (no curve)' if row['bare'] else ''}".replace("_", " "),
                str(row["run"]),
            )
            for row in rows
        ]

    @property
    def tolerances(self) -> list[tuple[str, Tolerance]]:
        """Every tolerance at which prunability is published."""
        return [(f"{tolerance.label}{' nats' * (tolerance.kind == 'absolute')}", tolerance) for tolerance in SWEEP]

    @property
    def measures(self) -> list[tuple[str, str]]:
        """Every measure that all networks have, by family, prunability first."""
        known = all_measures()
        kept, _ = usable(self.table, ranked_measures())
        return [(known[name].label, name) for name in sorted(kept, key=lambda name: name != HEADLINE_MEASURE)]

    @property
    def targets(self) -> list[tuple[str, str]]:
        """What is to be predicted."""
        return [(words, name) for name, words in TARGETS.items()]

    @property
    def colours(self) -> list[str]:
        """The settings that differ between networks."""
        return list(self.study.hyperparameters)

    def network(self, network: str, tolerance: Tolerance) -> style.Picture:
        """A network, by its run: its pruning curve, what is kept of each layer, where it lies among the others."""
        column = name_of("magnitude", tolerance)
        row = self.table[self.table["run"] == network].iloc[0]
        found, loss = self.curves.get(network), float(row["train_loss"])
        with style.panels(1, 3, width=style.PAGE, height=2.6) as (figure, axes):
            points = _known(row, loss) if found is None else _curve(found)
            plots.curve(axes[0], points, loss, tolerance.limit(loss), float(row[column]), found is not None)
            if found is None:
                plots.unknown(axes[1], "What each layer keeps is not\npublished of this network.")
            else:
                plots.kept(axes[1], found.layers, found.sizes.tolist(), found.kept[SWEEP.index(tolerance)].tolist())
            plots.among(axes[2], self.table, column, "test_loss", network)
            axes[2].set(xlabel=f"prunability at {tolerance.label}", ylabel=TARGETS["test_loss"])
            return style.pictured(figure, "network")

    def pair(self, first: str, second: str, target: str, colour: str) -> style.Picture:
        """Each of two measures against a target, and against the other; tau with its interval above each."""
        known, sample = all_measures(), sample_of(self.table, 0)
        labels = {name: known[name].label for name in (first, second)} | {target: TARGETS[target]}
        with style.panels(1, 3, width=style.PAGE, height=2.8) as (figure, axes):
            for ax, names in zip(axes, ((first, target), (second, target), (first, second)), strict=True):
                x, y = (self.table[name].to_numpy() for name in names)
                plots.pair(ax, self.table, names, colour, tau_estimate(x, y, sample), labels)
            words = colour.replace("_", " ")
            parts.legend_over(axes[0], parts.labelled(axes[0]), title=words, title_fontsize=6.5)
            return style.pictured(figure, "two measures")


def published(profile: str) -> Shown:
    """The published networks of a profile.

    Raises:
        PrunabilityError: there are none, or a file cannot be read.
    """
    results = project_root() / "results"
    table = find(results, STUDY, profile) if profile in profiles(STUDY) else None
    if table is None:
        known = [name for name in profiles(STUDY) if find(results, STUDY, name)]
        raise PrunabilityError(f"profile {profile!r}: nothing is published of it; there are {', '.join(known)}")
    study = of_table(table).study
    networks = compared(runs_table(of_study(study, table.records)))
    return Shown(study, networks, pruned.read(pruned.path_of(results, STUDY, profile)))


def words(shown: Shown) -> str:
    """What there is, in Markdown: on which images, how many networks, and of how many the curve."""
    number, drawn = len(shown.table), int(shown.table["run"].isin(shown.curves).sum())
    said = f"{number} networks of profile **{shown.study.profile}** on *{plain(shown.study.data.title)}*."
    if drawn == number:
        return f"{said} The pruning curve of each is published."
    return (
        f"{said} The pruning curves of {drawn or 'none'} of them are published; where there is none, dots show "
        "where it first meets each limit that is."
    )


def own(losses: list[float], tolerance: Tolerance = HEADLINE) -> style.Picture:
    """The curve of one's own network, as :func:`prunability.pruning_curve` gives it, and its prunability."""
    limit, number = tolerance.limit(losses[-1]), len(losses)
    answer = next(step for step, loss in enumerate(losses, 1) if loss <= limit) / number
    points = pd.DataFrame({"kept_fraction": np.arange(1, number + 1) / number, "loss": losses})
    with style.panels(height=2.4) as (figure, ax):
        plots.curve(ax, points, losses[-1], limit, answer)
        return style.pictured(figure, "own network")


def _curve(found: pruned.Pruned) -> pd.DataFrame:
    return pd.DataFrame({"kept_fraction": np.arange(1, RESOLUTION + 1) / RESOLUTION, "loss": found.losses})


def _known(row: pd.Series, loss: float) -> pd.DataFrame:
    """Where a curve first meets each limit, which the published measures tell."""
    places = [(row[name_of("magnitude", tolerance)], tolerance.limit(loss)) for tolerance in SWEEP]
    return pd.DataFrame(places, columns=["kept_fraction", "loss"])
