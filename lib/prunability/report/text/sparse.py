"""Sentences of the notebook on sparse networks, in Markdown, every number computed from the tables."""

from collections.abc import Hashable, Mapping, Sequence

import pandas as pd

from prunability.analysis.resampling import Estimate
from prunability.analysis.sparse import peak_over_rounds
from prunability.analysis.widths import STANDARD_ERRORS
from prunability.claims.sparse import descent, taus
from prunability.claims.words import markdown, plain
from prunability.foundation.typography import minus
from prunability.report.figures.parts import counted, two_decimals
from prunability.studies import Study


def networks(opened: Study, table: pd.DataFrame) -> str:
    """What was trained: a row for each part of the study."""
    rows = []
    for part, own in table.groupby("part", sort=False):
        row = {"part": str(part), "n": str(len(own)), "networks": ", ".join(dict.fromkeys(own["network"]))}
        row |= {"wrong labels": _span(own["label_noise"]), "seeds": str(own["seed"].nunique())}
        rows.append(
            row | {"weights left": _span(own["density"]), "training loss (nats)": _among(own["train_loss"])}
        )
    first = opened.runs[0]
    return (
        f"Profile **{opened.profile}**, *{plain(opened.data.title)}*, {opened.data.test} test images; tickets "
        f"are of networks trained by *{first.training.optimiser}* for {first.training.max_epochs} epochs on "
        f"{first.data.n_train} images. A network may be of several parts.\n\n{markdown(pd.DataFrame(rows))}"
    )


def _span(shares: pd.Series) -> str:
    low, high = shares.min(), shares.max()
    return f"{low:.2g}" if low == high else f"{low:.2g} to {high:.2g}"


def _among(values: pd.Series) -> str:
    return f"{values.median():.2g}, at most {values.max():.2g}"


def crossed(table: pd.DataFrame, row: str, column: str, names: Sequence[str] = ()) -> str:
    """Means with their standard errors: the values of one column in rows, of another, or ``names``, across."""
    known = table.dropna(subset="mean")
    cells = [_cell(*own) for own in zip(known["mean"], known["error"], strict=True)]
    wide = known.assign(cell=cells).pivot(index=row, columns=column, values="cell")
    wide = wide.reindex(list(dict.fromkeys(table[row])), columns=list(names or dict.fromkeys(table[column])))
    return markdown(wide.reset_index().rename_axis(columns=None))


def _cell(mean: float, error: float) -> str:
    return minus(_short(mean, 3) + (f" ± {_short(error, 2)}" if error == error else ""))


def _short(value: float, digits: int) -> str:
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def share(density: float) -> str:
    """As 100%, 16.8%, 1.15%."""
    return f"{100 * density:.3g}%"


def tickets(table: pd.DataFrame, at: float) -> str:
    """The test loss of tickets and controls at three densities: all weights, near ``at``, and the fewest."""
    loss = table[table["name"] == "test_loss"]
    every = loss.groupby("density")["line"].nunique()
    common = every[every == loss["line"].nunique()].index
    near = min(common, key=lambda density: abs(density / at - 1))
    chosen = {density: f"{share(density)} of the weights" for density in (1.0, near, common.min())}
    shown = loss.assign(column=loss["density"].map(chosen)).dropna(subset="column")
    first = str(loss["line"].iloc[0])
    mine = loss[loss["line"] == first]
    own = dict(zip(mine["density"], mine["mean"], strict=True))
    best = min(own, key=own.__getitem__)
    return (
        f"{first.capitalize()}, tickets have their lowest mean test loss, {own[best]:.3g} nats, with "
        f"{share(best)} of the weights; dense networks have {own[1.0]:.3g}. Test loss in nats:\n\n"
        f"{crossed(shown, 'line', 'column', list(dict.fromkeys(chosen.values())))}"
    )


def descents(chains: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> str:
    """Whether a double descent is real, and where each curve is largest and has its most prominent peak inside."""
    said, rows = [], []
    for title, chain in chains.items():
        if (found := descent(chain)) is not None:
            real = "real" if found.low > 0 else "**not** out of its noise"
            with_ = {
                x: f"{two_decimals(taus(chain, x, 'prunability_of_left').mean())}" for x in ("density", "test_loss")
            }
            said.append(
                f"With {title} a double descent of the test error is {real}: the least of its three moves is "
                f"{found.words(3)} (plus and minus {STANDARD_ERRORS} standard errors). Over the rounds τ of "
                f"prunability, of the weights left, is {with_['density']} with the share of weights left and "
                f"{with_['test_loss']} with the test loss (means over seeds)."
            )
        places = zip(chain["round"], chain["density"], strict=True)
        density: dict[Hashable, str] = {place: share(left) for place, left in places}
        for name, label in labels.items():
            means, inside = chain.groupby("round")[name].mean(), peak_over_rounds(chain, name)
            row = {"labels": title, "curve": label, "least at": density[means.idxmin()]}
            row |= {"largest at": density[means.idxmax()], "interior peak at": "none"}
            row |= {"stands out by": "–", "real": "no"}
            if inside is not None and inside[1].prominence.value > 0:
                row |= {"interior peak at": share(inside[0]), "stands out by": inside[1].prominence.words(3)}
                row["real"] = "yes" if inside[1].real else "no"
            rows.append(row)
    return f"{' '.join(said)}\n\n{markdown(pd.DataFrame(rows))}"


def capacity(static: pd.DataFrame) -> str:
    """What networks of one capacity are before any disturbance: the widest sparse ones and the narrowest dense."""
    wide, narrow = static[static["kind"] == "static"], static[static["kind"] == "dense"]
    wide, narrow = wide[wide["width"] == wide["width"].max()], narrow[narrow["width"] == narrow["width"].min()]
    told = [
        f"{own['network'].iloc[0]} with {own['kept'].mean():,.0f} weights ends with a training loss of "
        f"{own['train_loss'].mean():.2g} nats and a test error of {own['test_error'].mean():.1%}"
        for own in (wide, narrow)
    ]
    return f"Before any disturbance the sparse {told[0]}, the dense {told[1]} (means)."


def parents(e: Estimate, n: int) -> str:
    """Tau of a parent's prunability with its children's barrier."""
    return f"τ = {e}, n = {n}"


def left_out(errors: pd.DataFrame) -> str:
    """The classes that count in neither CEV nor SDE, each with how many networks leave it out."""
    networks = errors["run"].nunique()
    counts = errors[errors["left_out"]].groupby("class")["run"].nunique()
    words = ", ".join(f"{name} (in {count})" for name, count in counts.items())
    why = "for before pruning they lack false positives or false negatives"
    return f"Of {counted(networks, 'network')}, these classes are left out, {why}: {words or 'none'}."
