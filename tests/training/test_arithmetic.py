"""Results are the same bits in any company, and records say what arithmetic made them."""

import json
import os
import platform
import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from helpers import benchmark
from prunability.data.dataset import DataConfig, Dataset, prepare
from prunability.data.images import ImageSet
from prunability.foundation.execution import project_root
from prunability.records.schema import FIELDS
from prunability.records.workers import environment
from prunability.training import arithmetic, layers, strategy
from prunability.training.arithmetic import fleets_agree, in_force
from prunability.training.config import MLPConfig, NetworkConfig, NiNConfig, ResNetConfig, RunConfig, TrainingConfig
from prunability.training.fleet import Trained, train_fleet
from prunability.training.loop import one_thread, train
from prunability.training.strategy import trained

ROOT = project_root()
MKL = pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="this PyTorch computes without MKL")
NETWORKS = st.one_of(
    st.builds(NiNConfig, width=st.integers(2, 9), depth=st.integers(1, 2)),
    st.builds(MLPConfig, width=st.integers(2, 9)),
    st.builds(ResNetConfig, width=st.integers(2, 3)),
)


def run_of(digits: ImageSet, network: NetworkConfig, n_train: int, batch: int, **rules: Any) -> RunConfig:
    return RunConfig(
        data=DataConfig(checksum=digits.checksum, n_train=n_train),
        network=network,
        training=TrainingConfig(learning_rate=0.02, batch_size=batch, target_loss=1e-9, **rules),
    )


def data_of(digits: ImageSet, run: RunConfig) -> Dataset:
    return prepare(digits, run.data, torch.device("cpu"), torch.float32)


def assert_same(one: Trained, other: Trained) -> None:
    assert repr(one.result) == repr(other.result)  # NaN is itself
    for name, tensor in one.final.items():
        assert torch.allclose(tensor, other.final[name], rtol=0, atol=0, equal_nan=True), name


@settings(max_examples=16, deadline=None)
@given(
    network=NETWORKS,
    batch=st.integers(2, 33),
    rest=st.integers(0, 30),
    size=st.integers(2, 5),
    order=st.permutations(range(5)),
    optimiser=st.sampled_from(["sgd", "adam"]),
    epochs=st.integers(1, 2),
)
def test_same_bits_in_any_company(
    digits: ImageSet,
    network: NetworkConfig,
    batch: int,
    rest: int,
    size: int,
    order: list[int],
    optimiser: str,
    epochs: int,
) -> None:
    """Whatever the shape, the order, the row, and who leaves or enters while others train."""
    run = run_of(digits, network, 2 * batch + rest, batch, optimiser=optimiser, max_epochs=epochs)
    data = data_of(digits, run)
    runs = [run.model_copy(update={"seed": seed}) for seed in order]
    # One ends earlier, so that another takes its row.
    ends = run.training.model_copy(update={"max_epochs": 1})
    runs[0] = runs[0].model_copy(update={"training": ends})
    with one_thread():
        alone = {run.hash: next(trained([run], data)) for run in runs}
        company = train_fleet(runs, data, size) if fleets_agree(run, data) else trained(runs, data)
        for one in company:
            assert_same(one, alone[one.config.hash])


