"""Tickets, children and static masks in the store: against a slow loop, kills, and parents that are missing."""

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch.nn import functional as F

from helpers import altered
from prunability.data.dataset import Dataset, prepare
from prunability.data.images import ImageSet
from prunability.data.sources import load_images
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import Execution
from prunability.measures import TrainedRun
from prunability.measures.probes import PROBES, key, probe
from prunability.measures.subject import UndefinedMeasureError
from prunability.records import tables, workers
from prunability.records.jobs import fleets
from prunability.records.locks import claimed
from prunability.records.record import Record
from prunability.records.runner import complete, survey
from prunability.records.schema import meaning
from prunability.records.store import RunStore
from prunability.records.verify import verify
from prunability.records.workers import Workplace, train_runs
from prunability.report import transfer
from prunability.report.status import progress_lines
from prunability.studies.grid import Profile, Study, Wanted, expand
from prunability.training import strategy
from prunability.training.config import RunConfig
from prunability.training.loop import batches, build, one_thread
from prunability.training.origin import Child, Origin, Static, Ticket
from prunability.training.strategy import trained

ROUNDS, REWIND = 3, 1
TICKETS = [Ticket(round=n, rewind=k) for k in (0, REWIND) for n in range(1, ROUNDS + 1)]
CONTROLS = [
    Ticket(round=ROUNDS, weights="redrawn"),
    Ticket(round=ROUNDS, places="random"),
    Ticket(round=ROUNDS, rewind=REWIND, places="random"),
]
OTHERS: list[Origin] = [Child(epoch=1, order=0), Child(epoch=1, order=1), Static(density=0.7)]
PROFILE = Profile(
    data="digits",
    n_train=60,
    grid={"seed": [0, 1]},
    fixed={
        "width": 4,
        "depth": 1,
        "learning_rate": 0.1,
        "batch_size": 20,
        "max_epochs": 3,
        "stop_at_target": False,
        "precision": "float64",
        "weight_decay": 1e-3,
        "dropout": 0.2,
    },
    also={"sparse": {"seed": [0, 1], "origin": [*TICKETS, *CONTROLS, *OTHERS]}},
    wanted=Wanted(("parameter_count",)),
    claims=False,
)


@pytest.fixture
def study(digits: ImageSet) -> Study:
    return expand("sparse", "smoke", PROFILE, "digits", digits.facts, 0)


@pytest.fixture
def data(digits: ImageSet, study: Study) -> Dataset:
    return prepare(digits, study.runs[0].data, torch.device("cpu"), torch.float64)


def origin_of(run: RunConfig, origin: Origin | None) -> RunConfig:
    return run.model_copy(update={"origin": origin})


def slow_training(
    run: RunConfig, data: Dataset, state: dict[str, torch.Tensor], mask: dict[str, torch.Tensor], first: int
) -> dict[str, torch.Tensor]:
    """SGD with momentum written out on one network, from epoch ``first`` on; without dropout."""
    network = build(run, data.train_images.shape[1:], data.classes)
    network.load_state_dict(state)
    network.train()
    parameters = dict(network.named_parameters())
    velocity = {name: torch.zeros_like(own) for name, own in parameters.items()}
    rules = run.training
    for epoch in range(first, rules.max_epochs):
        for index in batches(run, epoch):
            network.zero_grad()
            F.cross_entropy(network(data.train_images[index]), data.train_labels[index]).backward()
            with torch.no_grad():
                for name, own in parameters.items():
                    assert own.grad is not None
                    gradient = own.grad + rules.weight_decay * own
                    velocity[name] = rules.momentum * velocity[name] + gradient * mask.get(name, 1.0)
                    own.sub_(rules.learning_rate * velocity[name])
    return {name: own.clone() for name, own in network.state_dict().items()}


