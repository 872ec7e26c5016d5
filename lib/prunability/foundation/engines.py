"""Where jobs are done: in processes of this machine, or on the workers of a dask cluster.

Who has jobs knows an :class:`Engine` and not which one it is. The workers of a cluster belong to whoever started
them; they find files by the same paths as this process.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from prunability.foundation.errors import PrunabilityError
from prunability.foundation.processes import AGAIN, LOOK_EVERY, Ended, Killed, as_they_end, keep_memory
from prunability.foundation.progress import waiting

if TYPE_CHECKING:
    from distributed import Client, Future

T = TypeVar("T")
Jobs = Sequence[tuple[Any, ...]]
# Seconds in which a scheduler must answer.
PATIENCE = 10


class Engine(Protocol):
    """Does jobs side by side, each alone in its process."""

    def processes(self) -> int:
        """How many jobs are done side by side."""
        ...

    def as_they_end(self, function: Callable[..., T], jobs: Jobs) -> Ended[T]:
        """``function`` of the arguments of each job: yields a job's number and its result, as they end."""
        ...


class Local(NamedTuple):
    """Processes of this machine; where it is one, that is this process itself."""

    number: int

    def processes(self) -> int:
        """As many as were asked for."""
        return self.number

    def as_they_end(self, function: Callable[..., T], jobs: Jobs) -> Ended[T]:
        """As :func:`prunability.foundation.processes.as_they_end`."""
        if self.number > 1:
            yield from as_they_end(function, jobs, self.number)
        else:
            yield from ((at, function(*job)) for at, job in enumerate(jobs))


class Dask(NamedTuple):
    """The workers of a dask cluster; ``expected`` is how many there will be, 0 for those that are there now."""

    client: "Client"
    expected: int

    def processes(self) -> int:
        """As many as are expected, else as there are workers."""
        return self.expected or len(_workers(self.client))

    def as_they_end(self, function: Callable[..., T], jobs: Jobs) -> Ended[T]:
        """Jobs are handed out one a worker, also to those that come later.

        The scheduler tries a job again whose worker died. What is in work when the iterator is closed is ended by
        its worker.

        Raises:
            PrunabilityError: the scheduler is gone.
        """
        from distributed import as_completed  # noqa: PLC0415  (an extra)

        left, out = list(enumerate(jobs))[::-1], dict["Future", int]()
        ended = as_completed(loop=self.client.loop)
        try:
            while left or out:
                # No more than there are workers: the scheduler blames all that a dead worker held.
                for at, job in [left.pop() for _ in range(min(len(left), len(_workers(self.client)) - len(out)))]:
                    future = self.client.submit(_settled, function, *job, pure=False)
                    out[future] = at
                    ended.add(future)
                if ended.has_ready():
                    future = next(ended)
                    yield out.pop(future), _outcome(future)
                elif _workers(self.client):
                    time.sleep(LOOK_EVERY)
                else:
                    with waiting("all workers are gone: see what they said; waiting for others"):
                        while not _workers(self.client) and not ended.has_ready():
                            time.sleep(LOOK_EVERY)
        except (OSError, CancelledError) as error:
            raise PrunabilityError(
                "the scheduler is gone. Finished runs are kept; the same command goes on with the rest"
            ) from error
        finally:
            self.client.cancel(list(out))


@contextmanager
def open_engine(name: str, scheduler: str, processes: int, expected: int = 0) -> Iterator[Engine]:
    """An engine by name: so many processes here, or the workers of the cluster whose scheduler has this address.

    Raises:
        PrunabilityError: the name is unknown, dask is not installed, nothing answers at the address, or a worker
            has several threads.
    """
    if name == "local":
        if scheduler:
            raise PrunabilityError(f"scheduler {scheduler!r} goes with --engine dask")
        yield Local(processes)
        return
    if name != "dask":
        raise PrunabilityError(f"unknown engine {name!r}: it must be local or dask")
    if not scheduler:
        raise PrunabilityError("--engine dask needs --scheduler ADDRESS, such as tcp://10.0.0.1:8786")
    try:
        from distributed import Client  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise PrunabilityError(
            f"--engine dask needs dask ({error}): in this project's folder, pip install '.[cluster]'"
        ) from error
    try:
        # A client that finds nobody keeps on trying, also when this process ends.
        asyncio.run(_reach(scheduler))
        client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise PrunabilityError(
            f"scheduler {scheduler!r}: no dask scheduler answers there; an address is such as tcp://10.0.0.1:8786"
        ) from error
    with client:
        # A lambda, for the scheduler need not have this library.
        client.run_on_scheduler(lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", AGAIN))
        if not _workers(client):
            with waiting(f"waiting for workers of {scheduler}"):
                client.wait_for_workers(1)
        if several := [address for address, threads in _workers(client).items() if threads > 1]:
            raise PrunabilityError(
                f"worker {several[0]} has several threads, a training needs a process of its own: start workers "
                "as `dask worker ADDRESS --nthreads 1 --nworkers NUMBER`"
            )
        yield Dask(client, expected)


async def _reach(scheduler: str) -> None:
    from distributed.comm.core import connect  # noqa: PLC0415  (an extra)
    from distributed.security import Security  # noqa: PLC0415

    comm = await connect(scheduler, timeout=PATIENCE, **Security().get_connection_args("client"))
    await comm.close()


def _workers(client: "Client") -> dict[str, int]:
    """The threads of each worker, by its address."""
    found: dict[str, int] = client.nthreads()
    return found


def _settled(function: Callable[..., T], *job: Any) -> T:
    keep_memory()
    return function(*job)


def _outcome(future: "Future") -> Any:
    """A job's result; what it raised is raised."""
    from distributed import KilledWorker  # noqa: PLC0415  (an extra)

    error = future.exception()
    return Killed(error.allowed_failures + 1) if isinstance(error, KilledWorker) else future.result()
