"""Norms, spectra and path norms against dense matrices, loops and sums over paths, in float64."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers import value
from prunability.measures import REGISTRY, TrainedRun, UndefinedMeasureError, all_measures
from prunability.measures.spectra import convolution_norm, input_sizes, kernel_norm

ARCHITECTURES = ("trained", "mlp", "resnet")


def slow_folded(run: TrainedRun, state: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Folded weights by name, each channel scaled by hand."""
    weights = {name: t.numpy().copy() for name, t in state.items() if t.ndim > 1}

    def scale(norm: str) -> np.ndarray:
        variance = state[f"{norm}.running_var"].numpy()
        return np.asarray(state[f"{norm}.weight"].numpy() / np.sqrt(variance + 1e-5))

    for name, weight in weights.items():
        parts = name.split(".")
        if parts[0] == "blocks" and parts[2].isdigit():  # NiN: the next layer is the BatchNorm
            for out, factor in enumerate(scale(f"blocks.{parts[1]}.{int(parts[2]) + 1}")):
                weight[out] *= factor
        elif parts[0] == "blocks":
            if parts[2] == "conv1":
                for out, factor in enumerate(scale(f"blocks.{parts[1]}.norm2")):
                    weight[out] *= factor
            if parts[2] in ("conv1", "shortcut"):
                for channel, factor in enumerate(scale(f"blocks.{parts[1]}.norm1")):
                    weight[:, channel] *= abs(factor)
    return weights


def test_frobenius_norms(request: pytest.FixtureRequest) -> None:
    for architecture in ARCHITECTURES:
        run: TrainedRun = request.getfixturevalue(architecture)
        final, initial = slow_folded(run, run.final), slow_folded(run, run.initial)
        squares = [math.fsum(x * x for x in weight.flatten()) for weight in final.values()]
        moves = [
            math.fsum((x - y) ** 2 for x, y in zip(final[name].flatten(), initial[name].flatten(), strict=True))
            for name in final
        ]
        product = math.prod(squares)
        assert value(run, "parameter_norm") == pytest.approx(sum(squares), rel=1e-9)
        assert value(run, "distance_from_initialisation") == pytest.approx(sum(moves), rel=1e-9)
        assert value(run, "log_product_of_frobenius_norms") == pytest.approx(math.log(product), rel=1e-9)
        count = len(squares)
        assert value(run, "sum_of_frobenius_norms") == pytest.approx(count * product ** (1 / count), rel=1e-9)
        over = product * value(run, "inverse_margin")
        assert value(run, "log_product_of_frobenius_norms_over_margin") == pytest.approx(math.log(over), rel=1e-9)
        assert value(run, "sum_of_frobenius_norms_over_margin") == pytest.approx(
            count * over ** (1 / count), rel=1e-9
        )


def dense(weight: np.ndarray, stride: int, height: int, width: int) -> np.ndarray:
    """The matrix of the circular convolution, one entry at a time."""
    outputs, inputs, kh, kw = weight.shape
    rows, columns = height // stride, width // stride
    matrix = np.zeros((outputs, rows, columns, inputs, height, width))
    for o, y, x, c, i, j in itertools.product(*map(range, (outputs, rows, columns, inputs, kh, kw))):
        matrix[o, y, x, c, (stride * y + i) % height, (stride * x + j) % width] += weight[o, c, i, j]
    return matrix.reshape(outputs * rows * columns, -1)


