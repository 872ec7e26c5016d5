"""Double descent as tables: curves over width, their peaks, the interpolation threshold, and taus by half."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunability.analysis.ranks import tau_estimates, taus
from prunability.analysis.resampling import RESAMPLES, Array, Estimate, interval
from prunability.analysis.tables import TARGETS, sample_of, usable
from prunability.foundation.seeding import seed_for
from prunability.foundation.typography import significant
from prunability.measures import all_measures

# A network interpolates where its training error is at most this.
INTERPOLATES = 0.01
# A peak is real where it stands out by so many standard errors. Its place and those of the minima beside it
# are chosen from the same runs, hence more than the usual two.
STANDARD_ERRORS = 3
ALL, UNDER, OVER = "all widths", "under-parameterised", "over-parameterised"


def beside(table: pd.DataFrame, threshold: int | None) -> list[str]:
    """One run on either side of the interpolation threshold, just narrower than it and the widest.

    The narrower one does not interpolate itself, if there is such a run. Without a threshold, the two widest.
    """
    widths = table["width"]
    narrower = table[widths < max(widths.max() if threshold is None else threshold, widths.min() + 1)]
    failing = narrower[narrower["train_error"] > INTERPOLATES]
    sides = (failing if len(failing) else narrower, table)
    runs = [part.loc[part["width"] == part["width"].max(), "run"].iloc[0] for part in sides]
    return [str(run) for run in dict.fromkeys(runs)]


def curves(table: pd.DataFrame, key: str, names: Sequence[str]) -> pd.DataFrame:
    """Mean over seeds of each column, in long form: ``key``, parameters, name, mean, error, n.

    ``error`` is the standard error of the mean; NaN with one seed. A column that is undefined for any run of a
    group is NaN there.
    """
    rows = []
    for value, part in table.groupby(key):
        for name in names:
            column = part[name].to_numpy(float)
            error = column.std(ddof=1) / len(column) ** 0.5 if len(column) > 1 else np.nan
            rows.append((value, part["parameter_count"].iloc[0], name, column.mean(), error, len(column)))
    return pd.DataFrame(rows, columns=[key, "parameters", "name", "mean", "error", "n"])


def interpolation_threshold(table: pd.DataFrame) -> int | None:
    """The smallest width from which on the mean training error is at most 1 %; None if the widest's is more."""
    errors = table.groupby("width")["train_error"].mean()
    fitted = errors[(errors <= INTERPOLATES)[::-1].cummin()[::-1]]
    return None if fitted.empty else int(fitted.index[0])


def halves(table: pd.DataFrame, threshold: int | None) -> dict[str, pd.DataFrame]:
    """All runs, those narrower than the threshold, and those as wide or wider."""
    found = {ALL: table}
    if threshold is not None:
        found |= {UNDER: table[table["width"] < threshold], OVER: table[table["width"] >= threshold]}
    return {half: part for half, part in found.items() if len(part) > 2}


@dataclass(frozen=True)
class Peak:
    """The most prominent interior maximum of a curve over widths, or over epochs.

    ``prominence`` is its height over the higher of the two lowest points on either side of it, in the
    curve's unit; its interval holds what three standard errors leave open on either side. ``fall`` is how far
    the curve falls before it rises to the peak, with the same interval. ``place`` counts widths from 0, ``before``
    is the width of the lowest point to the left.
    """

    place: int
    at: int
    before: int
    prominence: Estimate
    fall: Estimate

    @property
    def real(self) -> bool:
        """Whether it stands out from both sides by more than three standard errors."""
        return self.prominence.low > 0


def peak(table: pd.DataFrame, name: str, key: str = "width") -> Peak | None:
    """The most prominent interior peak of a column's mean over seeds; None with fewer than three places."""
    curve = curves(table, key, [name])
    means, errors = curve["mean"].to_numpy(), curve["error"].to_numpy()
    if len(means) < 3 or not np.isfinite(means).all():
        return None
    place, left, right = (int(found) for found in _most_prominent(means))

    def above(high: int, bases: list[int]) -> Estimate:
        rises = means[high] - means[bases]
        # With one seed nothing is known of the noise, and no peak is real.
        spreads = STANDARD_ERRORS * np.nan_to_num(np.hypot(errors[high], errors[bases]), nan=np.inf)
        return Estimate(float(rises.min()), float((rises - spreads).min()), float((rises + spreads).min()))

    widths = curve[key]
    first = int(means[: left + 1].argmax())
    return Peak(
        place, int(widths.iloc[place]), int(widths.iloc[left]), above(place, [left, right]), above(first, [left])
    )


