"""What probes gave, as tables: a row for each network, or pair, and each point at which it was looked at."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product, repeat
from math import isqrt
from typing import Any

import numpy as np
import pandas as pd

from prunability.analysis.classes import bias, rates
from prunability.measures.connectivity import ALONG, POINTS, barriers
from prunability.measures.probes import name_in
from prunability.measures.robustness import CORRUPTIONS, RADII, SIGMAS

# What a probe gave, by run and by key.
Curves = Mapping[str, Mapping[str, Sequence[float]]]
Row = dict[str, Any]
# What is told of a network beside what was found.
OWN = ["run", "dense", "seed", "label_noise", "network", "width", "kind", "epoch"]
CLEAN, NOISE, WORSE, ATTACK = "clean", "noise on weights", "worse images", "attack"
LINES = {"dense": "dense", "static": "sparse (static mask)"}
PRUNED = "dense, pruned to as few"
# Parts of its prunability that a network is pruned to.
LEVELS = ("whole", "α", "α/2", "α/4")


def means(table: pd.DataFrame, keys: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
    """Mean over networks of each column, in long form: the keys, name, mean, error, n.

    ``error`` is the standard error of the mean; NaN of one network.
    """
    long = table.melt(id_vars=list(keys), value_vars=list(names), var_name="name")
    return long.groupby([*keys, "name"], sort=False)["value"].agg(mean="mean", error="sem", n="count").reset_index()


def barrier_table(table: pd.DataFrame, curves: Curves, probe: str = "barrier") -> pd.DataFrame:
    """A row a pair: its first network, and the height of the barrier in each of ``ALONG``."""
    rows = [own | barriers(row) for own, row in _given(table, curves, probe)]
    return pd.DataFrame(rows, columns=[*OWN, *ALONG])


def along(table: pd.DataFrame, curves: Curves, probe: str = "barrier") -> pd.DataFrame:
    """A row a pair and point ``t`` of the line between them: ``ALONG`` there, and how far the test loss is above
    the straight line between those of its ends.
    """
    rows, heads = list[Row](), ["t", *ALONG, "above"]
    for own, row in _given(table, curves, probe):
        values = np.reshape(row, (len(ALONG), -1))
        loss = values[ALONG.index("test_loss")]
        above = loss - np.interp(POINTS, (POINTS[0], POINTS[-1]), loss[[0, -1]])
        rows += [own | dict(zip(heads, point, strict=True)) for point in zip(POINTS, *values, above, strict=True)]
    return pd.DataFrame(rows, columns=[*OWN, *heads])


def disturbed(table: pd.DataFrame, curves: Curves) -> pd.DataFrame:
    """A row a network, ``disturbance`` and ``strength``, from 0: its test error, and that of a dense one that is
    pruned to as few weights.

    ``line`` says which it is, ``group`` what it is disturbed by, ``WORSE`` being all corruptions.
    """
    rows = list[Row]()
    for copy, probe in product(("", "pruned_"), ("weight_noise", "pgd", "corruptions")):
        for own, row in _given(table, curves, copy + probe):
            same = own | {"line": PRUNED if copy else LINES[own["kind"]]}
            for what, strengths, errors in _errors(probe, row):
                group = what if what in (NOISE, ATTACK) else WORSE
                rows += [
                    same | {"group": at, "disturbance": what, "strength": strength, "test_error": error}
                    for at, strength, error in zip(
                        (CLEAN, *repeat(group, len(strengths))), (0, *strengths), errors, strict=True
                    )
                ]
    return pd.DataFrame(rows, columns=[*OWN, "line", "group", "disturbance", "strength", "test_error"])


def _errors(probe: str, row: Sequence[float]) -> Iterator[tuple[str, Sequence[float], Sequence[float]]]:
    """What a row is of: each disturbance, its strengths, and the errors, of which the clean one comes first."""
    if probe == "weight_noise":
        yield NOISE, SIGMAS, row
    elif probe == "pgd":
        yield ATTACK, RADII, row
    else:
        clean, *rest = row
        for kind, (_, amounts) in CORRUPTIONS.items():
            yield kind, range(1, len(amounts) + 1), [clean, *rest[: len(amounts)]]
            rest = rest[len(amounts) :]


def class_errors(table: pd.DataFrame, curves: Curves) -> pd.DataFrame:
    """A row a network, part of its prunability (``level``) and ``class``: the error on it, how far that moved, and
    whether it counts in ``cev`` and ``sde``, which are of the network at that level.
    """
    rows = list[Row]()
    for own, row in _given(table, curves, "pruned_errors"):
        parts = np.reshape(row, (len(LEVELS), -1))
        side = isqrt(parts.shape[1] - 1)
        before, *_ = counts = parts[:, 1:].reshape(-1, side, side)
        for level, kept, after in zip(LEVELS, parts[:, 0], counts, strict=True):
            found = bias(before, after)
            same = own | {"level": level, "kept": kept, "cev": found.cev, "sde": found.sde}
            errors = zip(rates(after)[:, 1], rates(before)[:, 1], strict=True)
            rows += [
                same | {"class": name, "error": error, "moved": error - old, "left_out": name in found.left_out}
                for name, (error, old) in enumerate(errors)
            ]
    heads = [*OWN, "level", "kept", "cev", "sde", "class", "error", "moved", "left_out"]
    return pd.DataFrame(rows, columns=heads)


def _given(table: pd.DataFrame, curves: Curves, probe: str) -> Iterator[tuple[Row, Sequence[float]]]:
    """Each network of a table with what a probe gave of it, or of it and a partner."""
    for own in table.filter(OWN).to_dict("records"):
        for key, row in curves.get(own["run"], {}).items():
            if row and name_in(key) == probe:
                yield {str(name): value for name, value in own.items()}, row