def test_a_shape_that_company_would_change_trains_alone(digits: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(digits, MLPConfig(width=5), 40, 10, max_epochs=2)
    data = data_of(digits, run)
    monkeypatch.setattr(strategy, "fleets_agree", lambda *_: False)
    monkeypatch.setattr(strategy, "train_fleet", lambda *_: pytest.fail("trained in a fleet"))
    with one_thread():
        for one in trained([run, run.model_copy(update={"seed": 1})], data):
            initial, final, result = train(one.config, data)
            assert_same(one, Trained(one.config, initial, final, result, 0.0))


@pytest.mark.parametrize("network", [NiNConfig(width=4, depth=1), MLPConfig(width=5)])
@pytest.mark.parametrize("fault", ["row", "number"])
def test_products_that_hang_on_company_are_found(
    digits: ImageSet, monkeypatch: pytest.MonkeyPatch, network: NetworkConfig, fault: str
) -> None:
    """One rounding in one row, or everywhere when there are several."""
    exact = layers._product
    run = run_of(digits, network, 40, 10)
    data = data_of(digits, run)

    def faulty(weight: Tensor, x: Tensor, bias: Tensor | None) -> Tensor:
        out = exact(weight, x, bias)
        wrong = torch.zeros(len(out), 1, 1)
        wrong[1 : 2 if fault == "row" else 0 if len(out) == 1 else None] = torch.finfo(torch.float32).eps
        return out * (1 + wrong)

    arithmetic._agree.cache_clear()
    with one_thread():
        monkeypatch.setattr(layers, "_product", faulty)
        assert not fleets_agree(run, data)
        # It is asked once of a machine, whatever else of a run differs.
        other = run.training.model_copy(update={"learning_rate": 0.5, "max_epochs": 1, "weight_decay": 0.1})
        monkeypatch.setattr(layers, "_product", exact)
        assert not fleets_agree(run.model_copy(update={"seed": 3, "training": other}), data)
        arithmetic._agree.cache_clear()


@MKL
def test_the_shapes_of_quick_train_in_fleets(digits: ImageSet) -> None:
    if not in_force()["mkl"].endswith("STRICT"):
        pytest.skip(f"MKL is bound otherwise here: {in_force()['mkl']}")
    with one_thread():
        for network, n_train, batch in (
            (NiNConfig(width=24, depth=1), 1000, 32),
            (NiNConfig(width=40, depth=2), 1000, 128),
            (MLPConfig(width=11), 600, 128),
            (MLPConfig(width=3), 600, 128),
        ):
            run = run_of(digits, network, n_train, batch)
            assert fleets_agree(run, data_of(digits, run))


def told(before: str, **given: str) -> dict[str, str]:
    """What a fresh process says of its arithmetic after some statements, under settings of a user."""
    code = f"{before}; import json; from prunability.training.arithmetic import in_force"
    code += "; print(json.dumps(in_force()))"
    plain = {name: value for name, value in os.environ.items() if name not in ("MKL_CBWR", "ATEN_CPU_CAPABILITY")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=plain | given, capture_output=True, text=True, check=True, cwd=ROOT
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@MKL
def test_what_is_in_force_is_told() -> None:
    """The library's choice where it comes in time, a user's where there is one, and none where it came too late."""
    product = "torch.ones(9, 9) @ torch.ones(9, 9)"
    assert told(f"import torch, prunability; {product}")["mkl"].endswith(",STRICT")
    assert told(f"import torch; {product}; import prunability")["mkl"] == "off"
    users = told(
        "import prunability", MKL_CBWR="COMPATIBLE", ATEN_CPU_CAPABILITY="default", ONEDNN_MAX_CPU_ISA="SSE41"
    )
    assert (users["mkl"], users["aten"], users["onednn"]) == ("COMPATIBLE", "DEFAULT", "SSE41")


def test_a_record_says_what_arithmetic_made_it() -> None:
    made = environment(torch.device("cpu"), "digits")
    assert {f"environment.{key}" for key in made} <= set(FIELDS)
    assert made["threads"] == str(torch.get_num_threads())
    assert made["processor"] == " ".join(made["processor"].split()) != ""
    assert made["torch"] == torch.__version__


def test_the_bits_are_those_seen_on_this_processor() -> None:
    """Where none were seen on one like this: they are the same twice, and in a fleet as alone."""
    bits = benchmark("bits")
    with one_thread():
        found = {name: compute() for name, compute in bits.GOLDEN.items()}
        here = in_force() | {"python": platform.python_version(), "torch": torch.__version__}
    known = json.loads((ROOT / "benchmarks" / "results" / "bits.json").read_text())
    seen = known.get(here["processor"], {}).get(bits.OURS)
    if seen is not None and {**seen["environment"], "python": here["python"]} == here:
        assert found == {name: seen["bits"][name] for name in found}
        return
    with one_thread():
        assert found == {name: compute() for name, compute in bits.GOLDEN.items()}
        runs = [bits.run_of(NiNConfig(width=24, depth=2), seed=seed) for seed in range(4)]
        data = bits.data_of(runs[0])
        assert fleets_agree(runs[0], data)
        alone = [one.final for run in runs for one in train_fleet([run], data, 1)]
        assert found["fleet of NiN"] == bits.bits(part for state in alone for part in state.values())
    like = [name for name, of in known.items() if all(of[bits.OURS]["bits"][k] == v for k, v in found.items())]
    pytest.skip(f"no bits are known of {here}: the same twice, in a fleet as alone, and as on {like or 'no other'}")
