"""Jobs in parallel processes, whose results come as they end."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import joblib

T = TypeVar("T")


def as_they_end(function: Callable[..., T], jobs: Sequence[tuple[Any, ...]], processes: int) -> Iterator[T]:
    """``function`` of the arguments of each job, in at most so many processes; in whichever order they end.

    joblib keeps the processes for whoever asks next. One that has grown ends itself and is replaced, and joblib
    warns of it, be it in a later call: nothing is lost.
    """
    pool = joblib.Parallel(min(processes, len(jobs)), return_as="generator_unordered")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A worker stopped", UserWarning)
        yield from pool(joblib.delayed(function)(*job) for job in jobs)
