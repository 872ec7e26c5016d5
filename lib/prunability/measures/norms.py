"""Norms of weights, BatchNorm folded (Dziugaite et al. 2020), W_i the i-th of the D weight tensors.

Products and sums over layers are the square of norms, as in Jiang et al. 2020; products are given as their
logarithms. γ is the margin of ``output.margin``.
"""

import math

import torch
from torch.func import functional_call

from prunability.measures.base import Measure, measure, shared
from prunability.measures.output import JIANG, margin
from prunability.measures.search import prunable
from prunability.measures.subject import Measurable, UndefinedMeasureError


@shared
def frobenius_norms(run: Measurable) -> dict[str, float]:
    """‖W_i‖²_F of each weight tensor, by name."""
    return {name: weight.double().square().sum().item() for name, weight in prunable(run.folded).items()}


@shared
def frobenius_distances(run: Measurable) -> dict[str, float]:
    """‖W_i − W_i⁰‖²_F of each weight tensor, by name; W⁰ at initialisation."""
    initial = prunable(run.folded_initial)
    return {
        name: (weight.double() - initial[name].double()).square().sum().item()
        for name, weight in prunable(run.folded).items()
    }


def log_product(squares: dict[str, float]) -> float:
    """The sum of the logarithms over layers.

    Raises:
        UndefinedMeasureError: a layer is zero, so that the network is constant and the product 0.
    """
    if dead := [name for name, square in squares.items() if square == 0]:
        raise UndefinedMeasureError(f"all weights of {', '.join(dead)} are zero")
    return sum(map(math.log, squares.values()))


def geometric(log_of_product: float, layers: int) -> float:
    """D · (Π over layers)^(1/D): what Jiang et al. 2020 call the sum."""
    return layers * math.exp(log_of_product / layers)


@measure(
    Measure("parameter_norm", "parameter norm", "norms", f"{JIANG}, eq. 42", "Σ‖W_i‖²_F"),
)
def parameter_norm(run: Measurable) -> dict[str, float]:
    """Σ over layers of ‖W_i‖²_F. Defined on every network."""
    return {"parameter_norm": sum(frobenius_norms(run).values())}


@measure(
    Measure("distance_from_initialisation", "distance from init", "norms", f"{JIANG}, eq. 40", "Σ‖W_i − W_i⁰‖²_F"),
)
def distance_from_initialisation(run: Measurable) -> dict[str, float]:
    """Σ over layers of ‖W_i − W_i⁰‖²_F, both folded. Defined on every network."""
    return {"distance_from_initialisation": sum(frobenius_distances(run).values())}


@measure(
    Measure(
        "log_product_of_frobenius_norms", "log Π Frobenius", "norms", f"{JIANG}, eq. 37", "ln Π‖W_i‖²_F", "nats"
    ),
    Measure("sum_of_frobenius_norms", "Σ Frobenius", "norms", f"{JIANG}, eq. 39", "D(Π‖W_i‖²_F)^(1/D)"),
)
def products_of_frobenius_norms(run: Measurable) -> dict[str, float]:
    """Logarithm of the product, and D times its D-th root. Undefined where a layer is all zero."""
    product, layers = log_product(frobenius_norms(run)), len(frobenius_norms(run))
    return {"log_product_of_frobenius_norms": product, "sum_of_frobenius_norms": geometric(product, layers)}


@measure(
    Measure(
        "log_product_of_frobenius_norms_over_margin", "log Π Frobenius / margin", "norms", f"{JIANG}, eq. 36",
        "ln(Π‖W_i‖²_F / γ²)", "nats",
    ),
    Measure(
        "sum_of_frobenius_norms_over_margin", "Σ Frobenius / margin", "norms", f"{JIANG}, eq. 38",
        "D(Π‖W_i‖²_F / γ²)^(1/D)",
    ),
)  # fmt: skip
def products_of_frobenius_norms_over_margin(run: Measurable) -> dict[str, float]:
    """The product of Frobenius norms divided by γ². Undefined where γ ≤ 0 or a layer is all zero."""
    product = log_product(frobenius_norms(run)) - 2 * math.log(margin(run))
    return {
        "log_product_of_frobenius_norms_over_margin": product,
        "sum_of_frobenius_norms_over_margin": geometric(product, len(frobenius_norms(run))),
    }


@shared
@torch.no_grad()
def sum_over_paths(run: Measurable) -> float:
    """Σ over outputs of the network with every parameter squared on an image of ones: one forward pass.

    It sums, over all paths from an input or a bias to an output, the product of the squared parameters on
    the path; pooling takes the mean over its paths.
    """
    run.piecewise_linear()
    squared = {name: tensor.double().square() for name, tensor in run.folded.state_dict().items()}
    ones = torch.ones_like(run.data.train_images[:1], dtype=torch.float64)
    outputs: torch.Tensor = functional_call(run.folded, squared, (ones,))
    return outputs.sum().item()


@measure(Measure("path_norm", "path norm", "norms", f"{JIANG}, eq. 44", "Σ_k f_{w²}(1)_k"))
def path_norm(run: Measurable) -> dict[str, float]:
    """Σ over outputs of f_{w²}(1), the squared path norm of Neyshabur et al. 2015. Always defined."""
    return {"path_norm": sum_over_paths(run)}


@measure(
    Measure("path_norm_over_margin", "path norm / margin", "norms", f"{JIANG}, eq. 43", "Σ_k f_{w²}(1)_k / γ²"),
)
def path_norm_over_margin(run: Measurable) -> dict[str, float]:
    """The path norm divided by γ². Undefined where γ ≤ 0."""
    return {"path_norm_over_margin": sum_over_paths(run) * margin(run) ** -2}