@pytest.mark.parametrize(
    ("shape", "stride", "size", "grid"),
    [
        ((3, 2, 3, 3), 1, (4, 4), (4, 4)),
        ((2, 4, 3, 3), 1, (5, 4), (5, 4)),
        ((4, 3, 3, 3), 2, (6, 6), (6, 6)),
        ((2, 2, 3, 3), 2, (4, 8), (4, 8)),
        ((5, 2, 1, 1), 2, (4, 4), (4, 4)),
        ((2, 5, 1, 1), 1, (4, 4), (4, 4)),
        ((3, 2, 3, 3), 1, (2, 2), (3, 3)),  # smaller than the kernel
        ((2, 3, 3, 3), 2, (3, 5), (4, 6)),  # no multiple of the stride
    ],
)
def test_convolution_norm_is_that_of_the_dense_matrix(
    shape: tuple[int, ...], stride: int, size: tuple[int, int], grid: tuple[int, int]
) -> None:
    weight = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = np.linalg.svd(dense(weight.numpy(), stride, *grid), compute_uv=False)[0]
    assert convolution_norm(weight, stride, size) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_spectral_norms(architecture: str, request: pytest.FixtureRequest) -> None:
    run: TrainedRun = request.getfixturevalue(architecture)
    final, initial = slow_folded(run, run.final), slow_folded(run, run.initial)
    convolutions = {f"{n}.weight": m for n, m in run.network.named_modules() if isinstance(m, nn.Conv2d)}
    margin, count = value(run, "inverse_margin") ** -0.5, len(final)

    def top(name: str, weight: np.ndarray, exact: bool) -> float:
        if not exact or name not in convolutions:
            return float(np.linalg.svd(weight.reshape(len(weight), -1), compute_uv=False)[0])
        stride = convolutions[name].stride[0]
        height, width = (-(-max(n, weight.shape[2]) // stride) * stride for n in input_sizes(run)[name])
        return float(np.linalg.svd(dense(weight, stride, height, width), compute_uv=False)[0])

    for suffix, exact in (("", False), ("_fft", True)):
        norms = {name: top(name, weight, exact) ** 2 for name, weight in final.items()}
        product = math.prod(norms.values())
        moved = sum(top(name, final[name] - initial[name], exact) ** 2 for name in final)
        expected = {
            "log_product_of_spectral_norms": math.log(product),
            "sum_of_spectral_norms": count * product ** (1 / count),
            "frobenius_over_spectral": sum((final[name] ** 2).sum() / norms[name] for name in final),
            "spectral_distance": moved,
            "log_product_of_spectral_norms_over_margin": math.log(product / margin**2),
            "sum_of_spectral_norms_over_margin": count * (product / margin**2) ** (1 / count),
            "log_spectral_bound_from_init": math.log(
                product
                * sum(((final[name] - initial[name]) ** 2).sum() / norms[name] for name in final)
                / margin**2
            ),
            "log_spectral_bound_from_origin": math.log(
                product * sum((final[name] ** 2).sum() / norms[name] for name in final) / margin**2
            ),
        }
        for name, number in expected.items():
            assert value(run, name + suffix) == pytest.approx(number, rel=1e-8), name


def test_input_sizes_of_digits(trained: TrainedRun) -> None:
    sizes = input_sizes(trained)
    assert [sizes[f"blocks.{block}.{layer}.weight"] for block in (0, 1) for layer in (0, 3, 6)] == [
        (8, 8), (4, 4), (4, 4), (4, 4), (2, 2), (2, 2),
    ]  # fmt: skip


def test_kernel_norm_of_a_rank_one_matrix() -> None:
    left, right = torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0, 2.0])
    assert kernel_norm(torch.outer(left, right)) == pytest.approx(5 * 3)


def test_path_norm_is_the_sum_over_paths(mlp: TrainedRun) -> None:
    state = {name: t.tolist() for name, t in mlp.final.items()}
    units, pixels = len(state["hidden.weight"]), len(state["hidden.weight"][0])
    total = 0.0
    for output in range(10):
        total += state["classifier.bias"][output] ** 2
        for unit in range(units):
            total += (state["classifier.weight"][output][unit] * state["hidden.bias"][unit]) ** 2
            for pixel in range(pixels):
                total += (state["classifier.weight"][output][unit] * state["hidden.weight"][unit][pixel]) ** 2
    assert value(mlp, "path_norm") == pytest.approx(total, rel=1e-10)
    assert value(mlp, "path_norm_over_margin") == pytest.approx(total * value(mlp, "inverse_margin"), rel=1e-10)


