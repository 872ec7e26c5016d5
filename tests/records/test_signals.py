"""SIGTERM and the loss of the terminal end a command as Ctrl-C does: with one line, workers and kernels too."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from prunability.foundation.execution import Execution
from prunability.records.runner import survey
from prunability.studies.grid import Study

LINE = "prunability: interrupted; finished runs are kept, the same command goes on"


def has_kernel(process: psutil.Process) -> bool:
    """Whether a process has started a kernel, as far as can be seen: others come and go meanwhile."""
    with suppress(psutil.Error):
        return any("ipykernel" in " ".join(child.cmdline()) for child in process.children(recursive=True))
    return False


def ended(how: signal.Signals, ready: Callable[[], bool], *arguments: str, all_at_once: bool = False) -> str:
    """What a command says that gets a signal once it is ready, alone or with all that it has started.

    These are gone soon after.
    """
    command = [sys.executable, "-m", "prunability", *arguments]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 120
    own = psutil.Process(process.pid)
    while not (ready() or has_kernel(own)):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    family = own.children(recursive=True)
    assert family
    (os.killpg if all_at_once else os.kill)(process.pid, how)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    return errors


@pytest.mark.parametrize(
    ("how", "all_at_once"), [(signal.SIGTERM, False), (signal.SIGTERM, True), (signal.SIGHUP, True)]
)
def test_training_ends_at_once(how: signal.Signals, all_at_once: bool, tmp_path: Path) -> None:
    """Once both workers are at it; a terminal that is lost, and what ends a session, tells all of them."""
    arguments = ("run", "correlation", "-P", "smoke", "--runs", str(tmp_path), "--workers", "2", "--device", "cpu")
    errors = ended(
        how, lambda: len(list(tmp_path.glob("locks/*.working"))) > 1, *arguments, all_at_once=all_at_once
    )
    assert errors.splitlines().count(LINE) == 1
    assert "Traceback" not in errors
    assert "resource_tracker" not in errors
    assert not list(tmp_path.glob("*.partial"))


def test_drawing_ends_with_its_kernels(made: tuple[Study, Execution], tmp_path: Path) -> None:
    assert not survey(*made).missing
    values = ("-p", f"runs={made[1].runs}", "-p", f"figures={tmp_path}", "-p", "device=cpu")
    notebook = "01_correlation_study"
    errors = ended(signal.SIGTERM, lambda: False, "figures", "-P", "smoke", "--notebook", notebook, *values)
    assert errors.splitlines().count(LINE) == 1
    assert "Traceback" not in errors
    assert not (tmp_path / f"{notebook}.md").exists()
