"""Captured steps without a GPU: operators are recorded, and replayed on the storages they were recorded with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from helpers import altered, small_network
from prunability.data.dataset import Dataset, prepare
from prunability.data.images import ImageSet
from prunability.training import cuda_graph, fleet, loop, strategy
from prunability.training.checkpoints import OutOfTimeError
from prunability.training.config import NETWORKS, RunConfig
from prunability.training.fleet import train_fleet
from prunability.training.loop import train

DROPOUT = {"nin": {"dropout": 0.2}}
# With one of the optimisers what else a step may have: a memory, and a rate that rises.
OPTIONS: dict[str, dict[str, Any]] = {"sgd": {}, "adam": {"temporal_smoothing": 0.3, "warmup_epochs": 1}}


class Recorded(TorchDispatchMode):
    """Operators in the order they ran, each with what it read and wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, found))
        return found

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, before in self.calls:
            read = {
                t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)
            }
            after = func(*args, **kwargs)
            for old, new in zip(tree_leaves(before), tree_leaves(after), strict=True):
                # A view, or what was written in place, is where it was.
                if isinstance(old, torch.Tensor) and old.untyped_storage().data_ptr() not in read:
                    old.copy_(new)


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Recorded]]:
    """CUDA graphs on a CPU; every training captures its steps. Yields the graphs that were made."""
    graphs: list[Recorded] = []

    @contextmanager
    def graph(into: Recorded, stream: object) -> Iterator[None]:
        with into:
            yield
        graphs.append(into)

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Recorded)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    for name in ("Stream", "current_stream"):
        monkeypatch.setattr(torch.cuda, name, lambda: SimpleNamespace(wait_stream=lambda _: None))
    for module in (fleet, loop):
        monkeypatch.setattr(module, "captures", lambda _: True)
    cuda_graph._stream.cache_clear()
    yield graphs
    cuda_graph._stream.cache_clear()


def runs_of(base: RunConfig, optimiser: str) -> list[RunConfig]:
    """Runs that leave at different times, with dropout and augmentation."""
    runs = []
    for seed, epochs in enumerate((2, 3, 5)):
        content = base.model_dump()
        content["network"] |= {"dropout": 0.1 * seed}
        content["training"] |= {
            "optimiser": optimiser,
            "augmentation": True,
            "max_epochs": epochs,
            "target_loss": 1e-9,
            "learning_rate": 0.01,
            **OPTIONS[optimiser],
        }
        runs.append(RunConfig.model_validate(content | {"seed": seed}))
    return runs


def trained(runs: list[RunConfig], data: Dataset) -> dict[str, dict[str, torch.Tensor]]:
    return {one.config.hash: one.final for one in train_fleet(runs, data, 2)}


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_captured_steps_are_those_launched_one_by_one(
    small_run: RunConfig, small_data: Dataset, optimiser: str, request: pytest.FixtureRequest
) -> None:
    runs = runs_of(small_run, optimiser)
    before = trained(runs, small_data)
    graphs = request.getfixturevalue("emulated")
    after = trained(runs, small_data)
    # Anew whenever somebody enters or leaves.
    assert len(graphs) == len(runs)
    for run in runs:
        assert all(torch.equal(before[run.hash][name], after[run.hash][name]) for name in before[run.hash])


@pytest.mark.parametrize(("kind", "optimiser"), [*zip(NETWORKS, cycle(["sgd", "adam"]), strict=False)])
def test_captured_steps_of_one_network_are_those_launched_one_by_one(
    small_run: RunConfig,
    digits: ImageSet,
    tmp_path: Path,
    kind: str,
    optimiser: str,
    request: pytest.FixtureRequest,
) -> None:
    """Weights, BatchNorm's statistics and the course, also where it goes on from a checkpoint."""
    rules = {"optimiser": optimiser, "learning_rate": 0.01, "augmentation": True, "target_loss": 1e-9}
    rules |= OPTIONS[optimiser]
    run = altered(small_run, precision="bfloat16" if kind == "nin" else "float32", max_epochs=2, **rules)
    run = run.model_copy(update={"network": small_network(kind, 3, 2).model_copy(update=DROPOUT.get(kind, {}))})
    data, path = prepare(digits, run.data, torch.device("cpu"), torch.float32), tmp_path / "checkpoint"
    initial, before, result = train(run, data)
    graphs = request.getfixturevalue("emulated")
    with pytest.raises(OutOfTimeError):
        train(run, data, path, until=0.0)
    _, after, again = train(run, data, path)
    assert len(graphs) == 2
    assert again == result
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(torch.equal(before[name], initial[name]) for name in before if "weight" in name)


def test_a_step_that_cannot_be_captured_is_launched(
    small_run: RunConfig, small_data: Dataset, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    runs = runs_of(small_run, "sgd")
    before, alone = trained(runs, small_data), train(runs[0], small_data)[1]
    request.getfixturevalue("emulated")

    @contextmanager
    def refused(*_: object, **__: object) -> Iterator[None]:
        yield
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "graph", refused)
    with pytest.warns(UserWarning, match="not permitted when stream is capturing.*slower") as told:
        after = trained(runs, small_data)
    assert len(told) == 1
    for run in runs:
        assert all(torch.equal(before[run.hash][name], after[run.hash][name]) for name in before[run.hash])
    with pytest.warns(UserWarning, match="not permitted when stream is capturing.*slower") as told:
        found = train(runs[0], small_data)[1]
    assert len(told) == 1
    assert all(torch.equal(alone[name], found[name]) for name in alone)


def test_what_a_failed_warm_up_changes_is_put_back_after_it(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Not while its kernels may still write: the current stream waits for the other one in between."""
    request.getfixturevalue("emulated")
    state, waited = torch.zeros(2), list[torch.Tensor]()
    monkeypatch.setattr(
        torch.cuda, "current_stream", lambda: SimpleNamespace(wait_stream=lambda _: waited.append(state.clone()))
    )

    def step() -> torch.Tensor:
        state.add_(1)
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        cuda_graph.Captured(step, [state])
    assert state.tolist() == [0, 0]
    assert waited[-1].tolist() == [1, 1]


def test_a_fleet_that_lacks_memory_is_halved(
    small_run: RunConfig, small_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [small_run.model_copy(update={"seed": seed}) for seed in range(7)]
    tried = []

    def short(waiting: list[RunConfig], _: Dataset, size: int, *__: object) -> Iterator[SimpleNamespace]:
        tried.append((size, len(waiting)))
        for run in list(waiting):
            if size > 1 and run.seed == 4:
                raise torch.OutOfMemoryError
            yield SimpleNamespace(config=run)

    monkeypatch.setattr(strategy, "train_fleet", short)
    ended = [one.config.seed for one in strategy._in_fleets(runs, small_data, 6, None, 0.0)]
    assert ended == [*range(7)]
    assert tried == [(6, 7), (1, 3)]

    def never(*_: object) -> Iterator[SimpleNamespace]:
        yield from ()
        raise torch.OutOfMemoryError

    monkeypatch.setattr(strategy, "train_fleet", never)
    with pytest.raises(torch.OutOfMemoryError):
        list(strategy._in_fleets(runs, small_data, 1, None, 0.0))
