"""Masks in training: what is masked stays 0, a fleet is its networks, and draws are the dense run's."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from helpers import DEVICES, altered, small_network
from prunability.data.dataset import Dataset, prepare
from prunability.data.images import ImageSet
from prunability.foundation.errors import PrunabilityError, explain
from prunability.measures.masks import moved, smaller, static, static_counts
from prunability.measures.search import prunable
from prunability.training.checkpoints import OutOfTimeError
from prunability.training.config import RunConfig
from prunability.training.dropout import dropout_keys
from prunability.training.fleet import train_fleet
from prunability.training.loop import Start, batches, build, train
from prunability.training.origin import Child, Origin, Static, Ticket
from prunability.training.strategy import trained


def of(config: RunConfig, origin: Origin | None, **more: Any) -> RunConfig:
    return RunConfig.model_validate({**config.model_dump(), **more, "origin": origin})


def masked(config: RunConfig, share: float = 0.3) -> Start:
    """From the initialisation with about that share of its weights, another mask for each seed and round."""
    network = build(config, (1, 8, 8), 10)
    draws = torch.Generator().manual_seed(config.seed)
    mask = {name: (torch.rand(w.shape, generator=draws) < share).to(w) for name, w in prunable(network).items()}
    state = network.state_dict()
    return Start({name: own * mask.get(name, 1) for name, own in state.items()}, mask)


def test_without_an_origin_nothing_changes(small_run: RunConfig) -> None:
    """Hashes as they were before runs could have one."""
    assert small_run.origin is None
    assert "origin" not in small_run.model_dump()
    assert "origin" not in small_run.model_dump_json()
    content = small_run.model_copy(update={"data": small_run.data.model_copy(update={"checksum": "0" * 64})})
    assert (content.hash, content.setting_hash) == ("f36e5424725155de", "0518ee3329b93e9e")
    key, purpose = content.seed_key("dropout")
    assert (key[:16], purpose) == ("aa8ae22576eec0f7", "dropout")


TICKETS: list[dict[str, Any]] = [
    {},
    {"round": 2},
    {"rewind": 1},
    {"pruned": 0.3},
    {"weights": "redrawn"},
    {"places": "random"},
]
CHILDREN = [Child(epoch=epoch, order=order) for epoch, order in ((1, 0), (2, 0), (1, 1))]
ORIGINS: list[Origin] = [
    *(Ticket.model_validate({"round": 1} | fields) for fields in TICKETS),
    *CHILDREN,
    *(Static(density=density) for density in (0.5, 1.0)),
]


def test_each_origin_is_another_run_and_loads_back(small_run: RunConfig) -> None:
    runs = [small_run, *(of(small_run, origin) for origin in ORIGINS)]
    assert len({run.hash for run in runs}) == len({run.course_key for run in runs}) == len(runs)
    assert [RunConfig.model_validate_json(run.model_dump_json()) for run in runs] == runs


def test_draws_are_those_of_the_dense_run_but_for_what_is_drawn_anew(small_run: RunConfig) -> None:
    purposes = ("initialisation", "data order", "dropout", "augmentation", "random pruning")
    own = {
        str(origin): {p for p in purposes if of(small_run, origin).seed_key(p) != small_run.seed_key(p)}
        for origin in ORIGINS
    }
    for origin in ORIGINS:
        redrawn = isinstance(origin, Ticket) and origin.weights == "redrawn"
        expected = {"initialisation"} if redrawn else set[str]()
        if isinstance(origin, Child):
            expected = {"data order", "dropout", "augmentation"}
        assert own[str(origin)] == expected, origin
    children = [of(small_run, Child(epoch=epoch, order=order)) for epoch in (1, 2) for order in (0, 1)]
    assert len({run.seed_key("data order") for run in children}) == 2


def test_a_ticket_names_its_chain(small_run: RunConfig) -> None:
    run = of(small_run, Ticket(round=2, rewind=3, weights="redrawn", places="random"))
    assert run.begins == 0
    assert run.rewound_to is None
    assert run.parents == [of(small_run, Ticket(round=1, rewind=3))]
    begins = altered(small_run, max_epochs=3, stop_at_target=False)
    assert run.parents[0].parents == [begins, small_run]
    assert of(small_run, Child(epoch=3, order=0)).parents == [begins]
    assert of(small_run, Child(epoch=0, order=0)).parents == of(small_run, Static(density=0.5)).parents == []


@pytest.mark.parametrize(
    ("origin", "why"),
    [
        ({"kind": "static", "density": 0.0}, "density: Input should be greater than 0"),
        ({"kind": "static", "density": 1.5}, "density: Input should be less than or equal to 1"),
        ({"kind": "ticket", "round": 0}, "round"),
        ({"kind": "ticket", "round": 1, "pruned": 1.0}, "pruned"),
        ({"kind": "ticket", "round": 1, "rewind": 200}, "origin: epoch 200 must come before max_epochs 200"),
        ({"kind": "ticket", "round": 1, "rewind": 200, "weights": "redrawn"}, "epoch 200 must come before"),
        ({"kind": "child", "epoch": 201, "order": 0}, "epoch 201 must come before max_epochs 200"),
        ({"kind": "twig"}, "does not match any of the expected tags"),
    ],
)
def test_bad_origins_are_refused(small_run: RunConfig, origin: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError) as error:
        RunConfig.model_validate(small_run.model_dump() | {"origin": origin})
    words = explain(error.value)
    assert why in words
    assert "Value error" not in words and "\n" not in words


RULES: list[dict[str, Any]] = [
    {"weight_decay": 0.01},
    {"optimiser": "adam", "learning_rate": 0.01, "weight_decay": 0.01},
    {"precision": "bfloat16", "weight_decay": 0.01},
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("rules", RULES, ids=["sgd", "adam", "bfloat16"])
def test_masked_weights_stay_zero(
    small_run: RunConfig, digits: ImageSet, rules: dict[str, Any], device: str
) -> None:
    """Alone and in a fleet, with momentum; those that are left move."""
    dense = altered(small_run, max_epochs=2, target_loss=1e-9, **rules)
    run, dtype = of(dense, Static(density=0.5)), torch.float64 if "precision" not in rules else torch.float32
    data = prepare(digits, run.data, torch.device(device), dtype)
    mask = masked(run).mask
    alone = train(run, data, starts=masked)[:2]
    (fleet,) = train_fleet([run], data, 1, starts=masked)
    for initial, final in (alone, (fleet.initial, fleet.final)):
        for name, own in mask.items():
            assert not final[name][own == 0].any()
            moving = (final[name] != initial[name])[own == 1]
            assert moving.double().mean() > 0.9, name


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("kind", "optimiser"), [("nin", "sgd"), ("mlp", "adam")])
def test_a_masked_fleet_equals_its_networks(
    small_run: RunConfig, digits: ImageSet, kind: str, device: str, optimiser: str
) -> None:
    """Several masks and beginnings beside a dense network, in float64; one waits for a place."""
    network, rate = small_network(kind, width=5, depth=2), 0.1 if optimiser == "sgd" else 0.01
    rules: dict[str, Any] = {"optimiser": optimiser, "learning_rate": rate, "max_epochs": 5, "target_loss": 1e-9}
    dense = altered(of(small_run, None, network=network.model_dump()), batch_size=11, weight_decay=1e-3, **rules)
    origins = [Static(density=0.5), None, Ticket(round=1, rewind=2), Child(epoch=1, order=1)]
    runs = [of(dense, origin, seed=seed) for seed, origin in enumerate(origins)]
    data = prepare(digits, dense.data, torch.device(device), torch.float64)
    found = {one.config: one for one in train_fleet(runs, data, 3, starts=masked)}
    for run in runs:
        initial, final, result = train(run, data, starts=masked)
        one = found[run]
        assert result.epochs == one.result.epochs == 5 - run.begins
        assert all(torch.equal(one.initial[name], own) for name, own in initial.items())
        assert max((one.final[name] - own).abs().max().item() for name, own in final.items()) < 1e-10
        assert result.train_loss == pytest.approx(one.result.train_loss, rel=1e-9)


def test_an_origin_needs_its_start(small_run: RunConfig, small_data: Dataset) -> None:
    run = of(small_run, Static(density=0.5))
    for training in (lambda: train(run, small_data), lambda: next(trained([run], small_data))):
        with pytest.raises(ValueError, match=f"run {run.hash} begins where another ended"):
            training()


def test_a_child_of_the_same_order_is_the_longer_training(small_run: RunConfig, small_data: Dataset) -> None:
    """From the end of epoch k on, with the dense run's own draws: then it ends where that does but for momentum."""
    dense = altered(small_run, max_epochs=4, stop_at_target=False, momentum=0.0)
    short = train(altered(dense, max_epochs=2), small_data)[1]
    ticket = of(dense, Ticket(round=1, rewind=2))
    assert torch.equal(batches(ticket, 3), batches(dense, 3))
    assert torch.equal(dropout_keys(ticket, 3, 12, 2), dropout_keys(dense, 3, 12, 2))
    whole, (initial, final, result) = (
        train(dense, small_data),
        train(ticket, small_data, starts=lambda _: Start(short, {})),
    )
    assert result.epochs == 2
    assert all(torch.equal(initial[name], own) for name, own in short.items())
    assert all(torch.equal(final[name], own) for name, own in whole[1].items())


