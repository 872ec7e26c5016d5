"""Jobs in parallel processes of this machine, whose results come as they end; a kill costs one job's work."""

import atexit
import ctypes
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple, TypeVar

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.backend import resource_tracker
from joblib.externals.loky.process_executor import TerminatedWorkerError

T = TypeVar("T")

# How often a job is tried again whose process was killed.
AGAIN = 2
# Seconds after which a process without a job ends, and between two looks at whether it is time to stop.
IDLE, LOOK_EVERY = 300.0, 0.2
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
# Processes without a job: to start one, which imports torch, takes seconds.
_idle: list[ProcessPoolExecutor] = []


class Killed(NamedTuple):
    """What there is instead of a job's result where its worker was killed each time."""

    times: int

    def __str__(self) -> str:
        return f"worker killed {self.times} times; out of memory, perhaps: try fewer workers"


# The number of each job, and its result.
Ended = Generator[tuple[int, T | Killed], None, None]


def as_they_end(function: Callable[..., T], jobs: Sequence[tuple[Any, ...]], processes: int) -> Ended[T]:
    """``function`` of the arguments of each job, in at most so many processes; in whichever order they end.

    A job whose process is killed is tried again :data:`AGAIN` times, and
    the others do not notice. Processes are kept for whoever asks next. Those that have a job are killed, with all
    that they have started, when the iterator is closed or a job raises; all end soon after this process does.
    """
    # Each has one process of its own: what is killed is known then, and takes no other job with it.
    free = [_idle.pop() if _idle else _process() for _ in range(min(processes, len(jobs)))]
    busy: dict[Future[T], tuple[ProcessPoolExecutor, int]] = {}
    left, deaths = list(range(len(jobs)))[::-1], Counter[int]()
    try:
        with warnings.catch_warnings():
            # A process that has grown ends itself and is replaced, of which loky warns: nothing is lost.
            warnings.filterwarnings("ignore", "A worker stopped", UserWarning)
            while left or busy:
                while left and free:
                    future, process = _submitted(free.pop(), function, jobs[left[-1]])
                    busy[future] = process, left.pop()
                for future in wait(busy, LOOK_EVERY, FIRST_COMPLETED).done:
                    process, at = busy.pop(future)
                    if not isinstance(future.exception(), TerminatedWorkerError):
                        free.append(process)
                        yield at, future.result()
                        continue
                    free.append(_process())
                    deaths[at] += 1
                    if deaths[at] > AGAIN:
                        yield at, Killed(deaths[at])
                    else:
                        left.append(at)
    finally:
        for process, _ in busy.values():
            process.shutdown(kill_workers=True)
        _idle.extend(free)


def _process() -> ProcessPoolExecutor:
    _tracked()
    folder = _temporary()
    own = ONE_THREAD | {"TMPDIR": folder}
    return ProcessPoolExecutor(1, timeout=IDLE, initializer=_settle, initargs=(os.getpid(), folder), env=own)


def _tracked() -> None:
    """Have what removes the semaphores of killed processes outlive the loss of the terminal, as it does SIGTERM."""
    if not hasattr(signal, "SIGHUP"):
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])  # which a new process inherits
    try:
        resource_tracker.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@cache
def _temporary() -> str:
    """A folder for what worker processes, and those that they start, would leave behind when they are killed."""
    folder = tempfile.mkdtemp(prefix="prunability-")
    # It removes the folder if this process is killed before any worker has begun to watch over it.
    resource_tracker.register(folder, "folder")
    atexit.register(_removed, folder)
    return folder


def _removed(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    resource_tracker.unregister(folder, "folder")


def _submitted(
    process: ProcessPoolExecutor, function: Callable[..., T], job: tuple[Any, ...]
) -> tuple[Future[T], ProcessPoolExecutor]:
    try:
        return process.submit(function, *job), process
    except TerminatedWorkerError:  # it was killed while it had nothing to do
        process = _process()
        return process.submit(function, *job), process


def _settle(parent: int, folder: str) -> None:
    """Begin as a worker process: it ends soon after its parent was killed, which cannot tell it so nor clean up."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        try:
            _end_children()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    keep_memory()


def _end_children() -> None:
    """Kill what this process started, and wait for what that started in turn, which then ends by itself.

    A notebook's kernel that is still writing in the folder would keep it from going.
    """
    with suppress(ImportError):  # there are no kernels without psutil
        import psutil  # noqa: PLC0415  (not there without them)

        this = psutil.Process()
        started = this.children(recursive=True)
        for child in this.children():
            with suppress(psutil.Error):
                child.kill()
        psutil.wait_procs(started, timeout=10)


@cache
def keep_memory() -> None:
    """Let freed memory stay with this process: taking it anew from the system costs a fifth of a training."""
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(-3, 2**25)  # M_MMAP_THRESHOLD, its largest value
        mallopt(-1, 2**30)  # M_TRIM_THRESHOLD
