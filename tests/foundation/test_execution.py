"""Where runs are computed, and durations."""

import math
import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import Execution, cores, seconds_of


def test_as_many_processes_as_are_asked_for_or_one_a_core(
    execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert execution.model_copy(update={"workers": 3}).processes == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 4, 6}, raising=False)
    assert execution.model_copy(update={"workers": 0}).processes == cores() == 3
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    on_gpu = execution.model_copy(update={"workers": 0, "device": "auto"})
    assert (on_gpu.torch_device.type, on_gpu.processes) == ("cuda", 1)
    assert execution.torch_device.type == "cpu"


def test_a_gpu_that_is_not_there(execution: Execution, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert execution.model_copy(update={"device": "auto"}).torch_device.type == "cpu"
    with pytest.raises(PrunabilityError, match="no GPU is available here"):
        _ = execution.model_copy(update={"device": "cuda"}).torch_device


@given(st.decimals(min_value="0.01", max_value=999, places=2), st.sampled_from(["s", "m", "h"]))
def test_durations(number: object, unit: str) -> None:
    seconds = {"s": 1, "m": 60, "h": 60 * 60}[unit] * float(str(number))
    assert seconds_of(f" {number}{unit} ") == pytest.approx(seconds)


@pytest.mark.parametrize(
    "wrong", ["", "9", "m", "-3s", "0s", "0.00h", "9 minutes", "9m2s", "٣s", "١s5", "1_0s", "1e3s", "infs"]
)
def test_what_is_no_duration(wrong: str) -> None:
    with pytest.raises(PrunabilityError, match="such as 90s, 9m or 2h"):
        seconds_of(wrong)
    assert math.isinf(seconds_of(None))
