"""Captured steps without a GPU: operators are recorded, and replayed on the storages they were recorded with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from prunability.data.dataset import Dataset
from prunability.training import cuda_graph, strategy
from prunability.training.config import RunConfig
from prunability.training.fleet import Fleet, train_fleet


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
    """CUDA graphs on a CPU; every fleet captures its steps. Yields the graphs that were made."""
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
    begin = Fleet.__init__

    def capturing(fleet: Fleet, config: RunConfig, data: Dataset) -> None:
        begin(fleet, config, data)
        fleet.captures = True

    monkeypatch.setattr(Fleet, "__init__", capturing)
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


def test_a_step_that_cannot_be_captured_is_launched(
    small_run: RunConfig, small_data: Dataset, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    runs = runs_of(small_run, "sgd")
    before = trained(runs, small_data)
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
