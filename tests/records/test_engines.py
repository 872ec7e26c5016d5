"""A study made by the workers of a dask cluster, one of which is killed, is the study that local processes make."""

import ast
import logging
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from prunability.foundation import engines
from prunability.foundation.engines import Local, open_engine
from prunability.foundation.errors import PrunabilityError
from prunability.foundation.execution import Execution, project_root
from prunability.foundation.processes import AGAIN, Killed
from prunability.records.locks import elsewhere
from prunability.records.runner import completed, survey
from prunability.records.store import RunStore
from prunability.records.workers import Ending, Workplace, train_runs
from prunability.studies.grid import Study
from prunability.training import strategy
from prunability.training.config import shape_of
from prunability.training.fleet import train_fleet

# One cluster for all.
pytestmark = pytest.mark.xdist_group("cluster")


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster with two workers, processes of this machine."""
    from distributed import LocalCluster

    quiet: dict[str, Any] = {"dashboard_address": ":0", "silence_logs": logging.CRITICAL}
    folder = tmp_path_factory.mktemp("dask")
    with LocalCluster(n_workers=2, threads_per_worker=1, local_directory=folder, **quiet) as cluster:
        yield cluster.scheduler_address


def test_a_killed_worker_changes_nothing(scheduler: str, made: tuple[Study, Execution], fresh: Execution) -> None:
    study = replace(made[0], runs=made[0].runs[2:5])
    with open_engine("dask", scheduler, 1) as engine:
        assert isinstance(engine, engines.Dask)
        before = engine.client.run(os.getpid)
        assert engine.processes() == len(before) == 2

        def kill() -> None:
            """Kill a worker once both have a fleet."""
            while sum(elsewhere(fresh.runs, run) for run in study.runs) < 2:
                time.sleep(0.02)
            os.kill(next(iter(before.values())), signal.SIGKILL)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        state = completed(survey(study, fresh), engine=engine)
        killer.join(10)
        assert set(engine.client.run(os.getpid).values()) != set(before.values())
    local = survey(study, made[1]).done
    assert [record.content() for record in state.done] == [record.content() for record in local]
    assert not list(fresh.runs.glob("*.partial"))


def dies(mortal: bool) -> int:
    if mortal:
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def test_what_kills_each_worker_is_given_up_and_the_rest_goes_on(scheduler: str) -> None:
    with open_engine("dask", scheduler, 1) as engine:
        results = dict(engine.as_they_end(dies, [(True,), *[(False,)] * 4]))
    assert results[0] == Killed(AGAIN + 1)
    assert all(isinstance(results[at], int) for at in range(1, 5))


def test_a_cluster_without_workers_is_said_and_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from distributed import LocalCluster

    quiet: dict[str, Any] = {"dashboard_address": ":0", "silence_logs": logging.CRITICAL}
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, local_directory=tmp_path, **quiet) as cluster,
        open_engine("dask", cluster.scheduler_address, 1) as engine,
    ):
        cluster.scale(0)
        while engine.processes():
            time.sleep(0.05)
        back = threading.Timer(2, cluster.scale, [1])
        back.start()
        done = list(engine.as_they_end(dies, [(False,)]))
    assert [at for at, _ in done] == [0]
    assert "all workers are gone" in capsys.readouterr().err


def test_a_killed_fleet_is_a_failure_with_its_reason(
    study: Study, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What of it was stored before is none."""

    class Fatal(Local):
        def as_they_end(self, function: Any, jobs: Any) -> Any:
            for at, job in enumerate(jobs):
                done = function(*job)
                if len(job[2]) > 1:
                    RunStore(execution.runs).path(job[2][0]).unlink()
                yield at, Killed(3) if len(job[2]) > 1 else done

    with pytest.raises(PrunabilityError, match=r"1 of 3 runs failed.*: worker killed 3 times; out of memory"):
        completed(survey(study, execution), engine=Fatal(1))
    assert len(survey(study, execution).done) == 2


def in_too_little_memory(log: Path, *job: Any) -> list[Ending]:
    """Train where no two networks fit side by side; how many are tried at a time is in the log."""
    whole = train_fleet

    def short(waiting: Any, data: Any, size: int, *rest: Any) -> Any:
        with log.open("a") as lines:
            lines.write(f"{size}\n")
        if size > 1:
            raise torch.OutOfMemoryError
        yield from whole(waiting, data, size, *rest)

    with patch.object(strategy, "train_fleet", short):
        return train_runs(*job)