def test_path_norm_of_a_residual_network(resnet: TrainedRun) -> None:
    """Without a ReLU, layer after layer: squared parameters never make a unit negative."""
    state = {name: t.square() for name, t in resnet.folded.state_dict().items()}

    def conv(x: Tensor, name: str, stride: int) -> Tensor:
        bias = state.get(f"{name}.bias")
        return F.conv2d(x, state[f"{name}.weight"], bias, stride, state[f"{name}.weight"].shape[-1] // 2)

    x = conv(torch.ones(1, 1, 8, 8, dtype=torch.float64), "stem", 1)
    for number in range(8):
        block, stride = f"blocks.{number}", 2 if number in (2, 4, 6) else 1
        active = state[f"{block}.norm1.sign"][:, None, None] * x + state[f"{block}.norm1.shift"][:, None, None]
        beside = conv(active, f"{block}.shortcut", stride) if stride == 2 else x
        x = conv(conv(active, f"{block}.conv1", stride), f"{block}.conv2", 1) + beside
    expected = (x.mean(dim=(2, 3)) @ state["classifier.weight"].T + state["classifier.bias"]).sum()
    assert value(resnet, "path_norm") == pytest.approx(expected.item(), rel=1e-10)


def transformed(run: TrainedRun, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> TrainedRun:
    """A run whose final and initial weights are changed alike."""
    return replace(run, final=change(run.final), initial=change(run.initial))


FUNCTION_SPACE = [
    "inverse_margin",
    "negative_mean_margin",
    "negative_output_entropy",
    "path_norm",
    "path_norm_over_margin",
    "pacbayes_magnitude_flatness",
]


@pytest.mark.parametrize("factor", [0.1, 3.0, 50.0])
def test_rescaling_a_layer_up_and_the_next_down(mlp: TrainedRun, factor: float) -> None:
    """relu(c·x) = c·relu(x): the function stays, and so do products over layers; sums change as they say."""

    def rescale(state: dict[str, Tensor]) -> dict[str, Tensor]:
        scales = {"hidden.weight": factor, "hidden.bias": factor, "classifier.weight": 1 / factor}
        return {name: t * scales.get(name, 1) for name, t in state.items()}

    other = transformed(mlp, rescale)
    layerwise = [name for name in all_measures() if name.startswith("prunability_layerwise")]
    products = [name for name in all_measures() if "product" in name or "over_margin" in name]
    ratios = [name for name in all_measures() if name.startswith("frobenius_over_spectral")]
    for name in [*FUNCTION_SPACE, *layerwise, *products, *ratios]:
        assert value(other, name) == pytest.approx(value(mlp, name), rel=1e-7), name
    for name in ("sum_of_frobenius_norms", "sum_of_spectral_norms", "sum_of_spectral_norms_fft"):
        assert value(other, name) == pytest.approx(value(mlp, name), rel=1e-9), name
    first, second = (mlp.final[f"{layer}.weight"].square().sum().item() for layer in ("hidden", "classifier"))
    assert value(other, "parameter_norm") == pytest.approx(factor**2 * first + second / factor**2, rel=1e-9)
    distances = [
        (mlp.final[f"{layer}.weight"] - mlp.initial[f"{layer}.weight"]).square().sum().item()
        for layer in ("hidden", "classifier")
    ]
    assert value(other, "distance_from_initialisation") == pytest.approx(
        factor**2 * distances[0] + distances[1] / factor**2, rel=1e-9
    )


def test_permuting_hidden_units_changes_nothing(mlp: TrainedRun) -> None:
    order = torch.tensor([2, 7, 0, 4, 3, 6, 1, 5])

    def permute(state: dict[str, Tensor]) -> dict[str, Tensor]:
        return {
            "hidden.weight": state["hidden.weight"][order],
            "hidden.bias": state["hidden.bias"][order],
            "classifier.weight": state["classifier.weight"][:, order],
            "classifier.bias": state["classifier.bias"],
        }

    other = transformed(mlp, permute)
    # Noise and random orders belong to a place, so these are estimates of the same from other draws.
    drawn = {"pacbayes", "pacbayes_magnitude", "prunability_random", "dropout_bound", "loss_rise_activation_noise"}
    for name, group in REGISTRY.items():
        if name in drawn:
            continue
        tolerance = 5e-3 if name == "hessian_top_eigenvalue" else 1e-7
        for member, one in group.function(mlp).items():
            assert group.function(other)[member] == pytest.approx(one, rel=tolerance), member


def test_a_run_at_its_initialisation(mlp: TrainedRun) -> None:
    still = replace(mlp, initial=mlp.final)
    assert value(still, "distance_from_initialisation") == 0
    assert value(still, "spectral_distance_fft") == 0
    with pytest.raises(UndefinedMeasureError, match="initialisation"):
        value(still, "log_spectral_bound_from_init")
