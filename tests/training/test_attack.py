"""Training under attack: against a loop over networks and examples, alone and in fleets, stopped and gone on."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from helpers import DEVICES, altered, small_network
from prunability.data.dataset import Dataset, prepare
from prunability.data.images import ImageSet
from prunability.training.attack import STEPS, TrainingAttack, attacked, step_keys
from prunability.training.checkpoints import OutOfTimeError
from prunability.training.config import RunConfig
from prunability.training.dropout import dropout_keys
from prunability.training.fleet import train_fleet
from prunability.training.loop import one_thread, train
from prunability.training.networks import make_network

RADIUS = 0.1


def under_attack(base: RunConfig, kind: str, seeds: int = 3, **rules: Any) -> list[RunConfig]:
    rules = {"adversarial": RADIUS, "max_epochs": 2, "stop_at_target": False, "learning_rate": 0.01} | rules
    own = altered(base, **rules).model_copy(update={"network": small_network(kind, 5, 2)})
    return [own.model_copy(update={"seed": seed}) for seed in range(seeds)]


def data_of(digits: ImageSet, run: RunConfig, dtype: torch.dtype, device: str = "cpu") -> Dataset:
    return prepare(digits, run.data, torch.device(device), dtype)


def difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return max((one[name].double() - other[name].double()).abs().max().item() for name in one)


def test_it_is_no_part_of_other_configurations(small_run: RunConfig) -> None:
    assert altered(small_run, adversarial=0.0).hash == small_run.hash
    assert "adversarial" not in small_run.model_dump_json()
    assert altered(small_run, adversarial=0.1).hash != small_run.hash
    assert torch.equal(step_keys(small_run, 2, 5, 3), dropout_keys(small_run, 2, 5, 3))
    for wrong in (-0.1, float("nan")):
        with pytest.raises(ValidationError, match="adversarial"):
            altered(small_run, adversarial=wrong)


def test_the_attack_is_that_of_a_loop(digits: ImageSet, small_run: RunConfig) -> None:
    """Each example by itself, from where its key says, in pixels: float64."""
    (run,) = under_attack(small_run, "mlp", 1)
    data, network = data_of(digits, run, torch.float64), make_network(run.network, (1, 8, 8), 10).double()
    batch = run.training.batch_size
    images, labels = data.train_images[:batch], data.train_labels[:batch]
    keys = step_keys(run, 1, 4, 0)[2]
    found = TrainingAttack(run, data, fleet=False)(network, images, labels, keys[None])
    assert network.training
    assert data.ends is not None
    black, bright = (end.item() for end in data.ends)
    reach = RADIUS * (bright - black)
    assert (found - images).abs().max() <= reach * (1 + 1e-12)
    assert found.min() >= black
    assert found.max() <= bright
    start = TrainingAttack(run, data, fleet=False)
    start.radius = 0.0
    assert start(network, images, labels, keys[None]) is images
    # The steps again, from the same start, which a network that is flat does not leave.
    flat = make_network(run.network, (1, 8, 8), 10).double()
    for parameter in flat.parameters():
        parameter.data.zero_()
    begun = TrainingAttack(run, data, fleet=False)(flat, images, labels, keys[None])
    for place in range(batch):
        x = begun[place : place + 1].clone()
        for _ in range(STEPS):
            x = x.detach().requires_grad_()
            F.cross_entropy(network(x), labels[place : place + 1]).backward()
            assert x.grad is not None
            x = x.detach() + 2.5 / STEPS * reach * x.grad.sign()
            low, high = images[place] - reach, images[place] + reach
            x = x.maximum(low).minimum(high).clamp(black, bright)
        # Where an image's own start was cut off at an end of the range, both begin there.
        torch.testing.assert_close(found[place], x[0])
    spread = ((begun - images) / reach)[(images - reach > black) & (images + reach < bright)]
    assert spread.min() < -0.9
    assert spread.max() > 0.9


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["mlp", "nin"])
def test_fleets_are_attacked_as_their_networks_alone(
    digits: ImageSet, small_run: RunConfig, kind: str, device: str
) -> None:
    runs = under_attack(small_run, kind)
    if kind == "nin":  # with dropout, and augmented
        network = runs[0].network.model_copy(update={"dropout": 0.2})
        runs = [altered(run, augmentation=True).model_copy(update={"network": network}) for run in runs]
    data = data_of(digits, runs[0], torch.float64, device)
    found = {one.config.hash: one for one in train_fleet(runs, data, 3)}
    for run in runs:
        _, final, result = train(run, data)
        assert difference(found[run.hash].final, final) < 1e-10
        assert found[run.hash].result.sum_of_training_losses == pytest.approx(result.sum_of_training_losses)


@pytest.mark.parametrize("fleet", [True, False])
def test_it_goes_on_where_it_stopped(digits: ImageSet, small_run: RunConfig, tmp_path: Path, fleet: bool) -> None:
    runs = under_attack(small_run, "nin", 2, precision="float32")
    data = data_of(digits, runs[0], torch.float32)

    def place(config: RunConfig) -> Path:
        return tmp_path / config.hash

    with one_thread():
        if fleet:
            whole = {one.config.hash: one.final for one in train_fleet(runs, data, 2)}
            with pytest.raises(OutOfTimeError):
                list(train_fleet(runs, data, 2, place, until=0.0))
            gone_on = {one.config.hash: one.final for run in runs for one in train_fleet([run], data, 1, place)}
        else:
            whole = {run.hash: train(run, data)[1] for run in runs}
            for run in runs:
                with pytest.raises(OutOfTimeError):
                    train(run, data, place(run), until=0.0)
            gone_on = {run.hash: train(run, data, place(run))[1] for run in runs}
    assert all(difference(whole[name], gone_on[name]) == 0 for name in whole)


def test_linear_layers_compute_nothing_new_and_are_no_part_of_other_configurations() -> None:
    plain = small_network("mlp", 4, 1)
    assert "linear_layers" not in plain.model_dump()
    deep = plain.model_copy(update={"linear_layers": 2})
    network = make_network(deep, (1, 3, 3), 2).double()
    x = torch.randn(5, 1, 3, 3, dtype=torch.float64)
    state = network.state_dict()
    hidden = (x.flatten(1) @ state["hidden.weight"].T + state["hidden.bias"]).relu()
    for layer in range(2):
        hidden = hidden @ state[f"linear.{layer}.weight"].T + state[f"linear.{layer}.bias"]
    expected = hidden @ state["classifier.weight"].T + state["classifier.bias"]
    torch.testing.assert_close(network(x), expected)
    with pytest.raises(ValidationError, match="linear_layers"):
        type(plain).model_validate(plain.model_dump() | {"linear_layers": -1})


def test_an_attack_of_no_radius_moves_nothing() -> None:
    network = make_network(small_network("mlp", 4, 1), (1, 3, 3), 2)
    x = torch.rand(5, 1, 3, 3)
    ends = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)
    assert torch.equal(attacked(network, x, torch.zeros(5).long(), 0.0, ends, torch.ones_like(x), 2), x)
