"""Networks on images of two parts, as tables: errors with a part shuffled, of ensembles too, and ranks."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from prunability.analysis.probed import Curves
from prunability.analysis.tables import compared, labelled, runs_table
from prunability.measures import HEADLINE_MEASURE
from prunability.measures.probes import key
from prunability.measures.pruning import name_of
from prunability.measures.search import HEADLINE, TOLERANCES
from prunability.measures.simplicity import SHUFFLED
from prunability.records.record import Record

# Prunability at the other tolerances, by their label.
OTHER_TOLERANCES = {t.label: name_of("magnitude", t) for t in TOLERANCES if t != HEADLINE}
# Parts of the study in words; of networks that an ensemble has, always of consecutive seeds.
KINDS = {"grid": "plain", "forced": "forced", "adversarial": "adversarial", "linear": "with linear layers"}
ENSEMBLE = 3


def errors(margins: Sequence[float]) -> dict[str, float]:
    """Test error for each of ``SHUFFLED``, of margins as ``reliance`` gives them; of equal logits half is right."""
    rows = np.reshape(margins, (len(SHUFFLED), -1))
    return dict(zip(SHUFFLED, ((rows < 0) + (rows == 0) / 2).mean(axis=1).tolist(), strict=True))


def shares(margins: Sequence[float]) -> dict[str, float]:
    """What part of the mean clean margin is lost when either part is shuffled, of a part that is not used none.

    Of a network whose logits are a sum over the parts they are what each part makes of it, and add up to 1.
    """
    clean, *others = np.reshape(margins, (len(SHUFFLED), -1)).mean(axis=1)
    return {f"{name}_share": float(1 - own / clean) for name, own in zip(SHUFFLED[1:], others, strict=True)}


def networks_table(records: Sequence[Record], parts: Mapping[str, frozenset[str]]) -> pd.DataFrame:
    """One row a compared run and part of the study: its ``kind``, errors, shares, prunability and rank.

    A run whose images have no parts lacks errors and shares.

    Raises:
        PrunabilityError: there are no runs.
    """
    more = OTHER_TOLERANCES.values()
    names = ["run", "seed", "width", "epochs", "train_loss", "test_loss", HEADLINE_MEASURE, *more]
    known = {record.config.hash: record for record in records}
    table = compared(runs_table(records))[names].rename(columns={HEADLINE_MEASURE: "prunability"})
    own = [known[run] for run in table["run"]]
    table["layers"] = [getattr(record.config.network, "linear_layers", 0) for record in own]
    ranks = [record.curves.get(key("effective_rank")) or [np.nan] for record in own]
    table["effective_rank"] = [rank for (rank,) in ranks]
    rows = [record.curves.get(key("reliance")) for record in own]
    found = [errors(row) | shares(row) if row else {} for row in rows]
    heads = [*SHUFFLED, *(f"{name}_share" for name in SHUFFLED[1:])]
    table = pd.concat([table, pd.DataFrame(found, columns=heads, dtype=float)], axis=1)
    chosen = {KINDS[part]: table[table["run"].isin(hashes)] for part, hashes in parts.items()}
    return labelled(chosen, "kind").sort_values(["kind", "layers", "width", "seed"], ignore_index=True)


def ensembles(table: pd.DataFrame, curves: Curves, size: int = ENSEMBLE) -> pd.DataFrame:
    """Errors of ensembles of so many plain networks of one width, which add their logits: a row each.

    ``seed`` is its number; the networks that are left over are in none.
    """
    rows = []
    for width, own in table[table["kind"] == KINDS["grid"]].groupby("width"):
        margins = [curves.get(run, {}).get(key("reliance")) for run in own.sort_values("seed")["run"]]
        given = [row for row in margins if row]
        for number in range(len(given) // size):
            members = given[number * size : (number + 1) * size]
            rows.append({"width": width, "seed": number} | errors(np.mean(members, axis=0).tolist()))
    return pd.DataFrame(rows, columns=["width", "seed", *SHUFFLED])


def pairs(table: pd.DataFrame) -> pd.DataFrame:
    """Forced networks beside plain ones of the same width and seed: both prunabilities, and their ``gain``.

    ``loss_gain`` is by how much the training loss of the forced one is higher; at each of the other tolerances
    the gain has its label.
    """
    plain, forced = (table[table["kind"] == KINDS[part]] for part in ("grid", "forced"))
    both = plain.merge(forced, on=["width", "seed"], suffixes=("", "_forced"))
    gains = {"gain": both["prunability_forced"] - both["prunability"]}
    gains |= {label: both[f"{name}_forced"] - both[name] for label, name in OTHER_TOLERANCES.items()}
    return both.assign(**gains, loss_gain=both["train_loss_forced"] - both["train_loss"])


def shuffled_errors(table: pd.DataFrame, curves: Curves) -> pd.DataFrame:
    """Mean test error of each kind, ensembles among them, for each of ``SHUFFLED``: mean, least and most."""
    plain, *others = (table[table["kind"] == KINDS[part]] for part in ("grid", "adversarial", "forced"))
    known = pd.concat([plain, ensembles(table, curves).assign(kind=f"ensembles of {ENSEMBLE}"), *others])
    long = known.melt(["kind"], [*SHUFFLED], "shuffled", "error").dropna()
    found = long.groupby(["kind", "shuffled"], sort=False)["error"].agg(["mean", "min", "max", "count"])
    return found.set_axis(["mean", "low", "high", "n"], axis=1).reset_index()


def ranks(table: pd.DataFrame) -> pd.DataFrame:
    """Plain networks of the greatest width, and those with linear layers more: layers and what comes of them."""
    chosen = table["kind"].isin([KINDS["grid"], KINDS["linear"]]) & (table["width"] == table["width"].max())
    seeds = table.loc[table["layers"] > 0, "seed"]
    own: pd.DataFrame = table[chosen & table["seed"].isin(seeds)]
    return own.reset_index(drop=True)
