"""The rise of the loss under noise, against one example at a time and hooks on the layers."""

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from conftest import quickly_trained
from helpers import DEVICES, value
from prunability.data.dataset import Dataset
from prunability.data.images import ImageSet
from prunability.foundation.seeding import generator
from prunability.measures import REGISTRY, Estimated, TrainedRun, take
from prunability.measures.own import OwnNetwork
from prunability.measures.resilience import DRAWS, SIGMA, disturbed_examples, spreads
from prunability.training.config import CNNConfig, NiNConfig
from prunability.training.layers import ReLU
from prunability.training.loop import EVALUATION_PIXELS

INPUTS, ACTIVATIONS = "loss_rise_input_noise", "loss_rise_activation_noise"


@pytest.fixture(scope="module")
def cnn(digits: ImageSet) -> TrainedRun:
    return quickly_trained(digits, CNNConfig(width=2), 40)


@pytest.fixture(scope="module")
def dropped_out(digits: ImageSet) -> TrainedRun:
    return quickly_trained(digits, NiNConfig(width=6, depth=2, dropout=0.4), 40)


def through(net: nn.Module, x: Tensor, changed: Callable[[Tensor], Tensor]) -> Tensor:
    """The logits where every ReLU's output is changed."""
    hooks = [
        layer.register_forward_hook(lambda _, __, out: changed(out))
        for layer in net.modules()
        if isinstance(layer, ReLU)
    ]
    with torch.no_grad():
        logits: Tensor = net(x)
    for hook in hooks:
        hook.remove()
    return logits


def kept(seen: list[Tensor], out: Tensor) -> Tensor:
    seen.append(out.clone())
    return out


def disturbed(places: Iterator[Tensor], draws: torch.Generator, out: Tensor) -> Tensor:
    return out + SIGMA * next(places) * torch.randn(out.shape, generator=draws)


def rises_by_hand(run: TrainedRun, name: str) -> list[list[float]]:
    """Of each example under each draw, with BatchNorm as it is: the examples one by one, noise layer by layer."""
    net, pairs = run.network, list(zip(run.data.train_images[:, None], run.data.train_labels[:, None], strict=True))
    each: list[list[Tensor]] = [[] for _ in pairs]
    for (x, _), seen in zip(pairs, each, strict=True):
        through(net, x, partial(kept, seen))
    spread = [torch.cat(place).std(0, correction=0) for place in zip(*each, strict=True)]
    scale, purpose = np.std(run.data.train_images.numpy()), name.removeprefix("loss_rise_").replace("_", " ")
    found = []
    for example, (x, y) in enumerate(pairs):
        clean, draws = F.cross_entropy(net(x), y).item(), generator(*run.config.seed_key(purpose), example)
        noisy = [
            net(x + SIGMA * scale * torch.randn(x.shape, generator=draws))
            if name == INPUTS
            else through(net, x, partial(disturbed, iter(spread), draws))
            for _ in range(DRAWS)
        ]
        found.append([F.cross_entropy(outputs, y).item() - clean for outputs in noisy])
    return found


@pytest.mark.parametrize("name", [INPUTS, ACTIVATIONS])
@pytest.mark.parametrize("architecture", ["trained", "dropped_out", "mlp", "tiny_nin", "resnet", "cnn"])
def test_the_rise_by_hand(architecture: str, name: str, request: pytest.FixtureRequest) -> None:
    """On every kind of network, and its standard error: of the draws alone, for all examples are there."""
    run: TrainedRun = request.getfixturevalue(architecture)
    count = len(run.data.train_labels)
    rises = np.array(rises_by_hand(run, name))
    found = REGISTRY[name].function(run)[name]
    assert isinstance(found, Estimated)
    assert found.value == pytest.approx(rises.mean(), rel=1e-6)
    assert found.value > 0
    one = rises.var(axis=1, ddof=1).sum() / DRAWS
    assert found.standard_error == pytest.approx(math.sqrt(one) / count, rel=1e-6)