def test_a_fleet_that_lacks_memory_is_halved_by_the_worker_that_has_it(
    scheduler: str, short_runs: Study, execution: Execution
) -> None:
    runs = [run for run in short_runs.runs if shape_of(run) == shape_of(short_runs.runs[0])]
    assert short_runs.source is not None
    place = Workplace(short_runs.source, "cpu", execution.runs, execution.data)
    log = execution.runs.parent / "log"
    with open_engine("dask", scheduler, 1) as engine:
        ((_, endings),) = engine.as_they_end(in_too_little_memory, [(log, place, runs)])
    assert not isinstance(endings, Killed)
    assert {ending.run for ending in endings if not ending.failed} == {run.hash for run in runs}
    first, then = map(int, log.read_text().split())
    assert first >= len(runs) == 2
    assert then == 1
    assert all(RunStore(execution.runs).load(run) for run in runs)


def test_a_store_that_workers_do_not_share_is_no_endless_loop(study: Study, execution: Execution) -> None:
    class Elsewhere(Local):
        def as_they_end(self, function: Any, jobs: Any) -> Any:
            for at, (place, job, configs) in enumerate(jobs):
                yield at, function(place._replace(runs=execution.data / "elsewhere"), job, configs)

    with pytest.raises(PrunabilityError, match=r"(?s)3 of 3 runs failed.*all workers must see the same folder"):
        completed(survey(study, execution), engine=Elsewhere(1))


def test_the_cluster_page_gives_slurm_a_job() -> None:
    """Its example is executed up to where jobs would be queued."""
    (code,) = re.findall(r"```python\n(.*?)```", (project_root() / "CLUSTER.md").read_text(), re.DOTALL)
    lines = ast.parse(code).body
    queued = next(at for at, line in enumerate(lines) if "scale" in ast.unparse(line))
    names: dict[str, Any] = {}
    exec(compile(ast.Module(lines[:queued], []), "CLUSTER.md", "exec"), names)
    with names["cluster"] as cluster:
        script = cluster.job_script()
    assert "#SBATCH --requeue" in script
    assert "#SBATCH --cpus-per-task=8" in script
    worker = r" -m distributed\.cli\.dask_worker tcp://.* --nthreads 1 .*--nworkers 8 "
    assert re.search(re.escape(sys.executable) + worker, script), script
    rest = ast.unparse(ast.Module(lines[queued:], []))
    assert "'--workers', '32'" in rest


def test_stores_are_merged_by_copying(made: tuple[Study, Execution], fresh: Execution) -> None:
    study, execution = made
    for number, runs in enumerate((study.runs[:4], study.runs[2:])):
        (other := fresh.runs / str(number)).mkdir(parents=True)
        for run in runs:
            for path in execution.runs.glob(f"{run.hash}.*"):
                shutil.copy(path, other)
    shutil.copytree(fresh.runs / "1", fresh.runs / "0", dirs_exist_ok=True)
    merged = survey(study, fresh.model_copy(update={"runs": fresh.runs / "0"}))
    assert merged.done == survey(study, execution).done


def test_dask_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    expected = r"needs dask.*pip install '.\[cluster\]'"
    with pytest.raises(PrunabilityError, match=expected), open_engine("dask", "tcp://a:1", 1):
        pass


@pytest.mark.parametrize(
    ("name", "scheduler", "why"),
    [
        ("dask", "", "needs --scheduler ADDRESS"),
        ("dask", "nonsense", "'nonsense': no dask scheduler answers there"),
        ("dask", "tcp://127.0.0.1:1", "no dask scheduler answers there"),
        ("local", "tcp://127.0.0.1:1", "goes with --engine dask"),
        ("slurm", "", "unknown engine 'slurm': it must be local or dask"),
    ],
)
def test_mistakes_are_said_at_once(name: str, scheduler: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "PATIENCE", 0.5)
    with pytest.raises(PrunabilityError, match=why), open_engine(name, scheduler, 1):
        pass


def test_one_process_is_this_one() -> None:
    with open_engine("local", "", 1) as engine:
        assert list(engine.as_they_end(os.getpid, [(), ()])) == [(0, os.getpid()), (1, os.getpid())]
