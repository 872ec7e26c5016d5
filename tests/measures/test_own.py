"""Anybody's network: the answers of the exhaustive scan, of our own networks' measures, and clear refusals."""

import math
import warnings
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import prune
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import VisionTransformer, resnet18

import prunability as pr
from prunability.foundation.execution import project_root
from prunability.measures import REGISTRY, all_measures, take
from prunability.measures.given import see_weights
from prunability.measures.search import PRUNERS, keep_steps, prunable, pruned


def plain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, 10),
    )  # fmt: skip


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "sequential": plain,
    "resnet18": lambda: resnet18(num_classes=10),
    # vit_b_16, narrower and less deep: to rank its 86 million weights takes half a minute.
    "transformer": lambda: VisionTransformer(
        image_size=32, patch_size=16, num_layers=3, num_heads=4, hidden_dim=64, mlp_dim=128, num_classes=10
    ),
}


def with_data(name: str, count: int = 4) -> tuple[nn.Module, Tensor, Tensor]:
    """A network with random weights, and labels that it gives itself, so that pruning does hurt."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = NETWORKS[name]().eval()
        x = torch.randn(count, 3, 32, 32)
        list(prunable(net).values())[-1].normal_()  # a transformer's last layer is zero at first
    for tensor in net.state_dict().values():  # statistics that folding has to respect
        if tensor.is_floating_point() and tensor.dim() == 1:
            tensor.add_(torch.linspace(0.1, 0.5, len(tensor)))
    with torch.no_grad():
        return net, x, net(x).argmax(1)


def exhaustive(net: nn.Module, x: Tensor, y: Tensor, grid: int, epsilon: float) -> tuple[float, list[float]]:
    """Every fraction tried on a copy of the network, weight by weight set to zero, nothing folded."""
    with torch.no_grad():
        limit = F.cross_entropy(net(x).double(), y).item() + epsilon
        weights, losses, copy = prunable(net), [], deepcopy(net)
        steps = keep_steps(weights, "magnitude", grid)
        for step in range(1, grid + 1):
            copy.load_state_dict(net.state_dict() | pruned(weights, steps, step))
            losses.append(F.cross_entropy(copy(x).double(), y).item())
    return next((k + 1) / grid for k, loss in enumerate(losses) if loss <= limit or k == grid - 1), losses


@pytest.mark.parametrize(("name", "grid"), [("sequential", 40), ("resnet18", 6), ("transformer", 25)])
def test_prunability_is_the_exhaustive_scans(name: str, grid: int) -> None:
    net, x, y = with_data(name)
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    _, losses = exhaustive(net, x, y, grid, 0)
    epsilon = 0.5 * (losses[0] - losses[-1]) if losses[0] > losses[-1] else 0.01
    expected, _ = exhaustive(net, x, y, grid, epsilon)
    assert pr.prunability(net, x, y, tolerance=epsilon, resolution=grid) == expected
    assert 1 / grid < expected < 1  # else nothing is tested
    loader = DataLoader(TensorDataset(x, y), batch_size=4)
    assert pr.prunability(net, loader, tolerance=epsilon, resolution=grid) == expected
    assert pr.pruning_curve(net, x, y, resolution=grid) == pytest.approx(losses, rel=1e-4)
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items())


def test_what_has_no_value_says_why() -> None:
    net, x, y = with_data("sequential", 30)
    found = pr.measures_of(net, x, y).set_index("name")
    assert list(found.index) == list(all_measures())
    has = found["value"].notna()
    assert (has == (found["undefined"] == "")).all()
    assert found.loc["prunability_magnitude_absolute_0.1", "value"] == pr.prunability(net, x, y)
    assert found.loc["distance_from_initialisation", "undefined"] == "the network at initialisation was not given"
    assert found.loc["steps_to_target", "undefined"] == "how the network was trained is not known"
    with_start = pr.measures_of(net, x, y, initial=deepcopy(net)).set_index("name")
    assert with_start.loc["distance_from_initialisation", "value"] == 0


def test_our_own_networks_have_the_measures_of_their_runs(trained: pr.TrainedRun) -> None:
    data = trained.data
    start = deepcopy(trained.network)
    start.load_state_dict(trained.initial)
    table = pr.measures_of(trained.network, data.train_images, data.train_labels, initial=start).set_index("name")
    # All but what is drawn at random, and what needs the training's record.
    for name in REGISTRY.keys() - {"hessian_trace", "pacbayes", "pacbayes_magnitude", "dropout_bound"}:
        values, errors, _ = take(name, trained)
        for one, value in values.items():
            known = table.loc[one, "undefined"] != "how the network was trained is not known"
            if known and not errors:
                assert table.loc[one, "value"] == pytest.approx(value, rel=1e-6), one


class Curved(nn.Module):
    def __init__(self, twice: bool = False) -> None:
        super().__init__()
        self.one, self.two, self.twice = nn.Linear(8, 8), nn.Linear(8, 3), twice

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.two(self.one(self.one(x)).relu() if self.twice else F.gelu(self.one(x)))
        return out


class Unfollowed(Curved):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum() > 0 else super().forward(x) * 2


class Aside(Curved):
    """It has a layer that it never uses, or only for some images, and a number for a temperature."""

    def __init__(self, sometimes: bool) -> None:
        super().__init__()
        self.sometimes, self.aside, self.warmth = sometimes, nn.Linear(3, 3), nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = super().forward(x) * F.softplus(self.warmth)
        return out + self.aside(out) * (x[:, :1] > 2) if self.sometimes and (x > 2).any() else out


def test_a_layer_must_be_used_for_some_image() -> None:
    """Else its weights would be pruned for nothing, and some measures would not know what to do with it."""
    x, y = torch.randn(60, 8, generator=torch.Generator().manual_seed(1)).clamp(-1, 1), torch.arange(60) % 3
    x[-1, 0] = 3.0
    with pytest.raises(pr.PrunabilityError, match=r"^aside.weight is used for no output, .* its layer's place$"):
        pr.prunability(Aside(sometimes=False).eval(), x, y)
    assert 0 < pr.prunability(Aside(sometimes=True).eval(), x, y) <= 1
    assert pr.measures_of(Aside(sometimes=True).eval(), x, y)["value"].notna().any()


BEFORE = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(8), nn.Linear(8, 3))


@pytest.mark.parametrize(
    ("net", "name", "why"),
    [
        (Curved(), "path_norm", "gelu is not known to be piecewise linear"),
        (Curved(twice=True), "hessian_trace", "one is used more than once"),
        (Unfollowed(), "path_norm", "the network's layers cannot be followed"),
        (BEFORE, "pacbayes_flatness", "BatchNorm 1 does not follow a convolution"),
    ],
)
def test_measures_that_suppose_a_structure_are_undefined_without_it(net: nn.Module, name: str, why: str) -> None:
    x, y = torch.randn(20, 8, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3
    found = pr.measures_of(net.eval(), x, y).set_index("name")
    assert why in str(found.loc[name, "undefined"])
    assert 0 < float(str(found.loc["prunability_random_absolute_0.1", "value"])) <= 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.sampled_from(PRUNERS), st.floats(1e-3, 1.0))
def test_any_small_network_any_pruner(seed: int, grid: int, pruner: Any, epsilon: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double().eval()
    for tensor in net.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape, generator=generator, dtype=torch.float64))
    x = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    y = torch.randint(3, (12,), generator=generator)
    curve = pr.pruning_curve(net, x, y, pruner=pruner, resolution=grid)
    limit = curve[-1] + epsilon
    expected = next((k + 1) / grid for k, loss in enumerate(curve) if loss <= limit)
    assert pr.prunability(net, x, y, pruner=pruner, resolution=grid, tolerance=epsilon) == expected


X, Y = torch.zeros(4, 8), torch.zeros(4, dtype=torch.int64)
TIED = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
TIED[1].weight = TIED[0].weight
with warnings.catch_warnings(action="ignore"):
    SCRIPTED = torch.jit.script(nn.Linear(8, 3)).eval()
RAGGED = [(X, Y), (X[:, :4], Y)]
BROKEN = torch.zeros(40, 8)
BROKEN[30, 0] = math.inf
BAD: list[tuple[str, str, Callable[[], object]]] = [
    ("no module", "a torch module is needed, this is a str", lambda: pr.prunability("net", X, Y)),  # type: ignore[arg-type]
    ("training", r"training mode: call its eval\(\)", lambda: pr.prunability(Curved(), X, Y)),
    ("no weights", "no convolution and no linear weights", lambda: pr.prunability(nn.ReLU().eval(), X, Y)),
    ("tied", "share one weight tensor", lambda: pr.prunability(TIED.eval(), X, Y)),
    ("no labels", r"labels must be \[N\] for images \[4, 8\], found none", lambda: ask(X)),
    ("labels too many", r"labels must be \[N\].*found \[5\]", lambda: ask(X, torch.zeros(5))),
    ("float labels", "labels must be whole numbers", lambda: ask(X, torch.zeros(4))),
    ("labels out of range", "labels must lie in 0 to 2, found 0 to 3", lambda: ask(X, Y + torch.arange(4))),
    ("negative labels", "labels must lie in 0 to 2, found -1 to -1", lambda: ask(X, Y - 1)),
    ("no images", r"labels must be \[N\] for images \[0, 8\]", lambda: ask(X[:0], Y[:0])),
    ("uint8", "images are torch.uint8, the network's weights torch.float32", lambda: ask(X.to(torch.uint8), Y)),
    ("NaN", "the training loss is nan", lambda: ask(X * math.nan, Y)),
    ("triples", "pairs of images and labels, all tensors", lambda: ask([(X, Y, Y)], None)),
    ("empty loader", "there are no images: pairs of images and labels", lambda: ask([], None)),
    ("empty data set", "there are no images", lambda: ask(DataLoader(TensorDataset(X[:0], Y[:0])), None)),
    (
        "ragged loader",
        r"images must be batches.*found \[4, 4\] .* and \[4, 8\]",
        lambda: ask([(X, Y), (X[:, :4], Y)]),
    ),
    ("loader of one", r"labels must be batches \[N, ...\].*found \[\]", lambda: ask([(X, Y[0])])),
    ("two dtypes", "of one shape and dtype, found .*32 and .*64", lambda: ask([(X, Y), (X.double(), Y)])),
    ("one hot", r"labels must be \[N\].*found \[4, 3\]", lambda: ask(X, F.one_hot(Y, 3))),
    ("true or false", "labels must be whole numbers.*these are torch.bool", lambda: ask(X, Y > 0)),
    ("one number", r"labels must be \[N\] for images \[\]", lambda: ask(X[0, 0], Y)),
    (
        "wrong shape",
        r"evaluated on images \[7\], each float32 \(RuntimeError: ",
        lambda: ask(X[:, :7], Y),
    ),
    (
        "double",
        "images are torch.float64, the network's weights torch.float32",
        lambda: ask(X.double(), Y),
    ),
    (
        "one infinite image",
        "loss is nan: .* not for 1 of 40 images",
        lambda: ask(BROKEN, Y.repeat(10)),
    ),
    ("NaN weights", "the training loss is nan", lambda: of(lambda logits: logits * math.nan)),
    ("a tuple", "must be logits.*these are a tuple: wrap the network", lambda: of(lambda logits: (logits, logits))),
    ("a dictionary", "must be logits.*these are a dict: wrap", lambda: of(lambda logits: {"logits": logits})),
    ("one class", r"2 or more, these are \[4, 1\] for 4 images", lambda: of(lambda logits: logits[:, :1])),
    ("no classes", r"2 or more, these are \[4\]", lambda: of(lambda logits: logits[:, 0])),
    ("classes", "must be logits.*these are torch.int64", lambda: of(lambda logits: logits.long())),
    (
        "probabilities",
        "these are probabilities: leave out the softmax",
        lambda: of(lambda logits: logits.softmax(1)),
    ),
    ("random", "other outputs each time.*dropout as a module", lambda: of(F.dropout)),
    ("a batch", "hangs on the others that it is evaluated with", lambda: of(lambda logits: logits / logits.std())),
    ("inference", "was made in inference mode: copy its state", lambda: of(F.relu, inferred)),
    ("no module of ours", "wrapped in a DataParallel: give the module", lambda: of(F.relu, nn.DataParallel)),
    ("scripted", "wrapped in a .*ScriptModule", lambda: pr.prunability(SCRIPTED, X, Y)),
    ("lazy", r"1.weight of the network is not yet initialised", lambda: of(F.relu, with_lazy)),
    ("no values", r"one.weight of the network has no values", lambda: of(F.relu, lambda net: net.to("meta"))),
    ("a part in training", "training mode in its part two: call", lambda: of(F.relu, with_training)),
    (
        "another start",
        "one.weight is missing there",
        lambda: pr.measures_of(Curved().eval(), X, Y, initial=plain().eval()),
    ),
    (
        "another start's shape",
        r"initial network must be.*: one.weight is \[9, 8\] on cpu there, \[8, 8\] on cpu",
        lambda: starting(of_width(9)),
    ),
    (
        "a start in training",
        "the initial network is in training mode: call",
        lambda: starting(Curved()),
    ),
    ("labels twice", "images are a list: give a tensor", lambda: ask([(X, Y)], Y)),
    ("numpy images", "images are a ndarray: give a tensor", lambda: ask(X.numpy(), Y)),
    ("numpy labels", "labels are a ndarray: give a tensor", lambda: ask(X, Y.numpy())),
    ("a number", "pairs of images and labels, all tensors", lambda: ask(3, None)),
    ("no tensors", "pairs of images and labels, all tensors", lambda: ask([([1.0], [0])], None)),
    ("tolerance", "tolerance: a tolerance must be positive, got -1", lambda: ask(X, Y, tolerance=-1)),
    (
        "tolerance text",
        "tolerance must be nats, a number, or a Tolerance, got '0.1'",
        lambda: ask(X, Y, tolerance="0.1"),
    ),
    ("resolution too fine", r"resolution 1000000000 is finer than one weight", lambda: ask(X, Y, resolution=10**9)),
    ("tolerance NaN", "tolerance: a tolerance must be positive", lambda: ask(X, Y, tolerance=math.nan)),
    ("pruner", "pruner 'best' is none of magnitude, layerwise, random", lambda: ask(X, Y, pruner="best")),
    ("resolution", "resolution must be an int from 1 on, got 0", lambda: ask(X, Y, resolution=0)),
]


def ask(images: Any = X, labels: Any = None, **options: Any) -> object:
    return pr.prunability(Curved().eval(), images, labels, **options)


class Ending(Curved):
    """Its logits, changed."""

    def __init__(self, end: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.end = end

    def forward(self, x: Tensor) -> Any:
        return self.end(super().forward(x) + 1)


def of(end: Callable[[Tensor], Any], wrap: Callable[[Any], nn.Module] = lambda net: net) -> object:
    return pr.prunability(wrap(Ending(end).eval()), X, Y)


def starting(initial: nn.Module) -> object:
    return pr.measures_of(Curved().eval(), X, Y, initial=initial)


def with_lazy(net: nn.Module) -> nn.Module:
    return nn.Sequential(net, nn.LazyLinear(3)).eval()


def with_training(net: nn.Module) -> nn.Module:
    net.get_submodule("two").train()
    return net


def inferred(net: nn.Module) -> nn.Module:
    with torch.inference_mode():
        return deepcopy(net)


def of_width(width: int) -> nn.Module:
    net = Curved()
    net.one, net.two = nn.Linear(8, width), nn.Linear(width, 3)
    return net.eval()


@pytest.mark.parametrize(("why", "call"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_cannot_be_measured_is_refused_in_a_line(why: str, call: Callable[[], object]) -> None:
    with pytest.raises(pr.PrunabilityError, match=why) as refused:
        call()
    assert "\n" not in str(refused.value)


def test_the_readmes_words_work_as_written() -> None:
    text = (project_root() / "README.md").read_text(encoding="utf-8").split("## Your own network")[1]
    code = text.split("```python")[1].split("```")[0]
    net, x, y = with_data("sequential", 20)
    loader = DataLoader(TensorDataset(x, y), batch_size=8)
    known: dict[str, Any] = {
        "model": net.train(),
        "images": x,
        "labels": y,
        "loader": loader,
        "untrained": plain().eval(),
    }
    for line in filter(None, code.splitlines()):
        exec(line, known)
    assert known["pr"] is pr


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
    ],
)
def test_a_weight_that_is_computed_is_refused(wrapped: Callable[[nn.Module], nn.Module]) -> None:
    """Zeroing it would change nothing, or something else: what is computed anew is not what was pruned."""
    model = nn.Sequential(nn.Flatten(), wrapped(nn.Linear(4, 3))).eval()
    with pytest.raises(pr.PrunabilityError, match=r"1\.weight is no parameter but computed from others"):
        pr.prunability(model, torch.randn(6, 1, 2, 2), torch.arange(6) % 3)


def test_a_tolerance_is_of_a_known_kind() -> None:
    kind: Any = "rel"
    with pytest.raises(ValueError, match="a tolerance is absolute or relative, not 'rel'"):
        pr.Tolerance(kind, 0.5)


class Attentive(nn.Module):
    """Attention of keys and values of other sizes, whose projections are tensors of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, kdim=4, vdim=2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        found, _ = self.attention(x, x[..., :4], x[..., :2], need_weights=False)
        logits: Tensor = self.head(found.mean(1))
        return logits