@pytest.mark.parametrize("rewind", [0, 1])
def test_tickets_against_a_slow_loop(study: Study, data: Dataset, execution: Execution, rewind: int) -> None:
    """Three rounds: train, sort, zero, rewind; weights, BatchNorm's parameters and its statistics."""
    dense = study.runs[0].model_copy(update={"network": study.runs[0].network.model_copy(update={"dropout": 0.0})})
    runs = [origin_of(dense, Ticket(round=n, rewind=rewind)) for n in range(1, ROUNDS + 1)]
    complete(replace(study, runs=tuple(runs)), execution)
    store = RunStore(execution.runs)
    with one_thread():
        fresh = {name: own.clone() for name, own in build(dense, (1, 8, 8), 10).state_dict().items()}
        names = [name for name, own in fresh.items() if own.dim() == 4]
        mask = {name: torch.ones_like(fresh[name]) for name in names}
        begins = slow_training(altered(dense, max_epochs=rewind), data, fresh, mask, 0) if rewind else fresh
        final = slow_training(dense, data, fresh, mask, 0)
        for run in runs:
            left = [
                (abs(final[n].flatten()[i].item()), n, i)
                for n in names
                for i in range(mask[n].numel())
                if mask[n].flatten()[i]
            ]
            left.sort(key=lambda item: item[0])
            for _, name, place in left[: len(left) // 5]:
                mask[name].view(-1)[place] = 0
            start = {name: own * mask.get(name, 1.0) for name, own in begins.items()}
            final = slow_training(run, data, start, mask, rewind)
            record = store.load(run)
            assert record is not None
            assert record.result.epochs == 3 - rewind
            kept = store.load_weights(record)
            for found, expected in zip(kept, (start, final), strict=True):
                assert max((found[name] - own).abs().max().item() for name, own in expected.items()) < 1e-10
            assert sum(int((kept[1][name] != 0).sum()) for name in names) == sum(
                int(m.sum()) for m in mask.values()
            )


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """The runs that are trained, in the order in which they end."""
    found: list[RunConfig] = []

    def noting(*args: Any) -> Iterator[Any]:
        for one in trained(*args):
            yield one
            found.append(one.config)

    monkeypatch.setattr(workers, "trained", noting)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Execution, list[Record]]:
    """The study, made by one process."""
    root = tmp_path_factory.mktemp("whole")
    execution = Execution(device="cpu", workers=1, runs=root / "runs", data=root, results=root / "results")
    study = expand("sparse", "smoke", PROFILE, "digits", load_images("digits", root).facts, 0)
    return study, execution, complete(study, execution)


def test_a_study_is_made_with_what_it_comes_from(whole: tuple[Study, Execution, list[Record]]) -> None:
    """Rewind points, which are no runs of it, are made too; each begins as its origin says."""
    study, execution, records = whole
    store = RunStore(execution.runs)
    short = altered(study.runs[0], max_epochs=REWIND)
    assert short not in study.runs
    names = ["blocks.0.0.weight", "blocks.0.3.weight", "blocks.0.6.weight", "classifier.weight"]

    def weights(origin: Origin | None, run: RunConfig = study.runs[0]) -> tuple[dict[str, Any], dict[str, Any]]:
        record = store.load(origin_of(run, origin))
        assert record is not None
        return store.load_weights(record)

    assert [record.config for record in records] == list(study.runs)
    first, begins = weights(None)[0], weights(None, short)[1]
    for origin in (*TICKETS, *CONTROLS, *OTHERS):
        initial, final = weights(origin)
        expected = begins if origin_of(study.runs[0], origin).begins else first
        redrawn = isinstance(origin, Ticket) and origin.weights == "redrawn"
        for name in names:
            left = initial[name] != 0
            assert torch.equal(final[name] != 0, left)
            assert torch.equal(initial[name][left], expected[name][left]) != redrawn
        for name in initial.keys() - names:
            assert torch.equal(initial[name], expected[name]) or (redrawn and "bias" in name)
    masks = {str(origin): {n: weights(origin)[0][n] != 0 for n in names} for origin in (TICKETS[2], *CONTROLS)}
    magnitude, anew, shuffled = (masks[str(origin)] for origin in (TICKETS[2], *CONTROLS[:2]))
    assert all(torch.equal(magnitude[name], anew[name]) for name in names)
    assert [m.sum() for m in magnitude.values()] == [m.sum() for m in shuffled.values()]
    assert any(not torch.equal(magnitude[name], shuffled[name]) for name in names)
    assert any(weights(OTHERS[0])[1][n].ne(weights(OTHERS[1])[1][n]).any() for n in names)
    static = weights(OTHERS[2])[0]
    sizes = [static[name].numel() for name in names]
    assert [int((static[name] != 0).sum()) for name in names][::3] == sizes[::3]
    assert sum(int((static[name] != 0).sum()) for name in names) == round(0.7 * sum(sizes))
    assert verify(execution.runs, []).faults == []


