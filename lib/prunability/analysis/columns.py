"""What every statistic asks of its columns: that all are of the same runs, and that every value is a number."""

import numpy as np
from numpy.typing import ArrayLike

from prunability.analysis.resampling import Array


def same_runs(*parts: ArrayLike) -> None:
    """See that parts, each [n] or [m, n], are of one number of runs.

    Raises:
        ValueError: they are not.
    """
    if len(lengths := list(dict.fromkeys(np.shape(part)[-1] for part in parts))) > 1:
        raise ValueError(f"columns of {' and '.join(map(str, lengths))} runs: all must be of the same runs")


def finite(*parts: ArrayLike) -> list[Array]:
    """Columns of the same runs, each part as float64 [m, n].

    Raises:
        ValueError: their numbers of runs differ, or a value is not finite.
    """
    found = [np.atleast_2d(np.asarray(part, dtype=np.float64)) for part in parts]
    same_runs(*found)
    if not all(np.isfinite(part).all() for part in found):
        raise ValueError("a column has a value that is not finite")
    return found