def test_all_projections_of_attention_are_pruned() -> None:
    net = Attentive().eval()
    assert sum(weight.numel() for weight in prunable(net).values()) == 8 * 8 + 8 * 4 + 8 * 2 + 8 * 8 + 8 * 3
    images = torch.randn(12, 5, 8, generator=torch.Generator().manual_seed(0))
    curve = pr.pruning_curve(net, images, torch.arange(12) % 3)
    assert pr.prunability(net, images, torch.arange(12) % 3) <= 1
    assert curve[-1] == pytest.approx(F.cross_entropy(net(images), torch.arange(12) % 3).item())


def test_a_network_that_evaluates_without_gradients_lacks_what_needs_them() -> None:
    class Still(Curved):
        @torch.no_grad()
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    net = Still().eval()
    found = pr.measures_of(net, X, Y).set_index("name")
    assert found["undefined"].str.contains("cannot be differentiated").any()
    assert found.loc["prunability_magnitude_absolute_0.1", "value"] == pr.prunability(net, X, Y)


def test_a_warning_says_what_share_stays_whole() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.LSTM(4, 6, batch_first=True), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.head(self.cell(x)[0][:, -1])
            return found

    net, x, y = Recurrent().eval(), torch.ones(3, 5, 4).cumsum(0), torch.arange(3)
    recurrent, head = 4 * 6 * (4 + 6), 6 * 3
    words = (
        f"{recurrent / (recurrent + head):.1%} of the weights stay whole.*: cell.weight_ih_l0, cell.weight_hh_l0"
    )
    with pytest.warns(UserWarning, match=words) as caught:
        pr.prunability(net, x, y)
    assert caught[0].filename == __file__


def test_a_weight_with_two_names_does_not_stay_whole() -> None:
    """One that an embedding shares with a linear layer is pruned in both: no warning, which would be an error."""
    net = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5))
    net[1].weight = net[0].weight
    assert see_weights(net) is not None