@pytest.mark.parametrize("kill", [1, 5, 14, 23])
def test_a_kill_at_any_point_trains_nothing_twice(
    whole: tuple[Study, Execution, list[Record]],
    noted: list[RunConfig],
    tmp_path: Path,
    kill: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It ends as a record is to be written, so that its weights are there without it."""
    study, execution, records = whole
    fresh, saved = execution.model_copy(update={"runs": tmp_path / "runs"}), []
    monkeypatch.setattr(strategy, "fleet_size", lambda *_: 5)

    def save(store: RunStore, record: Record, over: Record | None = None) -> Record:
        saved.append(record.config)
        if len(saved) == kill:
            raise KeyboardInterrupt
        return RunStore.saved(store, record, over)  # type: ignore[attr-defined,no-any-return]

    monkeypatch.setattr(RunStore, "saved", RunStore.save, raising=False)
    monkeypatch.setattr(RunStore, "save", save)
    with pytest.raises(KeyboardInterrupt):
        complete(study, fresh)
    done = len(noted)
    assert done == kill - 1
    again = complete(study, fresh)
    assert len(noted) == len(set(noted)) == len(study.runs) + 2
    assert [record.checksum for record in again] == [record.checksum for record in records]


def test_two_processes_make_the_same(whole: tuple[Study, Execution, list[Record]], tmp_path: Path) -> None:
    study, execution, records = whole
    both = execution.model_copy(update={"runs": tmp_path / "runs", "workers": 2})
    jobs = fleets(list(study.runs), study, both)
    assert [{run.seed for run in job} for job in jobs] == [{0}, {1}]
    assert [record.checksum for record in complete(study, both)] == [record.checksum for record in records]


@pytest.mark.usefixtures("probes")
def test_in_haste_the_same_is_made(whole: tuple[Study, Execution, list[Record]], execution: Execution) -> None:
    """Each is measured as soon as it is trained, a pair once both are."""
    study, _, records = whole
    wanting = replace(study, wanted=Wanted(("parameter_count",), of_children))
    found = complete(wanting, execution, until=time.monotonic() + 3600)
    assert [record.checksum for record in found] == [record.checksum for record in records]
    assert [len(record.curves) for record in found] == [
        2 if record.config.origin == OTHERS[0] else 0 for record in found
    ]


def test_on_a_gpu_a_chain_is_a_job_too(study: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [*study.runs, altered(study.runs[0], max_epochs=REWIND)]
    with patch.object(Execution, "torch_device", torch.device("cuda")):
        jobs = fleets(runs, study, execution)
    assert sorted(run.hash for job in jobs for run in job) == sorted(run.hash for run in runs)
    at = {run: place for place, job in enumerate(jobs) for run in job}
    assert all(at[run] == at[parent] for run in runs for parent in run.parents if parent in at)


def test_what_was_imported_can_be_no_parent_and_is_trained_only_where_needed(
    whole: tuple[Study, Execution, list[Record]], noted: list[RunConfig], tmp_path: Path
) -> None:
    study, execution, records = whole
    path, other = tmp_path / "runs.parquet", execution.model_copy(update={"runs": tmp_path / "runs"})
    origin = tables.Origin("sparse", "smoke", 0, len(study.runs), "0" * 64, study.data)
    tables.write(path, tables.Published(origin, tuple(records)))
    assert [record.content() for record in tables.read(path).records] == [record.content() for record in records]
    assert transfer.add_to_store(path, other) == (len(records), 0)
    assert transfer.add_to_store(path, other) == (0, len(records))
    assert survey(study, other).missing == []
    # A ticket of the second round goes: the first, and the dense network before it, are needed with their weights.
    lost = origin_of(study.runs[0], Ticket(round=2))
    RunStore(other.runs).path(lost).unlink()
    needed = [lost, *(origin_of(study.runs[0], origin) for origin in (Ticket(round=1), None))]
    assert set(survey(study, other).untrained) == set(needed)
    assert [record.checksum for record in complete(study, other)] == [record.checksum for record in records]
    assert noted == needed[::-1]


def test_a_missing_or_diverged_parent_is_said(study: Study, execution: Execution, tmp_path: Path) -> None:
    chain = [origin_of(study.runs[0], origin) for origin in (None, Ticket(round=1), Ticket(round=2))]
    place = Workplace("digits", "cpu", execution.runs, execution.data, wanted=study.wanted)
    (ending,) = train_runs(place, chain[1:2])
    assert ending.failed
    assert ending.note == f"its parent, run {chain[0].hash}, is not trained in {execution.runs}"
    # While somebody is at the parent it may yet come.
    with claimed(execution.runs, chain[:1]):
        assert train_runs(place, chain[1:]) == []
    wild = [altered(run, learning_rate=1e200) for run in chain]
    with pytest.raises(PrunabilityError, match="2 of 3 runs failed") as error:
        complete(replace(study, runs=tuple(wild)), execution)
    assert f"its parent, run {wild[0].hash}, diverged" in str(error.value)
    assert len(str(error.value).splitlines()) == 1 + 2


@pytest.mark.parametrize(
    ("origin", "why"),
    [(Static(density=0.1), "density 0.1 is too small"), (Ticket(round=1, rewind=3), "epoch 3 must come before")],
)
def test_what_can_be_no_run_is_said_before_any_work(digits: ImageSet, origin: Origin, why: str) -> None:
    with pytest.raises(PrunabilityError, match=why) as error:
        expand("s", "p", replace(PROFILE, also={"one": {"origin": [origin]}}), "digits", digits.facts, 0)
    assert len(str(error.value).splitlines()) == 1


@pytest.fixture
def probes() -> Iterator[None]:
    known = dict(PROBES)

    @probe(version=2)
    def alone(run: TrainedRun) -> list[float]:
        return [run.train_loss, 0.5]

    @probe(pair=True)
    def together(run: TrainedRun, partner: TrainedRun) -> list[float]:
        if run.config.seed == 1:
            raise UndefinedMeasureError("not of this one")
        return [run.train_loss - partner.train_loss]

    yield
    PROBES.clear()
    PROBES.update(known)


def of_children(run: RunConfig) -> list[tuple[str, RunConfig | None]]:
    if run.origin == OTHERS[0]:
        return [("alone", None), ("together", origin_of(run, OTHERS[1]))]
    return []


@pytest.mark.usefixtures("probes")
def test_probes_are_asked_of_those_that_they_are_wanted_of(
    study: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pair's waits for the partner; what is undefined is an empty row; nothing is asked twice."""
    children = tuple(origin_of(run, origin) for run in study.runs[:2] for origin in OTHERS[:2])
    wanting = replace(study, runs=children, wanted=Wanted((), of_children))
    before = survey(replace(wanting, runs=children[:1]), execution)
    assert len(before.untrained) == 2
    first, *_ = progress_lines(before)
    assert first.endswith(", 1 missing (and 1 that they need, of no part of the study)")
    records = complete(wanting, execution)
    loss = [record.result.train_loss or math.nan for record in records]
    pairs = [key("together", children[at + 1].hash) for at in (0, 2)]
    assert [record.curves for record in records] == [
        {"alone_2": [loss[0], 0.5], pairs[0]: [loss[0] - loss[1]]},
        {},
        {"alone_2": [loss[2], 0.5], pairs[1]: []},
        {},
    ]
    assert [record.measures for record in records] == [{}] * 4
    assert survey(wanting, execution).missing == []
    taken = records[0].seconds
    assert set(taken) == {"training", "alone", "together"}
    assert [meaning(f"seconds.{name}") for name in ("alone", "together")] == [
        "seconds of one process, probe `alone`",
        "seconds of one process, probe `together` of one pair",
    ]
    path, origin = execution.runs / "runs.parquet", tables.Origin("sparse", "smoke", 0, 4, "0" * 64, study.data)
    tables.write(path, tables.Published(origin, tuple(records)))
    assert [record.curves for record in tables.read(path).records] == [record.curves for record in records]
    assert [meaning(f"curves.{name}") for name in (pairs[0], "alone_2", "alone_1")] == [
        f"what probe `together` gave of the pair with run {children[1].hash}",
        "what probe `alone` gave",
        "of a probe that the code which wrote this page does not know",
    ]
    monkeypatch.setitem(PROBES, "alone", replace(PROBES["alone"], version=3))
    assert any("missing on 2 runs: alone" in line for line in progress_lines(survey(wanting, execution)))
    assert [record.curves["alone_3"] for record in complete(wanting, execution)[::2]] == [
        [loss[0], 0.5],
        [loss[2], 0.5],
    ]


@pytest.mark.usefixtures("probes")
def test_a_partner_without_weights_is_trained_again(
    study: Study, execution: Execution, noted: list[RunConfig], tmp_path: Path
) -> None:
    pair = tuple(origin_of(study.runs[0], origin) for origin in OTHERS[:2])
    records = complete(replace(study, runs=pair, wanted=Wanted(())), execution)
    (weights,) = execution.runs.glob(f"{pair[1].hash}.*.safetensors")
    weights.unlink()
    noted.clear()
    found = complete(replace(study, runs=pair, wanted=Wanted((), of_children)), execution)
    assert noted == [pair[1]]
    assert [one.weights for one in found] == [one.weights for one in records]
    assert key("together", pair[1].hash) in found[0].curves