def test_the_standard_error_of_some_examples_is_that_of_two_stages(
    mlp: TrainedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a third of them: that of examples, less what is drawn of all, and that of draws."""
    monkeypatch.setattr("prunability.measures.resilience.EXAMPLES", 20)
    run = replace(mlp)
    rises = np.array(rises_by_hand(run, INPUTS))[disturbed_examples(run)]
    found = take(INPUTS, run)
    assert found.values[INPUTS] == pytest.approx(rises.mean(), rel=1e-6)
    between = rises.mean(axis=1).var(ddof=1) / 20 * (1 - 20 / 60)
    within = rises.var(axis=1, ddof=1).mean() / (20 * DRAWS) * (20 / 60)
    assert found.standard_errors[INPUTS] == pytest.approx(math.sqrt(between + within), rel=1e-6)


@pytest.mark.parametrize("name", [INPUTS, ACTIVATIONS])
def test_the_standard_error_covers_other_examples_and_draws(
    trained: TrainedRun, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prunability.measures.resilience.EXAMPLES", 60)
    values, errors = [], []
    for seed in range(30):
        run = replace(trained, config=trained.config.model_copy(update={"seed": seed}))
        run.cache.clear()
        taken = take(name, run)
        values.append(taken.values[name])
        errors.append(taken.standard_errors[name])
    ratio = float(np.std(values, ddof=1)) / float(np.sqrt(np.mean(np.square(errors))))
    assert 0.7 < ratio < 1.4


@pytest.mark.parametrize("name", [INPUTS, ACTIVATIONS])
def test_how_many_are_evaluated_together_changes_no_draw(
    trained: TrainedRun, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU takes more of them at once."""
    whole = value(replace(trained), name)
    monkeypatch.setitem(EVALUATION_PIXELS, "cpu", 7 * 64)
    assert value(replace(trained), name) == pytest.approx(whole, rel=1e-9)


def own(net: nn.Module, x: Tensor, y: Tensor) -> OwnNetwork:
    return OwnNetwork(Dataset(int(y.max()) + 1, x, y, x[:0], y[:0]), net.eval(), None, 0)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", [INPUTS, ACTIVATIONS])
def test_other_devices_and_float32_agree(trained: TrainedRun, name: str, device: str) -> None:
    images, labels = trained.data.train_images, trained.data.train_labels
    net = deepcopy(trained.network).to(device, torch.float32)
    found = take(name, own(net, images.to(device, torch.float32), labels.to(device)))
    assert found.values[name] == pytest.approx(
        take(name, own(trained.network, images, labels)).values[name], rel=1e-3
    )


class Functional(nn.Module):
    def __init__(self, layers: nn.Sequential, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, _, self.second, _, self.last = layers
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.activation(self.second(self.activation(self.first(x))))
        return self.last(hidden)  # type: ignore[no-any-return]


def plain(seed: int) -> tuple[nn.Sequential, Tensor, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 18), nn.ReLU(), nn.Linear(18, 3)).double()
        return net, torch.randn(30, 6, dtype=torch.float64), torch.arange(30) % 3


@pytest.mark.parametrize("activation", [F.relu, torch.relu, Tensor.relu, torch.relu_, nn.ReLU(inplace=True)])
def test_activations_are_seen_however_they_are_written(activation: Callable[[Tensor], Tensor]) -> None:
    net, x, y = plain(0)
    found = take(ACTIVATIONS, own(Functional(net, activation), x, y))
    assert found == take(ACTIVATIONS, own(net, x, y))
    assert found.values[ACTIVATIONS] > 0


@pytest.mark.parametrize("layer", [nn.GELU(), nn.SiLU(), nn.Tanh(), nn.ELU(), nn.ReLU6(), nn.PReLU()])
def test_other_activations_are_seen_too(layer: nn.Module) -> None:
    net, x, y = plain(0)
    assert take(ACTIVATIONS, own(Functional(net, layer.double()), x, y)).undefined is None


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 100), st.floats(0.01, 100))
def test_units_do_not_matter(seed: int, of_inputs: float, of_hidden: float) -> None:
    """Neither of the inputs nor, for each unit, of the activations: what reads them is scaled the other way."""
    net, x, y = plain(seed)
    scaled = deepcopy(net)
    units = torch.logspace(-1, 1, 20, dtype=torch.float64)[:, None] * of_hidden
    state = scaled.state_dict()
    state["0.weight"] *= units / of_inputs
    state["0.bias"] *= units[:, 0]
    state["2.weight"] /= units.T
    for name in (INPUTS, ACTIVATIONS):
        here, there = take(name, own(net, x, y)), take(name, own(scaled, x * of_inputs, y))
        assert there.values[name] == pytest.approx(here.values[name], rel=1e-6)


class Choosing(nn.Module):
    """Some examples pass one activation, others two."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x).relu()
        return out if x[0, 0] > 0 else out.relu()


class Turned(nn.Module):
    """Its first axis is not that of the examples."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).T.relu().T  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("net", "why"),
    [
        (nn.Linear(6, 3), "no activation function is seen in the network"),
        (Choosing(), "the network's activations are not the same for all examples"),
        (Turned(), "the network's activations are not the same for all examples"),
    ],
)
def test_where_no_activation_is_known_it_is_undefined(
    net: nn.Module, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EVALUATION_PIXELS, "cpu", 4)
    _, x, y = plain(0)
    x = x.float()
    x[:, 0] = torch.linspace(1, -1, 30)
    assert take(ACTIVATIONS, own(net, x, y)).undefined == why
    assert take(INPUTS, own(net, x, y)).undefined is None


def test_a_unit_that_never_changes_meets_no_noise() -> None:
    """A constant is no activation: its noise would have no size."""
    net, x, y = plain(3)
    net.state_dict()["0.weight"][:5] = 0
    net.state_dict()["0.bias"][:5] = 3
    assert all((spread[:5] == 0).all() and (spread >= 0).all() for spread in spreads(own(net, x, y))[:1])


def test_where_images_do_not_differ_nothing_is_said() -> None:
    """A noise of no size would make any network the most resilient of all."""
    net, x, y = plain(3)
    run = own(net, torch.ones_like(x), y)
    assert take(INPUTS, run).undefined == "all values of the images are the same"
    assert take(ACTIVATIONS, run).undefined == "all images are the same"
