"""Sparse networks as a table: where each run begins, how many weights it has, how far it moved, what it came to."""

from collections.abc import Mapping, Sequence

import pandas as pd

from prunability.analysis.tables import labelled, runs_table
from prunability.analysis.widths import Peak, peak
from prunability.measures import HEADLINE_MEASURE
from prunability.measures.probes import key
from prunability.records.record import Record

# Of a run's origin; missing where its kind has no such field.
ORIGIN = ["weights", "places", "rewind", "round", "epoch", "order"]
ENDS = ["train_loss", "train_error", "test_loss", "test_error"]


def sparse_table(records: Sequence[Record], parts: Mapping[str, frozenset[str]]) -> pd.DataFrame:
    """One row a run and part of the study: its origin (``kind`` dense: none), density, end and learning distance.

    ``dense`` is the run that it would be without an origin, ``network`` its kind and width. ``kept`` counts the
    prunable weights left, ``density`` is their share. Prunability is the headline, a fraction
    of all weights or of those left: what a mask zeroed ranks last, so the weights counted are the same.

    Raises:
        PrunabilityError: there are no runs.
    """
    known = runs_table(records)
    origins = [record.config.model_dump().get("origin", {"kind": "dense"}) for record in records]
    unknown = [float("nan")] * 2
    moved = [record.curves.get(key("learning_distance")) or unknown for record in records]
    table = known[["run", "seed", "label_noise", "width", "status", *ENDS]].join(
        pd.DataFrame(origins).reindex(columns=["kind", *ORIGIN])
    )
    table[["learning_distance", "kept"]] = pd.DataFrame(moved, dtype=float)
    weights = known["prunable_weight_count"]
    table["dense"] = [record.config.model_copy(update={"origin": None}).hash for record in records]
    kinds = [type(record.config.network).__name__.removesuffix("Config") for record in records]
    table["network"] = [f"{kind}({width})" for kind, width in zip(kinds, table["width"], strict=True)]
    table["density"] = table["kept"] / weights
    table["prunability"] = known[HEADLINE_MEASURE]
    # Prunability is known in steps of all weights: of few that are left the last step is a part of one.
    table["prunability_of_left"] = (table["prunability"] * weights / table["kept"]).clip(upper=1)
    return labelled({part: table[table["run"].isin(hashes)] for part, hashes in parts.items()}, "part")


def peak_over_rounds(chain: pd.DataFrame, name: str) -> tuple[float, Peak] | None:
    """The density at the most prominent interior peak of a column over rounds, and that; None with few rounds."""
    found = peak(chain.assign(parameter_count=0), name, "round")
    return None if found is None else (float(chain.loc[chain["round"] == found.at, "density"].iloc[0]), found)