def no_double_descent(table: pd.DataFrame, name: str) -> str:
    """Why a curve over widths does not fall, rise and fall again, each out of its noise; empty where it does."""
    found = peak(table, name)
    if found is None:
        return "there are too few widths for a peak, or some without a value"
    if not found.real:
        return "the test loss has no interior peak here that stands out from its noise"
    if not found.fall.low > 0:
        return f"the test loss does not fall out of its noise before it rises from width {found.before} to its peak"
    return ""


def _most_prominent(means: Array) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Of curves [..., W] the place of the most prominent interior peak, and of the lowest points beside it."""
    lowest_before = np.minimum.accumulate(means, axis=-1)[..., :-2]
    lowest_after = np.minimum.accumulate(means[..., ::-1], axis=-1)[..., ::-1][..., 2:]
    heights = means[..., 1:-1] - np.maximum(lowest_before, lowest_after)
    # Of equal ones the last, as for the lowest points the first.
    place = means.shape[-1] - 2 - heights[..., ::-1].argmax(axis=-1)
    places = np.arange(means.shape[-1])
    left = np.where(places < place[..., None], means, np.inf).argmin(axis=-1)
    right = np.where(places > place[..., None], means, np.inf).argmin(axis=-1)
    return place, left, right


def largest(table: pd.DataFrame, name: str) -> int:
    """The place of the width with the largest mean of a column, ends included."""
    return int(curves(table, "width", [name])["mean"].argmax())


def at_an_end(table: pd.DataFrame, name: str) -> bool:
    """Whether a column is largest at the narrowest or the widest width."""
    return largest(table, name) in (0, table["width"].nunique() - 1)


def peak_distance(table: pd.DataFrame, measure: str, seed: int, target: str = "test_loss") -> Estimate:
    """Width steps from where a measure's mean is largest to the most prominent interior peak of a target's.

    For the interval, runs are drawn anew, with replacement, within each width.
    """
    groups = [part[[measure, target]].to_numpy() for _, part in table.groupby("width")]
    rng = np.random.default_rng(seed_for("peak distance", seed))
    drawn = [part[rng.integers(0, len(part), (RESAMPLES, len(part)))].mean(axis=1) for part in groups]

    def distance(means: Array) -> Array:
        """Of means [..., W, 2]."""
        steps: Array = np.abs(means[..., 0].argmax(axis=-1) - _most_prominent(means[..., 1])[0]).astype(float)
        return steps

    low, high = (float(end) for end in interval(distance(np.stack(drawn, axis=1))))
    value = float(distance(np.stack([part.mean(axis=0) for part in groups])))
    return Estimate(value, low, high, (low, high))


def peaks(table: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """Where each column is largest, and its most prominent interior peak."""
    rows = []
    widths = sorted(table["width"].unique())
    for name, label in labels.items():
        found = peak(table, name)
        row = {"curve": label, "largest at width": str(widths[largest(table, name)])}
        if found is None or found.prominence.value <= 0:
            row |= {"interior peak at width": "none", "stands out by": "–", "real": "no"}
        else:
            e = found.prominence
            row["interior peak at width"] = str(found.at)
            ends = f"{significant(e.low)}, {significant(e.high)}" if np.isfinite(e.low) else "no interval"
            row["stands out by"] = f"{significant(e.value)} [{ends}]"
            row["real"] = "yes" if found.real else "no"
        rows.append(row)
    return pd.DataFrame(rows)


def correlations(table: pd.DataFrame, names: Sequence[str], seed: int) -> pd.DataFrame:
    """Tau-b with each target within each half: a row for each measure, half and target."""
    known, rows = all_measures(), []
    for half, part in halves(table, interpolation_threshold(table)).items():
        kept, _ = usable(part, names)
        if not kept:
            continue
        columns, goals = part[kept].to_numpy().T, part[list(TARGETS)].to_numpy().T
        estimates = tau_estimates(columns, goals, sample_of(part, seed))
        rows += [
            (name, known[name].label, known[name].family, half, TARGETS[target], e.value, e.low, e.high, len(part))
            for name, row in zip(kept, estimates, strict=True)
            for target, e in zip(TARGETS, row, strict=True)
        ]
    heads = ["measure", "label", "family", "half", "target", "tau", "low", "high", "n"]
    return pd.DataFrame(rows, columns=heads)


def best_baselines(table: pd.DataFrame, names: Sequence[str], count: int) -> list[str]:
    """The measures that are no variant of prunability and follow the test loss best, one a family."""
    known = all_measures()
    kept, _ = usable(table, [name for name in names if known[name].of_prunability == "no"])
    if not kept:
        return []
    values = dict(zip(kept, taus(table[kept].to_numpy().T, table["test_loss"].to_numpy())[0, :, 0], strict=True))
    ordered = sorted(kept, key=lambda name: -values[name])
    first: dict[str, str] = {}
    for name in ordered:
        first.setdefault(known[name].family, name)
    return list(first.values())[:count]