@pytest.mark.parametrize("many", [False, True], ids=["alone", "fleet"])
def test_a_masked_training_that_ran_out_of_time_goes_on(
    small_run: RunConfig, small_data: Dataset, tmp_path: Path, many: bool
) -> None:
    run = of(altered(small_run, max_epochs=4, target_loss=1e-9), Ticket(round=1, rewind=1))

    def final(checkpoint: Path | None, until: float = math.inf) -> dict[str, torch.Tensor]:
        if not many:
            return train(run, small_data, checkpoint, until, masked)[1]
        place: Callable[[RunConfig], Path] | None = (lambda _: checkpoint) if checkpoint else None
        return next(train_fleet([run], small_data, 1, place, until, masked)).final

    path, expected = tmp_path / "one.checkpoint", final(None)
    for _ in range(2):
        with pytest.raises(OutOfTimeError):
            final(path, until=0.0)
    found = final(path)
    assert all(torch.equal(found[name], own) for name, own in expected.items())


sizes = st.lists(st.integers(1, 40), min_size=1, max_size=5)


@given(sizes, st.integers(0, 2**31), st.sampled_from([0.2, 0.5, 0.35, 0.9]), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_a_round_keeps_as_many_as_it_says_and_the_largest(
    sizes: list[int], seed: int, pruned: float, levels: int
) -> None:
    """With ties, against sorting Python numbers; what was gone stays gone."""
    draws = torch.Generator().manual_seed(seed)
    left = {str(i): (torch.rand(n, generator=draws) < 0.7).double() for i, n in enumerate(sizes)}
    left["0"][0] = 1.0
    trained = {
        name: torch.randint(-levels, levels + 1, own.shape, generator=draws).double() for name, own in left.items()
    }
    flat, alive = (torch.cat([part[name] for name in left]).tolist() for part in (trained, left))
    order = sorted((i for i, own in enumerate(alive) if own), key=lambda i: -abs(flat[i]))
    keep = -(-len(order) * round((1 - pruned) * 100) // 100)
    found = torch.cat(list(smaller(left, trained, pruned).values())).tolist()
    assert found == [float(i in order[:keep]) for i in range(len(flat))]
    shuffled = moved(left, draws)
    assert {name: own.sum() for name, own in shuffled.items()} == {name: own.sum() for name, own in left.items()}


@given(sizes, st.floats(0.001, 1.0))
@settings(max_examples=100, deadline=None)
def test_a_static_mask_has_the_weights_that_its_density_says(sizes: list[int], density: float) -> None:
    layers = {str(i): n for i, n in enumerate(sizes)}
    total, whole = sum(sizes), sum({0: sizes[0], len(sizes) - 1: sizes[-1]}.values())
    if round(density * total) < whole:
        with pytest.raises(PrunabilityError, match=f"have {whole} of the {total} weights"):
            static_counts(layers, density)
        return
    counts = static_counts(layers, density)
    assert sum(counts.values()) == round(density * total)
    assert (counts["0"], counts[str(len(sizes) - 1)]) == (sizes[0], sizes[-1])
    share = (round(density * total) - whole) / max(1, total - whole)
    assert all(abs(counts[name] - share * n) < 1 + 1e-9 for name, n in list(layers.items())[1:-1])
    mask = static({name: torch.zeros(n) for name, n in layers.items()}, density, torch.Generator().manual_seed(0))
    assert {name: int(own.sum()) for name, own in mask.items()} == counts
