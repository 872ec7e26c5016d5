"""Progress as a terminal, a log and a notebook show it."""

import io
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import IPython
import IPython.display
import pytest
from tqdm import std

from prunability.foundation import progress as module
from prunability.foundation.errors import Interrupted
from prunability.foundation.progress import LINE_EVERY, progress, waiting


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The time that passes only when a test says so, in seconds."""
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(std, "time", lambda: now.seconds)
    return now


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a notebook's line came to say, one state after another."""
    seen: list[str] = []

    def display(data: dict[str, Any], **_: object) -> SimpleNamespace:
        seen.append(data["text/plain"])
        return SimpleNamespace(update=display)

    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=None))
    monkeypatch.setattr(IPython.display, "display", display)
    return seen


def ticks(clock: SimpleNamespace, seconds: float) -> None:
    with progress(4, "study: training") as tick:
        for number in range(4):
            clock.seconds += seconds
            tick(f"run {number}")


def test_a_log_has_a_line_now_and_then_and_the_last(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    ticks(clock, LINE_EVERY / 2)
    first, second, last = capsys.readouterr().err.splitlines()
    assert first == "study: training: 0 of 4, 00:00 gone"
    assert second == "study: training: 2 of 4, 00:15 gone, run 1"
    assert last == "study: training: 4 of 4, 00:30 gone, run 3"
    ticks(clock, LINE_EVERY / 100)
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.parametrize(("total", "known_from"), [(3, None), (4, 3), (60, 3), (200, 10)])
def test_the_time_left_is_told_once_it_can_be(
    total: int, known_from: int | None, clock: SimpleNamespace, states: list[str]
) -> None:
    with progress(total, "study: training") as tick:
        for _ in range(total):
            clock.seconds += 60
            tick("")
    told = [line for line in states if "left" in line]
    assert (int(told[0].split(": ")[2].split()[0]) if told else None) == known_from
    assert "0 of" in next(filter(None, states))


def test_a_terminal_has_a_bar(clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    ticks(clock, 1)
    assert "100%|" in terminal.getvalue()
    assert "4 of 4" in terminal.getvalue()


def test_a_notebook_has_one_line_that_is_gone_at_the_end(
    clock: SimpleNamespace, states: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    ticks(clock, 1)
    assert "█" * 15 + " " * 5 + " study: training: 3 of 4, 00:03 gone, about 00:01 left, run 2" in states
    assert states[-1] == ""
    with pytest.raises(KeyboardInterrupt), waiting("for another process"):
        assert states[-1] == "for another process"
        raise KeyboardInterrupt
    assert states[-1] == ""
    assert capsys.readouterr() == ("", "")


def test_what_is_waited_for_is_a_line_of_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    with waiting("for another process"):
        assert capsys.readouterr().err == "for another process\n"
    assert capsys.readouterr().err == ""


def test_an_interrupt_of_what_has_progress_is_told_in_a_line() -> None:
    with pytest.raises(Interrupted) as told, progress(2, "statistics"):
        raise KeyboardInterrupt
    (line,) = told.value._render_traceback_()
    assert "run the cell again" in line


def test_what_is_done_before_it_is_told_counts_once(
    monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace, states: list[str]
) -> None:
    monkeypatch.setattr(module, "LINE_EVERY", 0.01)
    asked = threading.Event()

    def known() -> int:
        if any("3 of 4" in line for line in states):
            asked.set()
        clock.seconds += 1
        return 3

    with progress(4, "study: training", known) as tick:
        assert asked.wait(60)
        for _ in range(4):
            clock.seconds += 1
            tick("converged")
    told = [int(line.split(": ")[2].split()[0]) for line in states if line]
    assert told == [0, 3, 4]
