"""Parallel processes."""

import inspect
import os
import threading
import time
import warnings

import pytest
from joblib.externals.loky import process_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from prunability.foundation.processes import as_they_end

REPLACED = "A worker stopped while some jobs were given to the "


def after(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def test_what_ends_first_comes_first() -> None:
    assert list(as_they_end(after, [(2.0,), (0.0,)], 2)) == [0.0, 2.0]
    assert list(as_they_end(after, [(0.0,)], 8)) == [0.0]


def test_a_process_that_is_replaced_is_no_news(recwarn: pytest.WarningsRecorder) -> None:
    """joblib says so from a thread of its own, whenever it notices; other warnings come through."""
    assert REPLACED in inspect.getsource(process_executor)
    warnings.simplefilter("always")
    for _ in as_they_end(after, [(0.0,), (0.0,)], 2):
        for message in (REPLACED + "executor.", "another"):
            thread = threading.Thread(target=warnings.warn, args=(message, UserWarning))
            thread.start()
            thread.join()
    assert [str(warning.message) for warning in recwarn] == ["another"] * 2


def test_a_killed_process_is_an_error() -> None:
    with pytest.raises(TerminatedWorkerError):
        list(as_they_end(os._exit, [(1,), (1,)], 2))
